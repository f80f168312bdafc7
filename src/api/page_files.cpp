#include "api/page_files.h"

#include <utility>

#include <fmt/format.h>

namespace miharu::api {

std::string_view page_file_type(std::string_view path) {
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

std::string_view page_file_caching(std::string_view path) {
  return path.starts_with("assets/") ? "public, max-age=31536000, immutable" : "no-cache";
}

// Scripts and pictures of our own only; Video.js sets styles from script, media comes as blob: from the
// players' buffers, which fetch it.
std::string page_content_policy(std::string_view media_origin) {
  const std::string_view blank = media_origin.empty() ? "" : " ";
  return fmt::format(
      "default-src 'self'; media-src 'self' blob:{0}{1}; img-src 'self' data: blob:; style-src 'self' "
      "'unsafe-inline'; worker-src 'self' blob:; connect-src 'self'{0}{1}; font-src 'self' data:; "
      "object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'",
      blank, media_origin);
}

}  // namespace miharu::api
