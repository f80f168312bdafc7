// Playback over a store that somebody else writes: what `miharu serve` and the Lambda function have in
// common. It keeps nothing: any number of them may serve one store.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "api/auth/auth.h"
#include "api/delivery.h"
#include "api/live_wishes.h"
#include "api/objects.h"
#include "api/playlists.h"
#include "api/router.h"
#include "store/object_store.h"
#include "store/relays.h"

namespace miharu::api {

struct StoreSiteOptions {
  std::unique_ptr<MediaDelivery> delivery;              // null: through the server
  RunBlocking run;                                      // what fetches pieces of media while they are sent
  base::nanoseconds by_chunk = std::chrono::hours(24);  // PlaylistOptions
};

// Routes: sign-in, cameras, timeline, playlists, media, and what only a recorder can do, with 501. Whoever
// owns it adds the page last. Thread-safe once all routes are added; blocks as long as the store does.
class StoreSite {
 public:
  static constexpr size_t kLookedForAtOnce = 8;

  // Both must outlive it.
  StoreSite(store::ObjectStore& store, const base::Clock& clock, const TokenKey& key,
            StoreSiteOptions options);

  Router& router() { return router_; }
  // Whether anybody could sign in.
  base::Result<bool> has_users() { return access_.has_users(); }
  store::Relays& footage() { return footage_; }
  [[nodiscard]] const Playlists& playlists() const { return playlists_; }
  [[nodiscard]] std::string media_origin() const { return delivery_->origin(); }

  // Adds a route that answers 501 to whoever is signed in.
  void refuse(std::string_view method, std::string_view path, std::string text);

 private:
  void add_health_routes();
  void add_camera_routes();
  void add_live_routes();
  void add_media(const std::string& pattern);
  void add_refusals();
  base::Result<std::string> cameras_json(const Access& access);
  // In the order of `cameras`; several side by side where the store is far away.
  std::vector<base::Result<store::CatalogEntryPtr>> newest_of_each(const std::vector<std::string>& cameras);

  store::ObjectStore& store_;
  const base::Clock& clock_;
  const std::unique_ptr<MediaDelivery> delivery_;
  const RunBlocking run_;
  store::Relays footage_;
  Playlists playlists_;
  LiveWishes wishes_;
  StoreAccess access_;
  std::unique_ptr<Auth> auth_;
  Router router_;
};

}  // namespace miharu::api
