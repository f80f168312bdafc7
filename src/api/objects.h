// GET /media/<key>: recorded objects as they are, with ranges.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "api/auth/rights.h"
#include "net/http.h"
#include "store/directory_store.h"
#include "store/object_name.h"

namespace miharu::api {

// The value of Cache-Control of what never changes.
inline constexpr std::string_view kImmutable = "private, max-age=31536000, immutable";

std::string_view media_type(store::Container container);

// 403: the credentials end before it, or begin after it.
net::HttpResponse out_of_interval();

// An object that overlaps the interval of `access` may be fetched whole.
net::HttpResponse object_response(const store::DirectoryStore& store, const net::HttpRequest& request,
                                  const Access& access, const std::string& key);

// The same of a store that is elsewhere: its length is what its name says, its bytes are fetched as the
// client takes them. `run` does blocking work on another thread. `store` must outlive the answer.
using RunBlocking = std::function<void(std::function<void()>)>;
net::HttpResponse object_response(store::ObjectStore& store, const RunBlocking& run,
                                  const net::HttpRequest& request, const Access& access,
                                  const std::string& key);

}  // namespace miharu::api
