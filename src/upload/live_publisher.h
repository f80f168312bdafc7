// Live pictures through the bucket: looks who wishes to watch (store/wishes.h), and puts what the cameras
// send there for as long as somebody does. Nobody can reach this machine, and this machine asks for nothing
// else.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "net/pacer.h"
#include "net/send_gate.h"
#include "store/wishes.h"
#include "upload/live_session.h"

namespace miharu::upload {

struct LiveOptions {
  bool enabled = true;  // else nobody is heard
  bool sub = true;      // the smaller stream of cameras that have one
  s3::Bucket bucket;
  s3::Credentials credentials;
  net::HttpClientOptions http;   // without pacer and gate
  std::string relay;             // whose wishes, and whose folder
  uint64_t bits_per_second = 0;  // of all live pictures together; 0: what the line gives
  std::chrono::milliseconds at_rest{10'000};
  std::chrono::milliseconds awake{2'000};  // since somebody watched
  std::chrono::milliseconds stays_awake{600'000};
  // At the start pieces wait for what others had under way, and are many at once: for so long live pictures
  // go first even if they take the whole line.
  std::chrono::milliseconds start{10'000};
};

// What it works with. All must outlive it.
struct LiveEnvironment {
  net::EventLoop& loop;  // everything happens on its thread
  net::Pacer& pacer;     // of the whole line
  net::SendGate& gate;   // of what can wait
  const record::Recordings& recordings;
  const base::Clock& clock;
  std::function<bool(const std::string& camera)> has;  // any thread
  // See LiveShared.
  const record::Recordings* subs = nullptr;
  std::function<bool(const std::string& camera, bool wanted)> keep_sub = {};
};

struct LiveStatus {
  uint64_t sessions = 0;   // being watched now
  uint64_t begun = 0;      // sessions since the start
  uint64_t looks = 0;      // at the wishes
  uint64_t unchanged = 0;  // of those
  LiveTotals totals;
  // Of each camera that is watched: since the store took a piece, or since it is watched.
  std::map<std::string, base::nanoseconds> since_piece;
};

// Made, started and stopped on the main thread.
class LivePublisher {
 public:
  // More cameras than this are not watched at once; those wished for first are.
  static constexpr size_t kMostSessions = 16;
  // A wish that reaches further is none: whoever watches asks again and again.
  static constexpr std::chrono::minutes kFarthestWish{10};
  // A line that is gone for so long ends what cannot be known to be wished any more.
  static constexpr base::seconds kBlind{10};

  LivePublisher(LiveOptions options, const LiveEnvironment& environment);
  ~LivePublisher();

  void start();
  void stop();
  // Between start() and stop(): what is watched begins anew with these.
  void change(LiveOptions options);
  // Any thread, cheap while nobody watches: the recording of `camera` has a new part.
  void changed(const std::string& camera);
  [[nodiscard]] LiveStatus status() const;  // any thread

 private:
  void open();
  void close();
  void look();
  void looked(const base::Result<net::HttpReply>& reply);
  void apply(bool certain);
  void look_after(base::nanoseconds time);
  void begin(const store::Wish& wish);
  void end(const std::string& camera);
  void note_clock(const net::HttpReply& reply);
  void on_piece(const std::string& camera, const LivePiece& piece, base::nanoseconds took);
  // For so long others go on beside pieces.
  void share_line(base::nanoseconds time);
  void set_gate();
  [[nodiscard]] base::UtcTime store_time() const;

  LiveOptions options_;
  LiveEnvironment environment_;
  s3::RequestMaker requests_;
  net::Pacer pacer_;

  // On the loop's thread.
  LiveShared shared_;
  std::unique_ptr<net::HttpClient> asker_;
  std::vector<std::unique_ptr<net::HttpClient>> clients_;         // free ones, kept warm
  std::map<std::string, std::unique_ptr<LiveSession>> sessions_;  // by camera
  std::vector<std::unique_ptr<LiveSession>> ending_;
  std::vector<store::Wish> wishes_;
  std::string etag_;
  base::nanoseconds difference_{};  // the store's clock minus ours
  base::SteadyTime looked_at_{};
  std::optional<base::SteadyTime> watched_at_;
  double strain_ = 0;  // of the line: for which share of a piece's length it is on its way
  bool slow_ = true;   // the line: others wait
  base::SteadyTime piece_at_{};
  base::SteadyTime began_at_{};  // the first of the sessions that are now
  boost::asio::steady_timer timer_;
  boost::asio::steady_timer share_timer_;
  bool sharing_ = false;  // until share_timer_

  bool started_ = false;                                        // main thread
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // false once closed: asked by what was posted
  mutable std::mutex mutex_;
  LiveStatus status_;  // guarded by mutex_
  // Likewise: cameras with a session, and when the store took their last piece.
  std::map<std::string, base::SteadyTime> watched_;
};

}  // namespace miharu::upload
