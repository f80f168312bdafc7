#include "hls/live_playlist.h"

#include <algorithm>

#include "hls/playlist.h"
#include "hls/playlist_writer.h"

namespace miharu::hls {
namespace {

using record::PartEntry;
using record::RecentChunk;
using store::Container;

using Chunks = std::vector<const RecentChunk*>;

// Players may hold the address of a part for three target durations (section 6.2.2).
constexpr uint64_t kPartsMs = uint64_t{3} * kTargetSeconds * 1000;
// At least six target durations (section 4.4.3.8).
constexpr uint64_t kSkipMs = uint64_t{6} * kTargetSeconds * 1000;
// How far from the end a player of parts stays, in tenths of a part. Two parts is the least and three the
// advice; a bit more than two keeps Chromium within two seconds of the camera and leaves it a part in
// reserve.
constexpr uint64_t kHoldBackTenths = 25;

uint64_t to_us(base::nanoseconds time) {
  return static_cast<uint64_t>(std::chrono::duration_cast<base::microseconds>(time).count());
}

// The last chunks that cover the window.
Chunks select(const std::vector<RecentChunk>& chunks, base::nanoseconds window) {
  const auto wanted_ms =
      static_cast<uint64_t>(std::chrono::duration_cast<base::milliseconds>(window).count());
  uint64_t ms = 0;
  size_t finished = 0;
  size_t first = chunks.size();
  while (first > 0 &&
         (first == chunks.size() || ms < wanted_ms || finished < 3 || chunks[first].chunk.key_bytes == 0)) {
    --first;
    ms += chunks[first].duration_ms;
    finished += chunks[first].finished ? 1 : 0;
  }
  Chunks chosen;
  for (; first < chunks.size(); ++first) chosen.push_back(&chunks[first]);
  return chosen;
}

class LiveWriter {
 public:
  LiveWriter(std::string_view camera, const Chunks& chunks, bool skip)
      : camera_(camera), chunks_(chunks), out_(1024 + chunks.size() * 200) {
    for (const RecentChunk* chunk : chunks_) {
      total_ms_ += chunk->duration_ms;
      target_s_ = std::max<uint64_t>(target_s_, (uint64_t{chunk->duration_ms} + 500) / 1000);
      independent_ = independent_ && chunk->chunk.key_bytes > 0;
    }
    can_skip_ = total_ms_ > kSkipMs;
    first_with_parts_ = first_within(kPartsMs);
    for (size_t i = first_with_parts_; i < chunks_.size(); ++i) {
      for (const PartEntry& part : chunks_[i]->parts)
        part_target_us_ = std::max<uint64_t>(part_target_us_, part.duration_us);
    }
    skipped_ = skip && can_skip_ ? first_within(kSkipMs) : 0;
  }

  std::string write() && {
    head();
    for (size_t i = skipped_; i < chunks_.size(); ++i) chunk(i);
    if (!chunks_.empty()) hint(*chunks_.back());
    return std::move(out_).take();
  }

 private:
  // The first chunk that begins less than `ms` before the end.
  [[nodiscard]] size_t first_within(uint64_t ms) const {
    size_t first = chunks_.size();
    for (uint64_t behind = 0; first > 0; --first) {
      behind += chunks_[first - 1]->duration_ms;
      if (behind >= ms) break;
    }
    return first;
  }

  void head() {
    // Section 8: EXT-X-SKIP asks for 9, EXT-X-MAP in an ordinary playlist for 6.
    out_.text("#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:").number(target_s_);
    out_.text("\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=");
    out_.micros(part_target_us_ * kHoldBackTenths / 10);
    if (can_skip_) out_.text(",CAN-SKIP-UNTIL=").seconds(kSkipMs);
    out_.text("\n#EXT-X-PART-INF:PART-TARGET=").micros(part_target_us_).text("\n");
    if (chunks_.empty()) return;
    out_.text("#EXT-X-MEDIA-SEQUENCE:").number(chunks_[0]->seq);
    out_.text("\n#EXT-X-DISCONTINUITY-SEQUENCE:").number(chunks_[0]->run.number).text("\n");
    if (independent_) out_.text("#EXT-X-INDEPENDENT-SEGMENTS\n");
    if (skipped_ > 0) out_.text("#EXT-X-SKIP:SKIPPED-SEGMENTS=").number(skipped_).text("\n");
  }

