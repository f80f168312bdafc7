// One session on a thread of its own, whose host's kernel takes packets or does not.
#include "webrtc/session.h"

#include "net/udp_port.h"
#include "webrtc/test_viewer.h"

namespace miharu::webrtc {
namespace {

class FickleHost final : public SessionHost {
 public:
  explicit FickleHost(net::EventLoop& loop)
      : port(net::UdpPort::open(loop, net::UdpPort::Reach::kLoopback, 0,
                                [this](const net::UdpPath& path, std::span<std::byte> datagram) {
                                  session->on_datagram(base::system_clock().steady(), path, datagram);
                                })
                 .value()) {}

  bool send_segments(const net::UdpPath& path, base::ByteView bytes, size_t segment_bytes) override {
    return !refuses && port->send_segments(path, bytes, segment_bytes);
  }
  PacketBatch& batch() override { return *batch_; }
  void on_path_validated(Session&, const net::UdpPath&) override {}
  void on_path_forgotten(Session&, const net::UdpPath&) override {}
  void on_ufrag_retired(std::string_view) override {}
  void on_sub_wanted(Session&, bool wanted) override { sub_wanted = wanted; }

  std::unique_ptr<net::UdpPort> port;
  std::unique_ptr<Session> session;
  bool refuses = false;
  bool sub_wanted = false;

 private:
  std::unique_ptr<PacketBatch> batch_ = std::make_unique<PacketBatch>(static_cast<SegmentSink&>(*this));
};

TEST(Session, CountsWhatTheKernelDoesNotTake) {
  net::EventLoop loop("media-0");
  FickleHost host(loop);
  UnitRing ring;
  const auto dtls = DtlsContext::make(DtlsRole::kServer, certificate_of(DtlsRole::kServer)).value();
  TestViewer viewer;
  SessionOptions options;
  options.offered = base::system_clock().steady();
  options.ice.local = make_ice_credentials(0);
  options.ice.remote = {viewer.ufrag, base::Secret(viewer.password)};
  options.ice.local_addresses = {boost::asio::ip::address_v4::loopback()};
  options.peer = certificate_of(DtlsRole::kClient).fingerprint();
  options.video.ssrc = 7;
  options.video.payload_type = 96;
  viewer.take_answer(
      "a=ice-ufrag:" + options.ice.local.ufrag + "\r\na=ice-pwd:" + options.ice.local.password.reveal() +
      "\r\na=fingerprint:" + certificate_of(DtlsRole::kServer).fingerprint().to_string() +
      "\r\na=candidate:1 1 udp 1 127.0.0.1 " + std::to_string(host.port->port()) + " typ host\r\n");
  host.session =
      std::make_unique<Session>(options, dtls, ring, static_cast<SessionHost&>(host), options.offered);
  const auto show = [&](bool key, bool taken) {
    loop.run_and_wait([&] {
      host.refuses = !taken;
      const base::SteadyTime now = base::system_clock().steady();
      ring.push(make_unit(key, now, 5000, 1), now);
      host.session->on_video(now, ring);
    });
  };
  const auto totals = [&] {
    ViewerTotals now;
    loop.run_and_wait([&] { now = host.session->totals(); });
    return now;
  };
  loop.start();
  loop.run_and_wait([&] { host.port->start(); });
  ASSERT_TRUE(viewer.connect());

  show(true, true);
  ASSERT_TRUE(viewer.wait([&] { return viewer.pictures() == 1; }));
  const size_t came = viewer.rtp.size();
  EXPECT_EQ(totals().packets, came);
  EXPECT_EQ(totals().dropped, 0U);
  show(false, false);
  EXPECT_EQ(totals().dropped, totals().packets - came);
  EXPECT_GT(totals().dropped, 3U);
  const uint64_t dropped = totals().dropped;
  show(false, true);
  ASSERT_TRUE(viewer.wait([&] { return viewer.pictures() == 2; }));
  EXPECT_EQ(totals().dropped, dropped);
  loop.run_and_wait([&] { EXPECT_EQ(host.session->info().dropped, dropped); });
  loop.stop();
  host.session.reset();
}

}  // namespace
}  // namespace miharu::webrtc
