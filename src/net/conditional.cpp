#include "net/conditional.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/text.h"

namespace miharu::net {

ByteRange parse_range(std::string_view header, uint64_t size) {
  constexpr std::string_view kUnit = "bytes=";
  constexpr ByteRange kWhole{};
  header = base::trim(header);
  if (!base::starts_with_ignoring_case(header, kUnit)) return kWhole;
  std::string_view last_text = base::trim(header.substr(kUnit.size()));
  if (last_text.find(',') != std::string_view::npos || last_text.find('-') == std::string_view::npos)
    return kWhole;
  const std::string_view first_text = base::take_until(last_text, '-');

  if (first_text.empty()) {
    const auto suffix = base::parse_number<uint64_t>(last_text);
    if (!suffix) return kWhole;
    if (*suffix == 0 || size == 0) return {ByteRange::Kind::kUnsatisfiable, 0, 0};
    const uint64_t length = std::min(*suffix, size);
    return {ByteRange::Kind::kPart, size - length, length};
  }
  const auto first = base::parse_number<uint64_t>(first_text);
  if (!first) return kWhole;
  uint64_t last = UINT64_MAX;
  if (!last_text.empty()) {
    const auto given = base::parse_number<uint64_t>(last_text);
    if (!given || *given < *first) return kWhole;
    last = *given;
  }
  if (*first >= size) return {ByteRange::Kind::kUnsatisfiable, 0, 0};
  return {ByteRange::Kind::kPart, *first, std::min(last, size - 1) - *first + 1};
}

bool etag_matches(std::string_view if_none_match, std::string_view etag) {
  if (etag.empty()) return false;
  if (base::trim(if_none_match) == "*") return true;
  const auto opaque = [](std::string_view tag) { return tag.substr(0, 2) == "W/" ? tag.substr(2) : tag; };
  while (!if_none_match.empty()) {
    // Our own tags have no comma, so a tag that has one cannot match whichever way it is cut.
    if (opaque(base::trim(base::take_until(if_none_match, ','))) == opaque(etag)) return true;
  }
  return false;
}

std::vector<FileBody> slice(const std::vector<FileBody>& pieces, uint64_t offset, uint64_t length) {
  std::vector<FileBody> part;
  for (const FileBody& piece : pieces) {
    if (length == 0) break;
    if (offset >= piece.length) {
      offset -= piece.length;
      continue;
    }
    const uint64_t count = std::min(piece.length - offset, length);
    part.push_back({piece.file, piece.offset + offset, count});
    offset = 0;
    length -= count;
  }
  return part;
}

namespace {

// `make_body` gives the bytes [offset, offset + length) of a body of `size` bytes.
template <class MakeBody>
HttpResponse part_response(const HttpRequest& request, uint64_t size, std::string_view content_type,
                           std::string_view etag, std::string_view cache_control, MakeBody make_body) {
  HttpResponse response;
  if (!etag.empty()) response.headers.emplace_back("ETag", etag);
  if (!cache_control.empty()) response.headers.emplace_back("Cache-Control", cache_control);
  if (etag_matches(request.header("If-None-Match"), etag)) {
    response.status = 304;
    return response;
  }
  // Section 14.2: Range is for GET only. Section 13.1.5: If-Range must match strongly, or the range does not
  // count.
  const std::string_view if_range = base::trim(request.header("If-Range"));
  const bool range_counts =
      request.method == "GET" && (if_range.empty() || (if_range == etag && etag[0] == '"'));
  const ByteRange range = range_counts ? parse_range(request.header("Range"), size) : ByteRange{};
  if (range.kind == ByteRange::Kind::kUnsatisfiable) {
    response =
        problem(416, fmt::format("The body has {} bytes; the range asked for is not within it.", size));
    response.headers.emplace_back("Content-Range", fmt::format("bytes */{}", size));
    return response;
  }
  response.headers.emplace_back("Content-Type", content_type);
  response.headers.emplace_back("Accept-Ranges", "bytes");
  if (range.kind == ByteRange::Kind::kPart) {
    response.status = 206;
    response.headers.emplace_back(
        "Content-Range", fmt::format("bytes {}-{}/{}", range.offset, range.offset + range.length - 1, size));
    response.body = make_body(range.offset, range.length);
  } else {
    response.body = make_body(0, size);
  }
  return response;
}

}  // namespace

HttpResponse file_response(const HttpRequest& request, std::vector<FileBody> pieces,
                           std::string_view content_type, std::string_view etag,
                           std::string_view cache_control) {
  uint64_t size = 0;
  for (const FileBody& piece : pieces) size += piece.length;
  return part_response(request, size, content_type, etag, cache_control,
                       [&](uint64_t offset, uint64_t length) { return slice(pieces, offset, length); });
}

HttpResponse pulled_response(const HttpRequest& request, decltype(PulledBody::pull) pull, uint64_t size,
                             std::string_view content_type, std::string_view etag,
                             std::string_view cache_control) {
  return part_response(request, size, content_type, etag, cache_control,
                       [&](uint64_t offset, uint64_t length) {
                         return PulledBody{std::move(pull), offset, length};
                       });
}

HttpResponse file_response(const HttpRequest& request, std::shared_ptr<const base::File> file,
                           uint64_t offset, uint64_t length, std::string_view content_type,
                           std::string_view etag, std::string_view cache_control) {
  return file_response(request, std::vector<FileBody>{{std::move(file), offset, length}}, content_type, etag,
                       cache_control);
}

HttpResponse growing_response(const HttpRequest& request, std::shared_ptr<const base::File> file,
                              uint64_t offset, uint64_t length, std::string_view content_type) {
  HttpResponse response =
      file_response(request, std::move(file), offset, length, content_type, {}, "no-store");
  if (response.status != 206) return response;
  for (auto& [name, value] : response.headers) {
    if (name == "Content-Range") value.replace(value.rfind('/') + 1, std::string::npos, "*");
  }
  return response;
}

}  // namespace miharu::net
