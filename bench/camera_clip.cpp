#include "camera_clip.h"

#include <memory>

#include <fmt/format.h>

extern "C" {
#include <libavformat/avformat.h>
}

namespace miharu::bench {
namespace {

using base::ByteVector;
using base::ByteView;
using base::ByteWriter;
using base::Errc;

constexpr size_t kMaxPayload = 1400;
constexpr uint8_t kPayloadType = 96;  // of the first track; the second has one more

ByteView view(const uint8_t* data, int size) {
  return {reinterpret_cast<const std::byte*>(data), static_cast<size_t>(size)};
}

void add_packet(ClipFrame& frame, size_t track, bool marker, ByteView head, ByteView payload) {
  frame.packets.push_back(static_cast<uint32_t>(frame.bytes.size()));
  ByteWriter out(frame.bytes);
  out.u8('$');
  out.u8(2 * track);
  out.u16(12 + head.size() + payload.size());
  out.u8(0x80);
  out.u8((marker ? 0x80U : 0U) | (kPayloadType + track));
  out.zeros(6);  // sequence number, timestamp
  out.u32(0x6d696800 + track);
  out.bytes(head);
  out.bytes(payload);
}

// RFC 6184 sections 5.6 and 5.8: single NAL units and FU-A.
void add_nal(ClipFrame& frame, size_t track, ByteView nal, bool last) {
  if (nal.size() <= kMaxPayload) return add_packet(frame, track, last, {}, nal);
  const auto header = std::to_integer<uint8_t>(nal[0]);
  for (size_t at = 1; at < nal.size(); at += kMaxPayload - 2) {
    const ByteView part = nal.subspan(at, std::min(kMaxPayload - 2, nal.size() - at));
    const bool end = at + part.size() == nal.size();
    const std::byte head[2] = {
        static_cast<std::byte>((header & 0x60) | 28),
        static_cast<std::byte>((at == 1 ? 0x80 : 0) | (end ? 0x40 : 0) | (header & 0x1f))};
    add_packet(frame, track, last && end, head, part);
  }
}

// The parameter sets of an AVCDecoderConfigurationRecord (ISO/IEC 14496-15 section 5.3.3).
std::vector<ByteView> parameter_sets(ByteView record) {
  base::ByteReader in(record);
  in.skip(5);
  std::vector<ByteView> sets;
  for (const unsigned mask : {0x1fU, 0xffU}) {
    const unsigned count = in.u8() & mask;
    for (unsigned i = 0; i < count && in.ok(); ++i) sets.push_back(in.bytes(in.u16()));
  }
  return in.ok() ? sets : std::vector<ByteView>{};
}

std::string describe(const AVCodecParameters& codec, size_t track) {
  const auto type = kPayloadType + track;
  const ByteView extra = view(codec.extradata, codec.extradata_size);
  switch (codec.codec_id) {
    case AV_CODEC_ID_H264: {
      std::string sets;
      for (const ByteView set : parameter_sets(extra))
        sets += (sets.empty() ? "" : ",") + base::to_base64(set);
      if (sets.empty()) return {};
      return fmt::format(
          "m=video 0 RTP/AVP {0}\r\na=rtpmap:{0} H264/90000\r\na=fmtp:{0} packetization-mode=1;"
          "sprop-parameter-sets={1}\r\n",
          type, sets);
    }
    case AV_CODEC_ID_OPUS:
      return fmt::format("m=audio 0 RTP/AVP {0}\r\na=rtpmap:{0} opus/48000/2\r\n", type);
    case AV_CODEC_ID_AAC:
      return fmt::format(
          "m=audio 0 RTP/AVP {0}\r\na=rtpmap:{0} mpeg4-generic/{1}/{2}\r\na=fmtp:{0} streamtype=5;"
          "profile-level-id=1;mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;config={3}\r\n",
          type, codec.sample_rate, codec.ch_layout.nb_channels, base::to_hex(extra));
    default:
      return {};
  }
}

ClipFrame packetize(const AVCodecParameters& codec, const AVPacket& packet, size_t track) {
  ClipFrame frame;
  const ByteView data = view(packet.data, packet.size);
  if (codec.codec_id == AV_CODEC_ID_OPUS) {
    add_packet(frame, track, false, {}, data);
  } else if (codec.codec_id == AV_CODEC_ID_AAC) {
    const auto size = static_cast<unsigned>(packet.size) << 3;  // RFC 3640 section 3.3.6: 13 bits and index 0
    const std::byte head[4] = {std::byte{0}, std::byte{16}, static_cast<std::byte>(size >> 8),
                               static_cast<std::byte>(size)};
    add_packet(frame, track, true, head, data);
  } else {
    if (packet.flags & AV_PKT_FLAG_KEY) {
      for (const ByteView set : parameter_sets(view(codec.extradata, codec.extradata_size)))
        add_nal(frame, track, set, false);
    }
    base::ByteReader in(data);
    while (in.ok() && !in.empty()) {
      const ByteView nal = in.bytes(in.u32());
      if (!nal.empty()) add_nal(frame, track, nal, in.empty());
    }
  }
  return frame;
}

}  // namespace

base::Result<std::vector<ClipTrack>> read_clip(const std::string& path) {
  AVFormatContext* opened = nullptr;
  if (avformat_open_input(&opened, path.c_str(), nullptr, nullptr) != 0)
    return base::fail(Errc::kIo, path + " cannot be opened");
  const auto close = [](AVFormatContext* context) { avformat_close_input(&context); };
  const std::unique_ptr<AVFormatContext, decltype(close)> file(opened, close);
  if (avformat_find_stream_info(opened, nullptr) < 0)
    return base::fail(Errc::kMalformed, path + " is no clip");

  std::vector<ClipTrack> tracks(opened->nb_streams);
  for (size_t i = 0; i < tracks.size(); ++i) {
    const AVCodecParameters& codec = *opened->streams[i]->codecpar;
    tracks[i].sdp = describe(codec, i);
    tracks[i].clock_rate =
        codec.codec_type == AVMEDIA_TYPE_VIDEO ? 90'000 : static_cast<uint32_t>(codec.sample_rate);
    if (tracks[i].sdp.empty() || (codec.codec_type == AVMEDIA_TYPE_VIDEO) != (i == 0))
      return base::fail(Errc::kUnsupported, path + " must have H.264, then at most Opus or AAC");
  }
  const auto free_packet = [](AVPacket* packet) { av_packet_free(&packet); };
  const std::unique_ptr<AVPacket, decltype(free_packet)> packet(av_packet_alloc(), free_packet);
  while (av_read_frame(opened, packet.get()) == 0) {
    const auto index = static_cast<size_t>(packet->stream_index);
    tracks[index].frames.push_back(packetize(*opened->streams[index]->codecpar, *packet, index));
    av_packet_unref(packet.get());
  }
  for (size_t i = 0; i < tracks.size(); ++i) {
    ClipTrack& track = tracks[i];
    const AVStream& stream = *opened->streams[i];
    if (track.frames.empty()) return base::fail(Errc::kMalformed, path + " has a track without frames");
    // Even steps: containers round times to milliseconds, cameras do not.
    const int64_t step =
        i == 0 ? av_rescale(track.clock_rate, stream.avg_frame_rate.den, stream.avg_frame_rate.num)
        : stream.codecpar->codec_id == AV_CODEC_ID_AAC ? 1024
                                                       : track.clock_rate / 50;
    for (size_t k = 0; k < track.frames.size(); ++k) track.frames[k].ticks = static_cast<int64_t>(k) * step;
    track.length_ticks = static_cast<int64_t>(track.frames.size()) * step;
  }
  return tracks;
}

}  // namespace miharu::bench
