// Sound that cannot be used as it is: what a recording cannot hold (G.711, Opus) becomes AAC-LC, what a
// browser does not take over WebRTC (AAC) becomes Opus.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "base/error.h"
#include "media/audio_encoder.h"
#include "media/av_handles.h"

namespace miharu::stream {

// G.711 of 8 kHz or 16 kHz becomes AAC at 16 kHz, Opus AAC at 48 kHz, AAC Opus; channels stay (one or two).
// One per run: when the source resets its clock, make another. Not thread-safe; any thread. Some 200 kB of
// memory, whatever comes in.
//
// Output pts count samples of the output rate from the zero of the input pts. Decoding the output gives each
// sample at the time at which it came in; the encoder's priming is taken out. Frames come out about 130 ms
// (G.711 to AAC) or 20 ms (AAC to Opus) late.
class AudioTranscoder {
 public:
  using Output = std::function<void(media::FramePtr)>;

  // kUnsupported for other codecs, rates and numbers of channels.
  static base::Result<std::unique_ptr<AudioTranscoder>> make(const media::TrackConfigPtr& input);

  [[nodiscard]] const media::TrackConfigPtr& config() const { return encoder_->config(); }

  // Holes of 20 ms to 1 s in the input pts become silence, overlaps are cut away, less is taken for jitter.
  // After a larger step, which is a reset that the caller should have handled, the output pts step too,
  // backwards as well.
  void push(const media::Frame& frame, const Output& output);
  // Gives what is still inside, the last frame filled up with silence. push() must not be called after it.
  void flush(const Output& output);

  // Input frames that could not be decoded, so that silence stands in their place.
  [[nodiscard]] uint64_t frames_failed() const { return frames_failed_; }

 private:
  AudioTranscoder() = default;
  base::Status open_decoder(const media::TrackConfig& input);
  base::Status open_resampler(AVSampleFormat format);
  base::Status decode(const media::Frame& frame, const Output& output);
  void put_silence(int64_t samples, const Output& output);
  void resample(const uint8_t* const* planes, int samples, const Output& output);
  void drain_resampler(const Output& output);
  void collect(const std::vector<float>& planar, size_t stride, size_t samples, const Output& output);
  void fill_up(const Output& output);

  media::AvPtr<AVCodecContext> decoder_;
  media::AvPtr<SwrContext> resampler_;
  media::AvPtr<AVPacket> packet_;
  media::AvPtr<AVFrame> decoded_;
  std::unique_ptr<media::AudioEncoder> encoder_;
  AVSampleFormat format_ = AV_SAMPLE_FMT_NONE;  // of what the decoder gives
  uint32_t input_rate_ = 0;
  size_t channels_ = 1;
  uint32_t clock_rate_ = 0;  // of the input's pts; of AAC with SBR not the rate of its samples

  std::optional<int64_t> input_end_;  // pts after the last input sample taken
  int64_t to_skip_ = 0;               // input samples that overlap what was taken before
  bool overlapping_ = false;          // the frame before was cut: the end of the overlap is no jitter
  std::vector<float> resampled_;      // planar; kept for its memory
  std::vector<float> collected_;      // planar, samples_per_frame() a channel
  size_t collected_samples_ = 0;
  int64_t output_position_ = 0;  // pts of the first collected sample
  base::SteadyTime arrival_{};
  uint64_t frames_failed_ = 0;
};

}  // namespace miharu::stream
