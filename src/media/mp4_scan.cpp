#include <algorithm>
#include <limits>
#include <optional>

#include "media/aac.h"
#include "media/h264.h"
#include "media/mp4_boxes.h"
#include "media/scan.h"

namespace miharu::media {
namespace {

using base::ByteReader;
using base::ByteView;
using base::Errc;
using base::Error;
using base::Result;
using base::Status;

struct Box {
  uint32_t type = 0;
  uint64_t offset = 0;  // of its header, in the object
  uint64_t size_bytes = 0;
  ByteView body;
  [[nodiscard]] uint64_t body_offset() const { return offset + size_bytes - body.size(); }
};

std::string printable(uint32_t type) {
  std::string name;
  for (unsigned shift = 32; shift > 0; shift -= 8) {
    const auto c = static_cast<char>(type >> (shift - 8) & 0xFF);
    name += c >= ' ' && c <= '~' ? c : '?';
  }
  return name;
}

// The box that begins at `at` of `bytes`, whose first byte is at `offset` of the object.
Result<Box> read_box(ByteView bytes, size_t at, uint64_t offset) {
  const auto place = static_cast<int64_t>(offset + at);
  ByteReader in(bytes.subspan(at));
  Box box;
  uint64_t size = in.u32();
  box.type = in.u32();
  if (size == 1) size = in.u64();
  if (!in.ok()) return base::fail(Errc::kTruncated, "the header of a box is cut off", place);
  if (size == 0 && box.type == 0) {
    return base::fail(Errc::kTruncated, "zeros instead of a box: space that was never written", place);
  }
  if (size < in.position()) {
    return base::fail(Errc::kMalformed, "box '" + printable(box.type) + "' is shorter than its header",
                      place);
  }
  if (size > bytes.size() - at) {
    return base::fail(Errc::kTruncated, "box '" + printable(box.type) + "' is cut off", place);
  }
  box.offset = offset + at;
  box.size_bytes = size;
  box.body = bytes.subspan(at + in.position(), static_cast<size_t>(size) - in.position());
  return box;
}

// Calls visit(const Box&) -> Status for each child box.
template <class Visit>
Status for_each_child(ByteView bytes, uint64_t offset, Visit visit) {
  for (size_t at = 0; at < bytes.size();) {
    const auto box = read_box(bytes, at, offset);
    if (!box) return tl::unexpected(box.error());
    if (Status status = visit(*box); !status) return status;
    at += static_cast<size_t>(box->size_bytes);
  }
  return {};
}
template <class Visit>
Status for_each_child(const Box& parent, Visit visit) {
  return for_each_child(parent.body, parent.body_offset(), visit);
}

// What the initialization part says of a track.
struct Track {
  uint32_t id = 0;
  uint32_t timescale = 0;
  TrackConfig config;
  bool usable = false;  // a codec that we record
  uint32_t default_duration = 0;
  uint32_t default_size = 0;
  uint32_t default_flags = 0;
};

Status parse_avc1(const Box& entry, TrackConfig& config) {
  ByteReader in(entry.body);
  in.skip(24);
  config.codec = Codec::kH264;
  config.width = in.u16();
  config.height = in.u16();
  in.skip(50);
  if (!in.ok()) return in.error("sample entry 'avc1' is cut off");
  const size_t children = in.position();
  bool found = false;
  auto status = for_each_child(in.rest(), entry.body_offset() + children, [&](const Box& box) -> Status {
    if (box.type != fourcc("avcC")) return {};
    const auto avcc = h264::parse_avcc(box.body);
    if (!avcc) return tl::unexpected(Error(avcc.error()).in("avcC"));
    if (avcc->sps.empty()) return base::fail(Errc::kUnsupported, "avcC without a sequence parameter set");
    const auto sps = h264::parse_sps(avcc->sps.front());
    if (!sps) return tl::unexpected(Error(sps.error()).in("avcC"));
    config.codec_private.assign(box.body.begin(), box.body.end());
    config.codec_string = sps->codec_string();
    config.width = sps->width;
    config.height = sps->height;
    found = true;
    return {};
  });
  if (status && !found) return base::fail(Errc::kMalformed, "sample entry 'avc1' has no avcC");
  return status;
}

// The AudioSpecificConfig in an ES_Descriptor (ISO/IEC 14496-1 7.2.6.5).
Result<ByteView> find_audio_specific_config(ByteView esds) {
  ByteReader in(esds);
  const auto open = [&in](uint8_t wanted) {
    const bool matches = in.u8() == wanted;
    for (int i = 0; i < 4 && (in.u8() & 0x80) != 0; ++i) {
    }
    return matches && in.ok();
  };
  in.skip(4);
  if (!open(0x03)) return in.error("esds without an ES_Descriptor");
  in.skip(2);
  const uint8_t flags = in.u8();
  if (flags & 0x80) in.skip(2);
  if (flags & 0x40) in.skip(in.u8());
  if (flags & 0x20) in.skip(2);
  if (!open(0x04)) return in.error("esds without a DecoderConfigDescriptor");
  const uint8_t object_type = in.u8();
  if (object_type != 0x40) return base::fail(Errc::kUnsupported, "sound that is not MPEG-4 audio");
  in.skip(12);
  if (in.u8() != 0x05) return in.error("esds without an AudioSpecificConfig");
  size_t size = 0;
  for (int i = 0; i < 4; ++i) {
    const uint8_t byte = in.u8();
    size = size << 7 | (byte & 0x7F);
    if ((byte & 0x80) == 0) break;
  }
  const ByteView config = in.bytes(size);
  if (!in.ok()) return in.error("the AudioSpecificConfig is cut off");
  return config;
}

Status parse_sound_entry(const Box& entry, TrackConfig& config) {
  const bool opus = entry.type == fourcc("Opus");
  ByteReader in(entry.body);
  in.skip(8);
  const uint16_t version = in.u16();
  in.skip(18);
  // QuickTime sound descriptions are longer.
  if (version == 1) in.skip(16);
  if (version == 2) in.skip(36);
  if (!in.ok()) return in.error("sample entry '" + printable(entry.type) + "' is cut off");
  const size_t children = in.position();
  bool found = false;
  auto status = for_each_child(in.rest(), entry.body_offset() + children, [&](const Box& box) -> Status {
    if (opus && box.type == fourcc("dOps")) {
      if (box.body.size() < 11) return base::fail(Errc::kTruncated, "dOps is cut off");
      config.codec = Codec::kOpus;
      config.codec_private.assign(box.body.begin(), box.body.end());
      config.codec_string = "opus";
      config.channels = std::to_integer<uint32_t>(box.body[1]);
      config.sample_rate = 48000;
      found = true;
    } else if (!opus && box.type == fourcc("esds")) {
      const auto bytes = find_audio_specific_config(box.body);
      if (!bytes) return tl::unexpected(bytes.error());
      const auto made = aac::make_track_config(*bytes);
      if (!made) return tl::unexpected(Error(made.error()).in("esds"));
      config = **made;
      found = true;
    }
    return {};
  });
  if (status && !found) {
    return base::fail(Errc::kMalformed,
                      "sample entry '" + printable(entry.type) + "' says nothing about its codec");
  }
  return status;
}

Status parse_sample_table(const Box& stbl, Track& track) {
  return for_each_child(stbl, [&](const Box& stsd) -> Status {
    if (stsd.type != fourcc("stsd")) return {};
    if (stsd.body.size() < 8) return base::fail(Errc::kTruncated, "stsd is cut off");
    return for_each_child(stsd.body.subspan(8), stsd.body_offset() + 8, [&](const Box& entry) -> Status {
      if (track.usable) return {};
      Status status;
      if (entry.type == fourcc("avc1") || entry.type == fourcc("avc3")) {
        status = parse_avc1(entry, track.config);
      } else if (entry.type == fourcc("mp4a") || entry.type == fourcc("Opus")) {
        status = parse_sound_entry(entry, track.config);
      } else {
        return {};
      }
      if (status) track.usable = true;
      return status;
    });
  });
}

Result<Track> parse_track(const Box& trak) {
  Track track;
  auto status = for_each_child(trak, [&](const Box& box) -> Status {
    if (box.type == fourcc("tkhd")) {
      ByteReader in(box.body);
      const uint8_t version = in.u8();
      in.skip(3 + (version == 1 ? 16 : 8));
      track.id = in.u32();
      return in.ok() ? Status{} : in.error("tkhd is cut off");
    }
    if (box.type != fourcc("mdia")) return {};
    return for_each_child(box, [&](const Box& child) -> Status {
      if (child.type == fourcc("mdhd")) {
        ByteReader in(child.body);
        const uint8_t version = in.u8();
        in.skip(3 + (version == 1 ? 16 : 8));
        track.timescale = in.u32();
        return in.ok() ? Status{} : in.error("mdhd is cut off");
      }
      if (child.type != fourcc("minf")) return {};
      return for_each_child(child, [&](const Box& table) -> Status {
        return table.type == fourcc("stbl") ? parse_sample_table(table, track) : Status{};
      });
    });
  });
  if (!status) return tl::unexpected(status.error());
  if (track.usable && (track.id == 0 || track.timescale == 0)) {
    return base::fail(Errc::kMalformed, "a track without a number or a timescale",
                      static_cast<int64_t>(trak.offset));
  }
  track.config.clock_rate = track.timescale;
  return track;
}

struct Movie {
  std::optional<Track> video;
  std::optional<Track> audio;
  Track* find(uint32_t id) {
    if (video && video->id == id) return &*video;
    if (audio && audio->id == id) return &*audio;
    return nullptr;
  }
};

Result<Movie> parse_movie(const Box& moov) {
  Movie movie;
  std::optional<Box> mvex;
  auto status = for_each_child(moov, [&](const Box& box) -> Status {
    if (box.type == fourcc("mvex")) mvex = box;
    if (box.type != fourcc("trak")) return {};
    auto track = parse_track(box);
    if (!track) return tl::unexpected(track.error());
    auto& place = kind_of(track->config.codec) == TrackKind::kVideo ? movie.video : movie.audio;
    if (track->usable && !place) place = std::move(*track);
    return {};
  });
  if (!status) return tl::unexpected(status.error());
  if (!movie.video && !movie.audio) return base::fail(Errc::kUnsupported, "no track of H.264, AAC or Opus");
  if (movie.video && movie.audio && movie.video->id == movie.audio->id) {
    return base::fail(Errc::kMalformed, "two tracks of the same number");
  }
  if (!mvex) return base::fail(Errc::kUnsupported, "not a fragmented MP4 (there is no 'mvex' in 'moov')");
  status = for_each_child(*mvex, [&](const Box& box) -> Status {
    if (box.type != fourcc("trex")) return {};
    ByteReader in(box.body);
    in.skip(4);
    Track* track = movie.find(in.u32());
    in.skip(4);
    if (track) {
      track->default_duration = in.u32();
      track->default_size = in.u32();
      track->default_flags = in.u32();
    }
    return in.ok() ? Status{} : in.error("trex is cut off");
  });
  if (!status) return tl::unexpected(status.error());
  return movie;
}

// One moof with the mdat behind it.
class FragmentParser {
 public:
  FragmentParser(Movie& movie, const Box& moof, const Box& mdat)
      : movie_(movie), moof_(moof), mdat_(mdat), samples_left_(moof.size_bytes + mdat.size_bytes) {}

