// A viewer's end of SRTP: takes the protection off by libsrtp2 and reads what is in the headers.
#pragma once

#include <map>
#include <optional>

#include "webrtc/media_test_support.h"
#include "webrtc/srtp_oracle.h"
#include "webrtc/srtp_sender.h"

namespace miharu::webrtc {

inline SrtpMaster test_master() {
  SrtpMaster master;
  for (size_t i = 0; i < master.key.size(); ++i) master.key[i] = static_cast<std::byte>(i * 17 + 5);
  for (size_t i = 0; i < 12; ++i) master.salt[i] = static_cast<std::byte>(i * 29 + 3);
  return master;
}

struct ReceivedRtp {
  base::SteadyTime time;
  uint8_t payload_type = 0;
  bool marker = false;
  uint16_t sequence = 0;
  uint32_t timestamp = 0;
  uint32_t ssrc = 0;
  base::ByteVector extension;  // with its profile and length
  base::ByteVector payload;
};

class MediaReceiver {
 public:
  explicit MediaReceiver(SrtpProfile profile = SrtpProfile::kAeadAes128Gcm, SrtpMaster master = test_master())
      : oracle_(profile, master, SrtpOracle::Direction::kInbound) {}

  // Nothing when libsrtp2 refuses it.
  std::optional<ReceivedRtp> take(base::ByteView datagram, base::SteadyTime time = {}) {
    const base::ByteVector plain = oracle_.unprotect(datagram);
    if (plain.empty()) return std::nullopt;
    const auto parsed = media::parse_rtp(plain);
    if (!parsed) return std::nullopt;
    ReceivedRtp out{
        time, parsed->payload_type, parsed->marker, parsed->sequence, parsed->timestamp, parsed->ssrc, {},
        {}};
    out.payload.assign(parsed->payload.begin(), parsed->payload.end());
    out.extension.assign(plain.begin() + 12, plain.end() - static_cast<ptrdiff_t>(out.payload.size()));
    return out;
  }
  base::ByteVector take_rtcp(base::ByteView datagram) { return oracle_.unprotect_rtcp(datagram); }
  [[nodiscard]] srtp_err_status_t status() const { return oracle_.status(); }

 private:
  SrtpOracle oracle_;
};

}  // namespace miharu::webrtc
