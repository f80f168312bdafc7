// Made-up objects for the tests of names, catalog and playlists.
#pragma once

#include <random>

#include "store/object_name.h"

namespace miharu::test {

inline store::ObjectName make_object(base::UtcTime start, uint64_t seq, size_t chunks,
                                     store::Run run = {5, store::RunReason::kRestart}) {
  store::ObjectName name;
  name.start = start;
  name.run = run;
  name.seq = seq;
  name.has_audio = true;
  name.init_bytes = 1184;
  name.crc = 0xDEADBEEF;
  for (size_t i = 0; i < chunks; ++i) {
    name.chunks.push_back({4000, static_cast<uint32_t>(1'000'000 + seq % 1000 + i), 90'000, false});
  }
  return name;
}

inline store::ObjectName random_object(std::mt19937_64& random) {
  const auto up_to = [&random](uint64_t most) {
    return std::uniform_int_distribution<uint64_t>(0, most)(random);
  };
  store::ObjectName name;
  name.start = base::from_unix_ms(static_cast<int64_t>(up_to(9'214'646'399'999)));  // the last of 2261
  name.run = {up_to(1'000'000), static_cast<store::RunReason>(std::string_view("rcptdqo")[up_to(6)])};
  name.seq = up_to(uint64_t{1} << 40);
  name.container = up_to(3) == 0 ? store::Container::kMpegTs : store::Container::kFmp4;
  name.encrypted = up_to(1) == 1;
  name.has_audio = up_to(1) == 1;
  if (name.has_audio) name.audio = static_cast<media::Codec>(1 + up_to(3));
  if (name.container == store::Container::kFmp4)
    name.init_bytes = static_cast<uint32_t>(1 + up_to(1 << 20) % (1 << 20));
  for (uint64_t count = 1 + up_to(8); count > 0; --count) {
    store::Chunk chunk;
    chunk.duration_ms =
        up_to(3) == 0 ? static_cast<uint32_t>(up_to(3'600'000)) : static_cast<uint32_t>(3998 + up_to(4));
    chunk.size_bytes = static_cast<uint32_t>(1 + (up_to(0xFFFFFFFE) >> up_to(31)));
    if (up_to(4) != 0) chunk.key_bytes = static_cast<uint32_t>(up_to(chunk.size_bytes));
    chunk.damaged = up_to(9) == 0;
    name.chunks.push_back(chunk);
  }
  name.crc = static_cast<uint32_t>(up_to(0xFFFFFFFF));
  return name;
}

}  // namespace miharu::test
