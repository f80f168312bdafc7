// SRTCP of a viewer. Byte 0: the profile. Then commands of a byte each: 0 a packet as it is, 1 a packet that
// the viewer really protected, 2 the same with a byte changed; each with a length and the bytes.
#include <algorithm>
#include <array>

#include "base/check.h"
#include "webrtc/srtcp_receiver.h"
#include "webrtc/srtp_sender.h"

namespace {

using namespace miharu;
using namespace miharu::webrtc;

constexpr size_t kLargest = 2048;

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  base::ByteReader in({reinterpret_cast<const std::byte*>(data), size});
  const SrtpProfile profile =
      (in.u8() & 1) != 0 ? SrtpProfile::kAesCm128Sha1_80 : SrtpProfile::kAeadAes128Gcm;
  const SrtpMaster master{};
  auto receiver = SrtcpReceiver::make(profile, master);
  CHECK(receiver.has_value());
  SrtpSender viewer(profile, master);
  std::array<uint32_t, SrtcpReceiver::kMostSsrcs> ssrcs{};
  size_t ssrc_count = 0;
  while (in.ok() && !in.empty()) {
    const unsigned command = in.u8() % 3;
    const size_t count = std::min<size_t>(in.u16() % kLargest, in.remaining());
    const base::ByteView bytes = in.bytes(count);
    base::ByteVector packet(bytes.begin(), bytes.end());
    if (command == 0 || count < 8) {
      (void)receiver->unprotect(packet);
      continue;
    }
    packet.resize(count + viewer.rtcp_overhead());
    viewer.protect_rtcp(packet, count);
    if (command == 2) {
      packet[in.u16() % packet.size()] ^= std::byte{1};
      CHECK(!receiver->unprotect(packet).has_value());
      continue;
    }
    base::ByteReader header(bytes);
    header.skip(4);
    const uint32_t ssrc = header.u32();
    const auto end = ssrcs.begin() + static_cast<std::ptrdiff_t>(ssrc_count);
    const bool is_new = std::find(ssrcs.begin(), end, ssrc) == end;
    const auto read = receiver->unprotect(packet);
    if (is_new && ssrc_count == ssrcs.size()) {
      CHECK(read.error().code == base::Errc::kLimit);
      continue;
    }
    CHECK(read.has_value() && std::equal(read->begin(), read->end(), bytes.begin(), bytes.end()));
    if (is_new) ssrcs[ssrc_count++] = ssrc;
  }
  return 0;
}
