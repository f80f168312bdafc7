// Puts the packets of one RTP stream over UDP back in order (quirk U5). Over TCP it passes everything
// straight through.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

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

// A packet that waits, with a copy of its payload.
struct HeldPacket {
  RtpPacket packet;  // its payload views `bytes`
  base::SteadyTime arrival{};
  base::ByteVector bytes;

  void hold(const RtpPacket& from, base::SteadyTime time) {
    bytes.assign(from.payload.begin(), from.payload.end());
    packet = from;
    packet.payload = bytes;
    arrival = time;
  }
};

// Packets that do not continue what came before: strays, or the first ones of a new sequence (RFC 3550 A.1).
// They are kept until two numbers in a row prove the sequence, so that it loses nothing. Holds at most four
// packets of one ssrc.
class Probation {
 public:
  // True once two of those held, this one included, follow each other: take() what is there then.
  bool add(const RtpPacket& packet, base::SteadyTime arrival);
  // The last one and those about it, in order of sequence numbers; nothing is held afterwards.
  std::vector<HeldPacket> take();
  // They were strays. Returns how many.
  size_t clear();

 private:
  static constexpr size_t kMax = 4;
  std::vector<HeldPacket> held_;
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
  // than 3000 ahead or 100 back) holds packets back until two follow each other, then goes on from there.
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
  struct Slot : HeldPacket {
    bool used = false;
  };
  Slot& slot(int64_t sequence) { return slots_[static_cast<size_t>(sequence) % kSlots]; }
  void push_near(const RtpPacket& packet, base::SteadyTime arrival, int distance);
  void emit(const RtpPacket& packet, base::SteadyTime arrival);
  void emit_slot(Slot& slot);
  void emit_ready();
  void release_before(int64_t sequence);

  ReorderSink& sink_;
  std::array<Slot, kSlots> slots_;
  size_t waiting_ = 0;
  std::optional<int64_t> next_;  // the sequence number that is due, unwrapped
  uint32_t lost_before_next_ = 0;
  Probation far_off_;
  uint64_t duplicates_ = 0;
  uint64_t late_ = 0;
  uint64_t lost_ = 0;
};

}  // namespace miharu::media