  Result<ScannedFragment> parse() {
    fragment_.offset = moof_.offset;
    fragment_.size_bytes = moof_.size_bytes + mdat_.size_bytes;
    next_data_ = moof_.offset;
    auto status = for_each_child(moof_, [&](const Box& box) -> Status {
      return box.type == fourcc("traf") ? parse_traf(box) : Status{};
    });
    if (!status) return tl::unexpected(std::move(status.error()));
    return std::move(fragment_);
  }

 private:
  struct Traf {
    const Track* track = nullptr;
    std::vector<ScannedSample>* out = nullptr;
    uint64_t base = 0;
    uint32_t duration = 0;
    uint32_t size_bytes = 0;
    uint32_t flags = 0;
    int64_t dts = 0;
  };

  Status parse_traf(const Box& box) {
    Traf traf;
    bool timed = false;
    return for_each_child(box, [&](const Box& child) -> Status {
      if (child.type == fourcc("tfhd")) return parse_tfhd(child, traf);
      if (child.type == fourcc("tfdt")) {
        timed = true;
        ByteReader in(child.body);
        const uint8_t version = in.u8();
        in.skip(3);
        const uint64_t time = version == 1 ? in.u64() : in.u32();
        // Room for the durations of any number of samples.
        if (time >= uint64_t{1} << 61) return malformed(child, "tfdt is out of range");
        traf.dts = static_cast<int64_t>(time);
        return in.ok() ? Status{} : in.error("tfdt is cut off");
      }
      if (child.type != fourcc("trun")) return {};
      if (!traf.out && !skipping_) return malformed(child, "trun before tfhd");
      if (!timed && !skipping_) return malformed(child, "a track fragment without tfdt");
      return parse_trun(child, traf);
    });
  }

