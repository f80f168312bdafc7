// A camera and the network to it: frames with their RTP times, as an ingest::Source hands them on.
#pragma once

#include <cmath>
#include <cstring>
#include <deque>
#include <functional>
#include <random>

#include "ingest/source.h"
#include "media/rtp.h"
#include "simulation/world.h"
#include "stream/clock_model.h"
#include "support/frames.h"

namespace miharu::simulation {

using base::milliseconds;
using base::seconds;

// What is known of a frame that was handed in. Its id is in the payload.
struct Taken {
  uint64_t id = 0;
  nanoseconds moment{};  // true time: of the picture, or of the first sample
  nanoseconds arrival{};
  bool decodable = false;  // a key frame of its session came before it, or it is one
  nanoseconds session{};   // when its session began
};

enum class Reports : uint8_t { kNone, kSane, kSince1900, kLocalTime, kStepping };

struct CameraOptions {
  uint64_t seed = 1;
  int64_t fps = 10;
  int64_t gop = 40;  // pictures
  bool b_frames = false;
  uint32_t sound_rate = 0;        // of AAC, as it is labelled; 0: no sound
  uint32_t true_sound_rate = 0;   // where the label is wrong (quirk P5)
  double ppm = 0;                 // of the camera's clock
  double ppm_of_temperature = 0;  // goes up and down with the day
  double sound_ppm = 0;           // of the sound's clock against the picture's
  milliseconds jitter{50};
  bool bursts = false;  // its cached group of pictures at PLAY
  Reports reports = Reports::kNone;
  milliseconds sound_batch{0};  // sound is sent so much at a time
};

struct Event {
  enum class Kind : uint8_t { kLost, kStall, kJump, kSoundStops } kind = Kind::kLost;
  nanoseconds at{};
  nanoseconds length{};  // kJump: how far
};

constexpr std::string_view kMagic = "simulate";

inline uint64_t id_of(const media::Frame& frame) {
  const size_t skip = frame.is_video() ? 5 : 0;
  uint64_t id = 0;
  if (frame.data().size() != skip + kMagic.size() + sizeof id) return 0;
  if (std::memcmp(frame.data().data() + skip, kMagic.data(), kMagic.size()) != 0) return 0;
  std::memcpy(&id, frame.data().data() + skip + kMagic.size(), sizeof id);
  return id;
}

class Camera {
 public:
  // Told before the frame is handed on.
  using OnTaken = std::function<void(media::TrackKind, const Taken&)>;

  Camera(const CameraOptions& options, World& world, std::vector<Event> events, OnTaken on_taken)
      : options_(options), world_(world), dice_(options.seed), on_taken_(std::move(on_taken)) {
    std::ranges::sort(events, {}, &Event::at);
    events_.assign(events.begin(), events.end());
    if (options_.sound_rate != 0) {
      auto sound = std::make_shared<media::TrackConfig>(*test::aac_config());
      sound->clock_rate = sound->sample_rate = options_.sound_rate;
      sound->codec_private = test::bytes_of(options_.sound_rate == 8000    ? "1588"
                                            : options_.sound_rate == 16000 ? "1408"
                                                                           : "1188");
      sound_.config = std::move(sound);
    }
    video_.config = test::video_config();
  }

  // Plays until then. `listener` may change from call to call.
  void run(nanoseconds until, ingest::SourceListener& listener) {
    listener_ = &listener;
    if (!connected_) connect();
    while (true) {
      const bool sound_next = sound_.config && sound_.next < video_.next;
      const nanoseconds next = sound_next ? sound_.next : video_.next;
      if (next >= until) break;
      happen(next);
      if (sound_next) {
        take_sound();
      } else {
        take_picture();
      }
    }
  }

 private:
  struct Track {
    media::TrackConfigPtr config;
    nanoseconds next{};  // true time at which the next frame is taken
    int64_t count = 0;   // frames taken
    uint32_t zero = 0;   // RTP time
    int64_t jumped = 0;  // ticks
    media::TimestampUnwrapper unwrapper;
    bool tell_jump = false;
  };
  struct Made {
    media::TrackKind kind = media::TrackKind::kVideo;
    uint64_t id = 0;
    nanoseconds moment{};
    nanoseconds complete{};
    int64_t pts = 0;  // ticks of the camera's clock
    int64_t composition = 0;
    bool key = false;
  };

