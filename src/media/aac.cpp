#include "media/aac.h"

#include <algorithm>
#include <array>

namespace miharu::media::aac {
namespace {

using base::BitReader;
using base::Errc;
using base::fail;

constexpr std::array<uint32_t, 13> kSampleRates = {96000, 88200, 64000, 48000, 44100, 32000, 24000,
                                                   22050, 16000, 12000, 11025, 8000,  7350};
constexpr std::array<uint8_t, 16> kChannels = {0, 1, 2, 3, 4, 5, 6, 8, 0, 0, 0, 7, 8, 0, 8, 0};
constexpr uint8_t kNoIndex = 15;

uint8_t rate_index(uint32_t sample_rate) {
  const auto found = std::find(kSampleRates.begin(), kSampleRates.end(), sample_rate);
  return found == kSampleRates.end() ? kNoIndex : static_cast<uint8_t>(found - kSampleRates.begin());
}

uint8_t read_object_type(BitReader& in) {
  const uint32_t type = in.bits(5);
  return static_cast<uint8_t>(type == 31 ? 32 + in.bits(6) : type);
}

uint32_t read_sample_rate(BitReader& in) {
  const uint32_t index = in.bits(4);
  if (index == kNoIndex) return in.bits(24);
  return index < kSampleRates.size() ? kSampleRates[index] : 0;
}

// Of a GASpecificConfig or, for 39, an ELDSpecificConfig: both begin with frameLengthFlag.
uint32_t samples_of(uint8_t object_type, bool short_frames) {
  if (object_type == 23 || object_type == 39) return short_frames ? 480 : 512;
  return short_frames ? 960 : 1024;
}

class BitWriter {
 public:
  explicit BitWriter(base::ByteVector& out) : out_(out) {}
  void bits(uint32_t value, unsigned count) {
    while (count-- > 0) {
      if (used_ == 0) out_.push_back(std::byte{0});
      out_.back() |= static_cast<std::byte>((value >> count & 1) << (7 - used_));
      used_ = (used_ + 1) % 8;
    }
  }

