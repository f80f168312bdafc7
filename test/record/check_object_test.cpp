// Objects whose bytes are whole, and whose names say something else.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "record/verify.h"
#include "support/recording.h"

namespace miharu::record {
namespace {

using base::seconds;
using testing::ElementsAre;
using testing::HasSubstr;

class CheckObjectTest : public ::testing::TestWithParam<store::Container> {
 protected:
  void SetUp() override {
    recorded_.run(seconds(6));
    const auto entries = recorded_.entries();
    ASSERT_FALSE(entries.empty());
    name_ = entries[0]->name;
    bytes_ = *recorded_.store->get(entries[0]->key, 0, UINT64_MAX);
    ASSERT_THAT(check(name_), ElementsAre()) << "nothing is wrong with it";
    ASSERT_GE(name_.chunks.size(), 2U);
  }
  std::vector<std::string> check(const store::ObjectName& name) {
    return check_object(name, bytes_, nullptr);
  }
  // Bytes that the name tells the truth about, size and checksum.
  std::vector<std::string> check_bytes(base::ByteVector bytes) {
    store::ObjectName name = name_;
    const size_t whole = name.size_bytes();
    name.chunks.back().size_bytes += static_cast<uint32_t>(bytes.size()) - static_cast<uint32_t>(whole);
    name.crc = base::crc32c(0, bytes);
    bytes_ = std::move(bytes);
    return check(name);
  }

  test::RecordedStore recorded_{GetParam()};
  store::ObjectName name_;
  base::ByteVector bytes_;
};

TEST_P(CheckObjectTest, AStartThatTheContentDoesNotHave) {
  store::ObjectName name = name_;
  name.start += seconds(5);
  EXPECT_THAT(check(name), ElementsAre(HasSubstr("begins at 2026-11-21T03:00:00.000Z, its name says "
                                                 "2026-11-21T03:00:05.000Z")));
}

TEST_P(CheckObjectTest, AnInitializationPartOfAnotherLength) {
  if (GetParam() == store::Container::kMpegTs) GTEST_SKIP() << "MPEG-TS has none";
  store::ObjectName name = name_;
  ++name.init_bytes;
  --name.chunks[0].size_bytes;
  EXPECT_THAT(check(name), testing::Contains(HasSubstr("initialization part has another length")));
}

TEST_P(CheckObjectTest, OtherTracks) {
  store::ObjectName name = name_;
  name.audio = media::Codec::kOpus;
  EXPECT_THAT(check(name), ElementsAre("has other tracks than its name says"));
  name.has_audio = false;
  EXPECT_THAT(check(name), ElementsAre("has other tracks than its name says"));
}

TEST_P(CheckObjectTest, OtherChunks) {
  store::ObjectName name = name_;
  name.chunks[0].duration_ms += 40;
  EXPECT_THAT(check(name), ElementsAre(HasSubstr("chunk 0 is ")));
  name = name_;
  name.chunks[0].key_bytes += 3;
  EXPECT_THAT(check(name), ElementsAre(HasSubstr("chunk 0 is ")));
  name = name_;
  name.chunks[0].size_bytes += name.chunks[1].size_bytes;
  name.chunks.erase(name.chunks.begin() + 1);
  EXPECT_THAT(check(name),
              ElementsAre(HasSubstr("has " + std::to_string(name_.chunks.size()) + " chunks, its name says " +
                                    std::to_string(name.chunks.size()))));
}

TEST_P(CheckObjectTest, ATailThatIsNoFragment) {
  base::ByteVector bytes = bytes_;
  bytes.resize(bytes.size() + 188);
  EXPECT_THAT(check_bytes(bytes), testing::Contains(HasSubstr("bytes are whole fragments")));
}

TEST_P(CheckObjectTest, BytesThatAreNoObject) {
  EXPECT_THAT(check_bytes(base::ByteVector(bytes_.size(), std::byte{0x55})),
              ElementsAre(HasSubstr("cannot be read: ")));
}

INSTANTIATE_TEST_SUITE_P(Containers, CheckObjectTest,
                         ::testing::Values(store::Container::kFmp4, store::Container::kMpegTs),
                         [](const auto& each) {
                           return each.param == store::Container::kFmp4 ? "Fmp4" : "MpegTs";
                         });

}  // namespace
}  // namespace miharu::record
