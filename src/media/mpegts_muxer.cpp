#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

#include "base/check.h"
#include "media/aac.h"
#include "media/h264.h"
#include "media/mpegts_packet.h"
#include "media/muxer.h"

namespace miharu::media {
namespace {

using base::ByteVector;
using base::ByteView;
using base::ByteWriter;
using namespace mpegts;

constexpr int64_t kClockRate = 90000;
// How far the system clock lies behind the decoding times: what a player buffers. Sound may be written that
// much after pictures of the same time (the key-frame fragment comes alone).
constexpr int64_t kPcrLead = kClockRate * 4 / 10;
constexpr int64_t kPcrInterval = kClockRate * 9 / 100;  // 2.7.2 asks for 100 ms
constexpr int64_t kMaxPcrFill = kClockRate;             // a longer hole is not filled
constexpr int64_t kMaxAudioGroup = kClockRate / 5;
constexpr size_t kMaxAudioGroupBytes = 32 * 1024;  // the PES length has 16 bits

void append_start_code(ByteVector& out, ByteView nal) {
  ByteWriter writer(out);
  writer.u32(1);
  writer.bytes(nal);
}

// A PES packet still to be cut into packets.
struct Pes {
  uint8_t stream_id = 0;
  int64_t pts = 0;
  int64_t dts = 0;
  std::optional<int64_t> pcr;
  bool random_access = false;
};

class MpegtsMuxer final : public Muxer {
 public:
  MpegtsMuxer(const TrackConfigPtr& video, const TrackConfigPtr& audio) {
    CHECK(video && video->codec == Codec::kH264);
    if (const auto avcc = h264::parse_avcc(video->codec_private)) {
      for (const ByteView nal : avcc->sps) append_start_code(parameter_sets_, nal);
      for (const ByteView nal : avcc->pps) append_start_code(parameter_sets_, nal);
    }
    if (audio) {
      CHECK(audio->codec == Codec::kAac);
      if (auto parsed = aac::parse_config(audio->codec_private)) audio_ = *parsed;
    }
    pat_ = make_section(0x00, 1, [](ByteWriter& out) {
      out.u16(1);  // program number
      out.u16(0xE000 | kPmtPid);
    });
    pmt_ = make_section(0x02, 1, [this](ByteWriter& out) {
      out.u16(0xE000 | kVideoPid);  // carries the PCR
      out.u16(0xF000);
      out.u8(kStreamTypeH264);
      out.u16(0xE000 | kVideoPid);
      out.u16(0xF000);
      if (audio_) {
        out.u8(kStreamTypeAdts);
        out.u16(0xE000 | kAudioPid);
        out.u16(0xF000);
      }
    });
  }

  ByteVector init() const override { return {}; }

  Fragment fragment(std::span<const Sample> video, std::span<const Sample> audio, bool chunk_start) override {
    CHECK(!video.empty() || !audio.empty());
    Fragment fragment;
    out_ = &fragment.head;
    size_t payload = 0;
    for (const Sample& sample : video) payload += sample.frame->data().size() + kPacketBytes * 2;
    for (const Sample& sample : audio) payload += sample.frame->data().size() + kPacketBytes;
    out_->reserve(payload + payload / 16 + 4 * kPacketBytes);
    write_section(kPatPid, pat_);
    write_section(kPmtPid, pmt_);
    if (!audio_) audio = {};
    // Also of a chunk without a key frame: an object that begins with it could not be recovered without them.
    sets_due_ = chunk_start;
    while (!video.empty() || !audio.empty()) {
      if (audio.empty() || (!video.empty() && video.front().dts <= audio.front().dts)) {
        write_video(video.front());
        video = video.subspan(1);
      } else {
        write_audio(audio);
      }
    }
    if (covered_until_) fill_clock(*covered_until_);
    write_null_packet(chunk_start);
    out_ = nullptr;
    return fragment;
  }

 private:
  template <class WriteBody>
  static ByteVector make_section(uint8_t table_id, uint16_t id, WriteBody write_body) {
    ByteVector bytes;
    ByteWriter out(bytes);
    out.u8(0);  // pointer field: the section begins at once
    out.u8(table_id);
    out.u16(0);
    out.u16(id);
    out.u8(0xC1);  // version 0, current
    out.u16(0);
    write_body(out);
    const size_t length = bytes.size() - 4 + 4;
    bytes[2] = static_cast<std::byte>(0xB0 | length >> 8);
    bytes[3] = static_cast<std::byte>(length);
    out.u32(crc32(ByteView(bytes).subspan(1)));
    return bytes;
  }