 private:
  base::ByteVector& out_;
  unsigned used_ = 0;
};

}  // namespace

std::string AudioSpecificConfig::codec_string() const {
  return "mp4a.40." + std::to_string(object_type);
}

base::Result<AudioSpecificConfig> parse_config(base::ByteView bytes) {
  BitReader in(bytes);
  AudioSpecificConfig config;
  config.object_type = read_object_type(in);
  config.sample_rate = read_sample_rate(in);
  config.channel_configuration = static_cast<uint8_t>(in.bits(4));
  if (config.object_type == 5 || config.object_type == 29) {
    read_sample_rate(in);
    config.object_type = read_object_type(in);
  }
  const bool short_frames = in.bit();
  if (!in.ok())
    return fail(Errc::kTruncated, "AAC configuration is too short", static_cast<int64_t>(bytes.size()));
  const bool nested = config.object_type == 5 || config.object_type == 29;
  if (config.object_type == 0 || nested || config.sample_rate == 0 || config.sample_rate > 96000) {
    return fail(Errc::kMalformed, "AAC configuration has no valid object type or sample rate", 0);
  }
  config.channels = kChannels[config.channel_configuration];
  config.samples_per_frame = samples_of(config.object_type, short_frames);
  return config;
}

base::ByteVector write_config(const AudioSpecificConfig& config) {
  base::ByteVector out;
  BitWriter writer(out);
  if (config.object_type >= 32) {
    writer.bits(31, 5);
    writer.bits(config.object_type - 32U, 6);
  } else {
    writer.bits(config.object_type, 5);
  }
  const uint8_t index = rate_index(config.sample_rate);
  writer.bits(index, 4);
  if (index == kNoIndex) writer.bits(config.sample_rate, 24);
  writer.bits(config.channel_configuration, 4);
  writer.bits(config.samples_per_frame == 480 || config.samples_per_frame == 960 ? 1 : 0, 1);
  writer.bits(0, 2);  // dependsOnCoreCoder, extensionFlag
  return out;
}

base::Result<AudioSpecificConfig> make_config(uint32_t sample_rate, uint32_t channels) {
  if (rate_index(sample_rate) == kNoIndex) return fail(Errc::kUnsupported, "AAC has no such sample rate");
  if (channels == 0 || channels > 8 || channels == 7)
    return fail(Errc::kUnsupported, "AAC has no such channel layout");
  AudioSpecificConfig config;
  config.sample_rate = sample_rate;
  config.channels = channels;
  config.channel_configuration = static_cast<uint8_t>(channels == 8 ? 7 : channels);
  return config;
}

base::Result<TrackConfigPtr> make_track_config(base::ByteView bytes) {
  const auto parsed = parse_config(bytes);
  if (!parsed) return tl::unexpected(parsed.error());
  if (parsed->object_type > 4 && parsed->object_type != 23 && parsed->object_type != 39) {
    return fail(Errc::kUnsupported,
                "AAC object type " + std::to_string(parsed->object_type) + " is not supported");
  }
  TrackConfig config;
  config.codec = Codec::kAac;
  config.clock_rate = parsed->sample_rate;
  config.codec_private.assign(bytes.begin(), bytes.end());
  config.codec_string = parsed->codec_string();
  config.sample_rate = parsed->sample_rate;
  // Without a channel configuration a program config element says it: nearly always two.
  config.channels = parsed->channels == 0 ? 2 : parsed->channels;
  return std::make_shared<const TrackConfig>(std::move(config));
}

bool looks_like_adts(base::ByteView bytes) {
  return bytes.size() >= kAdtsHeaderBytes && bytes[0] == std::byte{0xff} &&
         (bytes[1] & std::byte{0xf6}) == std::byte{0xf0};
}

// syncword:12 ID:1 layer:2 protection_absent:1 profile:2 sampling_frequency_index:4 private_bit:1
// channel_configuration:3 original_copy:1 home:1 copyright:2 frame_length:13 buffer_fullness:11 blocks:2
base::Result<AdtsFrame> parse_adts(base::ByteView bytes) {
  if (bytes.size() < kAdtsHeaderBytes) return fail(Errc::kTruncated, "ADTS header is cut off", 0);
  if (!looks_like_adts(bytes)) return fail(Errc::kMalformed, "no ADTS sync word", 0);
  BitReader in(bytes);
  in.skip(15);
  const bool protection_absent = in.bit();
  AdtsFrame frame;
  frame.config.object_type = static_cast<uint8_t>(in.bits(2) + 1);
  const uint32_t index = in.bits(4);
  in.skip(1);
  frame.config.channel_configuration = static_cast<uint8_t>(in.bits(3));
  in.skip(4);
  frame.size_bytes = in.bits(13);
  in.skip(11);
  const uint32_t blocks = in.bits(2) + 1;
  if (index >= kSampleRates.size())
    return fail(Errc::kMalformed, "ADTS header has a reserved sample rate", 2);
  frame.config.sample_rate = kSampleRates[index];
  frame.config.channels = kChannels[frame.config.channel_configuration];
  if (blocks != 1) return fail(Errc::kUnsupported, "ADTS frame with several raw data blocks", 6);
  const size_t header = protection_absent ? kAdtsHeaderBytes : kAdtsHeaderBytes + 2;
  if (frame.size_bytes < header) return fail(Errc::kMalformed, "ADTS frame is shorter than its header", 3);
  if (frame.size_bytes > bytes.size()) return fail(Errc::kTruncated, "ADTS frame is cut off", 3);
  frame.payload = bytes.subspan(header, frame.size_bytes - header);
  return frame;
}

void append_adts_header(base::ByteVector& out, const AudioSpecificConfig& config, size_t payload_bytes) {
  BitWriter writer(out);
  const size_t size = std::min(payload_bytes + kAdtsHeaderBytes, kMaxAdtsFrameBytes);
  const uint8_t index = rate_index(config.sample_rate);
  writer.bits(0xfff1, 16);  // MPEG-4, layer 0, no CRC
  writer.bits(config.object_type >= 1 && config.object_type <= 4 ? config.object_type - 1U : 1, 2);
  writer.bits(index == kNoIndex ? 4 : index, 4);
  writer.bits(0, 1);
  writer.bits(config.channel_configuration & 7U, 3);
  writer.bits(0, 4);
  writer.bits(static_cast<uint32_t>(size), 13);
  writer.bits(0x7ff, 11);  // variable bit rate
  writer.bits(0, 2);
}

}  // namespace miharu::media::aac
