// The file that an export makes: of the samples of an object (byte 0 even: the rest is one, MPEG-TS where
// byte 0 says so), or of samples as the input invents them. What is written has the promised size, ends where
// its boxes say, and holds every sample where its tables say.
#include <cstdlib>

#include "media/mp4_file.h"
#include "media/muxer.h"
#include "media/scan.h"

namespace {

using namespace miharu;
using media::Mp4FileWriter;
using media::Mp4Sample;

constexpr uint64_t kMostWritten = 8 << 20;

media::TrackConfigPtr make_config(media::TrackKind kind, uint8_t choice, uint32_t rate) {
  auto config = std::make_shared<media::TrackConfig>();
  constexpr media::Codec kSound[] = {media::Codec::kAac, media::Codec::kOpus, media::Codec::kPcmu,
                                     media::Codec::kH264};
  config->codec =
      kind == media::TrackKind::kVideo && choice < 0xf0 ? media::Codec::kH264 : kSound[choice & 3];
  constexpr uint32_t kRates[] = {90000, 48000, 44100, 1, 8000, 0};
  config->clock_rate = (choice & 4) != 0 ? rate : kRates[(choice >> 3) % std::size(kRates)];
  config->sample_rate = (choice & 8) != 0 ? config->clock_rate : 48000;
  config->channels = 2;
  config->codec_private = base::ByteVector(11, static_cast<std::byte>(choice));
  config->width = choice;
  config->height = 16;
  return config;
}

// Follows the tables of the file: size, and the place of every sample.
void check_file(base::ByteView file) {
  base::ByteReader in(file);
  size_t boxes = 0;
  while (!in.empty()) {
    const uint64_t size = in.u32();
    const std::string_view type = base::as_text(in.bytes(4));
    constexpr std::string_view kOrder[] = {"ftyp", "moov", "mdat"};
    if (boxes == std::size(kOrder) || type != kOrder[boxes] || size < 8 || size - 8 > in.remaining())
      std::abort();
    in.skip(size - 8);
    ++boxes;
  }
  if (boxes != 3 || !in.ok()) std::abort();
}

void finish(Mp4FileWriter& writer, const Mp4FileWriter::Payload& payload) {
  const auto size = writer.prepare();
  if (!size) return;
  if (writer.video_frames() == 0) std::abort();
  if (*size > kMostWritten) return;
  base::ByteVector file;
  const auto written = writer.write(payload, [&](base::ByteView bytes) -> base::Status {
    file.insert(file.end(), bytes.begin(), bytes.end());
    return {};
  });
  if (!written || file.size() != *size) std::abort();
  check_file(file);
  // A scan of it ends in an error or a result: there are no fragments in it.
  (void)media::scan_fmp4(file);
}

void export_object(base::ByteView object, uint8_t choice) {
  const bool mpegts = (choice & 2) != 0;
  const auto scan =
      mpegts ? media::scan_mpegts(object, int64_t{161'550'000'000'000}) : media::scan_fmp4(object);
  if (!scan || !scan->video || scan->video->clock_rate == 0) return;
  // An interval somewhere in what the object says of its times.
  int64_t first = 0;
  for (const auto& fragment : scan->fragments) {
    if (fragment.video.empty()) continue;
    first = fragment.video.front().pts;
    break;
  }
  const int64_t seconds = first / scan->video->clock_rate;
  if (seconds > int64_t{1} << 32 || seconds < -(int64_t{1} << 32)) return;
  const auto from = base::UtcTime(base::seconds(seconds)) + base::milliseconds((choice >> 3) * 50 - 500);
  Mp4FileWriter writer(from, from + base::seconds(choice | 1),
                       (choice & 4) != 0 ? media::Mp4Gaps::kKept : media::Mp4Gaps::kClosed);
  for (uint32_t run = 0; run < 2; ++run) {
    writer.begin_run(scan->video, scan->audio);
    for (const auto& fragment : scan->fragments) {
      for (const auto& sample : fragment.video) writer.add_video({run, sample});
      for (const auto& sample : fragment.audio) writer.add_audio({run, sample});
    }
  }
  base::ByteVector extracted;
  finish(writer, [&](media::TrackKind kind, const Mp4Sample& sample) -> base::Result<base::ByteView> {
    if (!mpegts) return object.subspan(sample.scanned.offset, sample.scanned.size_bytes);
    const auto codec = kind == media::TrackKind::kVideo ? media::Codec::kH264 : media::Codec::kAac;
    auto bytes = media::extract_sample(object, sample.scanned, codec);
    if (!bytes) return tl::unexpected(bytes.error());
    extracted = std::move(*bytes);
    return base::ByteView(extracted);
  });
}

void export_invented(base::ByteView input, uint8_t choice) {
  base::ByteReader in(input);
  const auto from = base::UtcTime(base::milliseconds(static_cast<int32_t>(in.u32())));
  Mp4FileWriter writer(from, from + base::milliseconds(in.u16()),
                       (choice & 2) != 0 ? media::Mp4Gaps::kKept : media::Mp4Gaps::kClosed);
  writer.begin_run(make_config(media::TrackKind::kVideo, 0, 0), make_config(media::TrackKind::kAudio, 8, 0));
  int64_t times[2] = {};
  while (!in.empty() && in.ok()) {
    const uint8_t head = in.u8();
    if (head >= 0xf8) {
      const uint8_t video = in.u8();
      const uint8_t audio = in.u8();
      const uint32_t rate = in.u32();
      writer.begin_run((head & 1) != 0 ? make_config(media::TrackKind::kVideo, video, rate) : nullptr,
                       (head & 2) != 0 ? make_config(media::TrackKind::kAudio, audio, rate) : nullptr);
      continue;
    }
    int64_t& time = times[head & 1];
    if ((head & 2) != 0) {
      time = static_cast<int64_t>(in.u64());
    } else {
      // Wraps as the input likes.
      time = static_cast<int64_t>(static_cast<uint64_t>(time) + (in.u16() << (head >> 5)));
    }
    const auto offset = static_cast<int16_t>((head & 4) != 0 ? in.u16() : 0);
    Mp4Sample sample;
    sample.scanned.dts = time;
    sample.scanned.pts = static_cast<int64_t>(static_cast<uint64_t>(time) + static_cast<uint64_t>(offset));
    sample.scanned.size_bytes = in.u8();
    sample.scanned.duration = (head & 8) != 0 ? in.u32() : 0;
    sample.scanned.key = (head & 16) != 0;
    if ((head & 1) != 0) {
      writer.add_audio(sample);
    } else {
      writer.add_video(sample);
    }
  }
  static const base::ByteVector kPayload(256);
  finish(writer, [](media::TrackKind, const Mp4Sample& sample) -> base::Result<base::ByteView> {
    return base::ByteView(kPayload).first(sample.scanned.size_bytes);
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const base::ByteView input{reinterpret_cast<const std::byte*>(data + 1), size - 1};
  if ((data[0] & 1) == 0) {
    export_object(input, data[0]);
  } else {
    export_invented(input, data[0]);
  }
  return 0;
}
