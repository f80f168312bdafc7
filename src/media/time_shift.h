// Moves the times inside a whole object, in place.
#pragma once

#include <span>

#include "base/bytes.h"
#include "base/clock.h"

namespace miharu::media {

// Multiples of it are whole ticks of every clock that sound and pictures are recorded with (11025 Hz but for
// half a tick), so that durations stay as they are.
inline constexpr base::milliseconds kShiftUnit{20};

// As our muxers wrote them: baseMediaDecodeTime in fMP4; PCR, PTS and DTS in MPEG-TS, modulo 2^33; and the
// checksum of each fragment whose checksum was right. kMalformed where the object is not of that form; it may
// be half changed then.
base::Status shift_fmp4(std::span<std::byte> object, base::nanoseconds by);
base::Status shift_mpegts(std::span<std::byte> object, base::nanoseconds by);

}  // namespace miharu::media
