// The one immutable frame: an access unit of video or one audio frame, reference-counted, shared by every
// consumer.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <utility>

#include "base/bytes.h"
#include "base/clock.h"
#include "media/track.h"

namespace miharu::media {

class FramePtr;

// Header and payload lie in one block of memory. The payload of video is length-prefixed (AVCC, 4-byte
// lengths) without parameter sets that are in `config`, access unit delimiters or filler; of audio one raw
// AAC frame (no ADTS), one Opus packet, or some milliseconds of G.711.
class Frame {
 public:
  TrackConfigPtr config;
  int64_t pts =
      0;  // ticks of config->clock_rate, unwrapped; the zero is arbitrary, the same until the source resets
  int64_t dts = 0;             // same; dts <= pts, dts strictly increasing within a track
  base::SteadyTime arrival{};  // when the last byte of it was read
  bool key = false;            // video: decoding can start here; audio: always true
  bool damaged = false;        // a part of the unit was lost, or units between it and the frame before it

  [[nodiscard]] TrackKind kind() const { return kind_of(config->codec); }
  [[nodiscard]] bool is_video() const { return kind() == TrackKind::kVideo; }
  [[nodiscard]] base::ByteView data() const { return {reinterpret_cast<const std::byte*>(this + 1), size_}; }

  Frame(const Frame&) = delete;
  Frame& operator=(const Frame&) = delete;

 private:
  friend class FramePtr;
  friend class FrameBuilder;
  Frame() = default;
  ~Frame() = default;
  static void release(const Frame* frame) {
    if (frame->references_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    auto* mine = const_cast<Frame*>(frame);
    mine->~Frame();
    ::operator delete(mine);
  }

  mutable std::atomic<uint32_t> references_{1};
  uint32_t size_ = 0;
  uint32_t capacity_ = 0;
};

class FramePtr {
 public:
  FramePtr() = default;
  FramePtr(const FramePtr& other) : frame_(other.frame_) {
    if (frame_) frame_->references_.fetch_add(1, std::memory_order_relaxed);
  }
  FramePtr(FramePtr&& other) noexcept : frame_(std::exchange(other.frame_, nullptr)) {}
  FramePtr& operator=(FramePtr other) noexcept {
    std::swap(frame_, other.frame_);
    return *this;
  }
  ~FramePtr() {
    if (frame_) Frame::release(frame_);
  }
  const Frame& operator*() const { return *frame_; }
  const Frame* operator->() const { return frame_; }
  explicit operator bool() const { return frame_ != nullptr; }

 private:
  friend class FrameBuilder;
  explicit FramePtr(const Frame* frame) : frame_(frame) {}
  const Frame* frame_ = nullptr;
};

// Grows a payload in place and turns it into a frame without a copy. One builder a track; not thread-safe.
class FrameBuilder {
 public:
  FrameBuilder() = default;
  FrameBuilder(const FrameBuilder&) = delete;
  FrameBuilder& operator=(const FrameBuilder&) = delete;
  ~FrameBuilder() {
    if (frame_) Frame::release(frame_);
  }

  [[nodiscard]] size_t size() const { return frame_ ? frame_->size_ : 0; }
  [[nodiscard]] bool empty() const { return size() == 0; }
  void append(base::ByteView bytes) {
    if (bytes.empty()) return;
    reserve(size() + bytes.size());
    std::memcpy(payload() + frame_->size_, bytes.data(), bytes.size());
    frame_->size_ += static_cast<uint32_t>(bytes.size());
  }
  void append_u32(uint32_t value) {
    const std::byte bytes[4] = {static_cast<std::byte>(value >> 24), static_cast<std::byte>(value >> 16),
                                static_cast<std::byte>(value >> 8), static_cast<std::byte>(value)};
    append(bytes);
  }
  void patch_u32(size_t at, uint32_t value) {
    for (size_t i = 0; i < 4; ++i) payload()[at + i] = static_cast<std::byte>(value >> (24 - 8 * i));
  }
  void truncate(size_t size) {
    if (frame_) frame_->size_ = static_cast<uint32_t>(size);
  }
  [[nodiscard]] base::ByteView data() const { return frame_ ? frame_->data() : base::ByteView{}; }
  void clear() { truncate(0); }

  struct Stamp {
    TrackConfigPtr config;
    int64_t pts = 0;
    int64_t dts = 0;
    base::SteadyTime arrival{};
    bool key = false;
    bool damaged = false;
  };
  // Ends the frame; the builder starts the next one with the capacity that this one needed.
  [[nodiscard]] FramePtr finish(Stamp stamp) {
    reserve(1);
    Frame* done = std::exchange(frame_, nullptr);
    // Frames of a stream are alike: a quarter more than the last one saves most growing.
    hint_ = done->size_ + done->size_ / 4 + 64;
    // But behind a key frame comes a small one, and frames may be kept for seconds.
    if (done->capacity_ > done->size_ + done->size_ / 2 + 1024) done = moved(done, done->size_);
    done->config = std::move(stamp.config);
    done->pts = stamp.pts;
    done->dts = stamp.dts;
    done->arrival = stamp.arrival;
    done->key = stamp.key;
    done->damaged = stamp.damaged;
    return FramePtr(done);
  }

 private:
  static std::byte* payload_of(Frame* frame) { return reinterpret_cast<std::byte*>(frame + 1); }
  std::byte* payload() { return payload_of(frame_); }
  void reserve(size_t wanted) {
    if (frame_ && wanted <= frame_->capacity_) return;
    const size_t capacity = std::max<size_t>({wanted, hint_, frame_ ? size_t{frame_->capacity_} * 2 : 256});
    frame_ = moved(frame_, capacity);
  }
  // A block of another size with the same payload; `from` (null: none) is released.
  static Frame* moved(Frame* from, size_t capacity) {
    auto* made = new (::operator new(sizeof(Frame) + capacity)) Frame;
    made->capacity_ = static_cast<uint32_t>(capacity);
    if (from) {
      made->size_ = from->size_;
      const base::ByteView payload = from->data();
      std::copy(payload.begin(), payload.end(), payload_of(made));
      Frame::release(from);
    }
    return made;
  }

  Frame* frame_ = nullptr;
  size_t hint_ = 0;
};

}  // namespace miharu::media
