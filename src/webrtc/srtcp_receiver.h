// Takes the protection off the SRTCP that a viewer sends: reports, NACK, PLI. By libsrtp2.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/bytes.h"
#include "base/error.h"
#include "base/live_count.h"
#include "webrtc/srtp_keys.h"

struct srtp_ctx_t_;

namespace miharu::webrtc {

// One for each viewer, of one thread at a time.
class SrtcpReceiver {
 public:
  // A sender of RTCP has an SSRC of its own; libsrtp2 keeps a state for each, for good.
  static constexpr size_t kMostSsrcs = 16;

  static base::Result<SrtcpReceiver> make(SrtpProfile profile, const SrtpMaster& receive);

  // In place. The RTCP packet is a part of `packet`. Errors: kTruncated (too short to be SRTCP),
  // kUnauthorized (wrong tag), kExists (a replay, or older than the window of 128 packets), kLimit (beyond
  // kMostSsrcs), kMalformed (whatever else libsrtp2 dislikes). After an error the bytes of `packet` are
  // undefined.
  base::Result<base::ByteView> unprotect(std::span<std::byte> packet);

 private:
  struct Deleter {
    void operator()(srtp_ctx_t_* session) const;
  };
  explicit SrtcpReceiver(srtp_ctx_t_* session) : session_(session) {}

  std::unique_ptr<srtp_ctx_t_, Deleter> session_;
  std::array<uint32_t, kMostSsrcs> ssrcs_{};
  size_t ssrc_count_ = 0;
  [[no_unique_address]] base::LiveCount<SrtcpReceiver> counted_;
};

}  // namespace miharu::webrtc
