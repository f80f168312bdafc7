// libsrtp2, which has the last word on what our SRTP should be.
#pragma once

#include <cstring>

#include <srtp2/srtp.h>

#include "base/bytes.h"
#include "base/check.h"
#include "webrtc/srtcp_receiver.h"
#include "webrtc/srtp_keys.h"

namespace miharu::webrtc {

class SrtpOracle {
 public:
  enum class Direction { kOutbound, kInbound };

  SrtpOracle(SrtpProfile profile, const SrtpMaster& master, Direction direction) {
    // The library may be initialised once only, and this does it.
    CHECK(SrtcpReceiver::make(profile, master).has_value());
    srtp_policy_t policy{};
    if (profile == SrtpProfile::kAeadAes128Gcm) {
      srtp_crypto_policy_set_aes_gcm_128_16_auth(&policy.rtp);
      srtp_crypto_policy_set_aes_gcm_128_16_auth(&policy.rtcp);
    } else {
      srtp_crypto_policy_set_rtp_default(&policy.rtp);
      srtp_crypto_policy_set_rtcp_default(&policy.rtcp);
    }
    unsigned char key[30];
    std::memcpy(key, master.key.data(), 16);
    std::memcpy(key + 16, master.salt.data(), 14);
    policy.key = key;
    policy.window_size = 1024;
    policy.allow_repeat_tx = 1;
    policy.ssrc.type = direction == Direction::kOutbound ? ssrc_any_outbound : ssrc_any_inbound;
    CHECK(srtp_create(&session_, &policy) == srtp_err_status_ok);
  }
  SrtpOracle(const SrtpOracle&) = delete;
  SrtpOracle& operator=(const SrtpOracle&) = delete;
  ~SrtpOracle() { srtp_dealloc(session_); }

  base::ByteVector protect(base::ByteView packet) { return apply(srtp_protect, packet, true); }
  base::ByteVector protect_rtcp(base::ByteView packet) { return apply(srtp_protect_rtcp, packet, true); }
  // Nothing when it refuses: status() says why.
  base::ByteVector unprotect(base::ByteView packet) { return apply(srtp_unprotect, packet, false); }
  base::ByteVector unprotect_rtcp(base::ByteView packet) { return apply(srtp_unprotect_rtcp, packet, false); }

  [[nodiscard]] srtp_err_status_t status() const { return status_; }

 private:
  base::ByteVector apply(srtp_err_status_t (*function)(srtp_t, void*, int*), base::ByteView packet,
                         bool must_work) {
    base::ByteVector out(packet.begin(), packet.end());
    out.resize(packet.size() + SRTP_MAX_TRAILER_LEN + 4);
    int size = static_cast<int>(packet.size());
    status_ = function(session_, out.data(), &size);
    CHECK(!must_work || status_ == srtp_err_status_ok);
    out.resize(status_ == srtp_err_status_ok ? static_cast<size_t>(size) : 0);
    return out;
  }

  srtp_t session_ = nullptr;
  srtp_err_status_t status_ = srtp_err_status_ok;
};

}  // namespace miharu::webrtc
