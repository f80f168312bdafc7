#include <algorithm>
#include <array>
#include <optional>

#include "media/aac.h"
#include "media/h264.h"
#include "media/mpegts_packet.h"
#include "media/scan.h"

namespace miharu::media {
namespace {

using base::ByteReader;
using base::ByteVector;
using base::ByteView;
using base::Errc;
using base::Error;
using base::Result;
using base::Status;
using namespace mpegts;

constexpr int64_t kClockRate = 90000;

struct Packet {
  uint64_t offset = 0;
  uint16_t pid = 0;
  bool start = false;
  bool random_access = false;
  bool has_payload = false;
  uint8_t counter = 0;
  ByteView payload;
};

Result<Packet> read_packet(ByteView object, uint64_t offset) {
  const auto place = static_cast<int64_t>(offset);
  const ByteView bytes = object.subspan(static_cast<size_t>(offset));
  if (bytes.front() == std::byte{0}) {
    return base::fail(Errc::kTruncated, "zeros instead of a packet: space that was never written", place);
  }
  if (std::to_integer<uint8_t>(bytes.front()) != kSyncByte) {
    return base::fail(Errc::kMalformed, "no sync byte where a packet should begin", place);
  }
  if (bytes.size() < kPacketBytes) return base::fail(Errc::kTruncated, "the last packet is cut off", place);
  ByteReader in(bytes.first(kPacketBytes));
  in.skip(1);
  const uint16_t flags = in.u16();
  const uint8_t control = in.u8();
  Packet packet;
  packet.offset = offset;
  packet.pid = flags & 0x1FFF;
  packet.start = (flags & 0x4000) != 0;
  packet.has_payload = (control & 0x10) != 0;
  packet.counter = control & 0xF;
  if (flags & 0x8000) return base::fail(Errc::kMalformed, "a packet marked as damaged", place);
  if (control & 0xC0) return base::fail(Errc::kUnsupported, "a scrambled packet", place);
  if (control & 0x20) {
    ByteReader adaptation(in.bytes(in.u8()));
    packet.random_access = !adaptation.empty() && (adaptation.u8() & 0x40) != 0;
  }
  if (packet.has_payload) packet.payload = in.rest();
  if (!in.ok()) return base::fail(Errc::kMalformed, "an adaptation field longer than its packet", place);
  return packet;
}

// A section that fits in one packet, as all of ours do: the body between its header and its CRC.
Result<ByteView> read_section(const Packet& packet, uint8_t table_id) {
  const auto malformed = [&](std::string text) {
    return base::fail(Errc::kMalformed, std::move(text), static_cast<int64_t>(packet.offset));
  };
  ByteReader in(packet.payload);
  in.skip(in.u8());
  ByteReader section(in.rest());
  const uint8_t id = section.u8();
  const size_t length = section.u16() & 0xFFF;
  if (!in.ok() || !section.ok() || id != table_id) return malformed("not the table that belongs here");
  const size_t start = in.position() - section.remaining() - 3;
  if (length < 9 || length > section.remaining()) return malformed("a table longer than its packet");
  if (crc32(packet.payload.subspan(start, 3 + length)) != 0)
    return malformed("a table with a wrong checksum");
  return packet.payload.subspan(start + 8, length - 9);
}

struct Programs {
  uint16_t pmt = kNullPid;
  uint16_t video = kNullPid;
  uint16_t audio = kNullPid;
  bool operator==(const Programs&) const = default;
};

Status read_pat(const Packet& packet, Programs& programs) {
  const auto body = read_section(packet, 0x00);
  if (!body) return tl::unexpected(body.error());
  for (ByteReader in(*body); in.remaining() >= 4;) {
    const uint16_t number = in.u16();
    const uint16_t pid = in.u16() & 0x1FFF;
    if (number == 0) continue;
    programs.pmt = pid;
    return {};
  }
  return base::fail(Errc::kMalformed, "a PAT without a program", static_cast<int64_t>(packet.offset));
}

Status read_pmt(const Packet& packet, Programs& programs) {
  const auto body = read_section(packet, 0x02);
  if (!body) return tl::unexpected(body.error());
  ByteReader in(*body);
  in.skip(2);
  in.skip(in.u16() & 0xFFF);
  programs.video = programs.audio = kNullPid;
  while (in.ok() && !in.empty()) {
    const uint8_t type = in.u8();
    const uint16_t pid = in.u16() & 0x1FFF;
    in.skip(in.u16() & 0xFFF);
    if (type == kStreamTypeH264 && programs.video == kNullPid) programs.video = pid;
    if (type == kStreamTypeAdts && programs.audio == kNullPid) programs.audio = pid;
  }
  if (!in.ok())
    return base::fail(Errc::kMalformed, "a PMT that is cut off", static_cast<int64_t>(packet.offset));
  if (programs.video == programs.audio && programs.video != kNullPid) {
    return base::fail(Errc::kMalformed, "video and audio on one PID", static_cast<int64_t>(packet.offset));
  }
  return {};
}

// A PES packet that is being put together.
struct PesBuffer {
  bool open = false;
  bool random_access = false;
  uint64_t offset = 0;
  ByteVector bytes;
};

struct PesPacket {
  uint64_t pts = 0;  // modulo 2^33
  uint64_t dts = 0;
  ByteView payload;
};

uint64_t read_timestamp(ByteReader& in) {
  const uint64_t high = in.u8() >> 1 & 0x7;
  const uint64_t middle = in.u16() >> 1;
  const uint64_t low = in.u16() >> 1;
  return high << 30 | middle << 15 | low;
}

Result<PesPacket> parse_pes(const PesBuffer& buffer) {
  const auto malformed = [&](std::string text) {
    return base::fail(Errc::kMalformed, std::move(text), static_cast<int64_t>(buffer.offset));
  };
  ByteReader in(buffer.bytes);
  if (in.u24() != 1) return malformed("a PES packet without its start code");
  in.skip(1);
  const size_t length = in.u16();
  if (length > 0) {
    if (length > in.remaining()) return malformed("a PES packet that is cut off");
    // What lies behind its length does not belong to it.
    in = ByteReader(in.bytes(length));
  }
  in.skip(1);
  const uint8_t flags = in.u8();
  ByteReader header(in.bytes(in.u8()));
  PesPacket pes;
  if ((flags & 0x80) == 0) return malformed("a PES packet without a time");
  pes.pts = read_timestamp(header);
  pes.dts = flags & 0x40 ? read_timestamp(header) : pes.pts;
  pes.payload = in.rest();
  if (!in.ok() || !header.ok()) return malformed("the header of a PES packet is cut off");
  return pes;
}

// The time modulo 2^33 as the nearest to `near`. Unsigned: hostile input may wrap, but not overflow.
int64_t unwrap(uint64_t time, int64_t near) {
  constexpr uint64_t kHalf = uint64_t{1} << 32;
  const uint64_t distance = (time - static_cast<uint64_t>(near) + kHalf) & kTimestampMask;
  return static_cast<int64_t>(static_cast<uint64_t>(near) + distance - kHalf);
}

int64_t plus(int64_t time, int64_t ticks) {
  return static_cast<int64_t>(static_cast<uint64_t>(time) + static_cast<uint64_t>(ticks));
}

int64_t adts_ticks(size_t frames, uint32_t sample_rate) {
  return static_cast<int64_t>((frames * aac::kSamplesPerFrame * kClockRate + sample_rate / 2) / sample_rate);
}

// Calls visit(const aac::AdtsFrame&, int64_t ticks since the first) -> bool (whether to go on).
template <class Visit>
Status for_each_adts_frame(ByteView payload, uint64_t offset, Visit visit) {
  // One rate for all: times must increase, whatever later headers say.
  uint32_t sample_rate = 0;
  for (size_t count = 0; !payload.empty(); ++count) {
    auto frame = aac::parse_adts(payload);
    if (!frame) {
      Error error = std::move(frame.error()).in("ADTS");
      error.offset = static_cast<int64_t>(offset);
      return tl::unexpected(std::move(error));
    }
    if (frame->size_bytes == 0 || frame->size_bytes > payload.size() || frame->config.sample_rate == 0) {
      return base::fail(Errc::kMalformed, "an ADTS frame that is cut off", static_cast<int64_t>(offset));
    }
    if (count == 0) sample_rate = frame->config.sample_rate;
    if (!visit(*frame, adts_ticks(count, sample_rate))) return {};
    payload = payload.subspan(frame->size_bytes);
  }
  return {};
}

class Scanner {
 public:
  Scanner(ByteView object, int64_t near) : object_(object), near_(near) {}

