#include "s3/settings.h"

#include <algorithm>
#include <functional>
#include <sstream>

#include <pugixml.hpp>

namespace miharu::s3 {
namespace {

constexpr const char* kNamespace = "http://s3.amazonaws.com/doc/2006-03-01/";

// The document with its root, less the rules whose ids go.
base::Status open_settings(pugi::xml_document& document, std::string_view existing, const char* root,
                           const char* rule, const std::function<bool(std::string_view id)>& goes) {
  if (existing.empty()) {
    document.append_child(root).append_attribute("xmlns") = kNamespace;
    return {};
  }
  const auto parsed =
      document.load_buffer(existing.data(), existing.size(), pugi::parse_default, pugi::encoding_utf8);
  pugi::xml_node settings = document.child(root);
  if (!parsed || !settings)
    return base::fail(base::Errc::kMalformed,
                      std::string("what the store gave is no ") + root + ": it was left as it is");
  std::vector<pugi::xml_node> removed;
  for (const pugi::xml_node& each : settings.children(rule)) {
    if (goes(each.child_value("ID"))) removed.push_back(each);
  }
  for (const pugi::xml_node& each : removed) settings.remove_child(each);
  return {};
}

void add(pugi::xml_node& parent, const char* name, const std::string& value) {
  parent.append_child(name).text().set(value.c_str());
}

void add_days(pugi::xml_node& rule, const char* name, const char* what, std::optional<unsigned> days) {
  if (days) rule.append_child(name).append_child(what).text().set(*days);
}

std::string text_of(const pugi::xml_document& document) {
  std::ostringstream out;
  document.save(out, "", pugi::format_raw | pugi::format_no_declaration, pugi::encoding_utf8);
  return out.str();
}

}  // namespace

base::Result<std::string> lifecycle_xml(std::string_view existing, std::span<const LifecycleRule> rules,
                                        const std::function<bool(std::string_view id)>& is_obsolete) {
  pugi::xml_document document;
  std::vector<std::string> without;
  for (const LifecycleRule& rule : rules) without.push_back(rule.id);
  const auto goes = [&](std::string_view id) {
    return std::ranges::find(without, id) != without.end() || (is_obsolete && is_obsolete(id));
  };
  if (auto opened = open_settings(document, existing, "LifecycleConfiguration", "Rule", goes); !opened)
    return tl::unexpected(opened.error());
  for (const LifecycleRule& rule : rules) {
    pugi::xml_node node = document.first_child().append_child("Rule");
    add(node, "ID", rule.id);
    add(node, "Status", "Enabled");
    pugi::xml_node filter = node.append_child("Filter");
    add(filter, "Prefix", rule.prefix);
    add_days(node, "Expiration", "Days", rule.expire_days);
    if (rule.delete_markers) {
      pugi::xml_node expiration = node.append_child("Expiration");
      add(expiration, "ExpiredObjectDeleteMarker", "true");
    }
    add_days(node, "NoncurrentVersionExpiration", "NoncurrentDays", rule.noncurrent_days);
    add_days(node, "AbortIncompleteMultipartUpload", "DaysAfterInitiation", rule.abort_days);
  }
  return text_of(document);
}

base::Result<std::vector<std::string>> lifecycle_ids(std::string_view existing) {
  pugi::xml_document document;
  std::vector<std::string> ids;
  const auto each = [&ids](std::string_view id) {
    ids.emplace_back(id);
    return false;
  };
  if (auto opened = open_settings(document, existing, "LifecycleConfiguration", "Rule", each); !opened)
    return tl::unexpected(opened.error());
  return ids;
}

base::Result<std::string> cors_xml(std::string_view existing, std::span<const CorsRule> rules) {
  pugi::xml_document document;
  std::vector<std::string> without;
  for (const CorsRule& rule : rules) without.push_back(rule.id);
  const auto goes = [&](std::string_view id) { return std::ranges::find(without, id) != without.end(); };
  if (auto opened = open_settings(document, existing, "CORSConfiguration", "CORSRule", goes); !opened)
    return tl::unexpected(opened.error());
  for (const CorsRule& rule : rules) {
    pugi::xml_node node = document.first_child().append_child("CORSRule");
    add(node, "ID", rule.id);
    for (const std::string& each : rule.origins) add(node, "AllowedOrigin", each);
    for (const std::string& each : rule.methods) add(node, "AllowedMethod", each);
    for (const std::string& each : rule.headers) add(node, "AllowedHeader", each);
    for (const std::string& each : rule.expose) add(node, "ExposeHeader", each);
    node.append_child("MaxAgeSeconds").text().set(rule.max_age_seconds);
  }
  return text_of(document);
}

}  // namespace miharu::s3
