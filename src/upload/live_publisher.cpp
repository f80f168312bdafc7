#include "upload/live_publisher.h"

#include <algorithm>

#include <fmt/format.h>

namespace miharu::upload {
namespace {

// A line on which pieces are under way for a larger share of their length is slow, until it is less than the
// second; before anything is known it is taken for one.
constexpr double kSlow = 0.3;
constexpr double kFast = 0.12;
constexpr double kUnknown = 0.5;
// Where pieces take more than this, nothing would be left for anybody else: others get as much as they do.
constexpr double kFull = 0.8;
// Pieces at the end of a chunk are short and tell little.
constexpr base::milliseconds kTelling{300};
// What others get of what a slow line has left, and at least.
constexpr double kShare = 0.85;
constexpr uint64_t kLeastBitsPerSecond = 100'000;
// Without pieces for so long, all of it.
constexpr base::seconds kNoPieces{5};

}  // namespace

LivePublisher::LivePublisher(LiveOptions options, const LiveEnvironment& environment)
    : options_(std::move(options)),
      environment_(environment),
      requests_(options_.bucket, options_.credentials),
      pacer_(options_.bits_per_second, &environment.pacer),
      shared_{environment.loop,
              requests_,
              environment.recordings,
              environment.subs,
              [this](const std::string& camera, bool wanted) {
                return options_.sub && environment_.keep_sub(camera, wanted);
              },
              environment.clock,
              options_.relay,
              [this] {
                if (clients_.empty()) {
                  return std::make_unique<net::HttpClient>(environment_.loop, options_.bucket.origin,
                                                           options_.http);
                }
                auto client = std::move(clients_.back());
                clients_.pop_back();
                return client;
              },
              [this](std::unique_ptr<net::HttpClient> client) { clients_.push_back(std::move(client)); },
              [this] { return store_time(); },
              [this](const net::HttpReply& reply) { note_clock(reply); },
              [this] { set_gate(); },
              [this](const std::string& camera, const LivePiece& piece, base::nanoseconds took) {
                on_piece(camera, piece, took);
              },
              [this](base::nanoseconds took) { share_line(took); },
              [this](const std::function<void(LiveTotals&)>& count) {
                const std::lock_guard lock(mutex_);
                count(status_.totals);
              },
              {},
              {}},
      timer_(environment.loop.context()),
      share_timer_(environment.loop.context()) {
  options_.http.pacer = &pacer_;
  options_.http.gate = nullptr;
}

LivePublisher::~LivePublisher() {
  stop();
}

void LivePublisher::start() {
  started_ = true;
  environment_.loop.post([this] { open(); });
}

void LivePublisher::stop() {
  if (!started_) return;
  started_ = false;
  environment_.loop.run_and_wait([this] { close(); });
}

void LivePublisher::change(LiveOptions options) {
  environment_.loop.run_and_wait([this, &options] {
    close();
    options_ = std::move(options);
    options_.http.pacer = &pacer_;
    options_.http.gate = nullptr;
    requests_ = s3::RequestMaker(options_.bucket, options_.credentials);
    pacer_ = net::Pacer(options_.bits_per_second, &environment_.pacer);
    shared_.relay = options_.relay;
    open();
  });
}

void LivePublisher::open() {
  if (!options_.enabled) return;
  alive_ = std::make_shared<bool>(true);
  asker_ = std::make_unique<net::HttpClient>(environment_.loop, options_.bucket.origin, options_.http);
  look();
}

void LivePublisher::close() {
  *alive_ = false;
  timer_.cancel();
  share_timer_.cancel();
  sharing_ = false;
  asker_.reset();
  sessions_.clear();
  ending_.clear();
  clients_.clear();
  wishes_.clear();
  etag_.clear();
  set_gate();
  const std::lock_guard lock(mutex_);
  watched_.clear();
}

void LivePublisher::changed(const std::string& camera) {
  {
    const std::lock_guard lock(mutex_);
    if (!watched_.contains(camera)) return;
  }
  environment_.loop.post([this, camera] {
    if (const auto found = sessions_.find(camera); found != sessions_.end()) found->second->look();
  });
}

base::UtcTime LivePublisher::store_time() const {
  return environment_.clock.utc() + difference_;
}

void LivePublisher::note_clock(const net::HttpReply& reply) {
  if (const auto date = s3::parse_http_date(reply.header("date")))
    difference_ = *date - environment_.clock.utc();
}

void LivePublisher::look() {
  auto request = requests_.get(store::wishes_key(options_.relay), 0, 0, store_time());
  request.max_body_bytes = store::kMaxWishesBytes;
  // Not one of the fields that have to be signed.
  if (!etag_.empty()) request.headers.emplace_back("If-None-Match", etag_);
  looked_at_ = environment_.clock.steady();
  asker_->send(std::move(request), [this](const base::Result<net::HttpReply>& reply) { looked(reply); });
}

void LivePublisher::looked(const base::Result<net::HttpReply>& reply) {
  bool certain = reply.has_value();
  const bool unchanged = reply && reply->status == 304;
  if (reply) note_clock(*reply);
  if (reply && reply->status == 200) {
    etag_ = reply->header("etag");
    auto wishes = store::parse_wishes(reply->body);
    if (!wishes && shared_.limiter.pass(environment_.clock.steady()))
      spdlog::warn("{}: {}", store::wishes_key(options_.relay), wishes.error().text);
    wishes_ = std::move(wishes).value_or(std::vector<store::Wish>());
  } else if (!unchanged) {
    const s3::Failure failure = reply ? s3::classify(*reply) : s3::classify(reply.error());
    // Without the right to list, AWS says 403 of what is not there.
    const bool none = failure.fault == s3::Fault::kNoKey || failure.fault == s3::Fault::kForbidden;
    if (none) {
      etag_.clear();
      wishes_.clear();
    }
    certain = none;
    const std::lock_guard lock(mutex_);
    if (!none) status_.totals.failures[std::string(s3::name_of(failure.fault))] += 1;
  }
  {
    const std::lock_guard lock(mutex_);
    status_.looks += 1;
    status_.unchanged += unchanged ? 1 : 0;
  }
  apply(certain);
  const base::SteadyTime now = environment_.clock.steady();
  if (!sessions_.empty()) watched_at_ = now;
  if (now - piece_at_ > kNoPieces) environment_.gate.set_narrow_rate(0);
  const bool awake = watched_at_ && now - *watched_at_ < options_.stays_awake;
  look_after((awake ? options_.awake : options_.at_rest) - (now - looked_at_));
}

void LivePublisher::look_after(base::nanoseconds time) {
  timer_.expires_after(std::max<base::nanoseconds>(time, base::milliseconds(100)));
  timer_.async_wait([this, alive = alive_](const boost::system::error_code& error) {
    if (!error && *alive) look();
  });
}

// Wishes are judged by the store's clock alone: those who wish have no other in common with us.
void LivePublisher::apply(bool certain) {
  const base::UtcTime now = store_time();
  const base::nanoseconds patience = certain ? base::nanoseconds(0) : base::nanoseconds(kBlind);
  const auto holds = [&](const store::Wish& wish) {
    return wish.until + patience > now && wish.until < now + kFarthestWish;
  };
  std::vector<std::string> over;
  for (const auto& [camera, session] : sessions_) {
    const bool wished =
        std::ranges::any_of(wishes_, [&, &name = camera, &mine = session](const store::Wish& wish) {
          return wish.camera == name && wish.session == mine->id() && holds(wish);
        });
    if (!wished) over.push_back(camera);
  }
  for (const std::string& camera : over) end(camera);
  for (const store::Wish& wish : wishes_) {
    if (wish.until > now && holds(wish) && !sessions_.contains(wish.camera)) begin(wish);
  }
  set_gate();
}

void LivePublisher::begin(const store::Wish& wish) {
  if (sessions_.size() >= kMostSessions || !environment_.has(wish.camera)) return;
  spdlog::info("live through the bucket: {} is watched", wish.camera);
  {
    // Before it looks: what is recorded from now on is told.
    const std::lock_guard lock(mutex_);
    watched_.emplace(wish.camera, environment_.clock.steady());
    status_.begun += 1;
  }
  if (sessions_.empty()) {
    slow_ = true;
    strain_ = kUnknown;
    began_at_ = environment_.clock.steady();
  }
  set_gate();
  sessions_.emplace(wish.camera, std::make_unique<LiveSession>(shared_, wish.camera, wish.session));
}

void LivePublisher::end(const std::string& camera) {
  const auto found = sessions_.find(camera);
  spdlog::info("live through the bucket: nobody watches {} any more", camera);
  {
    const std::lock_guard lock(mutex_);
    watched_.erase(camera);
  }
  LiveSession* session = found->second.get();
  ending_.push_back(std::move(found->second));
  sessions_.erase(found);
  session->end([this, alive = alive_, session] {
    if (!*alive) return;
    std::erase_if(ending_, [session](const auto& each) { return each.get() == session; });
    set_gate();
  });
}

// On a line with room for everything nothing has to wait. On a slow one what others sent is before a piece,
// in buffers that nobody sees: they get no more than what the line has left.
void LivePublisher::on_piece(const std::string& camera, const LivePiece& piece, base::nanoseconds took) {
  piece_at_ = environment_.clock.steady();
  {
    const std::lock_guard lock(mutex_);
    // The last one of a session may come when it is over.
    if (const auto found = watched_.find(camera); found != watched_.end()) found->second = piece_at_;
  }
  if (piece.duration < kTelling) return;
  const double seconds = std::max(0.001, std::chrono::duration<double>(took).count());
  const double share = seconds / std::chrono::duration<double>(piece.duration).count();
  strain_ += 0.3 * (share - strain_);
  slow_ = strain_ > (slow_ ? kFast : kSlow);
  const double line = static_cast<double>(piece.size_bytes) * 8 / seconds;
  const bool full = strain_ > kFull && piece_at_ - began_at_ > options_.start;
  const double left = full ? line : kShare * line * (1 - std::min(0.9, share));
  environment_.gate.set_narrow_rate(std::max(kLeastBitsPerSecond, static_cast<uint64_t>(left)));
  if (full) share_line(took);
}

// The next piece is on its way before the gate could open between two.
void LivePublisher::share_line(base::nanoseconds time) {
  const auto until = std::chrono::steady_clock::now() + time;
  if (sharing_ && share_timer_.expiry() >= until) return;
  sharing_ = true;
  share_timer_.expires_at(until);
  share_timer_.async_wait([this, alive = alive_](const boost::system::error_code& error) {
    if (error || !*alive) return;
    sharing_ = false;
    set_gate();
  });
}

void LivePublisher::set_gate() {
  const auto urgent = [](const std::unique_ptr<LiveSession>& each) { return each->urgent(); };
  const bool any = std::ranges::any_of(sessions_, [&](const auto& each) { return urgent(each.second); }) ||
                   std::ranges::any_of(ending_, urgent);
  environment_.gate.set_narrow(slow_ && !sessions_.empty());
  environment_.gate.set_open(!(slow_ && any) || sharing_);
}

LiveStatus LivePublisher::status() const {
  const std::lock_guard lock(mutex_);
  LiveStatus status = status_;
  status.sessions = watched_.size();
  const base::SteadyTime now = environment_.clock.steady();
  for (const auto& [camera, at] : watched_) status.since_piece[camera] = now - at;
  return status;
}

}  // namespace miharu::upload
