#include "api/change_waiters.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace miharu::api {

void ChangeWaiters::wait(const std::string& camera, Attempt attempt) {
  {
    // Before the look, so that a change in between is told.
    const std::lock_guard lock(mutex_);
    wanted_.insert(camera);
  }
  if (attempt(false)) return;
  waiters_[camera].push_back({std::move(attempt), std::chrono::steady_clock::now() + kPatience});
  schedule();
}

void ChangeWaiters::changed(const std::string& camera) {
  {
    const std::lock_guard lock(mutex_);
    const auto found = wanted_.find(camera);
    if (found == wanted_.end()) return;
    wanted_.erase(found);
  }
  control_.post([this, camera] { try_all(camera); });
}

void ChangeWaiters::try_all(const std::string& camera) {
  const auto found = waiters_.find(camera);
  if (found == waiters_.end()) return;
  {
    const std::lock_guard lock(mutex_);
    wanted_.insert(camera);
  }
  std::vector<Waiter> waiters = std::move(found->second);
  waiters_.erase(found);
  std::erase_if(waiters, [](const Waiter& waiter) { return waiter.attempt(false); });
  if (waiters.empty()) return;
  std::vector<Waiter>& kept = waiters_[camera];
  kept.insert(kept.end(), std::make_move_iterator(waiters.begin()), std::make_move_iterator(waiters.end()));
}

void ChangeWaiters::schedule() {
  if (scheduled_ || waiters_.empty()) return;
  scheduled_ = true;
  timer_.expires_after(base::seconds(1));
  timer_.async_wait([this](const boost::system::error_code& error) {
    scheduled_ = false;
    if (!error) expire();
  });
}

void ChangeWaiters::expire() {
  const auto now = std::chrono::steady_clock::now();
  std::vector<Waiter> expired;
  for (auto camera = waiters_.begin(); camera != waiters_.end();) {
    std::vector<Waiter>& waiters = camera->second;
    const auto late = std::partition(waiters.begin(), waiters.end(),
                                     [now](const Waiter& waiter) { return waiter.until > now; });
    expired.insert(expired.end(), std::make_move_iterator(late), std::make_move_iterator(waiters.end()));
    waiters.erase(late, waiters.end());
    camera = waiters.empty() ? waiters_.erase(camera) : std::next(camera);
  }
  for (const Waiter& waiter : expired) waiter.attempt(true);
  schedule();
}

void ChangeWaiters::stop() {
  timer_.cancel();
  for (const auto& [camera, waiters] : std::exchange(waiters_, {})) {
    for (const Waiter& waiter : waiters) waiter.attempt(true);
  }
}

size_t ChangeWaiters::waiting() const {
  size_t count = 0;
  for (const auto& [camera, waiters] : waiters_) count += waiters.size();
  return count;
}

}  // namespace miharu::api