  void chunk(size_t index) {
    const RecentChunk& mine = *chunks_[index];
    const RecentChunk* before = index > 0 ? chunks_[index - 1] : nullptr;
    if (before == nullptr || before->run != mine.run) {
      run_ = store::format_run(mine.run);
      // A tag for each number, so that a player's count stays the run number though a run recorded nothing.
      const uint64_t runs = before != nullptr && mine.run.number > before->run.number
                                ? mine.run.number - before->run.number
                                : 1;
      for (uint64_t i = 0; before != nullptr && i < std::min(runs, kMaxTags); ++i)
        out_.text("#EXT-X-DISCONTINUITY\n");
      if (mine.container == Container::kFmp4) out_.text("#EXT-X-MAP:URI=\"init/").text(run_).text(".mp4\"\n");
    } else if (run_.empty()) {
      run_ = store::format_run(mine.run);  // of a chunk that was skipped
    }
    out_.program_date_time(base::to_unix_ms(mine.start));
    if (index >= first_with_parts_) parts(mine);
    if (!mine.finished) return;
    out_.extinf(mine.duration_ms);
    address(mine.run, mine.seq, mine.container);
    out_.text("\n");
  }

  void parts(const RecentChunk& mine) {
    uint64_t offset = 0;
    for (const PartEntry& part : mine.parts) {
      out_.text("#EXT-X-PART:DURATION=").micros(part.duration_us).text(",URI=\"");
      address(mine.run, mine.seq, mine.container);
      out_.text("\",BYTERANGE=\"").number(part.size_bytes).text("@").number(offset).text("\"");
      out_.text(part.independent ? ",INDEPENDENT=YES\n" : "\n");
      offset += part.size_bytes;
    }
  }

  void hint(const RecentChunk& newest) {
    out_.text("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"");
    address(newest.run, newest.finished ? newest.seq + 1 : newest.seq, newest.container);
    out_.text("\",BYTERANGE-START=").number(newest.finished ? 0 : newest.chunk.size_bytes).text("\n");
  }

  void address(store::Run run, uint64_t seq, Container container) {
    out_.text("../../media/").text(camera_).text("/").text(store::format_run(run)).text("/");
    // FFmpeg refuses media segments whose address does not end like a media file.
    out_.text(store::format_base36(seq)).text(container == Container::kFmp4 ? ".mp4" : ".ts");
  }

  // A player counts tags, it does not need thousands of them.
  static constexpr uint64_t kMaxTags = 1000;

  std::string_view camera_;
  const Chunks& chunks_;
  PlaylistWriter out_;
  uint64_t total_ms_ = 0;
  uint64_t target_s_ = kTargetSeconds;
  uint64_t part_target_us_ = to_us(kPartTarget);
  bool independent_ = true;
  bool can_skip_ = false;
  size_t first_with_parts_ = 0;
  size_t skipped_ = 0;
  std::string run_;
};

}  // namespace

std::string live_playlist(std::string_view camera, const std::vector<RecentChunk>& chunks,
                          const LiveRequest& request) {
  const Chunks chosen = select(chunks, request.window);
  return LiveWriter(camera, chosen, request.skip).write();
}

Reload reload_state(const std::vector<RecentChunk>& chunks, const ReloadPoint& point) {
  if (chunks.empty()) return Reload::kWait;
  const RecentChunk& newest = chunks.back();
  const uint64_t last_segment = newest.finished ? newest.seq : newest.seq - std::min<uint64_t>(newest.seq, 1);
  if (point.msn > last_segment + 2) return Reload::kTooFar;
  const auto reached = [&](const RecentChunk& chunk) {
    if (chunk.seq != point.msn) return chunk.seq > point.msn && (chunk.finished || !chunk.parts.empty());
    return point.part ? *point.part < chunk.parts.size() : chunk.finished;
  };
  return std::any_of(chunks.rbegin(), chunks.rend(), reached) ? Reload::kReady : Reload::kWait;
}

}  // namespace miharu::hls
