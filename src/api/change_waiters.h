// Requests that wait for the next part of a camera's recording: blocking reloads and hinted parts.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include <boost/asio/steady_timer.hpp>

#include "base/clock.h"
#include "net/event_loop.h"

namespace miharu::api {

// wait() and stop() are for the control thread, changed() for any. Destroy it when nobody calls changed() any
// more.
class ChangeWaiters {
 public:
  // hls.js gives up a playlist whose first byte does not come within 10 s.
  static constexpr base::seconds kPatience{8};

  explicit ChangeWaiters(net::EventLoop& control) : control_(control), timer_(control.context()) {}

  // Tries at once and after each change of the camera, until `attempt` returns true. When patience ends it is
  // called with `last` and must answer.
  using Attempt = std::function<bool(bool last)>;
  void wait(const std::string& camera, Attempt attempt);
  // Costs a lock and a look while nobody waits for this camera. Call it after the change can be seen.
  void changed(const std::string& camera);
  void stop();  // answers all who wait

  [[nodiscard]] size_t waiting() const;

 private:
  struct Waiter {
    Attempt attempt;
    base::SteadyTime until;
  };
  void try_all(const std::string& camera);
  void schedule();
  void expire();

  net::EventLoop& control_;
  boost::asio::steady_timer timer_;
  bool scheduled_ = false;
  std::map<std::string, std::vector<Waiter>> waiters_;

  std::mutex mutex_;
  std::set<std::string, std::less<>> wanted_;  // guarded by mutex_: cameras whose next change is to be told
};

}  // namespace miharu::api
