// Puts the packets of one RTP stream over UDP back in order (quirk U5). Over TCP it passes everything
// straight through.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/clock.h"
#include "media/rtp.h"

namespace miharu::media {

// Must outlive the buffer. `packet` is valid during the call only.
class ReorderSink {
 public:
  virtual ~ReorderSink() = default;
  // In order of sequence numbers; `lost_before` = how many numbers between this one and the one before never
  // came.
  virtual void on_ordered_packet(const RtpPacket& packet, base::SteadyTime arrival, uint32_t lost_before) = 0;
};

// A packet that comes in order is passed on without a copy; only what has to wait for an earlier one is
// copied, into slots that keep their memory. Holds at most 64 packets, each at most 50 ms. One stream (ssrc),
// one thread.
class ReorderBuffer {
 public:
  static constexpr size_t kSlots = 64;
  static constexpr base::milliseconds kWindow{50};

  explicit ReorderBuffer(ReorderSink& sink) : sink_(sink) {}

  // Duplicates and packets that are too late are dropped. A jump too large to be loss (RFC 3550 A.1: more
  // than 3000 ahead or 100 back) drops packets until two follow each other, then goes on from there.
  void push(const RtpPacket& packet, base::SteadyTime arrival);
  // Gives up on the missing packets whose time is over. Call at deadline().
  void advance(base::SteadyTime now);
  [[nodiscard]] std::optional<base::SteadyTime> deadline() const;
  // Passes on all that waits, whatever is missing.
  void flush();
  // Forgets everything, for a new ssrc or session. Calls nothing.
  void reset();

  [[nodiscard]] uint64_t duplicates() const { return duplicates_; }
  [[nodiscard]] uint64_t late() const { return late_; }
  [[nodiscard]] uint64_t lost() const { return lost_; }

 private:
  struct Slot {
    bool used = false;
    RtpPacket packet;
    base::SteadyTime arrival{};
    base::ByteVector bytes;
  };
  Slot& slot(int64_t sequence) { return slots_[static_cast<size_t>(sequence) % kSlots]; }
  void emit(const RtpPacket& packet, base::SteadyTime arrival);
  void emit_slot(Slot& slot);
  void emit_ready();
  void release_before(int64_t sequence);

  ReorderSink& sink_;
  std::array<Slot, kSlots> slots_;
  size_t waiting_ = 0;
  std::optional<int64_t> next_;  // the sequence number that is due, unwrapped
  uint32_t lost_before_next_ = 0;
  std::optional<uint16_t> after_jump_;  // what would follow a packet that was far off
  uint64_t duplicates_ = 0;
  uint64_t late_ = 0;
  uint64_t lost_ = 0;
};

}  // namespace miharu::media
