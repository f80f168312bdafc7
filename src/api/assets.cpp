#include "api/assets.h"

#include <fmt/format.h>

#include "api/asset_table.h"
#include "net/conditional.h"

namespace miharu::api {
namespace {

std::string_view type_of(std::string_view path) {
  constexpr std::pair<std::string_view, std::string_view> kTypes[] = {
      {".html", "text/html; charset=utf-8"},
      {".js", "text/javascript; charset=utf-8"},
      {".css", "text/css; charset=utf-8"},
      {".svg", "image/svg+xml"},
      {".json", "application/json"},
      {".png", "image/png"},
      {".woff2", "font/woff2"},
      {".woff", "font/woff"},
      {".ico", "image/x-icon"}};
  for (const auto& [ending, type] : kTypes) {
    if (path.ends_with(ending)) return type;
  }
  return "application/octet-stream";
}

// Scripts and pictures of our own only; Video.js sets styles from script, media comes as blob: from the
// players' buffers.
constexpr std::string_view kContentPolicy =
    "default-src 'self'; media-src 'self' blob:; img-src 'self' data: blob:; style-src 'self' "
    "'unsafe-inline'; worker-src 'self' blob:; "
    "connect-src 'self'; font-src 'self' data:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; "
    "form-action 'self'";

}  // namespace

net::HttpResponse asset_response(const net::HttpRequest& request, std::string_view path) {
  if (path.empty()) path = "index.html";
  for (const Asset& asset : asset_table()) {
    if (asset.path != path) continue;
    const std::string etag = fmt::format("\"{:08x}\"", base::crc32c(0, base::as_bytes(asset.bytes)));
    net::HttpResponse response;
    // Names under assets/ carry a hash of their content.
    const bool hashed = path.starts_with("assets/");
    response.headers = {{"Content-Type", std::string(type_of(path))},
                        {"Cache-Control", hashed ? "public, max-age=31536000, immutable" : "no-cache"},
                        {"ETag", etag}};
    if (path.ends_with(".html"))
      response.headers.emplace_back("Content-Security-Policy", std::string(kContentPolicy));
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
