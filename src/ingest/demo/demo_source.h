// A camera that needs no camera: a moving picture with a clock, a readable frame number and a beep every
// second.
#pragma once

#include <memory>
#include <string_view>

#include "base/clock.h"
#include "ingest/demo/demo_options.h"
#include "ingest/source.h"
#include "net/event_loop.h"

namespace miharu::ingest {

// The source lives on `loop`, which, like the clock and the listener, must outlive it; it encodes on a thread
// of its own between start() and stop(). Both tracks count from the Unix epoch: video in 1/90000 s, sound in
// samples.
//
// stop() waits for the picture being encoded (some milliseconds). A listener that falls more than two seconds
// behind misses frames: the number in the picture jumps, but what comes can be decoded. When UTC is set by
// more than half a second the listener hears Interruption::kClockJump and frames go on with a key frame.
std::unique_ptr<Source> make_demo_source(net::EventLoop& loop, const base::Clock& clock, DemoOptions options,
                                         SourceListener& listener);

}  // namespace miharu::ingest
