// Low-latency live playlists (draft-pantos-hls-rfc8216bis, sections 4.4.3, 4.4.4 and 6.2.5) from the latest
// chunks. Text in, text out: no I/O, no clock. A player that knows no parts reads the same text as an
// ordinary list.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "record/recording.h"

namespace miharu::hls {

// EXT-X-PART-INF, unless the frames are further apart than this.
inline constexpr base::milliseconds kPartTarget{500};

struct LiveRequest {
  base::nanoseconds window = base::seconds(60);  // of past, to the key frame before; at least three segments
                                                 // where there are so many
  bool skip = false;  // a delta update: what lies further back than CAN-SKIP-UNTIL is left out
};

// `chunks` oldest first, numbered without a hole, the growing one last. EXT-X-MEDIA-SEQUENCE is the chunk
// number and EXT-X-DISCONTINUITY-SEQUENCE the run number of the first, so that both are right over runs and
// restarts.
std::string live_playlist(std::string_view camera, const std::vector<record::RecentChunk>& chunks,
                          const LiveRequest& request = {});

// What a blocking reload waits for (_HLS_msn and _HLS_part, section 6.2.5.2).
struct ReloadPoint {
  uint64_t msn = 0;
  std::optional<uint64_t> part;
};
enum class Reload {
  kReady,
  kWait,
  kTooFar,  // more than two segments ahead: 400
};
Reload reload_state(const std::vector<record::RecentChunk>& chunks, const ReloadPoint& point);

}  // namespace miharu::hls
