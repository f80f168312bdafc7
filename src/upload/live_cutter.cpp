#include "upload/live_cutter.h"

#include <algorithm>

#include <fmt/format.h>

namespace miharu::upload {

using record::PartEntry;
using record::RecentChunk;

namespace {

bool begins_with_key(const RecentChunk& chunk) {
  return !chunk.parts.empty() && chunk.parts.front().independent;
}

}  // namespace

std::string LivePiece::name() const {
  return fmt::format("{}_{}_{}.{}", store::format_run(run), store::format_base36(seq), index,
                     container == store::Container::kFmp4 ? "mp4" : "ts");
}

std::vector<LivePiece> LiveCutter::cut(const std::vector<RecentChunk>& chunks) {
  std::vector<LivePiece> pieces;
  auto chunk = chunks.end();
  if (next_) {
    chunk = std::ranges::find_if(chunks, [this](const RecentChunk& each) { return each.seq == next_->seq; });
    // A place behind the newest chunk is where the next one will be.
    const bool is_next = !chunks.empty() && chunks.back().finished && chunks.back().seq + 1 == next_->seq;
    if (chunk == chunks.end() && is_next) return pieces;
    if (chunk == chunks.end() || (next_->part > 0 && chunk->run != next_->run)) {
      begin_anew();
      chunk = chunks.end();
    }
  }
  if (!next_) {
    const auto latest = std::find_if(chunks.rbegin(), chunks.rend(), begins_with_key);
    if (latest == chunks.rend()) return pieces;
    chunk = std::prev(latest.base());
    next_ = Place{chunk->run, chunk->seq, 0};
  }
  for (; chunk != chunks.end() && chunk->seq == next_->seq; ++chunk) {
    if (chunk->run != next_->run) {
      broken_ = began_;
      next_->run = chunk->run;
    }
    LivePiece piece;
    base::microseconds before{};
    for (size_t i = 0; i < chunk->parts.size(); ++i) {
      const PartEntry& part = chunk->parts[i];
      const base::microseconds start = before;
      before += base::microseconds(part.duration_us);
      if (i < next_->part) continue;
      if (piece.size_bytes == 0) {
        piece = {chunk->run, chunk->seq, i,    chunk->container, chunk->start + start, {}, part.offset, 0,
                 false,      false,      false};
        piece.key = i == 0 && part.independent;
      }
      piece.size_bytes += part.size_bytes;
      piece.duration += base::microseconds(part.duration_us);
      const bool whole = piece.duration >= kPiece || (chunk->finished && i + 1 == chunk->parts.size());
      if (!whole) continue;
      piece.discontinuity = std::exchange(broken_, false);
      began_ = true;
      pieces.push_back(std::exchange(piece, {}));
      next_->part = i + 1;
    }
    if (!chunk->finished) break;
    next_ = Place{chunk->run, chunk->seq + 1, 0};
  }
  return pieces;
}

bool LiveCutter::skip(const std::vector<RecentChunk>& chunks, uint64_t behind_seq) {
  const auto latest = std::find_if(chunks.rbegin(), chunks.rend(), begins_with_key);
  if (latest == chunks.rend() || latest->seq <= behind_seq) return false;
  next_ = Place{latest->run, latest->seq, 0};
  broken_ = began_;
  return true;
}

void LiveCutter::begin_anew() {
  next_.reset();
  broken_ = began_;
}

}  // namespace miharu::upload