  Result<Scan> run() {
    Status status;
    while (status && at_ < object_.size()) {
      const auto packet = read_packet(object_, at_);
      status = packet ? take(*packet) : Status(tl::unexpected(packet.error()));
      at_ += kPacketBytes;
    }
    if (status && scan_.whole_bytes < object_.size()) {
      status = base::fail(Errc::kTruncated, "the last fragment is cut off",
                          static_cast<int64_t>(scan_.whole_bytes));
    }
    if (scan_.fragments.empty()) {
      if (status) status = base::fail(Errc::kTruncated, "nothing recorded: the object is empty", 0);
      return tl::unexpected(std::move(status.error()));
    }
    if (!status) scan_.stopped = std::move(status.error());
    set_durations();
    return std::move(scan_);
  }

 private:
  Status take(const Packet& packet) {
    if (!inside_) {
      if (packet.pid != kPatPid || !packet.start) {
        return base::fail(Errc::kMalformed, "a fragment that does not begin with a PAT",
                          static_cast<int64_t>(packet.offset));
      }
      inside_ = true;
      fragment_ = {};
      fragment_.offset = packet.offset;
    }
    if (packet.pid == kNullPid) {
      fragment_.starts_chunk = !packet.payload.empty() && packet.payload.front() == kChunkMark;
      if (Status same = check_sum(packet); !same) return same;
      return end_fragment(packet.offset + kPacketBytes);
    }
    if (packet.pid == kPatPid) {
      if (Status status = check_counter(packet, 0); !status) return status;
      return read_table(packet, read_pat);
    }
    if (packet.pid == programs_.pmt) {
      if (Status status = check_counter(packet, 1); !status) return status;
      return read_table(packet, read_pmt);
    }
    const bool video = packet.pid == programs_.video;
    if (!video && packet.pid != programs_.audio) return {};
    if (Status status = check_counter(packet, video ? 2 : 3); !status) return status;
    PesBuffer& pes = video ? video_pes_ : audio_pes_;
    if (packet.start) {
      if (Status status = end_pes(video); !status) return status;
      pes.open = true;
      pes.random_access = packet.random_access;
      pes.offset = packet.offset;
    }
    if (!pes.open && packet.has_payload) {
      return base::fail(Errc::kMalformed, "a packet in the middle of a PES packet",
                        static_cast<int64_t>(packet.offset));
    }
    pes.bytes.insert(pes.bytes.end(), packet.payload.begin(), packet.payload.end());
    return {};
  }

