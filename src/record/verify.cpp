#include "record/verify.h"

#include <algorithm>
#include <deque>
#include <future>
#include <optional>

#include <fmt/format.h>

#include "media/scan.h"
#include "record/recovery.h"
#include "store/catalog.h"

namespace miharu::record {
std::vector<std::string> check_object(const store::ObjectName& name, base::ByteView bytes, uint64_t* frames) {
  std::vector<std::string> wrong;
  if (bytes.size() != name.size_bytes()) {
    wrong.push_back(fmt::format("has {} bytes, its name says {}", bytes.size(), name.size_bytes()));
    return wrong;
  }
  if (const uint32_t crc = base::crc32c(0, bytes); crc != name.crc) {
    wrong.push_back(fmt::format("checksum is {:08x}, its name says {:08x}", crc, name.crc));
  }
  const int64_t near_90k = base::to_unix_ms(name.start) * 90;
  const auto scan = name.container == store::Container::kFmp4 ? media::scan_fmp4(bytes)
                                                              : media::scan_mpegts(bytes, near_90k);
  if (!scan) {
    wrong.push_back("cannot be read: " + scan.error().to_string());
    return wrong;
  }
  if (scan->whole_bytes != bytes.size()) {
    wrong.push_back(fmt::format("only {} of {} bytes are whole fragments: {}", scan->whole_bytes,
                                bytes.size(), scan->stopped.to_string()));
  }
  for (const media::ScannedFragment& fragment : scan->fragments) {
    if (frames) *frames += fragment.video.size();
  }
  // A recovery must come to the same name: sizes and durations of chunks, codecs, initialization part.
  const auto again = recover_object(bytes, name);
  if (!again) {
    wrong.push_back(again.error().to_string());
    return wrong;
  }
  store::ObjectName content = again->name;
  if (content.start != name.start) {
    wrong.push_back(fmt::format("begins at {}, its name says {}", base::format_rfc3339(content.start),
                                base::format_rfc3339(name.start)));
  }
  if (content.init_bytes != name.init_bytes)
    wrong.push_back("its initialization part has another length than its name says");
  // A short run of MPEG-TS may have ended before its first sound came.
  const bool unheard = name.container == store::Container::kMpegTs && name.has_audio && !content.has_audio;
  if (!unheard && (content.has_audio != name.has_audio || (name.has_audio && content.audio != name.audio)))
    wrong.push_back("has other tracks than its name says");
  if (content.chunks.size() != name.chunks.size()) {
    wrong.push_back(
        fmt::format("has {} chunks, its name says {}", content.chunks.size(), name.chunks.size()));
    return wrong;
  }
  for (size_t i = 0; i < name.chunks.size(); ++i) {
    const store::Chunk& said = name.chunks[i];
    const store::Chunk& is = content.chunks[i];
    // The end of the last chunk of a run is told by the duration that the last frame was given; MPEG-TS does
    // not carry it.
    const bool last_of_ts = name.container == store::Container::kMpegTs && i + 1 == name.chunks.size();
    const int64_t off = int64_t{said.duration_ms} - int64_t{is.duration_ms};
    if (said.size_bytes != is.size_bytes || said.key_bytes != is.key_bytes ||
        (!last_of_ts && (off < -1 || off > 1))) {
      wrong.push_back(fmt::format("chunk {} is {} bytes, key frame {} bytes, {} ms; its name says {}, {}, {}",
                                  i, is.size_bytes, is.key_bytes, is.duration_ms, said.size_bytes,
                                  said.key_bytes, said.duration_ms));
    }
  }
  return wrong;
}

namespace {

struct Item {
  std::string key;
  store::ObjectName name;
};

// Gets objects in order, some ahead of time.
class Fetcher {
 public:
  Fetcher(store::ObjectStore& store, const std::vector<Item>& items, unsigned ahead)
      : store_(store), items_(items), ahead_(ahead) {}

