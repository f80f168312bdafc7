// What a store answers: listings, errors, dates.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "s3/failure.h"
#include "s3/settings.h"
#include "s3/xml.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace miharu;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto page = s3::parse_list(text);
  if (page) {
    for (const auto& each : page->keys) {
      if (each.key.empty() || each.key.size() > 1024) std::abort();
    }
    for (const auto& each : page->prefixes) {
      if (each.empty() || each.size() > 1024) std::abort();
    }
  } else if (page.error().offset > static_cast<int64_t>(size)) {
    std::abort();
  }
  const auto versions = s3::parse_versions(text);
  if (versions) {
    for (const auto& each : versions->versions) {
      if (each.key.empty() || each.key.size() > 1024) std::abort();
    }
  }
  if (const auto errors = s3::parse_remove_errors(text)) {
    for (const auto& each : *errors) {
      if (each.message.size() > 1024) std::abort();
    }
  }
  // What a store gave as a bucket's settings is sent back with ours.
  (void)s3::lifecycle_xml(text, {}, [](std::string_view id) { return id.starts_with("miharu/"); });
  (void)s3::lifecycle_ids(text);
  (void)s3::cors_xml(text, {});
  net::HttpReply reply;
  reply.status = size > 0 ? 300U + data[0] : 0U;
  reply.body = text;
  reply.headers = {{"Date", std::string(text)}};
  const s3::Failure failure = s3::classify(reply);
  for (const char c : failure.error().text) {
    if (static_cast<unsigned char>(c) < 0x20) std::abort();
  }
  if (const auto date = s3::parse_http_date(text); date && *date < base::UtcTime{}) std::abort();
  return 0;
}