  // `closing`: the null packet that ends the fragment.
  Status check_sum(const Packet& closing) {
    ByteReader in(closing.payload);
    in.u8();
    const bool there = in.remaining() >= kChecksumMark.size() &&
                       base::as_text(in.bytes(kChecksumMark.size())) == kChecksumMark;
    if (!there && !checked_) return {};
    checked_ = true;
    const size_t start = static_cast<size_t>(fragment_.offset);
    const size_t end = static_cast<size_t>(closing.offset) + kPacketBytes - closing.payload.size() + 1;
    if (there && in.u32() == base::crc32c(0, object_.subspan(start, end - start))) return {};
    return base::fail(Errc::kTruncated, "a fragment is not what was written (checksum)",
                      static_cast<int64_t>(fragment_.offset));
  }

  Status read_table(const Packet& packet, Status (*read)(const Packet&, Programs&)) {
    const Programs before = programs_;
    Status status = read(packet, programs_);
    // An object belongs to one run, whose tracks are fixed.
    const bool known = before.video != kNullPid || before.audio != kNullPid;
    if (status && known && programs_ != before) {
      return base::fail(Errc::kMalformed, "the tracks change", static_cast<int64_t>(packet.offset));
    }
    return status;
  }

  // 2.4.3.3: one more in each packet with payload.
  Status check_counter(const Packet& packet, size_t stream) {
    if (!packet.has_payload) return {};
    std::optional<uint8_t>& expected = counters_[stream];
    if (expected && *expected != packet.counter) {
      return base::fail(Errc::kMalformed, "packets are missing (continuity counter)",
                        static_cast<int64_t>(packet.offset));
    }
    expected = (packet.counter + 1) & 0xF;
    return {};
  }

