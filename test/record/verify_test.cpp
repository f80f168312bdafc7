#include "record/verify.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "support/recording.h"

namespace miharu::record {
namespace {

namespace fs = std::filesystem;
using base::seconds;
using testing::HasSubstr;

class VerifyTest : public ::testing::TestWithParam<store::Container> {
 protected:
  void SetUp() override {
    recorded_.run(seconds(20));
    recorded_.clock.advance(seconds(60));
    recorded_.run(seconds(7), store::RunReason::kCameraLost);
    entries_ = recorded_.entries();
    ASSERT_EQ(entries_.size(), 6U);
  }
  fs::path path(size_t i) { return recorded_.store->root() / entries_[i]->key; }
  VerifyReport verify() {
    auto report = verify_store(*recorded_.store, {}, {});
    EXPECT_TRUE(report.has_value());
    return std::move(*report);
  }
  void flip(size_t object, uint64_t offset) {
    std::fstream file(path(object), std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(offset));
    const char byte = static_cast<char>(file.get() ^ 1);
    file.seekp(static_cast<std::streamoff>(offset));
    file.put(byte);
  }

  test::RecordedStore recorded_{GetParam()};
  std::vector<store::CatalogEntryPtr> entries_;
};

TEST_P(VerifyTest, AllIsWell) {
  const VerifyReport report = verify();
  EXPECT_TRUE(report.findings.empty());
  EXPECT_EQ(report.objects, 6U);
  EXPECT_EQ(report.frames, 27U * 25);
  EXPECT_EQ(report.runs, 2U);
  uint64_t bytes = 0;
  uint64_t chunks = 0;
  for (const auto& entry : entries_) {
    bytes += entry->name.size_bytes();
    chunks += entry->name.chunks.size();
  }
  EXPECT_EQ(report.bytes, bytes);
  EXPECT_EQ(report.chunks, chunks);
}

TEST_P(VerifyTest, AByteThatChangedIsSeen) {
  const uint64_t size = fs::file_size(path(2));
  for (const uint64_t offset : {uint64_t{0}, uint64_t{900}, size / 2, size - 1}) {
    flip(2, offset);
    const VerifyReport report = verify();
    ASSERT_FALSE(report.findings.empty()) << offset;
    EXPECT_EQ(report.findings[0].key, entries_[2]->key);
    EXPECT_THAT(report.findings[0].text, HasSubstr("checksum"));
    flip(2, offset);
  }
  EXPECT_TRUE(verify().findings.empty());
}

TEST_P(VerifyTest, AShorterFileIsSeen) {
  const uint64_t size = fs::file_size(path(1));
  fs::resize_file(path(1), size - 1);
  const VerifyReport report = verify();
  ASSERT_EQ(report.findings.size(), 1U);
  EXPECT_THAT(report.findings[0].text, HasSubstr("its name says " + std::to_string(size)));
}

TEST_P(VerifyTest, AMissingObjectIsSeen) {
  fs::remove(path(2));
  const VerifyReport report = verify();
  ASSERT_EQ(report.findings.size(), 1U);
  EXPECT_EQ(report.findings[0].key, entries_[3]->key);
  EXPECT_THAT(report.findings[0].text,
              HasSubstr(std::to_string(entries_[2]->name.chunks.size()) + " chunks before it are missing"));
}

TEST_P(VerifyTest, TheOldestMayBeMissing) {
  fs::remove(path(0));
  fs::remove(path(1));
  EXPECT_TRUE(verify().findings.empty()) << "retention deletes from the front";
}

TEST_P(VerifyTest, AnObjectInTheWrongFolderIsSeen) {
  const fs::path wrong = path(0).parent_path().parent_path() / "23" / path(0).filename();
  fs::create_directories(wrong.parent_path());
  fs::rename(path(0), wrong);
  const VerifyReport report = verify();
  ASSERT_EQ(report.findings.size(), 1U);
  EXPECT_THAT(report.findings[0].text, HasSubstr("another hour"));
}

TEST_P(VerifyTest, TheSameChunksTwiceAreSeen) {
  store::ObjectName other = entries_[1]->name;
  other.run.number += 40;
  fs::copy_file(path(1), recorded_.store->root() / *store::object_key("front", other));
  EXPECT_THAT(verify().findings, testing::Contains(testing::Field(&VerifyFinding::text, HasSubstr("twice"))));
}

TEST_P(VerifyTest, ANameThatCannotBeReadIsSeen) {
  fs::rename(path(5), path(5).parent_path() / "20261121T034000.000Z_1r_a_zz.mp4");
  const VerifyReport report = verify();
  ASSERT_EQ(report.findings.size(), 1U);
  EXPECT_THAT(report.findings[0].text, HasSubstr("name cannot be read"));
  EXPECT_EQ(report.objects, 5U);
}

TEST_P(VerifyTest, ItCanBeEndedEarlyAndLimitedToCameras) {
  recorded_.run(seconds(3), store::RunReason::kRestart, "back");
  uint64_t told = 0;
  const auto report = verify_store(*recorded_.store, {}, [&told](const VerifyReport& so_far) {
    told = so_far.objects;
    return so_far.objects < 2;
  });
  ASSERT_TRUE(report);
  EXPECT_EQ(report->objects, 2U);
  EXPECT_EQ(told, 2U);
  EXPECT_EQ(verify_store(*recorded_.store, {.cameras = {"back"}}, {})->objects, 1U);
  EXPECT_EQ(verify_store(*recorded_.store, {.cameras = {"nobody"}}, {})->objects, 0U);
}

INSTANTIATE_TEST_SUITE_P(Containers, VerifyTest,
                         ::testing::Values(store::Container::kFmp4, store::Container::kMpegTs),
                         [](const auto& each) {
                           return each.param == store::Container::kFmp4 ? "Fmp4" : "MpegTs";
                         });

}  // namespace
}  // namespace miharu::record
