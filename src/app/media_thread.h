// A media thread with what its cameras share.
#pragma once

#include <string>

#include "net/event_loop.h"
#include "net/read_coalescer.h"

namespace miharu::app {

struct MediaThread {
  explicit MediaThread(const std::string& name) : loop(name), reader(loop) {}
  // On its thread: a stream of it is watched live, or not any more.
  void on_watched(bool watched) {
    watched_streams += watched ? 1 : -1;
    reader.set_interval(watched_streams > 0 ? net::ReadCoalescer::kLiveInterval
                                            : net::ReadCoalescer::kInterval);
  }

  net::EventLoop loop;
  net::ReadCoalescer reader;
  int watched_streams = 0;
};

}  // namespace miharu::app
