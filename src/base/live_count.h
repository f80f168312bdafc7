// How many objects of a type there are, so that what was left behind shows: a reference that nobody gives up
// is in no table.
#pragma once

#include <atomic>
#include <cstddef>

namespace miharu::base {

// A member of T: `[[no_unique_address]] base::LiveCount<T> counted_;`. Any thread.
template <class T>
class LiveCount {
 public:
  LiveCount() { count_.fetch_add(1, std::memory_order_relaxed); }
  LiveCount(const LiveCount&) : LiveCount() {}
  LiveCount& operator=(const LiveCount&) = default;
  ~LiveCount() { count_.fetch_sub(1, std::memory_order_relaxed); }

  static size_t alive() { return count_.load(std::memory_order_relaxed); }

 private:
  inline static std::atomic<size_t> count_{0};
};

}  // namespace miharu::base
