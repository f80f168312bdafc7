#include "media/reorder_buffer.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

namespace miharu::media {
namespace {

// RFC 3550 A.1.
constexpr int kMaxDropout = 3000;
constexpr int kMaxMisorder = 100;

int distance_of(uint16_t sequence, uint16_t from) {
  return static_cast<int16_t>(static_cast<uint16_t>(sequence - from));
}

}  // namespace

bool Probation::add(const RtpPacket& packet, base::SteadyTime arrival) {
  if (!held_.empty() && held_.front().packet.ssrc != packet.ssrc) held_.clear();
  bool proven = false;
  for (const HeldPacket& held : held_) {
    const int distance = distance_of(packet.sequence, held.packet.sequence);
    if (distance == 0) return false;
    proven = proven || distance == 1 || distance == -1;
  }
  if (held_.size() == kMax) held_.erase(held_.begin());
  held_.emplace_back().hold(packet, arrival);
  return proven;
}

std::vector<HeldPacket> Probation::take() {
  std::vector<HeldPacket> out = std::exchange(held_, {});
  const uint16_t last = out.empty() ? uint16_t{0} : out.back().packet.sequence;
  std::erase_if(out, [last](const HeldPacket& held) {
    return std::abs(distance_of(held.packet.sequence, last)) >= static_cast<int>(kMax);
  });
  std::sort(out.begin(), out.end(), [last](const HeldPacket& a, const HeldPacket& b) {
    return distance_of(a.packet.sequence, last) < distance_of(b.packet.sequence, last);
  });
  return out;
}

size_t Probation::clear() {
  return std::exchange(held_, {}).size();
}

void ReorderBuffer::push(const RtpPacket& packet, base::SteadyTime arrival) {
  if (!next_) next_ = packet.sequence;
  const int distance = distance_of(packet.sequence, static_cast<uint16_t>(*next_));
  if (distance <= kMaxDropout && distance >= -kMaxMisorder) {
    late_ += far_off_.clear();
    return push_near(packet, arrival, distance);
  }
  if (!far_off_.add(packet, arrival)) return;
  flush();
  const auto held = far_off_.take();
  next_ = held.front().packet.sequence;
  lost_before_next_ = 1;  // nobody knows how many, but what follows does not continue what was before
  for (const HeldPacket& each : held) {
    push_near(each.packet, each.arrival, distance_of(each.packet.sequence, static_cast<uint16_t>(*next_)));
  }
}

void ReorderBuffer::push_near(const RtpPacket& packet, base::SteadyTime arrival, int distance) {
  if (distance < 0) {
    ++late_;
    return;
  }
  const int64_t sequence = *next_ + distance;
  if (distance >= static_cast<int>(kSlots)) release_before(sequence - static_cast<int64_t>(kSlots) + 1);
  emit_ready();
  if (sequence == *next_) {
    emit(packet, arrival);
    emit_ready();
    return;
  }
  Slot& free = slot(sequence);
  if (free.used) {
    ++duplicates_;
    return;
  }
  free.used = true;
  free.hold(packet, arrival);
  ++waiting_;
}

void ReorderBuffer::advance(base::SteadyTime now) {
  if (waiting_ == 0) return;
  int64_t last_expired = *next_ - 1;
  for (int64_t sequence = *next_; sequence < *next_ + static_cast<int64_t>(kSlots); ++sequence) {
    const Slot& held = slot(sequence);
    if (held.used && now - held.arrival >= kWindow) last_expired = sequence;
  }
  release_before(last_expired + 1);
  emit_ready();
}

std::optional<base::SteadyTime> ReorderBuffer::deadline() const {
  if (waiting_ == 0) return std::nullopt;
  auto earliest = base::SteadyTime::max();
  for (const Slot& held : slots_) {
    if (held.used && held.arrival < earliest) earliest = held.arrival;
  }
  return earliest + kWindow;
}

void ReorderBuffer::flush() {
  while (waiting_ > 0) {
    int64_t sequence = *next_;
    while (!slot(sequence).used) ++sequence;
    release_before(sequence + 1);
  }
}

void ReorderBuffer::reset() {
  for (Slot& held : slots_) held.used = false;
  waiting_ = 0;
  next_.reset();
  lost_before_next_ = 0;
  far_off_.clear();
}

void ReorderBuffer::emit(const RtpPacket& packet, base::SteadyTime arrival) {
  const uint32_t lost_before = std::exchange(lost_before_next_, 0);
  ++*next_;
  sink_.on_ordered_packet(packet, arrival, lost_before);
}

void ReorderBuffer::emit_slot(Slot& held) {
  held.used = false;
  --waiting_;
  emit(held.packet, held.arrival);
}

void ReorderBuffer::emit_ready() {
  while (waiting_ > 0 && slot(*next_).used) emit_slot(slot(*next_));
}

void ReorderBuffer::release_before(int64_t sequence) {
  while (*next_ < sequence) {
    if (waiting_ > 0 && slot(*next_).used) {
      emit_slot(slot(*next_));
      continue;
    }
    // With nothing left to wait for, the rest of the gap is taken in one step.
    const int64_t missing = waiting_ > 0 ? 1 : sequence - *next_;
    *next_ += missing;
    lost_before_next_ += static_cast<uint32_t>(missing);
    lost_ += static_cast<uint64_t>(missing);
  }
}

}  // namespace miharu::media