  void write_header(uint16_t pid, bool start, bool adaptation, bool payload, uint8_t counter) {
    ByteWriter out(*out_);
    out.u8(kSyncByte);
    out.u16((start ? 0x4000U : 0U) | pid);
    out.u8((adaptation ? 0x20U : 0U) | (payload ? 0x10U : 0U) | (counter & 0xFU));
  }

  uint8_t next_counter(uint16_t pid) {
    const size_t index = pid == kPatPid ? 0 : pid == kPmtPid ? 1 : pid == kVideoPid ? 2 : 3;
    return counters_[index]++;
  }

  void write_section(uint16_t pid, const ByteVector& section) {
    write_header(pid, true, false, true, next_counter(pid));
    ByteWriter out(*out_);
    out.bytes(section);
    stuff(kPacketBytes - 4 - section.size());
  }

  // A null packet's payload means nothing to players: it tells a recovery where chunks begin, and what a
  // power cut tore.
  void write_null_packet(bool chunk_start) {
    write_header(kNullPid, false, false, true, 0);
    out_->push_back(chunk_start ? kChunkMark : std::byte{0xFF});
    const uint32_t crc = base::crc32c(0, *out_);
    ByteWriter out(*out_);
    out.text(kChecksumMark);
    out.u32(crc);
    stuff(kPacketBytes - 5 - kChecksumMark.size() - 4);
  }

  void stuff(size_t count) { out_->insert(out_->end(), count, std::byte{0xFF}); }

  void write_pcr(int64_t pcr) {
    const uint64_t base = static_cast<uint64_t>(pcr) & kTimestampMask;
    ByteWriter out(*out_);
    out.u32(base >> 1);
    out.u16((base & 1) << 15 | 0x7E00);  // extension 0
  }

  // Packets with nothing but the clock, so that none of its intervals before decoding time `until` is too
  // long.
  void fill_clock(int64_t until) {
    if (!last_pcr_) return;
    const int64_t end = until - kPcrLead;
    if (end - *last_pcr_ > kMaxPcrFill) return;
    while (end - *last_pcr_ > kPcrInterval) {
      *last_pcr_ += kPcrInterval;
      // Without payload the counter stays (2.4.3.3).
      write_header(kVideoPid, false, true, false, static_cast<uint8_t>(counters_[2] - 1));
      ByteWriter out(*out_);
      out.u8(kPacketBytes - 5);
      out.u8(0x10);
      write_pcr(*last_pcr_);
      stuff(kPacketBytes - 12);
    }
  }

  void write_video(const Sample& sample) {
    Pes pes{0xE0, to_ticks(sample.pts, kClockRate), to_ticks(sample.dts, kClockRate), {}, sample.frame->key};
    fill_clock(pes.dts);
    pes.pcr = pes.dts - kPcrLead;
    last_pcr_ = pes.pcr;
    covered_until_ = to_ticks(sample.end, kClockRate);
    payload_.clear();
    constexpr std::array kDelimiter{std::byte{0x09}, std::byte{0xF0}};
    append_start_code(payload_, kDelimiter);
    if (std::exchange(sets_due_, false) || sample.frame->key)
      payload_.insert(payload_.end(), parameter_sets_.begin(), parameter_sets_.end());
    base::ByteReader in(sample.frame->data());
    while (!in.empty()) {
      const ByteView nal = in.bytes(in.u32());
      if (!in.ok()) break;
      append_start_code(payload_, nal);
    }
    write_pes(kVideoPid, pes);
  }

