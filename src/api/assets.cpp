#include "api/assets.h"

#include <fmt/format.h>

#include "api/asset_table.h"
#include "api/page_files.h"
#include "net/conditional.h"

namespace miharu::api {

net::HttpResponse asset_response(const net::HttpRequest& request, std::string_view path,
                                 std::string_view media_origin) {
  if (path.empty()) path = "index.html";
  for (const Asset& asset : asset_table()) {
    if (asset.path != path) continue;
    const std::string etag = fmt::format("\"{:08x}\"", base::crc32c(0, base::as_bytes(asset.bytes)));
    net::HttpResponse response;
    response.headers = {{"Content-Type", std::string(page_file_type(path))},
                        {"Cache-Control", std::string(page_file_caching(path))},
                        {"ETag", etag}};
    if (path.ends_with(".html"))
      response.headers.emplace_back("Content-Security-Policy", page_content_policy(media_origin));
    if (net::etag_matches(request.header("If-None-Match"), etag)) {
      response.status = 304;
      return response;
    }
    response.body = std::string(asset.bytes);
    return response;
  }
  return net::problem(404, fmt::format("there is no page /{}", path));
}

}  // namespace miharu::api
