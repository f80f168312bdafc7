// Many viewers of one camera over low-latency HLS, as hls.js watches: blocking reloads of the playlist over
// one kept connection, each new part over another, whole playlists and no delta ones.
//
//   llhls_viewers PORT CAMERA VIEWERS
//
// Prints "ready" once every viewer has had a part, and on SIGTERM a line of JSON. Every part is checked: its
// status and length, that it is whole boxes, and that its fragments (mfhd) continue those of the part before.
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <deque>
#include <map>
#include <memory>
#include <optional>

#include <fmt/format.h>

#include "base/text.h"
#include "kept_connection.h"

namespace {

using namespace miharu;
using Clock = std::chrono::steady_clock;

constexpr uint32_t kSequenceStep = 2;  // of a recording's fragments, docs/formats.md

volatile sig_atomic_t stopped = 0;

struct Part {
  uint64_t msn = 0;
  uint64_t index = 0;
  std::string path;
  uint64_t offset = 0;
  uint64_t size = 0;
  bool independent = false;
};

struct Playlist {
  std::vector<Part> parts;
  std::string map;
  uint64_t next_msn = 0;
  uint64_t next_part = 0;
};

// The value of NAME= or NAME="" in a list of attributes.
std::string attribute(std::string_view line, std::string_view name) {
  const size_t at = line.find(std::string(name) + "=");
  if (at == std::string_view::npos) return {};
  std::string_view value = line.substr(at + name.size() + 1);
  if (value.starts_with('"')) return std::string(value.substr(1, value.find('"', 1) - 1));
  return std::string(value.substr(0, value.find(',')));
}

// An address in a playlist at /hls/CAMERA/live.m3u8.
std::string resolve(const std::string& camera, std::string_view address) {
  if (address.starts_with("../../")) return "/" + std::string(address.substr(6));
  return fmt::format("/hls/{}/{}", camera, address);
}

std::optional<Playlist> parse(std::string_view text, const std::string& camera) {
  if (!text.starts_with("#EXTM3U")) return std::nullopt;
  Playlist out;
  uint64_t msn = 0;
  uint64_t part = 0;
  while (!text.empty()) {
    const std::string_view line = base::take_until(text, '\n');
    if (line.starts_with("#EXT-X-MEDIA-SEQUENCE:")) {
      msn = base::parse_number<uint64_t>(line.substr(22)).value_or(0);
    } else if (line.starts_with("#EXT-X-MAP:")) {
      out.map = resolve(camera, attribute(line, "URI"));
    } else if (line.starts_with("#EXT-X-PART:")) {
      const std::string range = attribute(line, "BYTERANGE");
      const size_t at = range.find('@');
      const auto size = base::parse_number<uint64_t>(range.substr(0, at));
      const auto offset =
          at == std::string::npos ? std::nullopt : base::parse_number<uint64_t>(range.substr(at + 1));
      if (!size || !offset) return std::nullopt;
      out.parts.push_back({msn, part++, resolve(camera, attribute(line, "URI")), *offset, *size,
                           attribute(line, "INDEPENDENT") == "YES"});
    } else if (!line.empty() && line[0] != '#') {
      ++msn;
      part = 0;
    }
  }
  out.next_msn = msn;
  out.next_part = part;
  return out;
}

struct Totals {
  uint64_t playlists = 0;
  uint64_t playlist_bytes = 0;
  uint64_t parts = 0;
  uint64_t part_bytes = 0;
  uint64_t viewers_started = 0;
  std::map<std::string, uint64_t> errors;
  std::vector<double> waits_ms;  // from the playlist that named a part to its last byte
};

class Viewer {
 public:
  Viewer(uint16_t port, std::string camera, Totals& totals)
      : camera_(std::move(camera)), totals_(totals), lists_(port), media_(port) {}

  bench::KeptConnection& lists() { return lists_; }
  bench::KeptConnection& media() { return media_; }
  void start() { reload("/hls/" + camera_ + "/live.m3u8"); }
  [[nodiscard]] uint64_t parts() const { return taken_; }

 private:
  void error(const std::string& what) { ++totals_.errors[what]; }

  void reload(const std::string& path) {
    lists_.get(path, "Accept-Encoding: gzip\r\n", [this](const bench::Answer& answer) {
      const auto list = answer.status == 200 ? parse(base::as_text(answer.body), camera_) : std::nullopt;
      if (!list) return error(fmt::format("playlist: status {}", answer.status));
      ++totals_.playlists;
      totals_.playlist_bytes += answer.body.size();
      take(*list);
      reload(fmt::format("/hls/{}/live.m3u8?_HLS_msn={}&_HLS_part={}", camera_, list->next_msn,
                         list->next_part));
    });
  }

  void take(const Playlist& list) {
    if (list.map != map_) {
      map_ = list.map;
      wanted_.push_back({0, 0, map_, 0, 0, false});
    }
    auto first = list.parts.begin();
    if (!last_) {  // starts at the newest part that can be decoded by itself
      for (auto part = list.parts.begin(); part != list.parts.end(); ++part) {
        if (part->independent) first = part;
      }
    }
    for (auto part = first; part != list.parts.end(); ++part) {
      const std::pair place(part->msn, part->index);
      if (last_ && place <= *last_) continue;
      const bool next = !last_ || (part->msn == last_->first && part->index == last_->second + 1) ||
                        (part->msn == last_->first + 1 && part->index == 0);
      if (!next) error("the playlist left out a part");
      last_ = place;
      wanted_.push_back(*part);
    }
    listed_ = Clock::now();
    fetch();
  }

