// Made-up recordings, and FFmpeg as the independent judge, for the tests of the containers.
#pragma once

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/file.h"
#include "media/aac.h"
#include "media/h264.h"
#include "media/mp4_file.h"
#include "media/muxer.h"
#include "media/scan.h"
#include "support/data_path.h"

namespace miharu::media::testing {

using base::ByteVector;
using base::ByteView;
using base::UtcTime;
using namespace std::chrono_literals;

inline const UtcTime kStart = UtcTime(base::seconds(1'795'000'000)) + 123'456'789ns;

inline ByteVector read_data(const std::string& name) {
  auto bytes = base::read_file(test::data_path("media/" + std::string(name)), 1 << 20);
  EXPECT_TRUE(bytes) << name;
  return bytes ? *bytes : ByteVector{};
}

inline TrackConfigPtr video_config() {
  static const TrackConfigPtr config = [] {
    h264::ParameterSets sets;
    const ByteVector stream = read_data("h264-blackframe.264");
    for (const ByteView nal : h264::split_annexb(stream)) sets.add(nal);
    return sets.config(0, 90000);
  }();
  return config;
}

inline TrackConfigPtr audio_config() {
  static const TrackConfigPtr config =
      *aac::make_track_config(aac::write_config(*aac::make_config(48000, 2)));
  return config;
}

inline FramePtr make_frame(const TrackConfigPtr& config, ByteView payload, bool key) {
  FrameBuilder builder;
  builder.append(payload);
  FrameBuilder::Stamp stamp;
  stamp.config = config;
  stamp.key = key;
  return builder.finish(std::move(stamp));
}

struct Stream {
  std::vector<Sample> video;
  std::vector<Sample> audio;
};

// Pictures in the order I P B P B ... with GOPs of `gop`, at a frame time that is no whole number of ticks.
inline Stream make_stream(size_t pictures, size_t gop, bool reordered, size_t picture_bytes = 300,
                          UtcTime start = kStart) {
  constexpr auto kFrameTime = 33'366'667ns;
  Stream stream;
  for (size_t i = 0; i < pictures; ++i) {
    const bool key = i % gop == 0;
    const size_t bytes = key ? picture_bytes * 3 : picture_bytes + i % 7;
    ByteVector payload;
    base::ByteWriter out(payload);
    out.u32(bytes);
    out.u8(key ? 0x65 : 0x41);
    for (size_t at = 1; at < bytes; ++at) out.u8(1 + (at * 7 + i) % 255);
    const auto dts = start + i * kFrameTime;
    // Key: one frame late; pairs behind it are swapped.
    size_t delay = reordered ? 1 : 0;
    if (reordered && !key && i + 1 < pictures && (i + 1) % gop != 0) delay = (i % gop) % 2 == 1 ? 2 : 0;
    stream.video.push_back(
        {make_frame(video_config(), payload, key), dts, dts + delay * kFrameTime, dts + kFrameTime});
  }
  const auto end = stream.video.back().end;
  const auto audio_time = [&](size_t i) {
    return start + base::nanoseconds(static_cast<int64_t>(i) * 1024 * 1'000'000'000 / 48000);
  };
  for (size_t i = 0; audio_time(i) < end; ++i) {
    ByteVector payload(20 + i % 11, static_cast<std::byte>(1 + i % 255));
    stream.audio.push_back(
        {make_frame(audio_config(), payload, true), audio_time(i), audio_time(i), audio_time(i + 1)});
  }
  return stream;
}

inline ByteVector bytes_of(const Fragment& fragment) {
  ByteVector bytes = fragment.head;
  for (const FramePtr& frame : fragment.payloads)
    bytes.insert(bytes.end(), frame->data().begin(), frame->data().end());
  EXPECT_EQ(bytes.size(), fragment.size_bytes());
  return bytes;
}

// As a recorder does it: key frames alone, the rest in fragments of up to `most` pictures with their sound.
inline ByteVector make_object(Muxer& muxer, const Stream& stream, size_t most = 15) {
  ByteVector object = muxer.init();
  std::span<const Sample> video = stream.video;
  std::span<const Sample> audio = stream.audio;
  while (!video.empty()) {
    const bool key = video.front().frame->key;
    size_t count = 1;
    while (!key && count < most && count < video.size() && !video[count].frame->key) ++count;
    const UtcTime end = video[count - 1].end;
    size_t sounds = 0;
    const bool last = count == video.size();
    while (last ? sounds < audio.size() : !key && sounds < audio.size() && audio[sounds].dts < end) ++sounds;
    const ByteVector bytes = bytes_of(muxer.fragment(video.first(count), audio.first(sounds), key));
    object.insert(object.end(), bytes.begin(), bytes.end());
    video = video.subspan(count);
    audio = audio.subspan(sounds);
  }
  return object;
}

inline std::vector<ScannedSample> all_samples(const Scan& scan, TrackKind kind) {
  std::vector<ScannedSample> all;
  for (const ScannedFragment& fragment : scan.fragments) {
    const auto& list = kind == TrackKind::kVideo ? fragment.video : fragment.audio;
    all.insert(all.end(), list.begin(), list.end());
  }
  return all;
}

// A directory for one test, gone with it.
class TempDirectory {
 public:
  TempDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "miharu-test-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  TempDirectory(const TempDirectory&) = delete;
  TempDirectory& operator=(const TempDirectory&) = delete;
  ~TempDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] std::string file(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

// What the command prints, with its errors; its exit status when that is not 0.
inline std::string run(const std::string& command) {
  std::string text;
  FILE* pipe = ::popen(("(" + command + ") 2>&1 </dev/null").c_str(), "r");
  if (!pipe) return "cannot start " + command;
  char buffer[4096];
  while (const size_t count = std::fread(buffer, 1, sizeof buffer, pipe)) text.append(buffer, count);
  const int status = ::pclose(pipe);
  if (status != 0) text += " (status " + std::to_string(status) + ": are ffmpeg and ffprobe installed?)";
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

// "" when FFmpeg decodes the file without a word.
inline std::string ffmpeg_complaints(const std::string& file) {
  return run("ffmpeg -nostdin -v warning -xerror -i '" + file + "' -f null -");
}
inline std::string count_frames(const std::string& file, const std::string& stream) {
  return run("ffprobe -v error -count_frames -select_streams " + stream +
             " -show_entries stream=nb_read_frames -of csv=p=0 '" + file +
             "' | tr -d ',' | grep . | head -1");
}

struct Encoded {
  TrackConfigPtr video;
  TrackConfigPtr audio;
  Stream stream;
};

// 4 s of H.264 with B-frames and AAC from FFmpeg, placed at `start`.
inline Encoded encode(const TempDirectory& directory, const std::string& size = "320x180",
                      UtcTime start = kStart) {
  const std::string file = directory.file("source-" + size + ".mp4");
  EXPECT_EQ(
      run("ffmpeg -nostdin -v error -y -f lavfi -i testsrc2=size=" + size +
          ":rate=30:duration=4 -f lavfi -i sine=duration=4:sample_rate=48000 -c:v libx264 -preset veryfast "
          "-g 30 -bf 2 -pix_fmt yuv420p -c:a aac -ac 2 -use_editlist 0 -movflags "
          "frag_keyframe+empty_moov+default_base_moof '" +
          file + "'"),
      "");
  Encoded encoded;
  const auto bytes = base::read_file(file, 1 << 24);
  const auto scan = bytes ? scan_fmp4(*bytes) : base::fail(base::Errc::kNotFound, "nothing encoded");
  EXPECT_TRUE(scan) << scan.error().to_string();
  if (!scan) return encoded;
  encoded.video = scan->video;
  encoded.audio = scan->audio;
  for (const TrackKind kind : {TrackKind::kVideo, TrackKind::kAudio}) {
    const TrackConfigPtr& config = kind == TrackKind::kVideo ? scan->video : scan->audio;
    if (!config) continue;
    const auto time = [&](int64_t ticks) {
      return start + base::nanoseconds(rescale_ticks(ticks, config->clock_rate, 1'000'000'000));
    };
    auto& out = kind == TrackKind::kVideo ? encoded.stream.video : encoded.stream.audio;
    for (const ScannedSample& sample : all_samples(*scan, kind)) {
      const ByteView payload = ByteView(*bytes).subspan(sample.offset, sample.size_bytes);
      out.push_back({make_frame(config, payload, sample.key), time(sample.dts), time(sample.pts),
                     time(sample.dts + sample.duration)});
    }
  }
  return encoded;
}

inline void write(const std::string& file, ByteView bytes) {
  std::ofstream(file, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

}  // namespace miharu::media::testing