  Status end_fragment(uint64_t end) {
    for (const bool video : {true, false}) {
      if (Status status = end_pes(video); !status) return status;
    }
    inside_ = false;
    fragment_.size_bytes = end - fragment_.offset;
    scan_.fragments.push_back(std::move(fragment_));
    scan_.whole_bytes = end;
    return {};
  }

  Status end_pes(bool video) {
    PesBuffer& buffer = video ? video_pes_ : audio_pes_;
    if (!buffer.open) return {};
    buffer.open = false;
    const auto pes = parse_pes(buffer);
    Status status = !pes    ? Status(tl::unexpected(pes.error()))
                    : video ? add_picture(*pes, buffer)
                            : add_sound(*pes, buffer);
    buffer.bytes.clear();
    return status;
  }

  Status add_picture(const PesPacket& pes, const PesBuffer& buffer) {
    ScannedSample sample;
    sample.offset = buffer.offset;
    sample.dts = unwrap(pes.dts, near_);
    sample.pts = unwrap(pes.pts, sample.dts);
    sample.key = buffer.random_access;
    std::vector<ByteView> sps;
    std::vector<ByteView> pps;
    size_t size = 0;
    h264::for_each_annexb_nal(pes.payload, [&](ByteView nal) {
      const h264::NalType type = h264::nal_type(nal);
      if (type == h264::NalType::kIdr) sample.key = true;
      if (!is_rewritten_nal(nal)) size += 4 + nal.size();
      if (scan_.video) return;
      if (type == h264::NalType::kSps) sps.push_back(nal);
      if (type == h264::NalType::kPps) pps.push_back(nal);
    });
    sample.size_bytes = static_cast<uint32_t>(size);
    fragment_.video.push_back(sample);
    if (scan_.video || sps.empty() || pps.empty()) return {};
    const auto parsed = h264::parse_sps(sps.front());
    const auto avcc = h264::build_avcc(sps, pps);
    if (!parsed || !avcc) {
      Error error = std::move(parsed ? Error(avcc.error()) : Error(parsed.error())).in("parameter sets");
      error.offset = static_cast<int64_t>(buffer.offset);
      return tl::unexpected(std::move(error));
    }
    auto config = std::make_shared<TrackConfig>();
    config->codec = Codec::kH264;
    config->clock_rate = kClockRate;
    config->codec_private = *avcc;
    config->codec_string = parsed->codec_string();
    config->width = parsed->width;
    config->height = parsed->height;
    scan_.video = std::move(config);
    return {};
  }

