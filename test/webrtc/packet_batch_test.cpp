#include "webrtc/packet_batch.h"

#include "webrtc/media_test_support.h"

namespace miharu::webrtc {
namespace {

net::UdpPath path_to(uint16_t port) {
  return {{boost::asio::ip::make_address("192.0.2.7"), port}, boost::asio::ip::make_address("192.0.2.1")};
}

class PacketBatchTest : public testing::Test {
 protected:
  PacketBatchTest() { batch->to(path_to(1000)); }
  void add(size_t bytes) {
    const auto room = batch->packet(bytes);
    ASSERT_EQ(room.size(), bytes);
    std::fill(room.begin(), room.end(), static_cast<std::byte>(++written));
  }
  // "segment x bytes" of each call.
  std::vector<std::pair<size_t, size_t>> calls() const {
    std::vector<std::pair<size_t, size_t>> all;
    for (const auto& call : sink.calls) all.emplace_back(call.segment_bytes, call.bytes);
    return all;
  }
  // Every packet arrives, whole, in order.
  void expect_sizes(const std::vector<size_t>& sizes) const {
    ASSERT_EQ(sink.datagrams.size(), sizes.size());
    for (size_t i = 0; i < sizes.size(); ++i) {
      const base::ByteVector expected(sizes[i], static_cast<std::byte>(i + 1));
      EXPECT_EQ(sink.datagrams[i].bytes, expected) << i;
    }
  }
  using Calls = std::vector<std::pair<size_t, size_t>>;

  RecordingSink sink;
  std::unique_ptr<PacketBatch> batch = std::make_unique<PacketBatch>(sink);
  unsigned written = 0;
};

TEST_F(PacketBatchTest, ThoseOfEqualSizeGoTogether) {
  for (int i = 0; i < 5; ++i) add(1000);
  EXPECT_TRUE(sink.calls.empty());
  batch->flush();
  EXPECT_EQ(calls(), (Calls{{1000, 5000}}));
  expect_sizes({1000, 1000, 1000, 1000, 1000});
  EXPECT_EQ(sink.calls[0].path, path_to(1000));
  batch->flush();
  EXPECT_EQ(sink.calls.size(), 1U);
}

TEST_F(PacketBatchTest, AShorterOneIsTheLast) {
  for (const size_t bytes : {1000, 1000, 900, 900, 900}) add(bytes);
  batch->flush();
  EXPECT_EQ(calls(), (Calls{{1000, 2900}, {900, 1800}}));
  expect_sizes({1000, 1000, 900, 900, 900});
}

TEST_F(PacketBatchTest, ALongerOneBeginsAnew) {
  for (const size_t bytes : {100, 1000, 1000, 1001}) add(bytes);
  batch->flush();
  EXPECT_EQ(calls(), (Calls{{100, 100}, {1000, 2000}, {1001, 1001}}));
  expect_sizes({100, 1000, 1000, 1001});
}

TEST_F(PacketBatchTest, AnEvenShorterOneBehindAShorterOneBeginsAnew) {
  for (const size_t bytes : {1000, 900, 800}) add(bytes);
  batch->flush();
  EXPECT_EQ(calls(), (Calls{{1000, 1900}, {800, 800}}));
  expect_sizes({1000, 900, 800});
}

TEST_F(PacketBatchTest, SixtyFourAtMost) {
  for (int i = 0; i < 130; ++i) add(500);
  batch->flush();
  EXPECT_EQ(calls(), (Calls{{500, 32000}, {500, 32000}, {500, 1000}}));
  expect_sizes(std::vector<size_t>(130, 500));
}

TEST_F(PacketBatchTest, SixtyFiveThousandBytesAtMost) {
  for (int i = 0; i < 60; ++i) add(kMaxPacketBytes);
  batch->flush();
  EXPECT_EQ(calls(), (Calls{{1200, 54 * 1200}, {1200, 6 * 1200}}));
  expect_sizes(std::vector<size_t>(60, kMaxPacketBytes));
}

TEST_F(PacketBatchTest, AnotherReceiverEndsTheRun) {
  add(1000);
  batch->to(path_to(2000));
  add(1000);
  batch->flush();
  ASSERT_EQ(calls(), (Calls{{1000, 1000}, {1000, 1000}}));
  EXPECT_EQ(sink.calls[0].path, path_to(1000));
  EXPECT_EQ(sink.calls[1].path, path_to(2000));
}

TEST_F(PacketBatchTest, CountsWhatTheKernelDoesNotTake) {
  add(1000);
  add(1000);
  sink.refuses = true;
  batch->flush();
  sink.refuses = false;
  add(1000);
  batch->flush();
  EXPECT_EQ(batch->take_lost(), 2U);
  EXPECT_EQ(batch->take_lost(), 0U);
  EXPECT_EQ(sink.datagrams.size(), 1U);
}

}  // namespace
}  // namespace miharu::webrtc
