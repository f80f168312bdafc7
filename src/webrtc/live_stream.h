// The live side of one camera: its latest group of pictures, and the threads whose viewers watch it.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "net/event_loop.h"
#include "stream/audio_transcoder.h"
#include "stream/camera_stream.h"
#include "webrtc/rtp_unit.h"

namespace miharu::webrtc {

// Takes the units of a camera on one thread; see LiveStream::subscribe.
class UnitListener {
 public:
  virtual ~UnitListener() = default;
  // First: what is cached of the latest group of pictures; not `whole` when only its key frame was kept.
  virtual void on_group(const std::vector<UnitPtr>& units, bool whole) = 0;
  // Each as it comes, of both tracks.
  virtual void on_unit(const UnitPtr& unit) = 0;
  // The camera was lost, or begins anew with a key frame.
  virtual void on_interrupted() = 0;
};

struct LiveTracks {
  media::TrackConfigPtr video;  // null before the first picture
  media::TrackConfigPtr audio;  // as the camera sends it; null without
  bool reordered = false;       // it sends B-frames: browsers show pictures as they come
};

// Made and destroyed on any thread, while the camera's thread does not use it; lives on the camera's thread,
// but for what says otherwise. Nothing is packetized before somebody watches.
class LiveStream final : public stream::LiveListener, public std::enable_shared_from_this<LiveStream> {
 public:
  // docs/limits.md: of a longer group of pictures only the key frame is kept.
  static constexpr size_t kMaxCachedBytes = 8 << 20;

  // Sound whose time is further off than this from where the sound before it ended has a hole or an overlap.
  static constexpr base::milliseconds kSoundStep{40};

  // Called on the camera's thread when the first begins to watch, and when the last has left.
  using OnWatched = std::function<void(bool watched)>;

  explicit LiveStream(
      net::EventLoop& loop, OnWatched on_watched = [](bool) {})
      : loop_(loop), on_watched_(std::move(on_watched)) {}

  // A smaller stream of the same camera, for lines that do not carry this one. Before anybody shares it.
  void set_sub(std::shared_ptr<LiveStream> sub) { sub_ = std::move(sub); }
  // Any thread. Null: there is none.
  [[nodiscard]] const std::shared_ptr<LiveStream>& sub() const { return sub_; }

  void on_live_frame(const media::FramePtr& frame, base::SteadyTime time) override;
  void on_live_interrupted() override;

  // Any thread.
  [[nodiscard]] LiveTracks tracks() const;
  // Any thread: from now on `listener` is called on `its_loop`. It is kept until it was taken back. A
  // listener that was subscribed already is not taken twice.
  void subscribe(std::shared_ptr<UnitListener> listener, net::EventLoop& its_loop);
  // Any thread. Calls may still be on their way.
  void unsubscribe(std::shared_ptr<UnitListener> listener);

 private:
  struct Cached {
    media::FramePtr frame;  // null once it was packetized
    UnitPtr unit;
    base::SteadyTime time;
  };
  struct Subscriber {
    std::shared_ptr<UnitListener> listener;
    net::EventLoop* loop;
  };
  // G.711 and Opus as they are. AAC is left out: viewers hear silence.
  void on_audio(const media::Frame& frame, base::SteadyTime time);
  void send_audio(const media::Frame& frame, base::SteadyTime time);
  void stop_transcoding();
  bool cache(const media::FramePtr& frame, base::SteadyTime time);
  void add_subscriber(const Subscriber& subscriber);
  template <class Call>
  void tell(const Subscriber& subscriber, Call call);

  net::EventLoop& loop_;
  OnWatched on_watched_;
  std::shared_ptr<LiveStream> sub_;
  std::deque<Cached> group_;  // from the latest key frame on
  size_t group_bytes_ = 0;
  bool group_whole_ = true;
  base::SteadyTime last_time_{};                         // of the last picture
  int64_t next_ticks_ = 0;                               // of sound
  std::unique_ptr<stream::AudioTranscoder> transcoder_;  // of AAC, while somebody watches
  media::TrackConfigPtr transcoder_input_;
  std::vector<Subscriber> subscribers_;
  mutable std::mutex tracks_mutex_;
  LiveTracks tracks_;  // guarded by tracks_mutex_; changed by the camera's thread only
};

}  // namespace miharu::webrtc