  Status parse_tfhd(const Box& box, Traf& traf) {
    ByteReader in(box.body);
    const uint32_t flags = in.u32() & 0xFFFFFF;
    traf.track = movie_.find(in.u32());
    // A track of another kind: its runs count only for the place of those behind it.
    skipping_ = traf.track == nullptr;
    static const Track kUnknown;
    const Track& track = skipping_ ? kUnknown : *traf.track;
    if (!skipping_) {
      traf.out = kind_of(track.config.codec) == TrackKind::kVideo ? &fragment_.video : &fragment_.audio;
      if (!traf.out->empty()) return malformed(box, "two fragments of one track in a 'moof'");
    }
    traf.base = flags & 0x020000 ? moof_.offset : next_data_;
    if (flags & 0x1) traf.base = in.u64();
    if (flags & 0x2) in.skip(4);
    traf.duration = flags & 0x8 ? in.u32() : track.default_duration;
    traf.size_bytes = flags & 0x10 ? in.u32() : track.default_size;
    traf.flags = flags & 0x20 ? in.u32() : track.default_flags;
    next_data_ = traf.base;
    return in.ok() ? Status{} : in.error("tfhd is cut off");
  }

  Status parse_trun(const Box& box, Traf& traf) {
    ByteReader in(box.body);
    const uint32_t head = in.u32();
    const uint32_t flags = head & 0xFFFFFF;
    const uint32_t count = in.u32();
    if (flags & 0x1) {
      next_data_ = traf.base + static_cast<uint64_t>(int64_t{static_cast<int32_t>(in.u32())});
    }
    const uint32_t first_flags = flags & 0x4 ? in.u32() : 0;
    if (!in.ok()) return in.error("trun is cut off");
    if (count > samples_left_) return malformed(box, "trun claims more samples than there are bytes");
    samples_left_ -= count;
    const size_t entry_bytes = (flags & 0x100 ? 4U : 0U) + (flags & 0x200 ? 4U : 0U) +
                               (flags & 0x400 ? 4U : 0U) + (flags & 0x800 ? 4U : 0U);
    if (in.remaining() / std::max<size_t>(entry_bytes, 1) < count && entry_bytes > 0) {
      return malformed(box, "trun claims more samples than it lists");
    }
    const bool video = traf.out == &fragment_.video;
    for (uint32_t i = 0; i < count; ++i) {
      ScannedSample sample;
      sample.duration = flags & 0x100 ? in.u32() : traf.duration;
      sample.size_bytes = flags & 0x200 ? in.u32() : traf.size_bytes;
      uint32_t sample_flags = flags & 0x400 ? in.u32() : traf.flags;
      if (i == 0 && flags & 0x4) sample_flags = first_flags;
      const uint32_t composition = flags & 0x800 ? in.u32() : 0;
      // Signed in version 0 too: writers put negative offsets there, and none needs half of the unsigned
      // range.
      sample.dts = traf.dts;
      sample.pts = traf.dts + static_cast<int32_t>(composition);
      sample.key = !video || (sample_flags & 0x10000) == 0;
      sample.offset = next_data_;
      const uint64_t data_end = mdat_.offset + mdat_.size_bytes;
      if (next_data_ < mdat_.body_offset() || next_data_ > data_end ||
          sample.size_bytes > data_end - next_data_) {
        return malformed(box, "a sample lies outside of the 'mdat' behind its 'moof'");
      }
      next_data_ += sample.size_bytes;
      traf.dts += sample.duration;
      if (!skipping_) traf.out->push_back(sample);
    }
    return {};
  }

