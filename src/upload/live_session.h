// One camera that somebody watches through the bucket: pieces of its smaller stream where there is one, else
// of its recording, and the playlist that names them.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <boost/asio/steady_timer.hpp>

#include "base/log.h"
#include "hls/rolling_playlist.h"
#include "net/http_client.h"
#include "record/recording.h"
#include "s3/failure.h"
#include "s3/request.h"
#include "upload/backoff.h"
#include "upload/live_cutter.h"

namespace miharu::upload {

struct LiveTotals {
  uint64_t pieces = 0;
  uint64_t bytes = 0;
  uint64_t skips = 0;                        // that the line was too slow, and pictures were left out
  std::map<std::string, uint64_t> failures;  // by s3::name_of(Fault)
};

// What the sessions of a recorder share; all on one thread.
struct LiveShared {
  net::EventLoop& loop;
  const s3::RequestMaker& requests;
  const record::Recordings& recordings;
  const record::Recordings* subs;  // the latest seconds of smaller streams; null: there are none
  // From now on (or no more) they are wanted of this camera. False: it has none to be sent.
  std::function<bool(const std::string& camera, bool wanted)> keep_sub;
  const base::Clock& clock;
  std::string relay;
  std::function<std::unique_ptr<net::HttpClient>()> take_client;
  std::function<void(std::unique_ptr<net::HttpClient>)> give_client;
  std::function<base::UtcTime()> store_time;  // by our clock and the store's last Date
  std::function<void(const net::HttpReply&)> on_reply;
  std::function<void()> on_change;  // of urgent()
  // A piece is there: how long it was on its way.
  std::function<void(const std::string& camera, const LivePiece& piece, base::nanoseconds took)> on_piece;
  // Something did not get there: how long it was on its way for nothing.
  std::function<void(base::nanoseconds took)> on_failure;
  std::function<void(const std::function<void(LiveTotals&)>&)> count;
  base::LogLimiter limiter;
  // Cameras whose smaller stream was waited for in vain, or died, the last time.
  std::set<std::string> sub_missing;
};

// Lives on the loop's thread. Puts one piece at a time, and beside it the initialization part or the
// playlist.
class LiveSession {
 public:
  // So much may wait for the line; then it goes on with the latest key frame.
  static constexpr base::seconds kMostBehind{5};
  // A recording that ends earlier than this is not shown as live.
  static constexpr base::seconds kStale{10};
  // So long the smaller stream is waited for at the start, unless that was in vain the last time; the main
  // one is sent until it comes.
  static constexpr base::milliseconds kSubPatience{2'500};
  // A smaller stream without pictures for so long has died: the main one is sent.
  static constexpr base::seconds kSubStale{4};
  // And for at least so long, for each change is seen.
  static constexpr base::seconds kSubRest{60};

  LiveSession(LiveShared& shared, std::string camera, std::string id);
  ~LiveSession();  // drops what is under way

  void look();  // the recording has something new
  // Says in the playlist that this is all. `done` is called once it is said, or cannot be.
  void end(std::function<void()> done);

  [[nodiscard]] const std::string& camera() const { return camera_; }
  [[nodiscard]] const std::string& id() const { return id_; }
  [[nodiscard]] bool ending() const { return on_end_ != nullptr; }
  // Something is on its way, or could be: other uploads wait.
  [[nodiscard]] bool urgent() const;

 private:
  struct Lane {
    std::unique_ptr<net::HttpClient> client;
    bool busy = false;
  };
  enum class Source : uint8_t { kNone, kMain, kSub };
  void choose_source();
  void change_to(Source source);
  [[nodiscard]] const record::Recordings& recordings_of(const LivePiece& piece) const {
    return piece.sub ? *shared_.subs : shared_.recordings;
  }
  [[nodiscard]] bool is_live(const record::Recordings& recordings, base::nanoseconds stale) const;
  void drop_waiting();
  void release_sub();
  void step();
  void put_piece();
  void put_init(const LivePiece& piece);
  void put_playlist();
  // `done` once the store has it. Whatever fails is tried again by step().
  void put(Lane& lane, const std::string& name, std::string body, const s3::PutOptions& options,
           std::function<void()> done);
  void failed(const Lane& lane, const s3::Failure& failure);
  void publish();  // what is uploaded and has its initialization part
  [[nodiscard]] bool has_init(const LivePiece& piece) const;
  void finish();

  LiveShared& shared_;
  const std::string camera_;
  const std::string id_;
  const std::string folder_;
  Lane media_;
  Lane beside_;
  boost::asio::steady_timer pause_;
  bool pausing_ = false;
  Backoff backoff_;

  LiveCutter cutter_;
  Source source_ = Source::kNone;  // what is cut
  bool keeps_sub_ = false;
  base::SteadyTime main_from_;      // before that, the smaller stream or nothing
  base::SteadyTime sub_from_{};     // before that, the main one
  std::deque<LivePiece> queue_;     // the first is on its way while media_ is busy
  std::deque<LivePiece> uploaded_;  // and not in the playlist yet
  std::set<std::string> inits_;     // that are there
  hls::RollingPlaylist playlist_;
  bool changed_ = false;  // the playlist, since it was put
  std::function<void()> on_end_;
  bool finished_ = false;
  // Asked by a wait of the timer that had ended already when this was destroyed.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace miharu::upload
