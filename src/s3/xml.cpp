#include "s3/xml.h"

#include <algorithm>

#include <pugixml.hpp>

#include "base/text.h"

namespace miharu::s3 {
namespace {

using base::Errc;

constexpr size_t kMostText = 1024;      // of what is shown to people
constexpr size_t kMostKeyBytes = 1024;  // S3's own limit

// As UTF-8, whatever the bytes look like: guessing would only make places in errors untrue.
pugi::xml_parse_result load(pugi::xml_document& document, std::string_view body) {
  return document.load_buffer(body.data(), body.size(), pugi::parse_default, pugi::encoding_utf8);
}

std::string text_of(const pugi::xml_node& node, const char* name) {
  std::string text = node.child_value(name);
  if (text.size() > kMostText) text.resize(kMostText);
  // It goes to logs and terminals.
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = ' ';
  }
  return text;
}

}  // namespace

ErrorText parse_error(std::string_view body) {
  pugi::xml_document document;
  if (!load(document, body)) return {};
  const pugi::xml_node error = document.child("Error");
  return {text_of(error, "Code"), text_of(error, "Message"), text_of(error, "RequestId"),
          text_of(error, "Region")};
}

base::Result<ListPage> parse_list(std::string_view body) {
  pugi::xml_document document;
  const pugi::xml_parse_result parsed = load(document, body);
  if (!parsed) {
    return base::fail(Errc::kMalformed, std::string("the listing is no XML: ") + parsed.description(),
                      std::min<int64_t>(parsed.offset, static_cast<int64_t>(body.size())));
  }
  const pugi::xml_node result = document.child("ListBucketResult");
  if (!result) return base::fail(Errc::kMalformed, "the answer is no listing: ListBucketResult is missing");
  const bool encoded = std::string_view(result.child_value("EncodingType")) == "url";
  // S3 encodes as forms do: a blank may come as '+'.
  const auto decoded = [encoded](std::string_view text) {
    if (!encoded) return std::string(text);
    std::string spaced(text);
    for (char& c : spaced) {
      if (c == '+') c = ' ';
    }
    return base::percent_decode(spaced);
  };
  ListPage page;
  for (const pugi::xml_node& each : result.children("Contents")) {
    ListedKey key;
    key.key = decoded(each.child_value("Key"));
    const auto size = base::parse_number<uint64_t>(each.child_value("Size"));
    if (key.key.empty() || key.key.size() > kMostKeyBytes || !size)
      return base::fail(Errc::kMalformed, "an entry of the listing has no key or no size");
    key.size_bytes = *size;
    page.keys.push_back(std::move(key));
  }
  for (const pugi::xml_node& each : result.children("CommonPrefixes")) {
    std::string prefix = decoded(each.child_value("Prefix"));
    if (prefix.empty() || prefix.size() > kMostKeyBytes)
      return base::fail(Errc::kMalformed, "a prefix of the listing is empty or too long");
    page.prefixes.push_back(std::move(prefix));
  }
  if (std::string_view(result.child_value("IsTruncated")) == "true") {
    page.next = result.child_value("NextContinuationToken");
    // Going on without one would list the first page for ever.
    if (page.next.empty()) return base::fail(Errc::kMalformed, "the listing goes on, but does not say where");
  }
  return page;
}

}  // namespace miharu::s3
