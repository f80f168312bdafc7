// ls, verify and export: commands over a store that is there.
#include <csignal>
#include <cstdio>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <boost/json.hpp>

#include "api/timeline.h"
#include "app/commands.h"
#include "app/intervals.h"
#include "app/store_access.h"
#include "base/file.h"
#include "record/camera_writer.h"
#include "record/export.h"
#include "record/repair.h"
#include "record/verify.h"
#include "store/directory_store.h"
#include "store/relays.h"
#include "store/spooled_store.h"

namespace miharu::app {
namespace {

volatile std::sig_atomic_t interrupted = 0;

// Ctrl-C ends long work between two objects.
void watch_interrupt() {
  std::signal(SIGINT, [](int) { interrupted = 1; });
}

// The store's directory, or a bucket with the reader's key of the environment.
base::Result<std::unique_ptr<store::ObjectStore>> open_store(const StoreArguments& where) {
  return app::open_store(where.store.empty() ? (where.data / "store").string() : where.store);
}

bool is_bucket(const StoreArguments& where) {
  return where.store.starts_with("s3://");
}

std::string name_of(const StoreArguments& where) {
  return where.store.empty() ? (where.data / "store").string() : where.store;
}

std::string duration_text(base::nanoseconds length) {
  const auto total = std::chrono::duration_cast<base::seconds>(length).count();
  if (total < 60) return fmt::format("{:.1f} s", std::chrono::duration<double>(length).count());
  return fmt::format("{}:{:02}:{:02}", total / 3600, total / 60 % 60, total % 60);
}

}  // namespace

int ls_command(const StoreArguments& where, const IntervalArguments& what) {
  const auto store = open_store(where);
  if (!store) return report_error(store.error());
  const auto interval = parse_interval(what, "-24h");
  if (!interval) return report_error(interval.error());
  store::Relays footage(**store);
  const auto known = footage.cameras();
  if (!known) return report_error(known.error());
  if (std::find(known->begin(), known->end(), what.camera) == known->end()) {
    return report_error(
        {base::Errc::kNotFound,
         fmt::format(
             "no recording of a camera \"{}\" in {}; there is {}", what.camera, name_of(where),
             known->empty() ? std::string("none at all") : fmt::format("{}", fmt::join(*known, ", ")))});
  }
  // What a recorder knows of its own store.
  std::unique_ptr<record::GapLog> gaps;
  std::unique_ptr<upload::UploadLog> uploads;
  if (!is_bucket(where) && std::filesystem::exists(where.data / "miharu.db")) {
    if (auto opened = record::GapLog::open(where.data / "miharu.db")) gaps = std::move(*opened);
    if (auto opened = upload::UploadLog::open(where.data / "miharu.db")) uploads = std::move(*opened);
  }
  const auto timeline = api::make_timeline(footage, gaps.get(), what.camera, interval->from, interval->to,
                                           base::system_clock().utc(), uploads.get());
  if (!timeline) return report_error(timeline.error());

  struct Line {
    base::UtcTime start;
    std::string text;
  };
  std::vector<Line> lines;
  for (const api::TimelineSpan& span : timeline->spans) {
    const std::string run = span.run.number == 0 ? "-" : store::format_run(span.run);
    if (where.json) {
      lines.push_back(
          {span.start, boost::json::serialize(boost::json::object{{"type", "span"},
                                                                  {"start", base::format_rfc3339(span.start)},
                                                                  {"end", base::format_rfc3339(span.end)},
                                                                  {"run", run},
                                                                  {"bytes", span.bytes},
                                                                  {"damaged_chunks", span.damaged_chunks},
                                                                  {"where", api::where_of(span, "+")}})});
      continue;
    }
    lines.push_back(
        {span.start,
         fmt::format("{}  {}  {:>9}  {:>11}  run {}  {}{}", base::format_rfc3339(span.start),
                     base::format_rfc3339(span.end), duration_text(span.end - span.start),
                     megabytes(span.bytes), run, api::where_of(span, "+"),
                     span.damaged_chunks ? fmt::format("  {} damaged chunks", span.damaged_chunks) : "")});
  }
  for (const api::TimelineGap& gap : timeline->gaps) {
    if (where.json) {
      lines.push_back(
          {gap.start, boost::json::serialize(boost::json::object{{"type", "gap"},
                                                                 {"start", base::format_rfc3339(gap.start)},
                                                                 {"end", base::format_rfc3339(gap.end)},
                                                                 {"reason", gap.reason},
                                                                 {"text", gap.text}})});
      continue;
    }
    lines.push_back({gap.start, fmt::format("{}  {}  {:>9}  gap: {} ({})", base::format_rfc3339(gap.start),
                                            base::format_rfc3339(gap.end), duration_text(gap.end - gap.start),
                                            gap.text, gap.reason)});
  }
  std::stable_sort(lines.begin(), lines.end(),
                   [](const Line& a, const Line& b) { return a.start < b.start; });
  for (const Line& line : lines) fmt::print("{}\n", line.text);
  if (timeline->undecodable > 0)
    fmt::print(stderr, "miharu: {} names in the store could not be read; `miharu verify` lists them\n",
               timeline->undecodable);
  return kDone;
}

int verify_command(const StoreArguments& where, const std::vector<std::string>& cameras, bool repair) {
  auto store = open_store(where);
  if (!store) return report_error(store.error());
  watch_interrupt();
  if (repair) {
    auto* directory = dynamic_cast<store::DirectoryStore*>(store->get());
    if (directory == nullptr)
      return report_error({base::Errc::kInvalid,
                           "what is in a bucket is never changed: --repair is for a recorder's own store"});
    auto lock = base::File::open(directory->root() / "lock", O_RDWR | O_CREAT, 0640);
    if (!lock) return report_error(lock.error());
    if (::flock(lock->fd(), LOCK_EX | LOCK_NB) != 0) {
      return report_error(
          {base::Errc::kExists, "miharu is recording to this store; stop it before a repair"});
    }
    const auto repaired = record::repair_store(*directory, cameras);
    if (!repaired) return report_error(repaired.error());
    for (const std::string& line : *repaired) fmt::print("{}\n", line);
  }
  record::VerifyPlan plan;
  plan.cameras = cameras;
  if (is_bucket(where)) {
    auto roots = store::Relays(**store).roots();
    if (!roots) return report_error(roots.error());
    plan.roots = std::move(*roots);
    plan.ahead = 8;
  }
  const auto report = record::verify_store(**store, plan, [](const record::VerifyReport& so_far) {
    show_progress(fmt::format("{} objects, {}", so_far.objects, megabytes(so_far.bytes)));
    return interrupted == 0;
  });
  show_progress("");
  if (!report) return report_error(report.error());
  for (const record::VerifyFinding& finding : report->findings) {
    if (where.json) {
      fmt::print("{}\n", boost::json::serialize(boost::json::object{{"type", "finding"},
                                                                    {"camera", finding.camera},
                                                                    {"key", finding.key},
                                                                    {"text", finding.text}}));
    } else {
      fmt::print("{}: {}\n", finding.key, finding.text);
    }
  }
  if (where.json) {
    fmt::print("{}\n", boost::json::serialize(boost::json::object{{"type", "summary"},
                                                                  {"objects", report->objects},
                                                                  {"bytes", report->bytes},
                                                                  {"chunks", report->chunks},
                                                                  {"frames", report->frames},
                                                                  {"runs", report->runs},
                                                                  {"findings", report->findings.size()}}));
  } else {
    fmt::print("{} objects, {} chunks, {} frames in {} runs, {}: {}\n", report->objects, report->chunks,
               report->frames, report->runs, megabytes(report->bytes),
               report->findings.empty() ? std::string("all is well")
                                        : fmt::format("{} findings", report->findings.size()));
  }
  if (interrupted != 0) return report_error({base::Errc::kClosed, "interrupted"});
  return report->findings.empty() ? kDone : kFoundWrong;
}

int export_command(const StoreArguments& where, const IntervalArguments& what,
                   const std::filesystem::path& output) {
  auto store = open_store(where);
  if (!store) return report_error(store.error());
  const auto interval = parse_interval(what, "");
  if (!interval) return report_error(interval.error());
  watch_interrupt();
  std::FILE* out = std::fopen((output.string() + ".part").c_str(), "wb");
  if (!out) return report_error(base::system_error("open " + output.string()));
  store::Relays footage(**store);
  std::unique_ptr<store::ObjectStore> spooled;
  if (is_bucket(where)) {
    auto made = store::SpooledStore::make(**store, output.has_parent_path() ? output.parent_path() : ".");
    if (!made) return report_error(made.error());
    spooled = std::move(*made);
  }
  const auto report = record::export_mp4(
      spooled ? *spooled : **store, footage, what.camera, interval->from, interval->to,
      [out, &output](base::ByteView bytes) -> base::Status {
        if (std::fwrite(bytes.data(), 1, bytes.size(), out) != bytes.size())
          return base::fail_system("write " + output.string());
        return {};
      },
      [](uint64_t done, uint64_t all) {
        show_progress(fmt::format("{} of {}", megabytes(done), megabytes(all)));
        return interrupted == 0;
      });
  show_progress("");
  const bool closed = std::fclose(out) == 0;
  const base::Error not_closed = base::system_error("close " + output.string());
  if (!report || !closed) {
    std::error_code ignored;
    std::filesystem::remove(output.string() + ".part", ignored);
    return report_error(report ? not_closed : report.error());
  }
  std::error_code error;
  std::filesystem::rename(output.string() + ".part", output, error);
  if (error) return report_error(base::system_error("rename to " + output.string(), error.value()));
  if (where.json) {
    fmt::print("{}\n", boost::json::serialize(boost::json::object{{"file", output.string()},
                                                                  {"bytes", report->bytes},
                                                                  {"frames", report->frames},
                                                                  {"objects", report->objects}}));
  } else {
    fmt::print("{}: {} from {} objects\n", output.string(), megabytes(report->bytes), report->objects);
  }
  return kDone;
}

}  // namespace miharu::app
