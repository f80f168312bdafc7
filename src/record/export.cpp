#include "record/export.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "media/scan.h"

namespace miharu::record {
namespace {

// The chunks of an object that are read, [first, end).
struct Chunks {
  size_t first = 0;
  size_t end = 0;
};

// Chunks that overlap [from, to), back to one with a key frame; and a neighbour each, whose sound may reach
// into it. `first` and `last`: whether nothing before, or behind, belongs to the interval.
Chunks needed_of(const store::ObjectName& name, base::UtcTime from, base::UtcTime to, bool first, bool last) {
  Chunks needed{0, name.chunks.size()};
  if (name.end() <= from || name.start >= to) return needed;
  base::UtcTime start = name.start;
  size_t begin = 0;
  size_t end = 0;
  for (size_t i = 0; i < name.chunks.size(); ++i) {
    if (start <= from) begin = i;
    if (start < to) end = i + 1;
    start += base::milliseconds(name.chunks[i].duration_ms);
  }
  if (first) {
    needed.first = begin - (begin > 0 ? 1 : 0);
    while (needed.first > 0 && name.chunks[needed.first].key_bytes == 0) --needed.first;
  }
  if (last) needed.end = std::min(end + 1, name.chunks.size());
  return needed;
}

// Keeps the latest object: samples are asked for in nearly the order of the file.
class ObjectReader {
 public:
  ObjectReader(store::ObjectStore& store, const std::vector<store::CatalogEntryPtr>& entries,
               base::UtcTime from, base::UtcTime to)
      : store_(store), entries_(entries) {
    for (size_t i = 0; i < entries.size(); ++i)
      needed_.push_back(needed_of(entries[i]->name, from, to, i == 0, i + 1 == entries.size()));
  }

  [[nodiscard]] const store::Chunk& first_chunk(uint32_t index) const {
    return entries_[index]->name.chunks[needed_[index].first];
  }

  // The initialization part and the chunks that are needed, as if there were no others.
  base::Result<base::ByteView> bytes_of(uint32_t index) {
    if (!loaded_ || index != index_) {
      loaded_ = false;
      if (auto read = load(index); !read)
        return tl::unexpected(std::move(read.error()).in(entries_[index]->key));
      index_ = index;
      loaded_ = true;
    }
    return base::ByteView(bytes_);
  }

  base::Result<base::ByteView> payload(media::TrackKind kind, const media::Mp4Sample& sample) {
    const auto bytes = bytes_of(sample.object);
    if (!bytes) return bytes;
    const store::ObjectName& name = entries_[sample.object]->name;
    if (name.container == store::Container::kFmp4) {
      if (sample.scanned.offset + sample.scanned.size_bytes > bytes->size())
        return base::fail(base::Errc::kTruncated, "the object became shorter");
      return bytes->subspan(sample.scanned.offset, sample.scanned.size_bytes);
    }
    auto extracted = media::extract_sample(*bytes, sample.scanned,
                                           kind == media::TrackKind::kVideo ? name.video : name.audio);
    if (!extracted) return tl::unexpected(extracted.error());
    sample_ = std::move(*extracted);
    return base::ByteView(sample_);
  }

 private:
  base::Status load(uint32_t index) {
    const store::ObjectName& name = entries_[index]->name;
    const Chunks needed = needed_[index];
    uint64_t offset = name.init_bytes;
    uint64_t length = 0;
    for (size_t i = 0; i < needed.end; ++i) {
      uint64_t& sum = i < needed.first ? offset : length;
      sum += name.chunks[i].size_bytes;
    }
    bytes_.clear();
    // In one request where nothing lies between the two.
    const bool joined = needed.first == 0;
    if (name.init_bytes > 0 && !joined) {
      if (auto read = append(index, 0, name.init_bytes); !read) return read;
    }
    return joined ? append(index, 0, offset + length) : append(index, offset, length);
  }

  base::Status append(uint32_t index, uint64_t offset, uint64_t length) {
    const auto bytes = store_.get(entries_[index]->key, offset, length);
    if (!bytes) return tl::unexpected(bytes.error());
    if (bytes->size() != length)
      return base::fail(base::Errc::kTruncated, "the object is shorter than its name says");
    bytes_.insert(bytes_.end(), bytes->begin(), bytes->end());
    return {};
  }

  store::ObjectStore& store_;
  const std::vector<store::CatalogEntryPtr>& entries_;
  std::vector<Chunks> needed_;
  base::ByteVector bytes_;
  base::ByteVector sample_;
  uint32_t index_ = 0;
  bool loaded_ = false;
};

}  // namespace

base::Result<ExportReport> export_mp4(store::ObjectStore& store, store::Footage& catalog,
                                      std::string_view camera, base::UtcTime from, base::UtcTime to,
                                      const media::Mp4FileWriter::Sink& sink,
                                      const std::function<bool(uint64_t, uint64_t)>& progress) {
  auto found = catalog.find_with_lead(camera, from, to);
  if (!found) return tl::unexpected(found.error());
  std::vector<store::CatalogEntryPtr> entries;
  for (const store::CatalogEntryPtr& entry : found->entries) {
    if (!entry->growing) entries.push_back(entry);
  }
  if (entries.empty()) {
    return base::fail(base::Errc::kNotFound,
                      fmt::format("nothing of camera {} is recorded (and finished) between {} and {}", camera,
                                  base::format_rfc3339(from), base::format_rfc3339(to)));
  }

  media::Mp4FileWriter writer(from, to);
  ObjectReader reader(store, entries, from, to);
  ExportReport report;
  std::optional<store::Run> run;
  for (uint32_t i = 0; i < entries.size(); ++i) {
    const store::ObjectName& name = entries[i]->name;
    const auto bytes = reader.bytes_of(i);
    if (!bytes) return tl::unexpected(bytes.error());
    const auto scan = name.container == store::Container::kFmp4
                          ? media::scan_fmp4(*bytes)
                          : media::scan_mpegts(*bytes, base::to_unix_ms(name.start) * 90);
    if (!scan) return tl::unexpected(base::Error(scan.error()).in(entries[i]->key));
    const bool follows = i > 0 && store::leads_into(entries[i - 1]->name, name);
    // After a step of the clock what is needed of the run before may be far from what is shown of it.
    const bool is_lead = name.end() <= from || name.start >= to;
    if (!run || *run != name.run || (is_lead && !follows))
      writer.begin_run(scan->video, scan->audio, follows && reader.first_chunk(i).key_bytes == 0);
    run = name.run;
    for (const media::ScannedFragment& fragment : scan->fragments) {
      for (const media::ScannedSample& sample : fragment.video) writer.add_video({i, sample});
      for (const media::ScannedSample& sample : fragment.audio) writer.add_audio({i, sample});
    }
    ++report.objects;
  }
  const auto size = writer.prepare();
  if (!size) return tl::unexpected(size.error());
  report.frames = writer.video_frames();
  const auto written = writer.write(
      [&](media::TrackKind kind, const media::Mp4Sample& sample) { return reader.payload(kind, sample); },
      [&](base::ByteView bytes) -> base::Status {
        if (auto done = sink(bytes); !done) return done;
        report.bytes += bytes.size();
        if (progress && !progress(report.bytes, *size)) return base::fail(base::Errc::kClosed, "interrupted");
        return {};
      });
  if (!written) return tl::unexpected(written.error());
  return report;
}

}  // namespace miharu::record
