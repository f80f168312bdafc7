// Between two attempts to replace a version of an object (ObjectStore::replace_version).
#pragma once

#include <chrono>
#include <random>
#include <thread>

namespace miharu::store {

inline constexpr int kRaces = 8;

// Blocks before attempt 1, 2 ...: those who lost a race do not meet again. Any thread.
inline void pause_after_lost_race(int attempt) {
  static thread_local std::mt19937 random{std::random_device{}()};
  std::this_thread::sleep_for(
      std::chrono::milliseconds(std::uniform_int_distribution<int>(0, 20 << attempt)(random)));
}

}  // namespace miharu::store