  double drift(nanoseconds moment) const {
    constexpr double kDay = 86400e9;
    const double day = static_cast<double>(moment.count()) / kDay;
    return (options_.ppm + options_.ppm_of_temperature * std::sin(day * 2 * M_PI)) * 1e-6;
  }
  nanoseconds true_length(nanoseconds of_camera, nanoseconds moment, double more_ppm = 0) const {
    return nanoseconds(
        std::llround(static_cast<double>(of_camera.count()) / (1 + drift(moment) + more_ppm * 1e-6)));
  }

  void connect() {
    connected_ = true;
    session_ = last_arrival_ = std::max(world_.now(), last_arrival_);
    saw_key_ = false;
    for (Track* track : {&video_, &sound_}) {
      track->zero = static_cast<uint32_t>(dice_());
      track->unwrapper.reset();
      track->tell_jump = false;
    }
    listener_->on_tracks(true, sound_.config != nullptr);
    next_report_ = session_;
    if (!options_.bursts) return;
    std::deque<Made> cached;
    cached.swap(cache_);
    for (const Made& made : cached) deliver(made, session_ + nanoseconds(++burst_ * 300'000));
    burst_ = 0;
    cache_ = std::move(cached);
  }

  void happen(nanoseconds until) {
    if (!connected_ && until >= back_) {
      world_.go_to(std::max(back_, last_arrival_));
      connect();
    }
    while (!events_.empty() && events_.front().at <= until) {
      const Event event = events_.front();
      events_.pop_front();
      switch (event.kind) {
        case Event::Kind::kLost:
          if (!connected_) break;
          flush_sound();
          connected_ = false;
          back_ = event.at + event.length;
          last_arrival_ = std::max(last_arrival_, event.at);
          world_.go_to(last_arrival_);
          listener_->on_interrupted(ingest::Interruption::kConnection,
                                    {base::Errc::kTimeout, "simulated loss", -1});
          break;
        case Event::Kind::kStall:
          stall_until_ = event.at + event.length;
          break;
        case Event::Kind::kJump:
          for (Track* track : {&video_, &sound_}) {
            if (!track->config) continue;
            track->jumped += event.length.count() * track->config->clock_rate / 1'000'000'000;
            track->tell_jump = connected_;
          }
          break;
        case Event::Kind::kSoundStops:
          silent_until_ = event.at + event.length;
          break;
      }
    }
  }

  void take_picture() {
    const int64_t n = video_.count++;
    const int64_t period = video_.config->clock_rate / options_.fps;
    const nanoseconds length = nanoseconds(1'000'000'000 / options_.fps);
    Made made;
    made.id = ++ids_;
    made.moment = made.complete = video_.next;
    made.pts = n * period + video_.jumped;
    made.key = n % options_.gop == 0;
    video_.next += true_length(length, made.moment);
    if (!options_.b_frames) return remember(made);
    // Every other picture is sent behind the one that follows it, with the decoding times that
    // media::h264::DtsExtractor finds.
    const bool second = n % options_.gop % 2 == 0;
    if (!made.key && !second) {
      waiting_ = made;
      return;
    }
    if (waiting_) {
      const bool closes = made.key;
      Made between = *waiting_;
      waiting_.reset();
      between.complete = made.moment;
      if (closes) {
        remember(between);
        return remember(made);
      }
      made.composition = made.pts - between.pts + period / 2;
      remember(made);
      return remember(between);
    }
    remember(made);
  }

  void take_sound() {
    constexpr int64_t kSamples = 1024;
    const int64_t n = sound_.count++;
    const auto rate =
        static_cast<int64_t>(options_.true_sound_rate ? options_.true_sound_rate : options_.sound_rate);
    Made made;
    made.kind = media::TrackKind::kAudio;
    made.id = ++ids_;
    const auto start_of = [&](int64_t frame) {
      return stream::ticks_to_time(frame * kSamples, static_cast<uint32_t>(rate));
    };
    made.moment = sound_.next - sound_length_;
    made.complete = sound_.next;
    made.pts = n * kSamples + sound_.jumped;
    sound_length_ = true_length(start_of(n + 2) - start_of(n + 1), sound_.next, options_.sound_ppm);
    sound_.next += sound_length_;
    if (n == 0 || made.complete < silent_until_) return;
    batch_.push_back(made);
    if (made.complete - batch_.front().complete >= options_.sound_batch) flush_sound();
  }

  void flush_sound() {
    for (Made& made : batch_) {
      made.complete = batch_.back().complete;
      remember(made);
    }
    batch_.clear();
  }

  void remember(const Made& made) {
    if (options_.bursts) {
      if (made.key) cache_.clear();
      cache_.push_back(made);
    }
    if (!connected_) return;
    constexpr nanoseconds kWay = milliseconds(2);
    const nanoseconds jitter{
        static_cast<int64_t>(dice_() % static_cast<uint64_t>(nanoseconds(options_.jitter).count() + 1))};
    deliver(made, made.complete + kWay + jitter);
  }

  void deliver(const Made& made, nanoseconds arrival) {
    if (made.complete < stall_until_) arrival = std::max(arrival, stall_until_);
    // One connection: nothing overtakes.
    last_arrival_ = arrival = std::max(arrival, last_arrival_);
    world_.go_to(arrival);
    Track& track = made.kind == media::TrackKind::kVideo ? video_ : sound_;
    if (track.tell_jump) {
      track.tell_jump = false;
      listener_->on_interrupted(ingest::Interruption::kClockJump,
                                {base::Errc::kMalformed, "simulated jump of the camera's clock", -1});
    }
    const int64_t pts = track.unwrapper.unwrap(track.zero + static_cast<uint32_t>(made.pts));
    saw_key_ = saw_key_ || made.key;
    on_taken_(made.kind, {made.id, made.moment, arrival, saw_key_, session_});
    base::ByteVector payload(kMagic.size() + sizeof made.id);
    std::memcpy(payload.data(), kMagic.data(), kMagic.size());
    std::memcpy(payload.data() + kMagic.size(), &made.id, sizeof made.id);
    media::FrameBuilder builder;
    if (made.kind == media::TrackKind::kVideo) {
      builder.append_u32(static_cast<uint32_t>(payload.size() + 1));
      const std::byte nal{static_cast<uint8_t>(made.key ? 0x65 : 0x41)};
      builder.append({&nal, 1});
    }
    builder.append(payload);
    listener_->on_frame(builder.finish({track.config, pts, pts - made.composition, world_.steady(),
                                        made.key || track.config == sound_.config, false}));
    if (options_.reports != Reports::kNone && arrival >= next_report_) report(made, arrival);
  }

  // One for each track, at the moment of a frame.
  void report(const Made& made, nanoseconds arrival) {
    next_report_ = arrival + seconds(5);
    // The camera's own wall clock; in the year 2026 of the era that began in 1900.
    nanoseconds clock =
        seconds(int64_t{4'004'000'000}) +
        nanoseconds(std::llround(static_cast<double>(made.complete.count()) * (1 + options_.ppm * 1e-6)));
    if (options_.reports == Reports::kSince1900) clock -= seconds(int64_t{4'004'000'000} - 7);
    if (options_.reports == Reports::kLocalTime) clock += std::chrono::hours(9);
    for (Track* track : {&video_, &sound_}) {
      if (!track->config) continue;
      if (options_.reports == Reports::kStepping) clock += milliseconds(dice_() % 4000) - seconds(2);
      // Where the track's clock is at that moment.
      const auto rate = static_cast<int64_t>(track->config->clock_rate);
      nanoseconds media{};
      if (track == &video_) {
        const nanoseconds period{1'000'000'000 / options_.fps};
        media = period * video_.count - (video_.next - made.complete);
      } else {
        const nanoseconds frame{1024 * 1'000'000'000LL / rate};
        media = frame * (sound_.count + 1) - (sound_.next - made.complete);
      }
      const int64_t ticks = media.count() / 1000 * rate / 1'000'000 + track->jumped;
      if (!track->unwrapper.last()) continue;
      const int64_t rtp = track->unwrapper.peek(track->zero + static_cast<uint32_t>(ticks));
      const auto whole = static_cast<uint64_t>(clock.count() / 1'000'000'000);
      const auto part = static_cast<uint64_t>(clock.count() % 1'000'000'000);
      listener_->on_sender_report({track == &video_ ? media::TrackKind::kVideo : media::TrackKind::kAudio,
                                   whole << 32 | ((part << 32) / 1'000'000'000), rtp, world_.steady()});
    }
  }

  CameraOptions options_;
  World& world_;
  std::mt19937_64 dice_;
  OnTaken on_taken_;
  ingest::SourceListener* listener_ = nullptr;
  std::deque<Event> events_;
  Track video_;
  Track sound_;
  nanoseconds sound_length_{};   // of the frame that is being taken
  std::optional<Made> waiting_;  // a B-frame
  std::vector<Made> batch_;
  std::deque<Made> cache_;  // since the last key frame
  int64_t burst_ = 0;
  uint64_t ids_ = 0;
  bool connected_ = false;
  bool saw_key_ = false;
  nanoseconds back_{};
  nanoseconds session_{};
  nanoseconds last_arrival_{};
  nanoseconds stall_until_{};
  nanoseconds silent_until_{};
  nanoseconds next_report_{};
};

}  // namespace miharu::simulation
