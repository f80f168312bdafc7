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

// Of the keys of a listing, which are encoded when it says so.
class KeyDecoder {
 public:
  explicit KeyDecoder(const pugi::xml_node& result)
      : encoded_(std::string_view(result.child_value("EncodingType")) == "url") {}

  std::string operator()(std::string_view text) const {
    if (!encoded_) return std::string(text);
    // S3 encodes as forms do: a blank may come as '+'.
    std::string spaced(text);
    for (char& c : spaced) {
      if (c == '+') c = ' ';
    }
    return base::percent_decode(spaced);
  }

 private:
  bool encoded_;
};

base::Result<pugi::xml_node> load_result(pugi::xml_document& document, std::string_view body,
                                         const char* name) {
  const pugi::xml_parse_result parsed = load(document, body);
  if (!parsed) {
    return base::fail(Errc::kMalformed, std::string("the answer is no XML: ") + parsed.description(),
                      std::min<int64_t>(parsed.offset, static_cast<int64_t>(body.size())));
  }
  const pugi::xml_node result = document.child(name);
  if (!result) return base::fail(Errc::kMalformed, std::string("the answer has no ") + name);
  return result;
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
  const KeyDecoder decoded(result);
  ListPage page;
  for (const pugi::xml_node& each : result.children("Contents")) {
    ListedKey key;
    key.key = decoded(each.child_value("Key"));
    const auto size = base::parse_number<uint64_t>(each.child_value("Size"));
    if (key.key.empty() || key.key.size() > kMostKeyBytes || !size)
      return base::fail(Errc::kMalformed, "an entry of the listing has no key or no size");
    key.size_bytes = *size;
    key.modified = text_of(each, "LastModified");
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

base::Result<VersionPage> parse_versions(std::string_view body) {
  pugi::xml_document document;
  const auto result = load_result(document, body, "ListVersionsResult");
  if (!result) return tl::unexpected(result.error());
  const KeyDecoder decoded(*result);
  VersionPage page;
  for (const pugi::xml_node& each : result->children()) {
    const std::string_view kind = each.name();
    if (kind != "Version" && kind != "DeleteMarker") continue;
    ListedVersion listed;
    listed.key = decoded(each.child_value("Key"));
    listed.version = text_of(each, "VersionId");
    listed.latest = std::string_view(each.child_value("IsLatest")) == "true";
    listed.marker = kind == "DeleteMarker";
    listed.modified = text_of(each, "LastModified");
    const auto size = base::parse_number<uint64_t>(each.child_value("Size"));
    if (listed.key.empty() || listed.key.size() > kMostKeyBytes || (!size && !listed.marker))
      return base::fail(Errc::kMalformed, "a version in the listing has no key or no size");
    listed.size_bytes = size.value_or(0);
    page.versions.push_back(std::move(listed));
  }
  if (std::string_view(result->child_value("IsTruncated")) == "true") {
    page.next_key = decoded(result->child_value("NextKeyMarker"));
    page.next_version = text_of(*result, "NextVersionIdMarker");
    if (page.next_key.empty())
      return base::fail(Errc::kMalformed, "the listing goes on, but does not say where");
  }
  return page;
}

base::Result<std::vector<RemoveError>> parse_remove_errors(std::string_view body) {
  pugi::xml_document document;
  const auto result = load_result(document, body, "DeleteResult");
  if (!result) return tl::unexpected(result.error());
  std::vector<RemoveError> errors;
  for (const pugi::xml_node& each : result->children("Error"))
    errors.push_back({text_of(each, "Key"), text_of(each, "Code"), text_of(each, "Message")});
  return errors;
}

}  // namespace miharu::s3