  // One PES of the first frames, which are taken from `audio`.
  void write_audio(std::span<const Sample>& audio) {
    const int64_t pts = to_ticks(audio.front().pts, kClockRate);
    fill_clock(pts);
    payload_.clear();
    int64_t expected = pts;
    while (!audio.empty()) {
      const Sample& sample = audio.front();
      const ByteView data = sample.frame->data();
      const int64_t time = to_ticks(sample.pts, kClockRate);
      const int64_t end = to_ticks(sample.end, kClockRate);
      // Only the first frame of a PES has a time: one that does not follow it closely needs a PES of its own.
      const bool follows = time - expected < kClockRate / 100 && expected - time < kClockRate / 100;
      const bool full = end - pts > kMaxAudioGroup || payload_.size() + data.size() > kMaxAudioGroupBytes;
      if (!payload_.empty() && (full || !follows)) break;
      audio = audio.subspan(1);
      if (data.empty() || data.size() + aac::kAdtsHeaderBytes > aac::kMaxAdtsFrameBytes) continue;
      aac::append_adts_header(payload_, *audio_, data.size());
      payload_.insert(payload_.end(), data.begin(), data.end());
      expected = end;
    }
    if (!payload_.empty()) write_pes(kAudioPid, {0xC0, pts, pts, {}, true});
  }

  static void write_timestamp(ByteWriter& out, uint8_t prefix, int64_t time) {
    const uint64_t value = static_cast<uint64_t>(time) & kTimestampMask;
    out.u8(static_cast<uint64_t>(prefix) << 4 | value >> 30 << 1 | 1);
    out.u16((value >> 15 & 0x7FFF) << 1 | 1);
    out.u16((value & 0x7FFF) << 1 | 1);
  }

  // Cuts header and payload_ into packets.
  void write_pes(uint16_t pid, const Pes& pes) {
    ByteVector& head = pes_head_;
    head.clear();
    ByteWriter writer(head);
    const bool reordered = pes.dts != pes.pts;
    const uint8_t timestamps_bytes = reordered ? 10 : 5;
    const size_t length = payload_.size() + 3 + timestamps_bytes;
    writer.u24(1);
    writer.u8(pes.stream_id);
    writer.u16(length <= std::numeric_limits<uint16_t>::max() ? length : 0);  // 0: up to the next one
    writer.u8(0x84);                                                          // data alignment
    writer.u8(reordered ? 0xC0 : 0x80);
    writer.u8(timestamps_bytes);
    write_timestamp(writer, reordered ? 3 : 2, pes.pts);
    if (reordered) write_timestamp(writer, 1, pes.dts);

    const size_t total = head.size() + payload_.size();
    for (size_t at = 0; at < total;) {
      const bool first = at == 0;
      const size_t fields = first && (pes.pcr || pes.random_access) ? 2 + (pes.pcr ? 6U : 0U) : 0;
      const size_t room = kPacketBytes - 4 - fields;
      const size_t take = std::min(room, total - at);
      const size_t stuffing = room - take;
      const bool adaptation = fields > 0 || stuffing > 0;
      write_header(pid, first, adaptation, true, next_counter(pid));
      ByteWriter out(*out_);
      if (adaptation) {
        const size_t adaptation_bytes = fields + stuffing;
        out.u8(adaptation_bytes - 1);
        if (adaptation_bytes > 1) {
          out.u8(first ? (pes.random_access ? 0x40U : 0U) | (pes.pcr ? 0x10U : 0U) : 0U);
          if (first && pes.pcr) write_pcr(*pes.pcr);
          stuff(fields > 0 ? stuffing : stuffing - 2);
        }
      }
      const size_t from_head = at < head.size() ? std::min(take, head.size() - at) : 0;
      out.bytes(ByteView(head).subspan(std::min(at, head.size()), from_head));
      const size_t payload_at = at + from_head - head.size();
      out.bytes(ByteView(payload_).subspan(payload_at, take - from_head));
      at += take;
    }
  }

  std::optional<aac::AudioSpecificConfig> audio_;
  ByteVector parameter_sets_;
  bool sets_due_ = false;
  ByteVector pat_;
  ByteVector pmt_;
  std::array<uint8_t, 4> counters_{};
  std::optional<int64_t> last_pcr_;
  std::optional<int64_t> covered_until_;  // decoding time up to which pictures were written
  ByteVector payload_;
  ByteVector pes_head_;
  ByteVector* out_ = nullptr;  // of the fragment being made
};

}  // namespace

std::unique_ptr<Muxer> make_mpegts_muxer(const TrackConfigPtr& video, const TrackConfigPtr& audio) {
  return std::make_unique<MpegtsMuxer>(video, audio);
}

}  // namespace miharu::media
