// An RTSP camera as a source of frames: connects, plays, watches over the media, reconnects. What it copes
// with is in docs/quirks.md, rows R, A, T, U and P.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "ingest/rtsp/session.h"
#include "ingest/source.h"
#include "net/event_loop.h"
#include "net/read_coalescer.h"

namespace miharu::ingest {

enum class RtspTransport : uint8_t {
  kAuto,  // TCP first, UDP where TCP is refused or stays silent, and the other way round; what worked is kept
  kTcp,
  kUdp,
};

struct RtspTiming {
  base::milliseconds connect{5'000};  // lookup, connect and TLS
  base::milliseconds reply{10'000};
  base::milliseconds no_video{10'000};        // quirk T6; audio does not count
  base::milliseconds first_datagram{3'000};   // quirk U3
  base::milliseconds after_bye{2'000};        // quirk U6
  base::milliseconds receiver_report{5'000};  // quirk U6
  std::vector<base::milliseconds> back_off = {base::seconds(1), base::seconds(2), base::seconds(5),
                                              base::seconds(10), base::seconds(30)};
  base::milliseconds wrong_password{300'000};  // after two refusals: cameras lock users out (quirk A5)
  base::milliseconds no_free_session{60'000};  // quirks T4, T8
};

struct RtspOptions {
  std::string url;  // rtsp:// or rtsps://; a user and password in it are used where the next two are empty
  std::string user;
  std::string password;  // leaves the process in Authorization headers only
  RtspTransport transport = RtspTransport::kAuto;
  std::string pinned_fingerprint;  // rtsps: SHA-256 of the certificate in hex; empty = any certificate
  // Redirects to another host are followed then, without user and password.
  bool allow_redirect_elsewhere = false;
  RtspTiming timing;
};

class RtspSource : public Source {
 public:
  // What the camera offered last; empty before the first DESCRIBE. On the source's thread.
  [[nodiscard]] virtual const rtsp::Offer& offer() const = 0;
  // Of the certificate of the last rtsps connection: SHA-256 in lower-case hex, to be pinned.
  [[nodiscard]] virtual const std::string& fingerprint() const = 0;
};

// `loop`, `coalescer` (of that loop), `clock` and `listener` must outlive the source. All methods and the
// destructor run on the loop's thread; stop() may be called in a listener's call, the destructor may not. A
// wrong URL shows as last_error after start() and is not retried.
std::unique_ptr<RtspSource> make_rtsp_source(net::EventLoop& loop, net::ReadCoalescer& coalescer,
                                             const base::Clock& clock, RtspOptions options,
                                             SourceListener& listener);

}  // namespace miharu::ingest
