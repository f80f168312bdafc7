#include "webrtc/packet_batch.h"

#include "base/check.h"

namespace miharu::webrtc {

std::span<std::byte> PacketBatch::packet(size_t size) {
  CHECK(size > 0 && size <= kMaxPacketBytes);
  if (count_ > 0 && (closed_ || size > segment_ || count_ == kMaxSegments || used_ + size > kMaxBytes))
    flush();
  if (count_ == 0) segment_ = size;
  closed_ = size < segment_;
  const std::span<std::byte> room = std::span(buffer_).subspan(used_, size);
  used_ += size;
  ++count_;
  return room;
}

void PacketBatch::flush() {
  if (count_ == 0) return;
  if (!sink_.send_segments(path_, base::ByteView(buffer_).first(used_), segment_)) lost_ += count_;
  used_ = count_ = 0;
  closed_ = false;
}

}  // namespace miharu::webrtc
