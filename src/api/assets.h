// The page, built from web/ and linked into the program: nothing to install, nothing to lose.
#pragma once

#include <string_view>

#include "net/http.h"

namespace miharu::api {

// The file of that path below the page's root ("" is index.html), or 404. `media_origin` as for
// page_content_policy().
net::HttpResponse asset_response(const net::HttpRequest& request, std::string_view path,
                                 std::string_view media_origin = {});

}  // namespace miharu::api
