#include "api/live_hls.h"

#include <algorithm>

#include <fmt/format.h>

#include "api/gzip.h"
#include "api/router.h"
#include "base/text.h"
#include "net/conditional.h"

namespace miharu::api {
namespace {

using record::RecentChunk;

constexpr std::string_view kPlaylistType = "application/vnd.apple.mpegurl";
// 7 KB of text that is sent once to each viewer: level 1 takes 0.05 ms and makes 1 KB.
constexpr int kGzipLevel = 1;
// A list that comes from the catalog alone, after a start, is looked up no more often.
constexpr base::seconds kOlderFor{2};

struct Question {
  hls::LiveRequest live;
  std::optional<hls::ReloadPoint> point;
};

// The delivery directives (section 6.2.5) and dvr=.
base::Result<Question> parse_question(const net::HttpRequest& request) {
  Question question;
  question.live.window = LiveHls::kPast;
  if (const std::string dvr = request.query_value("dvr"); !dvr.empty()) {
    const auto past = base::parse_duration(dvr);
    if (!past) return tl::unexpected(base::Error(past.error()).in("dvr"));
    if (*past <= base::nanoseconds(0) || *past > LiveHls::kLongestPast)
      return base::fail(base::Errc::kInvalid, "dvr: a live list has up to 1h of past; ask vod.m3u8 for more");
    question.live.window = *past;
  }
  const std::string msn = request.query_value("_HLS_msn");
  const std::string part = request.query_value("_HLS_part");
  const std::string skip = request.query_value("_HLS_skip");
  question.live.skip = skip == "YES" || skip == "v2";
  if (msn.empty()) {
    if (!part.empty()) return base::fail(base::Errc::kInvalid, "_HLS_part needs _HLS_msn beside it");
    return question;
  }
  const auto number = base::parse_number<uint64_t>(msn);
  if (!number) return base::fail(base::Errc::kInvalid, "_HLS_msn is not a number");
  question.point = hls::ReloadPoint{*number, std::nullopt};
  if (!part.empty()) {
    const auto index = base::parse_number<uint64_t>(part);
    if (!index) return base::fail(base::Errc::kInvalid, "_HLS_part is not a number");
    question.point->part = *index;
  }
  return question;
}

// Who begins with an older picture than this would take it for the present one. Who watches already waits.
constexpr base::seconds kStale{30};

// Players refuse a list that has parts only.
bool has_segment(const std::vector<RecentChunk>& chunks) {
  return std::any_of(chunks.rbegin(), chunks.rend(), [](const RecentChunk& chunk) { return chunk.finished; });
}

bool is_stale(const std::vector<RecentChunk>& chunks, base::UtcTime now) {
  return chunks.empty() || now - chunks.back().start - base::milliseconds(chunks.back().duration_ms) > kStale;
}

net::HttpResponse not_there(std::string_view detail) {
  net::HttpResponse response = net::problem(503, detail);
  response.headers.emplace_back("Retry-After", "1");
  response.headers.emplace_back("Cache-Control", "no-store");
  return response;
}

}  // namespace

void LiveHls::playlist(const net::HttpRequest& request, const std::string& camera,
                       const std::shared_ptr<net::HttpExchange>& exchange) {
  const auto question = parse_question(request);
  if (!question) return exchange->respond(problem_of(question.error()));
  const auto attempt = [this, request, camera, exchange, live = question->live,
                        point = question->point](bool last) {
    Snapshot& snapshot = look(camera, live.window);
    const auto state = point ? hls::reload_state(snapshot.chunks, *point) : hls::Reload::kReady;
    if (state == hls::Reload::kTooFar) {
      exchange->respond(net::problem(400, "_HLS_msn is more than two segments ahead of the list"));
    } else if (state == hls::Reload::kReady && has_segment(snapshot.chunks) &&
               (point || !is_stale(snapshot.chunks, clock_.utc()))) {
      exchange->respond(answer(request, camera, snapshot, live));
    } else if (point && !last) {
      return false;
    } else {
      exchange->respond(
          not_there(point ? "nothing new was recorded in time; the camera's state says why"
                          : "nothing was recorded in the last seconds; the camera's state says why"));
    }
    return true;
  };
  if (question->point) {
    waiters_.wait(camera, attempt);
  } else {
    attempt(true);
  }
}

void LiveHls::when_written(const net::HttpRequest& request, const std::string& camera, store::Run run,
                           uint64_t seq, std::function<void()> then) {
  const uint64_t front = net::parse_range(request.header("Range"), UINT64_MAX).offset;
  const auto may_come = [this, camera, run, seq, front] {
    if (const auto location = recordings_.chunk(camera, run, seq))
      return location->growing && front >= location->length;
    const auto chunks = recordings_.recent(camera);
    return !chunks.empty() && chunks.back().run == run && chunks.back().seq + 1 == seq;
  };
  if (!may_come()) return then();
  waiters_.wait(camera, [may_come, then = std::move(then)](bool last) {
    if (!last && may_come()) return false;
    then();
    return true;
  });
}

LiveHls::Snapshot& LiveHls::look(const std::string& camera, base::nanoseconds past) {
  Snapshot& mine = snapshots_[camera];
  const uint64_t generation = recordings_.generation(camera);
  const base::SteadyTime now = clock_.steady();
  const bool stale = generation == 0 && now - mine.made >= kOlderFor;
  if (mine.made != base::SteadyTime{} && mine.generation == generation && mine.past >= past && !stale)
    return mine;

  std::vector<RecentChunk> latest = recordings_.recent(camera);
  size_t first = latest.size();
  while (first > 0 && (first == latest.size() || latest[first - 1].seq + 1 == latest[first].seq)) --first;
  latest.erase(latest.begin(), latest.begin() + static_cast<std::ptrdiff_t>(first));

  const uint64_t front = latest.empty() ? UINT64_MAX : latest.front().seq;
  const base::UtcTime end =
      latest.empty() ? clock_.utc() : latest.back().start + base::milliseconds(latest.back().duration_ms);
  const bool longer = past > mine.past;
  mine.past = std::max(mine.past, past);
  if (!latest.empty() && end - latest.front().start >= mine.past) {
    mine.older.clear();
  } else if (stale || longer || mine.older_end != front) {
    // Those before a step of the clock may lie later than the newest.
    mine.older = older_than(camera, front, end - mine.past, end + std::chrono::hours(1));
  }
  mine.older_end = front;
  mine.generation = generation;
  mine.made = now;
  mine.chunks = mine.older;
  mine.chunks.insert(mine.chunks.end(), std::make_move_iterator(latest.begin()),
                     std::make_move_iterator(latest.end()));
  mine.texts.clear();
  return mine;
}

std::vector<RecentChunk> LiveHls::older_than(const std::string& camera, uint64_t seq, base::UtcTime from,
                                             base::UtcTime to) {
  std::vector<RecentChunk> chunks;
  const auto found = catalog_.find(camera, from, to);
  if (!found) return chunks;
  for (const store::CatalogEntryPtr& entry : found->entries) {
    if (entry->growing) continue;
    base::UtcTime start = entry->name.start;
    for (size_t i = 0; i < entry->name.chunks.size(); ++i) {
      const store::Chunk& chunk = entry->name.chunks[i];
      if (entry->name.seq + i < seq) {
        if (!chunks.empty() && chunks.back().seq + 1 != entry->name.seq + i) chunks.clear();
        chunks.push_back({entry->name.run,
                          entry->name.seq + i,
                          entry->name.container,
                          start,
                          chunk.duration_ms,
                          chunk,
                          true,
                          {}});
      }
      start += base::milliseconds(chunk.duration_ms);
    }
  }
  if (!chunks.empty() && seq != UINT64_MAX && chunks.back().seq + 1 != seq) chunks.clear();
  return chunks;
}

net::HttpResponse LiveHls::answer(const net::HttpRequest& request, const std::string& camera,
                                  Snapshot& snapshot, const hls::LiveRequest& live) {
  Text& text = snapshot.texts[{live.window, live.skip}];
  if (!text.plain)
    text.plain = std::make_shared<const std::string>(hls::live_playlist(camera, snapshot.chunks, live));
  net::HttpResponse response;
  response.headers = {{"Content-Type", std::string(kPlaylistType)},
                      {"Cache-Control", "no-store"},
                      {"Vary", "Accept-Encoding"}};
  if (accepts_gzip(request)) {
    if (!text.compressed)
      text.compressed = std::make_shared<const std::string>(gzip(*text.plain, kGzipLevel));
    response.headers.emplace_back("Content-Encoding", "gzip");
    response.body = text.compressed;
  } else {
    response.body = text.plain;
  }
  return response;
}

}  // namespace miharu::api
