// ls, verify and export: commands over a store that is there.
#include <unistd.h>

#include <csignal>
#include <cstdio>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <boost/json.hpp>

#include "api/timeline.h"
#include "app/commands.h"
#include "base/file.h"
#include "record/camera_writer.h"
#include "record/export.h"
#include "record/repair.h"
#include "record/verify.h"

namespace miharu::app {
namespace {

volatile std::sig_atomic_t interrupted = 0;

// Ctrl-C ends long work between two objects.
void watch_interrupt() {
  std::signal(SIGINT, [](int) { interrupted = 1; });
}

base::Result<std::unique_ptr<store::DirectoryStore>> open_store(const StoreArguments& where) {
  if (where.store.starts_with("s3://")) {
    return base::fail(base::Errc::kUnsupported,
                      "this command reads directories so far; play a bucket with miharu serve --store");
  }
  const std::filesystem::path path =
      where.store.empty() ? where.data / "store" : std::filesystem::path(where.store);
  return store::DirectoryStore::open(path, store::DirectoryStore::Open::kExisting);
}

struct Interval {
  base::UtcTime from;
  base::UtcTime to;
};

base::Result<Interval> parse_interval(const IntervalArguments& what, std::string_view default_from) {
  const base::UtcTime now = base::system_clock().utc();
  if (auto good = store::check_camera_name(what.camera); !good) return tl::unexpected(good.error());
  const auto from = base::parse_time(what.from.empty() ? default_from : std::string_view(what.from), now);
  if (!from) return tl::unexpected(base::Error(from.error()).in("--from"));
  const auto to =
      base::parse_time(what.to.empty() ? std::string_view("now") : std::string_view(what.to), now);
  if (!to) return tl::unexpected(base::Error(to.error()).in("--to"));
  if (*to <= *from) return base::fail(base::Errc::kInvalid, "--to must be later than --from");
  return Interval{*from, *to};
}

void show_progress(const std::string& text) {
  if (::isatty(STDERR_FILENO)) fmt::print(stderr, "\r\033[K{}", text);
}

std::string megabytes(uint64_t bytes) {
  return fmt::format("{:.1f} MB", static_cast<double>(bytes) / 1e6);
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
  store::Catalog catalog(**store, nullptr);
  const auto known = catalog.cameras();
  if (!known) return report_error(known.error());
  if (std::find(known->begin(), known->end(), what.camera) == known->end()) {
    return report_error(
        {base::Errc::kNotFound,
         fmt::format(
             "no recording of a camera \"{}\" in {}; there is {}", what.camera, (*store)->root().string(),
             known->empty() ? std::string("none at all") : fmt::format("{}", fmt::join(*known, ", ")))});
  }
  std::unique_ptr<record::GapLog> gaps;
  std::unique_ptr<upload::UploadLog> uploads;
  if (std::filesystem::exists(where.data / "miharu.db")) {
    if (auto opened = record::GapLog::open(where.data / "miharu.db")) gaps = std::move(*opened);
    if (auto opened = upload::UploadLog::open(where.data / "miharu.db")) uploads = std::move(*opened);
  }
  const auto timeline = api::make_timeline(catalog, gaps.get(), what.camera, interval->from, interval->to,
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
    auto lock = base::File::open((*store)->root() / "lock", O_RDWR | O_CREAT, 0640);
    if (!lock) return report_error(lock.error());
    if (::flock(lock->fd(), LOCK_EX | LOCK_NB) != 0) {
      return report_error(
          {base::Errc::kExists, "miharu is recording to this store; stop it before a repair"});
    }
    const auto repaired = record::repair_store(**store, cameras);
    if (!repaired) return report_error(repaired.error());
    for (const std::string& line : *repaired) fmt::print("{}\n", line);
  }
  const auto report = record::verify_store(**store, cameras, [](const record::VerifyReport& so_far) {
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
  store::Catalog catalog(**store, nullptr);
  const auto report = record::export_mp4(
      **store, catalog, what.camera, interval->from, interval->to,
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
