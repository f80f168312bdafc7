// GET /hls/{camera}/live.m3u8: low-latency HLS with blocking reload, delta updates and up to an hour of past.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "api/change_waiters.h"
#include "hls/live_playlist.h"
#include "net/http.h"
#include "record/recording.h"
#include "store/catalog.h"

namespace miharu::api {

// Lives on the control thread. One text is built and compressed for each part that anybody asks for, and
// shared by all who wait for it.
class LiveHls {
 public:
  static constexpr std::chrono::hours kLongestPast{1};  // ?dvr=
  static constexpr base::seconds kPast{60};             // without it

  // All must outlive it.
  LiveHls(store::Catalog& catalog, const record::Recordings& recordings, ChangeWaiters& waiters,
          const base::Clock& clock)
      : catalog_(catalog), recordings_(recordings), waiters_(waiters), clock_(clock) {}

  void playlist(const net::HttpRequest& request, const std::string& camera,
                const std::shared_ptr<net::HttpExchange>& exchange);
  // Calls `then` when the part at the front of the request's range was written, or when it does not come: for
  // the hinted part, which players ask for before it is there.
  void when_written(const net::HttpRequest& request, const std::string& camera, store::Run run, uint64_t seq,
                    std::function<void()> then);

 private:
  struct Text {
    std::shared_ptr<const std::string> plain;
    std::shared_ptr<const std::string> compressed;  // made when somebody takes it
  };
  // What is known of a camera at one generation of its recording.
  struct Snapshot {
    uint64_t generation = 0;
    base::SteadyTime made;
    base::nanoseconds past{};                 // the longest that was asked for
    std::vector<record::RecentChunk> older;   // from the catalog: what the recorder does not know any more
    uint64_t older_end = 0;                   // first number that the recorder knows
    std::vector<record::RecentChunk> chunks;  // older and latest, numbered without a hole
    std::map<std::pair<base::nanoseconds, bool>, Text> texts;  // by window and skip
  };
  Snapshot& look(const std::string& camera, base::nanoseconds past);
  std::vector<record::RecentChunk> older_than(const std::string& camera, uint64_t seq, base::UtcTime from,
                                              base::UtcTime to);
  net::HttpResponse answer(const net::HttpRequest& request, const std::string& camera, Snapshot& snapshot,
                           const hls::LiveRequest& live);

  store::Catalog& catalog_;
  const record::Recordings& recordings_;
  ChangeWaiters& waiters_;
  const base::Clock& clock_;
  std::map<std::string, Snapshot> snapshots_;
};

}  // namespace miharu::api
