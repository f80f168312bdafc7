// Brings every finished object of the local store into the bucket: the newest first, then what waits.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "net/event_loop.h"
#include "net/http_client.h"
#include "net/send_gate.h"
#include "s3/failure.h"
#include "s3/request.h"
#include "store/directory_store.h"
#include "upload/backoff.h"
#include "upload/upload_log.h"

namespace miharu::upload {

struct UploaderOptions {
  s3::Bucket bucket;
  s3::Credentials credentials;
  net::HttpClientOptions http;                      // without a pacer: that is the uploader's
  std::string relay;                                // whose folder in the bucket
  uint64_t bits_per_second = 0;                     // 0: as fast as the link
  size_t connections = 4;                           // a stalled one must not hold up the others
  std::chrono::milliseconds longest_pause{8'000};   // before a link is tried that failed
  std::chrono::milliseconds trouble_pause{30'000};  // before a store that refused for good is asked again
  // Of an object that the store refused for itself, the first time; twice as long each further time.
  std::chrono::milliseconds object_pause{10'000};
};

// What the uploader works with. All must outlive it.
struct UploaderEnvironment {
  store::DirectoryStore& store;
  UploadLog& log;
  const base::Clock& clock;
  // Whether the names of a camera's run stand, told by a call of `done` on any thread. May be empty: they do.
  std::function<void(const std::string& camera, uint64_t run, std::function<void(bool)> done)> accept;
};

struct UploadStatus {
  enum class State : uint8_t {
    kStarting,
    kUploading,  // or nothing to do
    kUnreachable,
    kClock,    // ours and the store's differ
    kTrouble,  // somebody has to do something: `error` says what
  } state = State::kStarting;
  std::string error;  // of the last attempt, empty when it went well
  // What will go wrong in the long run while all goes well now; empty as a rule.
  std::string warning;
  std::chrono::seconds failing{0};  // since something last went well; 0: it does
  uint64_t objects = 0;             // since the start
  uint64_t bytes = 0;
  std::map<std::string, uint64_t> failures;  // by s3::name_of(Fault)
  std::map<std::string, CameraUploads> cameras;
};
std::string_view name_of(UploadStatus::State state);
// Nothing is uploaded, and it is no short interruption: somebody should look. Empty: it is not so.
std::string stuck_reason(const UploadStatus& status);

// Made, started and stopped on the main thread; everything happens on a thread of its own, of low priority
// for processor and disk. Nothing is uploaded before the local clock was seen to agree with the store's.
class Uploader {
 public:
  // Names cannot be changed in the bucket.
  static constexpr base::seconds kMostClockDifference{60};
  // A change of the local clock by more means that it has to be compared again.
  static constexpr base::seconds kMostClockStep{1};
  // An object that the store refuses for itself again and again is left alone for so long in the end.
  static constexpr base::seconds kLongestObjectPause{600};
  // An object whose attempt had no answer, perhaps one of the process before this, is left alone for so long:
  // it may be being stored, and a second one at once would be sent whole to be refused in the end.
  static constexpr base::seconds kUnanswered{3};
  // Of a camera of which objects are not where the log says for so long, the disk is looked through, and what
  // is gone is told as lost; no more often than the second says.
  static constexpr base::seconds kMissingFor{5};
  static constexpr base::seconds kLookPause{60};
  // A camera of which no object came for so long counts no more against the bandwidth.
  static constexpr base::seconds kRateAge{300};

  Uploader(UploaderOptions options, const UploaderEnvironment& environment);
  ~Uploader();

  void start();
  void stop();  // drops what is under way: it is tried again after the next start
  // Main thread, between start() and stop(): other credentials, bucket, bandwidth ... What is under way ends
  // as it began; the number of connections stays.
  void change(UploaderOptions options);
  // An object is on the disk. Any thread, does not block; what is told too late for the log is found at the
  // next start.
  void added(const std::string& camera, const store::ObjectName& name);
  [[nodiscard]] UploadStatus status() const;  // any thread; asks the log

  // For who sends what is more urgent over the same line: while the gate is closed, objects wait. Loop, pacer
  // and gate are those of the uploader's thread, which runs from start() to stop().
  struct Line {
    net::EventLoop& loop;
    net::Pacer& pacer;
    net::SendGate& gate;
  };
  [[nodiscard]] Line line() { return {loop_, pacer_, gate_}; }

 private:
  using ObjectId = std::pair<std::string, uint64_t>;  // camera, seq
  // A connection, and what it does.
  struct Slot {
    Slot(net::EventLoop& loop, Backoff pauses) : pause(loop.context()), backoff(pauses) {}
    std::unique_ptr<net::HttpClient> client;
    uint64_t generation = 0;  // of the options that the client was made with
    boost::asio::steady_timer pause;
    Backoff backoff;
    bool busy = false;  // with an object, or in a pause
    bool pausing = false;
    bool wakes = false;    // from its pause, when another one gets through
    bool crowded = false;  // pauses because too much is left alone
    ObjectId object;
    uint64_t bytes = 0;
    bool may_be_ours = false;  // what lies in the bucket under this name, of earlier attempts
    bool attempted = false;    // bytes of it went out, and the log says so
  };

  // Of a camera: how often an object was not on the disk, since the disk was looked through or ever.
  struct Missing {
    size_t misses = 0;
    std::optional<base::SteadyTime> looked;
  };
  // What a camera's newest object measures, as bits a second, and when it came.
  struct Rate {
    double bits_per_second = 0;
    base::SteadyTime seen;
  };

  void lower_priority();
  net::HttpClient& client_of(Slot& slot);
  void compare_rates(const std::string& camera, const store::ObjectName& name);
  void reconcile(std::vector<std::string> cameras);
  // The log could not be told of objects of the camera from `start` on: the disk is asked for them later.
  void miss_in_log(const std::string& camera, base::UtcTime start);
  void look_again();
  base::Status walk(const std::string& prefix, int levels, const UploadLog::Take& take);
  void compare_clocks();
  void compared(const base::Result<net::HttpReply>& reply);
  [[nodiscard]] bool clock_stands();
  // Whether a reply's Date agrees with our clock; one without says nothing.
  [[nodiscard]] std::optional<base::nanoseconds> clock_error(const net::HttpReply& reply) const;
  void pump();
  void begin(Slot& slot, Pending object);
  void send(Slot& slot, const Pending& object);
  void note_attempt(Slot& slot);
  void note_outcome(Slot& slot, const base::Result<net::HttpReply>& reply);
  void warn_of(const base::Status& noted);
  void miss(Slot& slot);
  void look_for_missing();
  void answered(Slot& slot, const base::Result<net::HttpReply>& reply);
  void done(Slot& slot, bool verified);
  void refused(Slot& slot, const std::string& why);
  void leave_alone(Slot& slot, base::nanoseconds time, const std::string& why);
  void release(Slot& slot);
  void pause(Slot& slot, std::chrono::milliseconds time);
  void wake_all();
  void compare_after(std::chrono::milliseconds time);
  void pump_after(std::chrono::milliseconds time);
  void tell(UploadStatus::State state, const std::string& error);

  UploaderOptions options_;
  UploaderEnvironment environment_;
  s3::RequestMaker requests_;
  net::EventLoop loop_{"upload"};
  net::Pacer pacer_;
  net::SendGate gate_;

  // On the loop's thread.
  std::vector<std::unique_ptr<Slot>> slots_;
  std::set<ObjectId> under_way_;
  std::map<ObjectId, base::SteadyTime> left_alone_;
  std::map<ObjectId, base::nanoseconds> refused_;  // for themselves: the pause that followed the last time
  std::map<std::string, Rate> rates_;              // by camera
  base::SteadyTime settled_{};                     // attempts of the process before this are over
  uint64_t generation_ = 1;
  boost::asio::steady_timer timer_;        // for what is left alone
  boost::asio::steady_timer clock_timer_;  // to compare clocks again
  boost::asio::steady_timer missing_timer_;
  boost::asio::steady_timer missed_timer_;
  bool missed_waits_ = false;               // for missed_timer_
  std::map<std::string, Missing> missing_;  // by camera
  bool look_waits_ = false;                 // for missing_timer_
  Backoff clock_backoff_;
  bool comparing_ = false;
  bool compare_waits_ = false;
  std::optional<base::nanoseconds> agreed_;  // UTC minus steady clock when the clocks agreed

  bool started_ = false;  // main thread
  base::LogLimiter limiter_;
  base::LogLimiter unverified_;
  mutable std::mutex mutex_;
  UploadStatus status_;                            // guarded by mutex_
  std::optional<base::SteadyTime> failing_since_;  // guarded by mutex_
  // Cameras of which the log could not be told an object: where the first of those begins, max() if nobody
  // knows; guarded by mutex_
  std::map<std::string, base::UtcTime> missed_;
};

}  // namespace miharu::upload
