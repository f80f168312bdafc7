// What is recorded of a camera and where the gaps are, with their reasons.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "api/auth/rights.h"
#include "base/clock.h"
#include "net/http.h"
#include "record/gap_log.h"
#include "store/catalog.h"
#include "upload/upload_log.h"

namespace miharu::api {

struct TimelineSpan {
  base::UtcTime start;
  base::UtcTime end;
  store::Run run;  // number 0: not known, of what is in the bucket alone
  uint64_t bytes = 0;
  uint64_t damaged_chunks = 0;
  bool growing = false;
  bool local = true;
  bool uploaded = false;
  bool playable = true;  // by who tells this timeline
};

struct TimelineGap {
  base::UtcTime start;
  base::UtcTime end;
  std::string reason;  // record::name_of; "retention" before the oldest, "lost" of what was recorded but is
                       // nowhere any more, "not_recorded" where nothing is known
  std::string text;    // for a person
};

struct Timeline {
  base::UtcTime from;
  base::UtcTime to;  // no later than now
  std::vector<TimelineSpan>
      spans;  // one a run, or several where objects of it are missing or lie elsewhere; by start
  std::vector<TimelineGap> gaps;
  uint64_t undecodable = 0;
};

// Gaps shorter than this are not told.
inline constexpr base::nanoseconds kLeastGapShown = base::seconds(2);

// What a recorder knows beside the names. Either may be empty: then reasons come from the names alone, and
// nothing is known of a bucket.
struct TimelineNotes {
  std::function<base::Result<std::vector<record::Gap>>(std::string_view camera, base::UtcTime from,
                                                       base::UtcTime to)>
      gaps;
  std::function<base::Result<std::vector<upload::PlacedSpan>>(std::string_view camera, base::UtcTime from,
                                                              base::UtcTime to)>
      uploads;
};

// Blocking.
base::Result<Timeline> make_timeline(store::Footage& catalog, const TimelineNotes& notes,
                                     std::string_view camera, base::UtcTime from, base::UtcTime to,
                                     base::UtcTime now);
// With the notes of a recorder's logs, which may be null.
base::Result<Timeline> make_timeline(store::Footage& catalog, const record::GapLog* gaps,
                                     std::string_view camera, base::UtcTime from, base::UtcTime to,
                                     base::UtcTime now, const upload::UploadLog* uploads = nullptr);
// "local", "uploaded", "local+uploaded"
std::string where_of(const TimelineSpan& span, std::string_view between);
std::string to_json(const Timeline& timeline);
// GET /api/v1/cameras/{camera}/timeline?from=&to=, held to what `access` allows. Blocking.
net::HttpResponse timeline_response(const net::HttpRequest& request, const Access& access,
                                    std::string_view camera, store::Footage& catalog,
                                    const TimelineNotes& notes, base::UtcTime now);
net::HttpResponse timeline_response(const net::HttpRequest& request, const Access& access,
                                    std::string_view camera, store::Footage& catalog,
                                    const record::GapLog* gaps, base::UtcTime now,
                                    const upload::UploadLog* uploads = nullptr);

}  // namespace miharu::api
