#include "api/live_wishes.h"

#include <algorithm>
#include <array>
#include <random>

#include <fmt/format.h>
#include <boost/json.hpp>

#include "api/objects.h"
#include "api/router.h"
#include "base/bytes.h"
#include "store/lost_race.h"

namespace miharu::api {

using base::Errc;
using store::Wish;

namespace {

// A second of a camera, and a part that is written early (docs/limits.md).
constexpr uint64_t kMostFileBytes = 17 << 20;
// Wishes that ended are kept for a while: a clock's second more or less must not make two sessions of one.
constexpr base::seconds kForgotten{60};

std::string new_session() {
  static thread_local std::mt19937_64 random{std::random_device{}()};
  return fmt::format("s{:016x}", random());
}

// The wish for `camera` as it is to be; nothing: it is already.
std::optional<Wish> renew(std::vector<Wish>& wishes, const std::string& camera, base::UtcTime now) {
  std::erase_if(wishes, [now](const Wish& each) { return each.until < now - kForgotten; });
  const auto known = std::ranges::find(wishes, camera, &Wish::camera);
  const bool alive =
      known != wishes.end() && known->until > now && known->until <= now + LiveWishes::kHolds * 2;
  if (alive && known->until >= now + LiveWishes::kStillFresh) return std::nullopt;
  Wish wish{camera, alive ? known->session : new_session(),
            std::chrono::floor<base::milliseconds>(now + LiveWishes::kHolds)};
  if (known != wishes.end()) {
    *known = wish;
  } else {
    wishes.push_back(wish);
  }
  return wish;
}

// The reader's key may replace what is there and nothing more: without, its PUT makes a new object, which is
// another right.
base::Error refused(const std::string& key, const store::VersionedText& there, base::Error why) {
  why.text += there.version.empty()
                  ? fmt::format("; there is no {} yet: put an object of that name that holds {{}}", key)
                  : "; live pictures need s3:PutObject of control/*/wanted.json for the key of this server";
  return why;
}

}  // namespace

base::Result<LiveWishes::Place> LiveWishes::place_of(const std::string& camera) {
  const base::SteadyTime now = clock_.steady();
  {
    const std::lock_guard lock(mutex_);
    const auto known = places_.find(camera);
    if (known != places_.end() && now - known->second.looked_at < kKnown) return known->second;
  }
  const auto latest = footage_.latest(camera);
  if (!latest) return tl::unexpected(latest.error());
  if (latest->root.empty())
    return base::fail(Errc::kUnsupported, "this store is a recorder's own: it has no live pictures");
  Place place{latest->root.substr(0, latest->root.size() - 1), latest->entry->name.end(), now};
  const std::lock_guard lock(mutex_);
  places_[camera] = place;
  return place;
}

base::Result<LiveWishes::Answer> LiveWishes::wish(const std::string& camera) {
  const auto place = place_of(camera);
  if (!place) return tl::unexpected(place.error());
  const std::string key = store::wishes_key(place->relay);
  const auto answer = [&](const std::string& session) {
    return Answer{store::live_folder(place->relay, camera, session), place->recorded_until};
  };
  for (int attempt = 0; attempt < store::kRaces; ++attempt) {
    if (attempt > 0) store::pause_after_lost_race(attempt);
    const auto now_there = store_.get_versioned(key, store::kMaxWishesBytes);
    if (!now_there) return tl::unexpected(base::Error(now_there.error()).in(key));
    // What nobody of ours wrote is replaced.
    auto wishes = store::parse_wishes(now_there->version.empty() ? "{}" : std::string_view(now_there->text))
                      .value_or(std::vector<Wish>());
    const auto wish = renew(wishes, camera, now_there->date.value_or(clock_.utc()));
    if (!wish) return answer(std::ranges::find(wishes, camera, &Wish::camera)->session);
    const auto done = store_.replace_version(key, store::format_wishes(wishes), now_there->version);
    if (done) return answer(wish->session);
    if (done.error().code == Errc::kRefused) return tl::unexpected(refused(key, *now_there, done.error()));
    if (done.error().code != Errc::kExists) return tl::unexpected(base::Error(done.error()).in(key));
  }
  return base::fail(Errc::kTimeout, key + " is written by too many at once");
}

net::HttpResponse LiveWishes::respond(const std::string& camera, const Access& access) {
  if (delivery_.is_behind_cdn() && !access.path_prefix.empty()) {
    return net::problem(501,
                        "the CDN gives live pictures by cookies, which players of a token in the path do not "
                        "keep: watch them in the page of this server");
  }
  const auto answer = wish(camera);
  if (!answer) {
    if (answer.error().code == Errc::kUnsupported) return net::problem(501, answer.error().text);
    if (answer.error().code == Errc::kRefused) return net::problem(503, answer.error().text);
    return problem_of(answer.error());
  }
  boost::json::object root;
  root["playlist"] = fmt::format("media/{}{}", answer->folder, store::kLivePlaylist);
  root["again_ms"] = std::chrono::duration_cast<base::milliseconds>(kAgain).count();
  root["recorded_until"] = base::format_rfc3339(answer->recorded_until);
  net::HttpResponse response = json_response(200, boost::json::serialize(root));
  // The playlist has no signed addresses. A token of an interval that holds now sees what is live: the
  // folder of a session is all that its cookies are for.
  const auto cookies = delivery_.cookies(access, {answer->folder}, clock_.utc());
  if (!cookies) return problem_of(cookies.error());
  for (const std::string& each : *cookies) response.headers.emplace_back("Set-Cookie", each);
  return response;
}

net::HttpResponse LiveWishes::file(std::string_view relay, std::string_view camera, std::string_view session,
                                   std::string_view file) {
  const bool playlist = file == store::kLivePlaylist;
  const bool ts = file.ends_with(".ts");
  if (!store::is_session(session) || !(playlist || ts || file.ends_with(".mp4")))
    return net::problem(404, "not a live picture");
  auto bytes = store_.get(store::live_folder(relay, camera, session) + std::string(file), 0, kMostFileBytes);
  if (!bytes) return problem_of(bytes.error());
  net::HttpResponse response;
  response.headers = {{"Content-Type", playlist ? "application/vnd.apple.mpegurl"
                                       : ts     ? "video/mp2t"
                                                : "video/mp4"},
                      {"Cache-Control", playlist ? "no-cache" : std::string(kImmutable)}};
  response.body = std::string(base::as_text(*bytes));
  return response;
}

}  // namespace miharu::api
