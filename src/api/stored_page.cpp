#include "api/stored_page.h"

#include <fmt/format.h>

#include "api/page_files.h"
#include "api/router.h"
#include "net/conditional.h"

namespace miharu::api {
namespace {

constexpr uint64_t kMostFileBytes = 4 << 20;
constexpr size_t kMostCachedBytes = 8 << 20;  // the whole page is 1.2 MB

bool is_path(std::string_view path) {
  constexpr std::string_view kAllowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/";
  return path.size() <= 200 && path.find_first_not_of(kAllowed) == std::string_view::npos;
}

}  // namespace

base::Result<StoredPage::File> StoredPage::find(const std::string& path) {
  const base::SteadyTime now = clock_.steady();
  {
    const std::lock_guard lock(mutex_);
    const auto known = files_.find(path);
    // Names under assets/ carry a hash of their content.
    if (known != files_.end() && (path.starts_with("assets/") || now - known->second.read < kRefresh))
      return known->second;
  }
  auto bytes = store_.get("app/" + path, 0, kMostFileBytes);
  if (!bytes) return tl::unexpected(std::move(bytes.error()));
  File file{std::make_shared<const std::string>(base::as_text(*bytes)),
            fmt::format("\"{:08x}\"", base::crc32c(0, *bytes)), now};
  const std::lock_guard lock(mutex_);
  if (const auto known = files_.find(path); known != files_.end()) {
    bytes_ -= known->second.bytes->size();
    files_.erase(known);
  }
  if (bytes_ + file.bytes->size() <= kMostCachedBytes) {
    bytes_ += file.bytes->size();
    files_.emplace(path, file);
  }
  return file;
}

net::HttpResponse StoredPage::answer(const net::HttpRequest& request, std::string_view path) {
  if (path.empty()) path = "index.html";
  const auto file = is_path(path) ? find(std::string(path))
                                  : base::Result<File>(base::fail(base::Errc::kNotFound, "no such path"));
  if (!file) {
    if (file.error().code != base::Errc::kNotFound && file.error().code != base::Errc::kRefused)
      return problem_of(file.error());
    // A reader that may not list is told 403 of what is not there.
    return net::problem(404, fmt::format("there is no page /{} in the store; its administrator puts the page "
                                         "there: miharu publish --store STORE",
                                         is_path(path) ? path : ""));
  }
  net::HttpResponse response;
  response.headers = {{"Content-Type", std::string(page_file_type(path))},
                      {"Cache-Control", std::string(page_file_caching(path))},
                      {"ETag", file->etag}};
  if (path.ends_with(".html"))
    response.headers.emplace_back("Content-Security-Policy", page_content_policy(media_origin_));
  if (net::etag_matches(request.header("If-None-Match"), file->etag)) {
    response.status = 304;
  } else {
    response.body = file->bytes;
  }
  return response;
}

}  // namespace miharu::api
