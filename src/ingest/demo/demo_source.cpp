#include "ingest/demo/demo_source.h"

#include <pthread.h>

#include <array>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include <fmt/format.h>

#include "base/check.h"
#include "base/log.h"
#include "ingest/demo/frame_pacer.h"
#include "ingest/demo/picture.h"
#include "ingest/demo/tone.h"
#include "ingest/demo/video_encoder.h"
#include "media/aac_encoder.h"

namespace miharu::ingest {
namespace {

using namespace demo;
using base::Error;
using base::Status;
using media::AacEncoder;

// What the media thread knows. Callbacks on their way to it may outlive the source: they share it and find it
// closed.
struct Session {
  explicit Session(SourceListener& the_listener) : listener(the_listener) {}

  SourceListener& listener;
  SourceStatus status;
  bool open = true;
  std::atomic<uint32_t> waiting{0};  // frames posted and not yet taken by the media thread
};

class DemoSource final : public Source {
 public:
  DemoSource(net::EventLoop& loop, const base::Clock& clock, DemoOptions options, SourceListener& listener)
      : loop_(loop),
        clock_(clock),
        options_(std::move(options)),
        session_(std::make_shared<Session>(listener)),
        pacer_(options_.fps) {}
  ~DemoSource() override { stop(); }

  void start() override {
    CHECK(!thread_.joinable() && session_->open);
    session_->status.state = SourceStatus::State::kConnecting;
    thread_ = std::thread([this] {
      pthread_setname_np(pthread_self(), "demo");
      run();
    });
  }

  void stop() override {
    session_->open = false;
    session_->status.state = SourceStatus::State::kIdle;
    if (!thread_.joinable()) return;
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_one();
    thread_.join();
  }

  SourceStatus status() const override { return session_->status; }

 private:
  // From here on: worker thread.
  void run() {
    if (const Status status = make_pictures(); !status) {
      post([error = status.error()](Session& session) {
        session.status.state = SourceStatus::State::kWaiting;
        session.status.last_error = error;
        session.listener.on_interrupted(Interruption::kConnection, error);
      });
    }
  }

  Status make_pictures() {
    auto video = VideoEncoder::make(options_);
    if (!video) return tl::unexpected(std::move(video).error().in("demo camera"));
    if (const Status status = restart_sound(); !status) return status;
    Picture picture(options_);

    post([audio = options_.audio](Session& session) {
      session.status.state = SourceStatus::State::kPlaying;
      ++session.status.connects;
      session.listener.on_tracks(true, audio);
    });

    std::optional<int64_t> gop;
    int64_t number_offset = 0;
    bool first = true;
    while (wait_for_next()) {
      const auto due = pacer_.take(clock_.utc(), clock_.steady());
      if (!due || session_->waiting.load(std::memory_order_relaxed) > most_waiting()) continue;
      if (due->jumped) {
        post_jump();
        gop.reset();
        if (const Status status = restart_sound(); !status) return status;
      }
      if (first && options_.start_frame) number_offset = *options_.start_frame - due->number;
      first = false;

      // GOPs lie on the epoch, so cameras started at different times have their key frames together.
      const int64_t this_gop = due->number / options_.gop_frames();
      picture.draw(pacer_.time_of(due->number), static_cast<uint32_t>(due->number + number_offset));
      auto frame = (*video)->encode(picture, due->number * VideoEncoder::kClockRate / options_.fps,
                                    gop != this_gop, clock_);
      if (!frame) return tl::unexpected(std::move(frame).error().in("demo camera"));
      gop = this_gop;
      post_frame(std::move(*frame));
      if (const Status status = make_sound(due->number); !status) return status;
    }
    return {};
  }

  Status restart_sound() {
    if (!options_.audio) return {};
    constexpr uint32_t kBitsPerSecond = 64000;
    auto encoder = media::AacEncoder::make(Tone::kSampleRate, 1, kBitsPerSecond);
    if (!encoder) return tl::unexpected(std::move(encoder).error().in("demo camera"));
    sound_ = std::move(*encoder);
    sound_position_.reset();
    return {};
  }

  // Sound up to the moment of the picture.
  Status make_sound(int64_t number) {
    if (!options_.audio) return {};
    const int64_t until = number * Tone::kSampleRate / options_.fps;
    if (!sound_position_ || until - *sound_position_ > Tone::kSampleRate) sound_position_ = until;
    std::array<float, media::AacEncoder::kSamplesPerFrame> samples;
    while (*sound_position_ + static_cast<int64_t>(samples.size()) <= until) {
      tone_.read(*sound_position_, samples);
      const Status status = sound_->encode(samples, *sound_position_, clock_.steady(),
                                           [this](media::FramePtr frame) { post_frame(std::move(frame)); });
      if (!status) return tl::unexpected(Error(status.error()).in("demo camera"));
      *sound_position_ += static_cast<int64_t>(samples.size());
    }
    return {};
  }

  // False when the source is stopped.
  bool wait_for_next() {
    std::unique_lock lock(mutex_);
    // Not longer than this although the next frame may be a second away: UTC may be set meanwhile.
    constexpr base::nanoseconds kLongest = base::milliseconds(100);
    return !wake_.wait_for(lock, std::min(pacer_.wait(clock_.utc()), kLongest), [this] { return stopping_; });
  }

  [[nodiscard]] uint32_t most_waiting() const {
    constexpr uint32_t kSeconds = 2;
    constexpr uint32_t kSoundFramesASecond = Tone::kSampleRate / media::AacEncoder::kSamplesPerFrame + 1;
    return kSeconds * (options_.fps + (options_.audio ? kSoundFramesASecond : 0));
  }

  void post_jump() {
    post([](Session& session) {
      session.listener.on_interrupted(Interruption::kClockJump,
                                      {base::Errc::kInternal, "the UTC clock of this machine was set", -1});
    });
  }

  void post_frame(media::FramePtr frame) {
    session_->waiting.fetch_add(1, std::memory_order_relaxed);
    // Counted down even when the session is closed meanwhile, so not through post().
    loop_.post([session = session_, frame = std::move(frame)]() mutable {
      session->waiting.fetch_sub(1, std::memory_order_relaxed);
      if (!session->open) return;
      ++session->status.frames;
      session->status.bytes += frame->data().size();
      session->listener.on_frame(std::move(frame));
    });
  }

  template <class Function>
  void post(Function function) {
    loop_.post([session = session_, function = std::move(function)] {
      if (session->open) function(*session);
    });
  }

  net::EventLoop& loop_;
  const base::Clock& clock_;
  const DemoOptions options_;
  const std::shared_ptr<Session> session_;

  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;  // guarded by mutex_

  // Of the worker thread while it runs.
  FramePacer pacer_;
  Tone tone_;
  std::unique_ptr<media::AacEncoder> sound_;
  std::optional<int64_t> sound_position_;

  std::thread thread_;
};

}  // namespace

std::unique_ptr<Source> make_demo_source(net::EventLoop& loop, const base::Clock& clock, DemoOptions options,
                                         SourceListener& listener) {
  return std::make_unique<DemoSource>(loop, clock, std::move(options), listener);
}

}  // namespace miharu::ingest
