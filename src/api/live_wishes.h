// POST /api/v1/cameras/{camera}/live of who serves a bucket: the recorder is asked for live pictures, as long
// as this is repeated. Answers where they are.
#pragma once

#include <map>
#include <mutex>
#include <string>

#include "api/delivery.h"
#include "net/http.h"
#include "store/object_store.h"
#include "store/relays.h"
#include "store/wishes.h"

namespace miharu::api {

// Thread-safe; blocks for the store. Any number of them may serve one store: wishes are replaced by version.
class LiveWishes {
 public:
  // For so long a wish holds; pages repeat it each kAgain. The recorder notices within 2 s that it ended.
  static constexpr base::seconds kHolds{22};
  static constexpr base::seconds kAgain{10};
  // A wish that somebody else renewed so lately is left as it is.
  static constexpr base::seconds kStillFresh{15};
  // Which recorder has a camera is looked up no more often.
  static constexpr base::seconds kKnown{30};

  // All must outlive it.
  LiveWishes(store::ObjectStore& store, store::Relays& footage, const base::Clock& clock,
             const MediaDelivery& delivery)
      : store_(store), footage_(footage), clock_(clock), delivery_(delivery) {}

  struct Answer {
    std::string folder;            // in the store; the recorder makes it, and the playlist in it
    base::UtcTime recorded_until;  // of what is in the bucket: whether the recorder is alive
  };
  // kNotFound: no recorder has this camera. kUnsupported: the store is no bucket. kRefused: the key of this
  // server may not write wishes.
  base::Result<Answer> wish(const std::string& camera);
  // {"playlist": "media/r1/live/front/s.../live.m3u8", "again_ms": 10000, "recorded_until": "..."}, and the
  // cookies by which a CDN gives what lies there. 501 and no wish where players could not keep them.
  net::HttpResponse respond(const std::string& camera, const Access& access);

  // GET /media/{relay}/live/{camera}/{session}/{file}: pieces, initialization parts and playlists.
  net::HttpResponse file(std::string_view relay, std::string_view camera, std::string_view session,
                         std::string_view file);

 private:
  struct Place {
    std::string relay;
    base::UtcTime recorded_until;
    base::SteadyTime looked_at;
  };
  base::Result<Place> place_of(const std::string& camera);

  store::ObjectStore& store_;
  store::Relays& footage_;
  const base::Clock& clock_;
  const MediaDelivery& delivery_;
  std::mutex mutex_;
  std::map<std::string, Place> places_;  // guarded by mutex_; of cameras that there are
};

}  // namespace miharu::api
