#include "record/export.h"

#include <gtest/gtest.h>

#include "store/spooled_store.h"
#include "support/counting_store.h"
#include "support/recording.h"

namespace miharu::record {
namespace {

using base::milliseconds;
using base::nanoseconds;
using base::seconds;

class ExportTest : public ::testing::TestWithParam<store::Container> {
 protected:
  void SetUp() override {
    recorded_.run(seconds(20));
    recorded_.clock.advance(seconds(40));
    recorded_.run(seconds(10), store::RunReason::kCameraLost);
  }
  base::Result<ExportReport> run(nanoseconds from, nanoseconds to) {
    out_.clear();
    store::Catalog catalog(*recorded_.store, nullptr, recorded_.clock);
    return export_mp4(
        *recorded_.store, catalog, "front", test::kRecordingStart + from, test::kRecordingStart + to,
        [this](base::ByteView bytes) -> base::Status {
          out_.insert(out_.end(), bytes.begin(), bytes.end());
          return {};
        },
        [this](uint64_t done, uint64_t all) {
          EXPECT_LE(done, all);
          all_ = all;
          return true;
        });
  }

  test::RecordedStore recorded_{GetParam()};
  base::ByteVector out_;
  uint64_t all_ = 0;
};

TEST_P(ExportTest, TheFileHoldsThePicturesFromTheKeyFrameBefore) {
  struct Case {
    int from_ms;
    int to_ms;
    uint64_t frames;
    uint64_t objects;
  };
  for (const Case& c : {Case{2000, 4000, 50, 1}, Case{2480, 4000, 50, 1}, Case{0, 20'000, 500, 4},
                        Case{-50'000, 500'000, 750, 6}, Case{5000, 7000, 50, 2}, Case{18'000, 62'000, 100, 2},
                        Case{30'000, 61'000, 25, 1}}) {
    SCOPED_TRACE(std::to_string(c.from_ms) + " to " + std::to_string(c.to_ms));
    const auto report = run(milliseconds(c.from_ms), milliseconds(c.to_ms));
    ASSERT_TRUE(report) << report.error().to_string();
    EXPECT_EQ(report->frames, c.frames);
    EXPECT_EQ(report->objects, c.objects);
    EXPECT_EQ(report->bytes, out_.size());
    EXPECT_EQ(all_, out_.size()) << "the size was known before";
    EXPECT_EQ(base::as_text(base::ByteView(out_).subspan(4, 4)), "ftyp");
  }
}

TEST_P(ExportTest, NothingRecordedIsNotFound) {
  for (const auto& [from, to] : {std::pair{seconds(-100), seconds(-50)}, std::pair{seconds(25), seconds(50)},
                                 std::pair{seconds(5000), seconds(6000)}}) {
    const auto report = run(from, to);
    ASSERT_FALSE(report) << from.count();
    EXPECT_EQ(report.error().code, base::Errc::kNotFound) << report.error().to_string();
  }
}

TEST_P(ExportTest, ItCanBeGivenUp) {
  store::Catalog catalog(*recorded_.store, nullptr, recorded_.clock);
  const auto to = test::kRecordingStart + seconds(20);
  const auto sink = [](base::ByteView) -> base::Status { return {}; };
  const auto given_up = export_mp4(*recorded_.store, catalog, "front", test::kRecordingStart, to, sink,
                                   [](uint64_t, uint64_t) { return false; });
  ASSERT_FALSE(given_up);
  EXPECT_EQ(given_up.error().code, base::Errc::kClosed);
  const auto full =
      export_mp4(*recorded_.store, catalog, "front", test::kRecordingStart, to,
                 [](base::ByteView) -> base::Status { return base::fail(base::Errc::kNoSpace, "full"); }, {});
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code, base::Errc::kNoSpace);
}

TEST_P(ExportTest, AnObjectThatCannotBeReadIsNamed) {
  const auto entries = recorded_.entries();
  ASSERT_TRUE(base::write_file(recorded_.store->root() / entries[1]->key, base::as_bytes("gone")));
  const auto report = run(seconds(0), seconds(20));
  ASSERT_FALSE(report);
  EXPECT_NE(report.error().text.find(entries[1]->key), std::string::npos) << report.error().text;
}

TEST_P(ExportTest, OfABucketOnlyWhatIsNeededIsFetchedAndThatOnce) {
  test::CountingStore bucket(*recorded_.store);
  const auto spooled = store::SpooledStore::make(bucket, recorded_.folder.path());
  ASSERT_TRUE(spooled) << spooled.error().text;
  const auto entries = recorded_.entries();
  const auto export_from = [&](store::ObjectStore& store, nanoseconds from, nanoseconds to) {
    store::Catalog catalog(store, nullptr, recorded_.clock);
    base::ByteVector out;
    const auto report =
        export_mp4(store, catalog, "front", test::kRecordingStart + from, test::kRecordingStart + to,
                   [&out](base::ByteView bytes) -> base::Status {
                     out.insert(out.end(), bytes.begin(), bytes.end());
                     return {};
                   },
                   {});
    EXPECT_TRUE(report) << report.error().to_string();
    return out;
  };
  // In the first chunk of the first object: that and its neighbour, behind the initialization part.
  const store::ObjectName& first = entries[0]->name;
  ASSERT_GT(first.chunks.size(), 2U);
  const auto small = export_from(**spooled, milliseconds(200), milliseconds(400));
  EXPECT_EQ(bucket.read_bytes, first.init_bytes + first.chunks[0].size_bytes + first.chunks[1].size_bytes);
  EXPECT_EQ(small, export_from(*recorded_.store, milliseconds(200), milliseconds(400)));
  // From the last chunk of one over a whole one into the first chunk of a third.
  bucket.read_bytes = 0;
  const auto from = first.duration() - milliseconds(200);
  const auto to = first.duration() + entries[1]->name.duration() + milliseconds(200);
  const auto large = export_from(**spooled, from, to);
  const store::ObjectName& third = entries[2]->name;
  const auto last_two = first.chunks.end() - 2;
  EXPECT_EQ(bucket.read_bytes, first.init_bytes + last_two[0].size_bytes + last_two[1].size_bytes +
                                   entries[1]->name.size_bytes() + third.init_bytes +
                                   third.chunks[0].size_bytes + third.chunks[1].size_bytes);
  EXPECT_EQ(large, export_from(*recorded_.store, from, to));
}

// The clock is set two hours back or forward between two key frames. The file holds what the interval needs,
// and shows exactly the interval.
class ExportOverAStep : public ::testing::TestWithParam<std::tuple<store::Container, std::chrono::hours>> {};

TEST_P(ExportOverAStep, DecodingBeginsAtTheKeyFrameOfTheRunBefore) {
  const auto& [container, step] = GetParam();
  test::RecordedStore recorded(container);
  recorded.run(milliseconds(12'400));
  recorded.clock.step(step);
  recorded.camera().continue_run();
  recorded.camera().record(milliseconds(7600));
  recorded.camera().end_run();
  const base::UtcTime after = test::kRecordingStart + milliseconds(12'400) + step;
  store::Catalog catalog(*recorded.store, nullptr, recorded.clock);
  struct Case {
    nanoseconds from;
    nanoseconds to;
    uint64_t frames;
  };
  // Ten pictures lie before the step in its group, fifteen behind it.
  for (const Case& c :
       {Case{milliseconds(200), milliseconds(400), 10 + 10}, Case{milliseconds(200), seconds(2), 10 + 50},
        Case{milliseconds(600), seconds(2), 35}, Case{seconds(-1), seconds(2), 10 + 50}}) {
    SCOPED_TRACE(std::to_string(c.from.count()) + " to " + std::to_string(c.to.count()));
    base::ByteVector out;
    const auto report = export_mp4(*recorded.store, catalog, "front", after + c.from, after + c.to,
                                   [&](base::ByteView bytes) -> base::Status {
                                     out.insert(out.end(), bytes.begin(), bytes.end());
                                     return {};
                                   },
                                   {});
    ASSERT_TRUE(report) << report.error().to_string();
    EXPECT_EQ(report->frames, c.frames);
  }
  // All of both sides: each picture once.
  const auto both = [&](base::UtcTime from, base::UtcTime to) {
    const auto report = export_mp4(*recorded.store, catalog, "front", from, to,
                                   [](base::ByteView) -> base::Status { return {}; }, {});
    EXPECT_TRUE(report);
    return report ? report->frames : 0;
  };
  EXPECT_EQ(
      both(test::kRecordingStart - std::chrono::hours(3), test::kRecordingStart + std::chrono::hours(3)),
      500U);
}

INSTANTIATE_TEST_SUITE_P(
    Containers, ExportOverAStep,
    ::testing::Combine(::testing::Values(store::Container::kFmp4, store::Container::kMpegTs),
                       ::testing::Values(std::chrono::hours(-2), std::chrono::hours(2))));

INSTANTIATE_TEST_SUITE_P(Containers, ExportTest,
                         ::testing::Values(store::Container::kFmp4, store::Container::kMpegTs),
                         [](const auto& each) {
                           return each.param == store::Container::kFmp4 ? "Fmp4" : "MpegTs";
                         });

}  // namespace
}  // namespace miharu::record
