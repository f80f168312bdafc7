// What the server does with a peer's text once Beast has framed it: target, query, Range and If-None-Match.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "net/conditional.h"
#include "net/http_server.h"
#include "net/http_target.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto target = miharu::net::parse_target(text)) {
    if (target->path.empty() || target->path[0] != '/' || target->path.find('\0') != std::string::npos ||
        (target->path + "/").find("/../") != std::string::npos) {
      std::abort();
    }
    miharu::net::HttpRequest request;
    request.query = target->query;
    (void)request.query_value("from");
  }
  for (const uint64_t whole : {uint64_t{0}, uint64_t{1000}, UINT64_MAX}) {
    const auto range = miharu::net::parse_range(text, whole);
    if (range.kind == miharu::net::ByteRange::Kind::kPart &&
        (range.length == 0 || range.offset >= whole || range.length > whole - range.offset)) {
      std::abort();
    }
  }
  (void)miharu::net::etag_matches(text, "\"e\"");
  (void)miharu::net::parse_listen_address(text);
  return 0;
}
