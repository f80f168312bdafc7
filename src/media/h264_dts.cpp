#include "media/h264_dts.h"

#include <algorithm>
#include <cstdlib>
#include <numeric>

namespace miharu::media::h264 {
namespace {

constexpr int64_t kMaxReorder = 16;
constexpr uint32_t kGiveUpsToRelearn = 3;

}  // namespace

int64_t DtsExtractor::picture_order_count(const Picture& picture, const Sps& sps) {
  const int64_t max_lsb = int64_t{1} << sps.log2_max_poc_lsb;
  const int64_t lsb = picture.slice.poc_lsb;
  if (picture.idr) {
    previous_poc_msb_ = 0;
    previous_poc_lsb_ = 0;
  }
  int64_t msb = previous_poc_msb_;
  if (lsb < previous_poc_lsb_ && previous_poc_lsb_ - lsb >= max_lsb / 2) msb += max_lsb;
  if (lsb > previous_poc_lsb_ && lsb - previous_poc_lsb_ > max_lsb / 2) msb -= max_lsb;
  if (picture.reference) {
    previous_poc_msb_ = msb;
    previous_poc_lsb_ = lsb;
  }
  // The two fields of a frame have neighbouring counts and are one place in the order.
  return picture.slice.field ? (msb + lsb) & ~int64_t{1} : msb + lsb;
}

int64_t DtsExtractor::place_in_order(int64_t poc, bool idr) {
  if (idr) {
    // Waiting in vain for pictures between counts means that the counts go by more than was thought.
    if (gave_up_ >= kGiveUpsToRelearn && poc_gcd_ > poc_step_) poc_step_ = poc_gcd_;
    poc_gcd_ = 0;
    gave_up_ = 0;
    next_shown_ = -leading_;
    ahead_.clear();
    last_place_.reset();
  }
  poc_gcd_ = std::gcd(poc_gcd_, poc);
  if (poc % poc_step_ != 0) {
    const int64_t finer = std::gcd(poc_step_, poc);
    const int64_t factor = poc_step_ / finer;
    poc_step_ = finer;
    ticks_a_place_ /= factor;
    // Only for counts from here on: what has been shown stays shown.
    for (int64_t& place : ahead_) place *= factor;
    next_shown_ = (next_shown_ - 1) * factor + 1;
    if (last_place_) *last_place_ *= factor;
  }
  return poc / poc_step_;
}

int64_t DtsExtractor::missing_before(int64_t place) const {
  if (place <= next_shown_) return 0;
  const auto arrived = std::lower_bound(ahead_.begin(), ahead_.end(), place) - ahead_.begin();
  return place - next_shown_ - arrived;
}

void DtsExtractor::mark_arrived(int64_t place, uint32_t reorder_frames) {
  if (place < next_shown_) return;
  const auto at = std::lower_bound(ahead_.begin(), ahead_.end(), place);
  if (at == ahead_.end() || *at != place) ahead_.insert(at, place);
  const size_t limit = std::clamp<size_t>(reorder_frames, 1, kMaxReorder);
  size_t used = 0;
  while (used < ahead_.size()) {
    if (ahead_[used] != next_shown_) {
      // More pictures have come than a decoder could hold back: those missing between them will not come
      // (8.2.5.3).
      if (ahead_.size() - used <= limit) break;
      ++gave_up_;
    }
    next_shown_ = ahead_[used++] + 1;
  }
  ahead_.erase(ahead_.begin(), ahead_.begin() + static_cast<std::ptrdiff_t>(used));
}

base::Result<DtsExtractor::Times> DtsExtractor::conflict(const Picture& picture, int64_t poc, int64_t pts) {
  distrust_reorder_ = true;
  if (!picture.idr && poc < 0) leading_ = std::clamp<int64_t>(-(poc / poc_step_), leading_, kMaxReorder);
  if (!picture.reference) {
    return base::fail(base::Errc::kMalformed,
                      "picture comes too late to be shown at its time (order of B-frames)");
  }
  const int64_t least = *last_dts_ + 1;
  last_dts_ = least;
  return Times{std::max(pts, least), least, pts < least};
}

base::Result<DtsExtractor::Times> DtsExtractor::extract(const Picture& picture, const Sps& sps, int64_t pts) {
  const uint32_t reorder_frames = distrust_reorder_ ? kMaxReorder : sps.reorder_frames();
  if (sps.poc_type != 0 || reorder_frames == 0) {
    if (last_dts_ && pts <= *last_dts_) return conflict(picture, 0, pts);
    last_dts_ = pts;
    return Times{pts, pts, false};
  }
  const int64_t poc = picture_order_count(picture, sps);
  const int64_t place = place_in_order(poc, picture.idr);
  const int64_t missing = std::min(missing_before(place), kMaxReorder);
  if (last_place_ && *last_place_ != place) {
    ticks_a_place_ = std::max<int64_t>(1, std::abs(pts - last_pts_) / std::abs(place - *last_place_));
  }
  const int64_t earliest_missing = pts - (place - next_shown_) * ticks_a_place_;
  last_place_ = place;
  last_pts_ = pts;
  mark_arrived(place, reorder_frames);

  if (!last_dts_) {
    // The first picture of all: what is shown before it is lost to us anyhow.
    next_shown_ = std::max(next_shown_, place + 1);
    ahead_.clear();
    last_dts_ = pts;
    return Times{pts, pts, false};
  }
  if (pts <= *last_dts_) return conflict(picture, poc, pts);
  int64_t dts = pts;
  if (missing > 0) {
    const int64_t way = std::max<int64_t>(0, std::min(earliest_missing, pts) - *last_dts_);
    dts = *last_dts_ + std::max<int64_t>(1, way / (missing + 1));
  }
  last_dts_ = dts;
  return Times{pts, dts, false};
}

DtsExtractor::Times DtsExtractor::without_order(int64_t pts) {
  const int64_t dts = last_dts_ ? std::max(pts, *last_dts_ + 1) : pts;
  last_dts_ = dts;
  return {dts, dts, dts != pts};
}

void DtsExtractor::reset() {
  last_dts_.reset();
  last_place_.reset();
  ahead_.clear();
  next_shown_ = 0;
  previous_poc_msb_ = 0;
  previous_poc_lsb_ = 0;
  poc_gcd_ = 0;
  gave_up_ = 0;
  ticks_a_place_ = 0;
}

}  // namespace miharu::media::h264