  Status add_sound(const PesPacket& pes, const PesBuffer& buffer) {
    const int64_t first = unwrap(pes.pts, near_);
    std::optional<aac::AudioSpecificConfig> found;
    Status status =
        for_each_adts_frame(pes.payload, buffer.offset, [&](const aac::AdtsFrame& frame, int64_t ticks) {
          if (!found) found = frame.config;
          ScannedSample sample;
          sample.offset = buffer.offset;
          sample.size_bytes = static_cast<uint32_t>(frame.payload.size());
          sample.dts = sample.pts = plus(first, ticks);
          sample.key = true;
          fragment_.audio.push_back(sample);
          return true;
        });
    if (!status || scan_.audio || !found) return status;
    const auto made = aac::make_track_config(aac::write_config(*found));
    if (!made) {
      Error error = Error(made.error()).in("ADTS");
      error.offset = static_cast<int64_t>(buffer.offset);
      return tl::unexpected(std::move(error));
    }
    auto config = std::make_shared<TrackConfig>(**made);
    config->clock_rate = kClockRate;
    scan_.audio = std::move(config);
    return {};
  }

  void set_durations() {
    for (auto list : {&ScannedFragment::video, &ScannedFragment::audio}) {
      ScannedSample* before = nullptr;
      for (ScannedFragment& fragment : scan_.fragments) {
        for (ScannedSample& sample : fragment.*list) {
          const uint64_t step =
              before ? static_cast<uint64_t>(sample.dts) - static_cast<uint64_t>(before->dts) : 0;
          if (before && step < uint64_t{1} << 32) before->duration = static_cast<uint32_t>(step);
          before = &sample;
        }
      }
    }
  }

  ByteView object_;
  int64_t near_;
  uint64_t at_ = 0;
  bool checked_ = false;  // a fragment had a checksum: all that follow must
  bool inside_ = false;
  Programs programs_;
  std::array<std::optional<uint8_t>, 4> counters_;
  PesBuffer video_pes_;
  PesBuffer audio_pes_;
  ScannedFragment fragment_;
  Scan scan_;
};

}  // namespace

Result<Scan> scan_mpegts(ByteView object, int64_t near_epoch_90k) {
  return Scanner(object, near_epoch_90k).run();
}

Result<ByteVector> extract_sample(ByteView object, const ScannedSample& sample, Codec codec) {
  const auto malformed = [&](std::string text) {
    return base::fail(Errc::kMalformed, std::move(text), static_cast<int64_t>(sample.offset));
  };
  PesBuffer buffer;
  buffer.offset = sample.offset;
  uint16_t pid = kNullPid;
  for (uint64_t at = sample.offset; at < object.size(); at += kPacketBytes) {
    const auto packet = read_packet(object, at);
    if (!packet) return tl::unexpected(packet.error());
    if (!buffer.open) {
      if (!packet->start) return malformed("no PES packet begins here");
      pid = packet->pid;
      buffer.open = true;
    } else if (packet->pid == kNullPid || (packet->pid == pid && packet->start)) {
      break;
    }
    if (packet->pid == pid) {
      buffer.bytes.insert(buffer.bytes.end(), packet->payload.begin(), packet->payload.end());
    }
  }
  const auto pes = parse_pes(buffer);
  if (!pes) return tl::unexpected(pes.error());
  ByteVector out;
  if (codec == Codec::kH264) {
    base::ByteWriter writer(out);
    out.reserve(sample.size_bytes);
    h264::for_each_annexb_nal(pes->payload, [&](ByteView nal) {
      if (is_rewritten_nal(nal)) return;
      writer.u32(nal.size());
      writer.bytes(nal);
    });
  } else if (codec == Codec::kAac) {
    const int64_t ticks = unwrap(static_cast<uint64_t>(sample.pts) - pes->pts, 0);
    Status status = for_each_adts_frame(pes->payload, sample.offset,
                                        [&](const aac::AdtsFrame& frame, int64_t since_first) {
                                          if (since_first != ticks) return true;
                                          out.assign(frame.payload.begin(), frame.payload.end());
                                          return false;
                                        });
    if (!status) return tl::unexpected(status.error());
  } else {
    return base::fail(Errc::kUnsupported,
                      "MPEG-TS objects hold H.264 and AAC, not " + std::string(name_of(codec)));
  }
  if (out.size() != sample.size_bytes) return malformed("the sample is not the one that was scanned");
  return out;
}

}  // namespace miharu::media
