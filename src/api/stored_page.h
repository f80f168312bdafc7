// The page as `miharu publish` put it into a store below app/: for a program that has none of its own.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "net/http.h"
#include "store/object_store.h"

namespace miharu::api {

// Thread-safe. Blocks for the store where a file is not known yet, or may have changed.
class StoredPage {
 public:
  // How long a page that was published anew stays unseen.
  static constexpr base::seconds kRefresh{60};

  // Both must outlive it. `media_origin` as for page_content_policy().
  StoredPage(store::ObjectStore& store, const base::Clock& clock, std::string media_origin)
      : store_(store), clock_(clock), media_origin_(std::move(media_origin)) {}

  // "" is index.html. 404 says how the page gets there.
  net::HttpResponse answer(const net::HttpRequest& request, std::string_view path);

 private:
  struct File {
    std::shared_ptr<const std::string> bytes;
    std::string etag;
    base::SteadyTime read;
  };
  base::Result<File> find(const std::string& path);

  store::ObjectStore& store_;
  const base::Clock& clock_;
  const std::string media_origin_;
  std::mutex mutex_;  // guards what follows
  std::map<std::string, File> files_;
  size_t bytes_ = 0;
};

}  // namespace miharu::api
