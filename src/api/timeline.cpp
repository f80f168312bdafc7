#include "api/timeline.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>
#include <boost/json.hpp>

#include "api/playlists.h"
#include "api/router.h"

namespace miharu::api {
namespace {

using base::UtcTime;

// What is told of a hole without a line in the gap log: the run behind it says why it began.
std::string text_of(store::RunReason reason) {
  switch (reason) {
    case store::RunReason::kRestart:
      return "miharu was not running";
    case store::RunReason::kCameraLost:
      return "the camera could not be reached";
    case store::RunReason::kParameters:
      return "the camera changed its parameters";
    case store::RunReason::kClockStep:
      return "the clock was stepped";
    case store::RunReason::kDisk:
      return "the disk could not be written to";
    case store::RunReason::kQueue:
      return "the disk did not keep up";
    case store::RunReason::kOperator:
      return "recording was switched off";
  }
  return {};
}

// The last part of a growing object and what the clock model holds.
constexpr base::nanoseconds kGrowingLag = base::seconds(15);

// What a stretch without recording is that ends at `until`, where `next` begins (null: nothing does).
enum class Stretch : uint8_t {
  kGap,
  kDeleted,   // runs are counted from 1: before the oldest object of a later one something lay
  kNotBegun,  // the camera was not recorded yet: no gap
};
Stretch kind_of(store::Footage& catalog, std::string_view camera, UtcTime until,
                const store::ObjectName* next) {
  const auto oldest = catalog.oldest(camera);
  if (!oldest) return Stretch::kGap;
  const store::ObjectName* first = *oldest ? &(*oldest)->name : next;
  if (!first || until > first->start) return Stretch::kGap;
  return first->run.number > 1 ? Stretch::kDeleted : Stretch::kNotBegun;
}

// What was a gap before anything around it was deleted keeps its own reason.
void add_deleted(Timeline& timeline, UtcTime start, UtcTime end, const std::vector<record::Gap>& known) {
  const auto deleted = [&timeline](UtcTime from, UtcTime until) {
    timeline.gaps.push_back({from, until, "retention", "deleted to keep the store within its limits"});
  };
  UtcTime told = start;
  for (const record::Gap& gap : known) {
    UtcTime from = std::clamp(gap.start, told, end);
    UtcTime until = std::clamp(gap.end.value_or(end), from, end);
    if (until - from < kLeastGapShown) continue;
    if (from - told < kLeastGapShown) from = told;
    if (end - until < kLeastGapShown) until = end;
    if (from > told) deleted(told, from);
    timeline.gaps.push_back({from, until, std::string(record::name_of(gap.reason)),
                             gap.text.empty() ? text_of(gap.reason) : gap.text});
    told = until;
  }
  if (told < end) deleted(told, end);
}

void add_gap(Timeline& timeline, UtcTime start, UtcTime end, const std::vector<record::Gap>& known,
             const store::ObjectName* next, Stretch kind) {
  start = std::max(start, timeline.from);
  end = std::min(end, timeline.to);
  if (end - start < kLeastGapShown || kind == Stretch::kNotBegun) return;
  if (kind == Stretch::kDeleted) {
    add_deleted(timeline, start, end, known);
    return;
  }
  TimelineGap gap{start, end, "not_recorded", "nothing was recorded"};
  if (next) {
    gap.reason = record::name_of(next->run.reason);
    gap.text = text_of(next->run.reason);
  }
  base::nanoseconds best{};
  for (const record::Gap& each : known) {
    const base::nanoseconds overlap = std::min(end, each.end.value_or(end)) - std::max(start, each.start);
    if (overlap <= best) continue;
    best = overlap;
    gap.reason = record::name_of(each.reason);
    gap.text = each.text.empty() ? text_of(each.reason) : each.text;
  }
  timeline.gaps.push_back(std::move(gap));
}

void add_lost(Timeline& timeline, const upload::PlacedSpan& span) {
  const UtcTime start = std::max(span.start, timeline.from);
  const UtcTime end = std::min(span.end, timeline.to);
  if (start < end) timeline.gaps.push_back({start, end, "lost", "recorded, but lost: " + span.reason});
}

// What covers time: an object on the disk, or (without a name) what was.
struct Recorded {
  UtcTime start;
  UtcTime end;
  const store::ObjectName* name;
};

}  // namespace

base::Result<Timeline> make_timeline(store::Footage& catalog, const TimelineNotes& notes,
                                     std::string_view camera, UtcTime from, UtcTime to, UtcTime now) {
  Timeline timeline;
  timeline.from = from;
  timeline.to = std::max(from, std::min(to, now));
  const auto found = catalog.find(camera, from, to);
  if (!found) return tl::unexpected(found.error());
  timeline.undecodable = found->undecodable;
  std::vector<record::Gap> known;
  if (notes.gaps) {
    if (auto log = notes.gaps(camera, from, to)) known = std::move(*log);
  }

  std::set<UtcTime> uploaded;  // starts of objects
  std::vector<Recorded> recorded;
  if (notes.uploads) {
    const auto placed = notes.uploads(camera, from, to);
    if (!placed) return tl::unexpected(placed.error());
    for (const upload::PlacedSpan& each : *placed) {
      if (each.place == upload::Place::kUploaded) uploaded.insert(each.start);
      if (each.place == upload::Place::kEvicted)
        timeline.spans.push_back({each.start, each.end, {0, {}}, each.bytes, 0, false, false, true, false});
      if (each.place == upload::Place::kLost) add_lost(timeline, each);
      if (each.place == upload::Place::kEvicted || each.place == upload::Place::kLost)
        recorded.push_back({each.start, each.end, nullptr});
    }
  }

  const bool in_bucket = catalog.is_in_bucket();
  for (const store::CatalogEntryPtr& entry : found->entries) {
    const store::ObjectName& name = entry->name;
    recorded.push_back({name.start, name.end(), &name});
    const bool is_uploaded = in_bucket || (!entry->growing && uploaded.contains(name.start));
    uint64_t damaged = 0;
    for (const store::Chunk& chunk : name.chunks) damaged += chunk.damaged ? 1 : 0;
    if (!timeline.spans.empty()) {
      TimelineSpan& last = timeline.spans.back();
      if (last.run == name.run && last.uploaded == is_uploaded &&
          name.start - last.end < base::milliseconds(2)) {
        last.end = name.end();
        last.bytes += name.size_bytes();
        last.damaged_chunks += damaged;
        last.growing = entry->growing;
        continue;
      }
    }
    timeline.spans.push_back({name.start, name.end(), name.run, name.size_bytes(), damaged, entry->growing,
                              !in_bucket, is_uploaded});
  }
  std::stable_sort(timeline.spans.begin(), timeline.spans.end(),
                   [](const auto& a, const auto& b) { return a.start < b.start; });
  std::ranges::stable_sort(recorded, {}, &Recorded::start);

  UtcTime covered = from;
  for (const Recorded& each : recorded) {
    if (each.start > covered) {
      const Stretch kind =
          &each == &recorded.front() ? kind_of(catalog, camera, each.start, each.name) : Stretch::kGap;
      add_gap(timeline, covered, each.start, known, each.name, kind);
    }
    covered = std::max(covered, each.end);
  }
  // What the camera sent in the last seconds is on its way to the disk.
  const bool grows =
      !timeline.spans.empty() && timeline.spans.back().growing && timeline.to - covered < kGrowingLag;
  if (covered < timeline.to && !grows) {
    const Stretch kind = recorded.empty() ? kind_of(catalog, camera, timeline.to, nullptr) : Stretch::kGap;
    add_gap(timeline, covered, timeline.to, known, nullptr, kind);
  }
  std::ranges::stable_sort(timeline.gaps, {}, &TimelineGap::start);
  return timeline;
}

std::string where_of(const TimelineSpan& span, std::string_view between) {
  if (!span.uploaded) return "local";
  return span.local ? fmt::format("local{}uploaded", between) : std::string("uploaded");
}

std::string to_json(const Timeline& timeline) {
  boost::json::object root;
  root["from"] = base::format_rfc3339(timeline.from);
  root["to"] = base::format_rfc3339(timeline.to);
  boost::json::array& spans = root["spans"].emplace_array();
  for (const TimelineSpan& span : timeline.spans) {
    boost::json::array where;
    if (span.local) where.emplace_back("local");
    if (span.uploaded) where.emplace_back("uploaded");
    spans.push_back({{"start", base::format_rfc3339(span.start)},
                     {"end", base::format_rfc3339(span.end)},
                     {"run", span.run.number == 0 ? boost::json::value(nullptr)
                                                  : boost::json::value(store::format_run(span.run))},
                     {"bytes", span.bytes},
                     {"damaged_chunks", span.damaged_chunks},
                     {"where", std::move(where)},
                     {"playable", span.playable},
                     {"growing", span.growing}});
  }
  boost::json::array& gaps = root["gaps"].emplace_array();
  for (const TimelineGap& gap : timeline.gaps) {
    gaps.push_back({{"start", base::format_rfc3339(gap.start)},
                    {"end", base::format_rfc3339(gap.end)},
                    {"reason", gap.reason},
                    {"text", gap.text}});
  }
  root["undecodable"] = timeline.undecodable;
  return boost::json::serialize(root);
}

net::HttpResponse timeline_response(const net::HttpRequest& request, const Access& access,
                                    std::string_view camera, store::Footage& catalog,
                                    const TimelineNotes& notes, UtcTime now) {
  const auto interval = parse_interval(request, now);
  if (!interval) return problem_of(interval.error());
  const auto allowed = clamp(access, *interval);
  if (!allowed) return net::problem(403, "your credentials do not reach into this interval");
  const auto timeline = make_timeline(catalog, notes, camera, allowed->from, allowed->to, now);
  return timeline ? json_response(200, to_json(*timeline)) : problem_of(timeline.error());
}

}  // namespace miharu::api
