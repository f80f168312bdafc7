#include "ingest/demo/demo_options.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/text.h"

namespace miharu::ingest {
namespace {

using base::Errc;
using base::fail;
using base::Status;

Status parse_size(std::string_view value, DemoOptions& options) {
  std::string_view rest = value;
  const auto width = base::parse_number<uint32_t>(base::take_until(rest, 'x'));
  const auto height = base::parse_number<uint32_t>(rest);
  if (!width || !height) {
    return fail(Errc::kInvalid,
                fmt::format("size={} is not WIDTHxHEIGHT, write for example size=1280x720", value));
  }
  if (*width % 2 != 0 || *height % 2 != 0 || *width < 384 || *width > 1920 || *height < 240 ||
      *height > 1088) {
    return fail(
        Errc::kInvalid,
        fmt::format("size={} cannot be drawn: width must be even, 384 to 1920, height even, 240 to 1088",
                    value));
  }
  options.width = *width;
  options.height = *height;
  return {};
}

Status parse_fps(std::string_view value, DemoOptions& options) {
  const auto fps = base::parse_number<uint32_t>(value);
  if (!fps || *fps < 1 || *fps > 60) {
    return fail(Errc::kInvalid, fmt::format("fps={} must be a whole number from 1 to 60", value));
  }
  options.fps = *fps;
  return {};
}

Status parse_gop(std::string_view value, DemoOptions& options) {
  const auto gop = base::parse_duration(value);
  if (!gop) return tl::unexpected(base::Error(gop.error()).in("gop"));
  if (*gop < base::milliseconds(100) || *gop > base::seconds(30)) {
    return fail(Errc::kInvalid, fmt::format("gop={} must be from 100ms to 30s", value));
  }
  options.gop = *gop;
  return {};
}

Status parse_option(std::string_view key, std::string_view value, DemoOptions& options) {
  if (key == "size") return parse_size(value, options);
  if (key == "fps") return parse_fps(value, options);
  if (key == "gop") return parse_gop(value, options);
  if (key == "audio") {
    if (value != "0" && value != "1") {
      return fail(Errc::kInvalid, fmt::format("audio={} must be 0 (no sound) or 1", value));
    }
    options.audio = value == "1";
    return {};
  }
  if (key == "start_frame") {
    options.start_frame = base::parse_number<uint32_t>(value);
    if (!options.start_frame) {
      return fail(Errc::kInvalid,
                  fmt::format("start_frame={} must be a whole number from 0 to 4294967295", value));
    }
    return {};
  }
  return fail(
      Errc::kInvalid,
      fmt::format("\"{}\" is no option of a demo camera, there are size, fps, gop, audio and start_frame",
                  key));
}

}  // namespace

int64_t DemoOptions::gop_frames() const {
  const int64_t scaled = gop.count() * fps;
  return std::max<int64_t>(1, (scaled + 500'000'000) / 1'000'000'000);
}

base::Result<DemoOptions> parse_demo_url(std::string_view url) {
  constexpr std::string_view kScheme = "demo:";
  if (!base::starts_with_ignoring_case(url, kScheme)) {
    return fail(Errc::kInvalid, "the URL of a demo camera begins with demo:");
  }
  std::string_view rest = url.substr(kScheme.size());
  if (rest.empty()) return DemoOptions{};
  if (rest.front() != '?') {
    return fail(Errc::kInvalid, "after demo: there is nothing, or options as in demo:?size=1280x720&fps=30",
                static_cast<int64_t>(kScheme.size()));
  }
  rest.remove_prefix(1);
  DemoOptions options;
  while (!rest.empty()) {
    const auto offset = static_cast<int64_t>(rest.data() - url.data());
    std::string_view value = base::take_until(rest, '&');
    const std::string_view key = base::take_until(value, '=');
    if (const Status status = parse_option(key, value, options); !status) {
      base::Error error = base::Error(status.error()).in("demo camera");
      error.offset = offset;
      return tl::unexpected(std::move(error));
    }
  }
  return options;
}

}  // namespace miharu::ingest
