// What the API needs of live view: sessions made from an offer, changed, listed and ended. The signalling
// around it (WHEP, POST /offer) is the API's.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "webrtc/live_metrics.h"

namespace miharu::webrtc {

struct SessionAnswer {
  std::string id;  // 22 characters of base64url, hard to guess: who knows it may change the session
  std::string sdp;
  std::string etag;  // of the ICE generation, without quotes
};

inline constexpr std::string_view kSessionStates[] = {"connecting", "catching_up", "live", "keys_only",
                                                      "waiting"};

struct SessionInfo {
  std::string id;
  std::string camera;
  std::string user;    // who asked, as the API told
  std::string remote;  // "192.0.2.1:5004", empty before a path was selected
  std::string state;   // one of kSessionStates
  bool sub = false;    // it is sent the camera's smaller stream
  base::UtcTime since{};
  double round_trip_ms = 0;  // 0: not known
  uint64_t packets = 0;
  uint64_t retransmitted = 0;
  uint64_t lost = 0;          // as the viewer reports
  double loss = 0;            // share of the packets, 0 to 1, by its last report
  uint64_t dropped = 0;       // packets that the kernel did not take
  uint64_t skipped = 0;       // pictures that its line does not carry
  double first_frame_ms = 0;  // from the offer to the last packet of the first key frame; 0: not yet
};

// Called on the control thread; every callback comes there too, once, unless the service is stopped before.
class SessionService {
 public:
  template <class T>
  using Callback = std::function<void(base::Result<T>)>;

  virtual ~SessionService() = default;

  // Errors: kNotFound (no such camera), kMalformed, kTruncated or kLimit (the offer, with its offset),
  // kUnsupported (no codec in common: 406), kStalled (too many sessions: 429), kTimeout (the camera has not
  // told its tracks yet: 503).
  virtual void create(const std::string& camera, const std::string& user, const std::string& offer,
                      Callback<SessionAnswer> done) = 0;
  // A trickle fragment (RFC 8840). With other ICE credentials than before it is a restart, whose answer has
  // `sdp` (a fragment) and a new `etag`; else both are empty. `etag`: of If-Match, none where there was "*"
  // or no such field; another one than the session's is kExists (412). kNotFound: no such session of this
  // camera.
  virtual void patch(const std::string& camera, const std::string& id, const std::optional<std::string>& etag,
                     const std::string& fragment, Callback<SessionAnswer> done) = 0;
  // kNotFound: no such session of this camera (any camera, where it is empty).
  virtual void end(const std::string& camera, const std::string& id,
                   std::function<void(base::Status)> done) = 0;
  virtual void list(std::function<void(std::vector<SessionInfo>)> done) = 0;
  virtual void metrics(std::function<void(LiveMetrics)> done) = 0;
};

}  // namespace miharu::webrtc