  base::Result<base::ByteVector> next() {
    if (ahead_ <= 1) return get(items_[at_++]);
    while (under_way_.size() < ahead_ && at_ < items_.size()) {
      under_way_.push_back(std::async(std::launch::async, [this, at = at_] { return get(items_[at]); }));
      ++at_;
    }
    auto bytes = under_way_.front().get();
    under_way_.pop_front();
    return bytes;
  }

 private:
  // One byte more than there should be, so that a longer one is seen.
  base::Result<base::ByteVector> get(const Item& item) {
    return store_.get(item.key, 0, item.name.size_bytes() + 1);
  }

  store::ObjectStore& store_;
  const std::vector<Item>& items_;
  const unsigned ahead_;
  size_t at_ = 0;
  std::deque<std::future<base::Result<base::ByteVector>>> under_way_;
};

base::Result<std::vector<Item>> list_items(store::ObjectStore& store, const std::string& root,
                                           const std::string& camera, VerifyReport& report) {
  auto listing = store.list(root + "rec/" + camera + "/", false);
  if (!listing) return tl::unexpected(listing.error());
  std::vector<Item> items;
  for (store::ListedObject& object : listing->objects) {
    auto name = store::decode_name(store::file_name_of(object.key));
    if (!name) {
      report.findings.push_back({camera, object.key, "its name cannot be read: " + name.error().to_string()});
      continue;
    }
    if (const auto key = store::object_key(camera, *name); !key || root + *key != object.key) {
      report.findings.push_back(
          {camera, object.key, "lies in the folder of another hour than its name says"});
    }
    items.push_back({std::move(object.key), std::move(*name)});
  }
  std::sort(items.begin(), items.end(), [](const Item& a, const Item& b) { return a.name.seq < b.name.seq; });
  return items;
}

std::optional<std::string> compare(const Item& before, const Item& item) {
  const uint64_t expected = before.name.seq + before.name.chunks.size();
  if (item.name.seq < expected)
    return fmt::format("its chunks {} and following are there twice, in {} too", item.name.seq, before.key);
  if (item.name.seq > expected)
    return fmt::format("{} chunks before it are missing", item.name.seq - expected);
  if (item.name.run == before.name.run && item.name.start != before.name.end()) {
    return fmt::format("begins at {}, but the object before it ends at {}",
                       base::format_rfc3339(item.name.start), base::format_rfc3339(before.name.end()));
  }
  return std::nullopt;
}

}  // namespace

base::Result<VerifyReport> verify_store(store::ObjectStore& store, const VerifyPlan& plan,
                                        const std::function<bool(const VerifyReport&)>& progress) {
  VerifyReport report;
  for (const std::string& root : plan.roots) {
    std::vector<std::string> names = plan.cameras;
    if (names.empty()) {
      store::Catalog catalog(store, nullptr, base::system_clock(), root);
      auto found = catalog.cameras();
      if (!found) return tl::unexpected(found.error());
      names = std::move(*found);
    }
    for (const std::string& camera : names) {
      const auto items = list_items(store, root, camera, report);
      if (!items) return tl::unexpected(items.error());
      Fetcher fetcher(store, *items, plan.ahead);
      const Item* before = nullptr;
      for (const Item& item : *items) {
        ++report.objects;
        report.chunks += item.name.chunks.size();
        const auto bytes = fetcher.next();
        if (!bytes) {
          report.findings.push_back({camera, item.key, "cannot be read: " + bytes.error().to_string()});
        } else {
          report.bytes += bytes->size();
          for (std::string& text : check_object(item.name, *bytes, &report.frames))
            report.findings.push_back({camera, item.key, std::move(text)});
        }
        if (!before || before->name.run.number != item.name.run.number) ++report.runs;
        if (before) {
          if (auto wrong = compare(*before, item))
            report.findings.push_back({camera, item.key, std::move(*wrong)});
        }
        before = &item;
        if (progress && !progress(report)) return report;
      }
    }
  }
  return report;
}

}  // namespace miharu::record