  void fetch() {
    if (media_.busy() || wanted_.empty()) return;
    const Part part = std::move(wanted_.front());
    wanted_.pop_front();
    const std::string range =
        part.size == 0 ? "" : fmt::format("Range: bytes={}-{}\r\n", part.offset, part.offset + part.size - 1);
    media_.get(part.path, range, [this, part](const bench::Answer& answer) {
      if (answer.status != (part.size == 0 ? 200 : 206) ||
          (part.size != 0 && answer.body.size() != part.size)) {
        error(fmt::format("media: status {}", answer.status));
      } else if (part.size == 0) {
        sequence_.reset();
      } else {
        check(answer.body);
        if (taken_++ == 0) ++totals_.viewers_started;
        ++totals_.parts;
        totals_.part_bytes += part.size;
        totals_.waits_ms.push_back(std::chrono::duration<double, std::milli>(Clock::now() - listed_).count());
      }
      if (answer.status != 0) fetch();
    });
  }

  void check(base::ByteView bytes) {
    base::ByteReader in(bytes);
    bool any = false;
    while (in.ok() && !in.empty()) {
      const uint32_t size = in.u32();
      const std::string_view type = base::as_text(in.bytes(4));
      if (type == "moof") {
        // moof holds mfhd first: size, type, version and flags, sequence number.
        base::ByteReader inner(in.bytes(size - 8));
        inner.skip(12);
        const uint32_t sequence = inner.u32();
        if (!inner.ok()) break;
        if (sequence_ && sequence != *sequence_ + kSequenceStep)
          error("fragments are missing or out of order");
        sequence_ = sequence;
        any = true;
      } else {
        in.skip(size - 8);
      }
    }
    if (!in.ok() || !any) error("a part is not whole fragments");
  }

  const std::string camera_;
  Totals& totals_;
  bench::KeptConnection lists_;
  bench::KeptConnection media_;
  std::string map_;
  std::deque<Part> wanted_;
  std::optional<std::pair<uint64_t, uint64_t>> last_;
  std::optional<uint32_t> sequence_;
  Clock::time_point listed_;
  uint64_t taken_ = 0;
};

double percentile(std::vector<double>& values, double part) {
  if (values.empty()) return 0;
  const auto at = static_cast<size_t>(part * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), values.begin() + static_cast<ptrdiff_t>(at), values.end());
  return values[at];
}

}  // namespace

int main(int argc, char** argv) {
  const auto port = argc == 4 ? base::parse_number<uint16_t>(argv[1]) : std::nullopt;
  const auto count = argc == 4 ? base::parse_number<size_t>(argv[3]) : std::nullopt;
  if (!port || !count) {
    std::fprintf(stderr, "llhls_viewers PORT CAMERA VIEWERS\n");
    return 2;
  }
  struct sigaction action {};
  action.sa_handler = [](int) { stopped = 1; };
  ::sigaction(SIGTERM, &action, nullptr);
  const int set = epoll_create1(EPOLL_CLOEXEC);
  Totals totals;
  std::vector<std::unique_ptr<Viewer>> viewers;
  for (size_t i = 0; i < *count; ++i) {
    viewers.push_back(std::make_unique<Viewer>(*port, argv[2], totals));
    for (bench::KeptConnection* connection : {&viewers.back()->lists(), &viewers.back()->media()}) {
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.ptr = connection;
      epoll_ctl(set, EPOLL_CTL_ADD, connection->fd(), &event);
    }
    viewers.back()->start();
  }
  bool told = false;
  while (!stopped) {
    epoll_event events[64];
    const int ready = epoll_wait(set, events, 64, -1);
    for (int i = 0; i < ready; ++i) {
      auto* connection = static_cast<bench::KeptConnection*>(events[i].data.ptr);
      if (connection->busy()) {
        connection->readable();
      } else {
        epoll_ctl(set, EPOLL_CTL_DEL, connection->fd(), nullptr);  // closed while it was idle
      }
    }
    if (!told && (totals.viewers_started == *count || !totals.errors.empty())) {
      std::printf("ready\n");
      std::fflush(stdout);
      told = true;
    }
  }
  uint64_t least = UINT64_MAX;
  uint64_t most = 0;
  for (const auto& viewer : viewers) {
    least = std::min(least, viewer->parts());
    most = std::max(most, viewer->parts());
  }
  std::string errors;
  for (const auto& [what, times] : totals.errors)
    errors += fmt::format(R"({}"{}": {})", errors.empty() ? "" : ", ", what, times);
  fmt::print(
      R"({{"playlists": {}, "playlist_bytes": {}, "parts": {}, "part_bytes": {}, "least_parts": {}, "most_parts": {}, "part_ms_p50": {:.1f}, "part_ms_p95": {:.1f}, "errors": {{{}}}}})"
      "\n",
      totals.playlists, totals.playlist_bytes, totals.parts, totals.part_bytes, least, most,
      percentile(totals.waits_ms, 0.5), percentile(totals.waits_ms, 0.95), errors);
  return 0;
}
