#include "store/wishes.h"

#include <algorithm>

#include <fmt/format.h>
#include <boost/json.hpp>

#include "store/object_name.h"

namespace miharu::store {

namespace json = boost::json;
using base::Errc;

namespace {

// The end of 2261: nanoseconds in 64 bits reach no further.
constexpr int64_t kLastMs = 9'214'646'399'999;

std::optional<Wish> read_wish(std::string_view camera, const json::value& value) {
  if (!value.is_object() || !check_camera_name(camera)) return std::nullopt;
  const json::value* session = value.get_object().if_contains("session");
  const json::value* until = value.get_object().if_contains("until");
  if (session == nullptr || until == nullptr || !session->is_string() || !until->is_int64()) return std::nullopt;
  const std::string_view id(session->get_string().data(), session->get_string().size());
  if (!is_session(id) || until->get_int64() < 0 || until->get_int64() > kLastMs) return std::nullopt;
  return Wish{std::string(camera), std::string(id), base::from_unix_ms(until->get_int64())};
}

}  // namespace

bool is_session(std::string_view text) {
  return !text.empty() && text.size() <= kMaxSessionLength && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

base::Result<std::vector<Wish>> parse_wishes(std::string_view text) {
  if (text.size() > kMaxWishesBytes) return base::fail(Errc::kLimit, "the wishes are larger than they may be");
  json::error_code ec;
  const json::value root = json::parse(json::string_view(text.data(), text.size()), ec);
  if (ec || !root.is_object()) return base::fail(Errc::kMalformed, "the wishes are not an object of JSON");
  std::vector<Wish> wishes;
  const json::value* cameras = root.get_object().if_contains("cameras");
  if (cameras == nullptr) return wishes;
  if (!cameras->is_object()) return base::fail(Errc::kMalformed, "the wishes' cameras are not an object");
  for (const auto& [name, value] : cameras->get_object()) {
    auto wish = read_wish({name.data(), name.size()}, value);
    if (!wish) continue;
    if (wishes.size() == kMaxWishes) return base::fail(Errc::kLimit, "more wishes than there can be cameras");
    wishes.push_back(std::move(*wish));
  }
  return wishes;
}

std::string format_wishes(const std::vector<Wish>& wishes) {
  if (wishes.empty()) return "{}";
  json::object root;
  json::object& cameras = root["cameras"].emplace_object();
  for (const Wish& wish : wishes)
    cameras[wish.camera] = {{"session", wish.session}, {"until", base::to_unix_ms(wish.until)}};
  return json::serialize(root);
}

std::string wishes_key(std::string_view relay) {
  return fmt::format("control/{}/wanted.json", relay);
}

std::string live_folder(std::string_view relay, std::string_view camera, std::string_view session) {
  return fmt::format("{}/live/{}/{}/", relay, camera, session);
}

}  // namespace miharu::store
