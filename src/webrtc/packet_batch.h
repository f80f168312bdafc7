// Packets to one viewer on their way to the kernel: those of equal size go in one call (UDP_SEGMENT).
#pragma once

#include <array>
#include <cstddef>
#include <span>

#include "base/bytes.h"
#include "net/udp_path.h"
#include "webrtc/rtp_unit.h"

namespace miharu::webrtc {

// Sends `bytes` along `path` as datagrams of `segment_bytes`, the last one may be shorter. False when the
// kernel took them not: they are lost.
class SegmentSink {
 public:
  virtual ~SegmentSink() = default;
  virtual bool send_segments(const net::UdpPath& path, base::ByteView bytes, size_t segment_bytes) = 0;
};

// One per thread, used by its viewers one after another: to(), packets, flush().
class PacketBatch {
 public:
  // Limits of the kernel (UDP_MAX_SEGMENTS, and 64 KiB with the headers of IP and UDP).
  static constexpr size_t kMaxSegments = 64;
  static constexpr size_t kMaxBytes = 65000;

  explicit PacketBatch(SegmentSink& sink) : sink_(sink) {}

  // Whom the packets that follow are for. Sends what waits for the one before.
  void to(const net::UdpPath& path) {
    flush();
    path_ = path;
  }
  // Room for the next packet, of exactly this size (at most kMaxPacketBytes), to be written before the next
  // call of anything here.
  std::span<std::byte> packet(size_t size);
  void flush();
  // Packets that the kernel did not take, since the last call.
  size_t take_lost() { return std::exchange(lost_, 0); }

 private:
  SegmentSink& sink_;
  net::UdpPath path_;
  std::array<std::byte, kMaxBytes> buffer_;
  size_t used_ = 0;
  size_t segment_ = 0;  // size of the packets in the buffer
  size_t count_ = 0;
  bool closed_ = false;  // the last one is shorter: none can follow
  size_t lost_ = 0;
};

}  // namespace miharu::webrtc
