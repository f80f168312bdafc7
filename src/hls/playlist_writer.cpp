#include "hls/playlist_writer.h"

#include <array>
#include <charconv>

namespace miharu::hls {

PlaylistWriter& PlaylistWriter::number(uint64_t value) {
  std::array<char, 20> digits{};
  const auto result = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  out_.append(digits.data(), result.ptr);
  return *this;
}

PlaylistWriter& PlaylistWriter::seconds(uint64_t ms) {
  number(ms / 1000);
  const uint64_t rest = ms % 1000;
  const std::array<char, 4> digits = {'.', static_cast<char>('0' + rest / 100),
                                      static_cast<char>('0' + rest / 10 % 10),
                                      static_cast<char>('0' + rest % 10)};
  out_.append(digits.data(), digits.size());
  return *this;
}

PlaylistWriter& PlaylistWriter::micros(uint64_t us) {
  number(us / 1'000'000);
  std::array<char, 7> digits = {'.', '0', '0', '0', '0', '0', '0'};
  uint64_t rest = us % 1'000'000;
  for (size_t i = digits.size(); i-- > 1; rest /= 10) digits[i] = static_cast<char>('0' + rest % 10);
  out_.append(digits.data(), digits.size());
  return *this;
}

void PlaylistWriter::program_date_time(int64_t unix_ms) {
  constexpr int64_t kDayMs = 86'400'000;
  const int64_t day = unix_ms / kDayMs;  // names begin in 1970: never negative
  if (day != day_) {
    day_ = day;
    date_ =
        "#EXT-X-PROGRAM-DATE-TIME:" + base::format_rfc3339(base::from_unix_ms(day * kDayMs)).substr(0, 11);
  }
  const auto ms = static_cast<uint64_t>(unix_ms % kDayMs);
  std::array<char, 14> clock = {'0', '0', ':', '0', '0', ':', '0', '0', '.', '0', '0', '0', 'Z', '\n'};
  const auto put = [&clock](size_t at, size_t width, uint64_t value) {
    for (size_t i = at + width; i-- > at; value /= 10) clock[i] = static_cast<char>('0' + value % 10);
  };
  put(0, 2, ms / 3'600'000);
  put(3, 2, ms / 60'000 % 60);
  put(6, 2, ms / 1000 % 60);
  put(9, 3, ms % 1000);
  text(date_).text({clock.data(), clock.size()});
}

}  // namespace miharu::hls
