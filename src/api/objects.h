// GET /media/<key>: recorded objects as they are, with ranges.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "api/auth/rights.h"
#include "net/http.h"
#include "store/object_name.h"
#include "store/object_store.h"

namespace miharu::api {

// The value of Cache-Control of what never changes.
inline constexpr std::string_view kImmutable = "private, max-age=31536000, immutable";

std::string_view media_type(store::Container container);

// 403: the credentials end before it, or begin after it.
net::HttpResponse out_of_interval();

// Does blocking work on another thread.
using RunBlocking = std::function<void(std::function<void()>)>;

// An object that overlaps the interval of `access` may be fetched whole. Of a store that is elsewhere its
// length is what its name says: the first piece is fetched before the answer begins, the others by `run` as
// the client takes them. Blocking; `store` must outlive the answer.
net::HttpResponse object_response(store::ObjectStore& store, const RunBlocking& run,
                                  const net::HttpRequest& request, const Access& access,
                                  const std::string& key);
// Of a store whose objects are files.
net::HttpResponse object_response(store::ObjectStore& files, const net::HttpRequest& request,
                                  const Access& access, const std::string& key);

}  // namespace miharu::api
