// The timeline with what a recorder's own logs tell.
#include "api/timeline.h"

namespace miharu::api {
namespace {

TimelineNotes notes_of(const record::GapLog* gaps, const upload::UploadLog* uploads) {
  TimelineNotes notes;
  if (gaps != nullptr) {
    notes.gaps = [gaps](std::string_view camera, base::UtcTime from, base::UtcTime to) {
      return gaps->find(camera, from, to);
    };
  }
  if (uploads != nullptr) {
    notes.uploads = [uploads](std::string_view camera, base::UtcTime from, base::UtcTime to) {
      return uploads->find(camera, from, to);
    };
  }
  return notes;
}

}  // namespace

base::Result<Timeline> make_timeline(store::Footage& catalog, const record::GapLog* gaps,
                                     std::string_view camera, base::UtcTime from, base::UtcTime to,
                                     base::UtcTime now, const upload::UploadLog* uploads) {
  return make_timeline(catalog, notes_of(gaps, uploads), camera, from, to, now);
}

net::HttpResponse timeline_response(const net::HttpRequest& request, const Access& access,
                                    std::string_view camera, store::Footage& catalog,
                                    const record::GapLog* gaps, base::UtcTime now,
                                    const upload::UploadLog* uploads) {
  return timeline_response(request, access, camera, catalog, notes_of(gaps, uploads), now);
}

}  // namespace miharu::api