  static Status malformed(const Box& box, std::string text) {
    return base::fail(Errc::kMalformed, std::move(text), static_cast<int64_t>(box.offset));
  }

  Movie& movie_;
  const Box& moof_;
  const Box& mdat_;
  uint64_t samples_left_;
  ScannedFragment fragment_;
  uint64_t next_data_ = 0;  // behind the last run: where one without an offset begins
  bool skipping_ = false;
};

// A moof may survive a power cut whose mdat was only preallocated. No picture ends in that many zeros (a NAL
// unit ends in a one bit; cameras append a few zero bytes); sound may, in Opus padding, but is never zero
// from its first byte.
Status check_written(ByteView object, const ScannedFragment& fragment) {
  constexpr size_t kTail = 32;
  constexpr size_t kSmallest = 8;
  for (const std::vector<ScannedSample>* samples : {&fragment.video, &fragment.audio}) {
    for (const ScannedSample& sample : *samples) {
      if (sample.size_bytes < kSmallest) continue;
      ByteView bytes = object.subspan(static_cast<size_t>(sample.offset), sample.size_bytes);
      if (samples == &fragment.video) bytes = bytes.last(std::min<size_t>(bytes.size(), kTail));
      if (std::all_of(bytes.begin(), bytes.end(), [](std::byte byte) { return byte == std::byte{0}; })) {
        return base::fail(Errc::kTruncated, "zeros instead of a sample: space that was never written",
                          static_cast<int64_t>(sample.offset));
      }
    }
  }
  return {};
}

std::optional<uint32_t> checksum_of(const Box& box) {
  if (box.type != fourcc("free") || box.size_bytes != kChecksumBoxBytes) return std::nullopt;
  if (base::as_text(box.body.first(kChecksumMark.size())) != kChecksumMark) return std::nullopt;
  ByteReader in(box.body.subspan(kChecksumMark.size()));
  return in.u32();
}

// Pieces of a fragment that is still to come.
struct BeforeMoof {
  std::optional<size_t> segment_at;  // of its styp box
  std::optional<size_t> checksum_at;
  uint32_t checksum = 0;
};

// What the disk lost or tore by a power cut is told from what was written by the checksum alone: any bytes
// may stand in its place.
Status check_sum(ByteView object, const BeforeMoof& before, size_t moof_at, size_t end) {
  const size_t checksum_at = *before.checksum_at;
  const size_t start = std::min(before.segment_at.value_or(checksum_at), checksum_at);
  uint32_t crc = base::crc32c(0, object.subspan(start, checksum_at - start));
  const size_t rest = checksum_at + kChecksumBoxBytes;
  crc = base::crc32c(crc, object.subspan(rest, end - rest));
  if (crc == before.checksum) return {};
  return base::fail(Errc::kTruncated, "a fragment is not what was written (checksum)",
                    static_cast<int64_t>(moof_at));
}

}  // namespace

Result<Scan> scan_fmp4(ByteView object) {
  Scan scan;
  std::optional<Movie> movie;
  size_t at = 0;
  const auto next = [&] { return read_box(object, at, 0); };
  while (!movie) {
    if (at == object.size()) {
      return base::fail(Errc::kTruncated, "no initialization part ('moov')", static_cast<int64_t>(at));
    }
    const auto box = next();
    if (!box) return tl::unexpected(Error(box.error()).in("initialization part"));
    if (box->type == fourcc("moof")) {
      return base::fail(Errc::kMalformed, "a fragment before the initialization part",
                        static_cast<int64_t>(at));
    }
    at += static_cast<size_t>(box->size_bytes);
    if (at > std::numeric_limits<uint32_t>::max()) {
      return base::fail(Errc::kUnsupported, "no initialization part in the first 4 GB");
    }
    if (box->type != fourcc("moov")) continue;
    auto parsed = parse_movie(*box);
    if (!parsed) return tl::unexpected(Error(parsed.error()).in("initialization part"));
    movie = std::move(*parsed);
  }
  scan.init_bytes = static_cast<uint32_t>(at);
  scan.whole_bytes = at;
  if (movie->video) scan.video = std::make_shared<const TrackConfig>(movie->video->config);
  if (movie->audio) scan.audio = std::make_shared<const TrackConfig>(movie->audio->config);

  BeforeMoof before;
  bool checked = false;  // a fragment had a checksum: all that follow must
  while (at < object.size()) {
    const auto box = next();
    if (!box) {
      scan.stopped = box.error();
      return scan;
    }
    at += static_cast<size_t>(box->size_bytes);
    if (box->type == fourcc("mdat") || box->type == fourcc("moov")) {
      scan.stopped = {Errc::kMalformed, "'" + printable(box->type) + "' where a fragment should begin",
                      static_cast<int64_t>(box->offset)};
      return scan;
    }
    if (box->type == fourcc("styp")) before.segment_at = static_cast<size_t>(box->offset);
    if (const auto checksum = checksum_of(*box)) {
      before.checksum = *checksum;
      before.checksum_at = static_cast<size_t>(box->offset);
      checked = true;
    }
    if (box->type != fourcc("moof")) continue;  // sidx, emsg, free ...
    if (at == object.size()) {
      scan.stopped = {Errc::kTruncated, "a 'moof' without its 'mdat'", static_cast<int64_t>(box->offset)};
      return scan;
    }
    const auto mdat = next();
    if (!mdat) {
      scan.stopped = mdat.error();
      return scan;
    }
    if (mdat->type != fourcc("mdat")) {
      scan.stopped = {Errc::kMalformed, "no 'mdat' behind a 'moof'", static_cast<int64_t>(mdat->offset)};
      return scan;
    }
    const size_t end = at + static_cast<size_t>(mdat->size_bytes);
    if (checked && !before.checksum_at) {
      scan.stopped = {Errc::kMalformed, "a fragment without its checksum", static_cast<int64_t>(box->offset)};
      return scan;
    }
    if (before.checksum_at) {
      if (Status same = check_sum(object, before, static_cast<size_t>(box->offset), end); !same) {
        scan.stopped = std::move(same.error());
        return scan;
      }
    }
    auto fragment = FragmentParser(*movie, *box, *mdat).parse();
    if (fragment) {
      if (const Status written = check_written(object, *fragment); !written)
        fragment = tl::unexpected(written.error());
    }
    if (!fragment) {
      scan.stopped = std::move(fragment.error());
      return scan;
    }
    at = end;
    if (before.checksum_at) fragment->offset = *before.checksum_at;
    if (before.segment_at) {
      fragment->starts_chunk = true;
      fragment->offset = *before.segment_at;
    }
    before = {};
    fragment->size_bytes = at - fragment->offset;
    scan.fragments.push_back(std::move(*fragment));
    scan.whole_bytes = at;
  }
  if (scan.whole_bytes < object.size()) {
    scan.stopped = {Errc::kTruncated, "no fragment behind the last boxes",
                    static_cast<int64_t>(scan.whole_bytes)};
  }
  return scan;
}

}  // namespace miharu::media
