// Conditional and range requests (RFC 9110 sections 13 and 14) for bodies that are pieces of files.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "net/http.h"

namespace miharu::net {

struct ByteRange {
  enum class Kind { kWhole, kPart, kUnsatisfiable };
  Kind kind = Kind::kWhole;
  uint64_t offset = 0;  // kPart only
  uint64_t length = 0;
};

// `header` is the Range header's value, `size` that of the whole body in bytes. A malformed header, another
// unit or several ranges give the whole body, as section 14.2 allows.
ByteRange parse_range(std::string_view header, uint64_t size);

// Whether an If-None-Match value names `etag` (weak comparison, section 13.1.2). `etag` with its quotes.
bool etag_matches(std::string_view if_none_match, std::string_view etag);

// The part [offset, offset + length) of the pieces as one body; the part must lie within them.
std::vector<FileBody> slice(const std::vector<FileBody>& pieces, uint64_t offset, uint64_t length);

// 200, 206, 304 or 416. `etag` comes with its quotes ("\"abc\""); an empty one or an empty `cache_control`
// sends none.
HttpResponse file_response(const HttpRequest& request, std::vector<FileBody> pieces,
                           std::string_view content_type, std::string_view etag,
                           std::string_view cache_control);
// The bytes [offset, offset + length) of one file as the whole body.
HttpResponse file_response(const HttpRequest& request, std::shared_ptr<const base::File> file,
                           uint64_t offset, uint64_t length, std::string_view content_type,
                           std::string_view etag, std::string_view cache_control);
// The same of a body that is elsewhere, `size` bytes long.
HttpResponse pulled_response(const HttpRequest& request, decltype(PulledBody::pull) pull, uint64_t size,
                             std::string_view content_type, std::string_view etag,
                             std::string_view cache_control);
// The same of a body that still grows: nobody may keep it, and a range's Content-Range leaves the length open
// ("/*").
HttpResponse growing_response(const HttpRequest& request, std::shared_ptr<const base::File> file,
                              uint64_t offset, uint64_t length, std::string_view content_type);

}  // namespace miharu::net
