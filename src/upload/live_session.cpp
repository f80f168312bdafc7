#include "upload/live_session.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "store/wishes.h"

namespace miharu::upload {
namespace {

constexpr std::chrono::milliseconds kFirstPause{100};
constexpr std::chrono::milliseconds kLongestPause{1'000};
// Before a store that refused for good is asked again.
constexpr std::chrono::milliseconds kTroublePause{10'000};

constexpr std::string_view kPlaylistType = "application/vnd.apple.mpegurl";
constexpr std::string_view kPlaylistCaching = "no-cache";
constexpr std::string_view kPieceCaching = "private, max-age=86400, immutable";

std::string init_name(store::Run run) {
  return fmt::format("init_{}.mp4", store::format_run(run));
}

s3::PutOptions piece_options(store::Container container) {
  s3::PutOptions options;
  options.content_type = container == store::Container::kFmp4 ? "video/mp4" : "video/mp2t";
  options.cache_control = kPieceCaching;
  return options;
}

base::Result<std::string> read(const base::File& file, uint64_t offset, uint64_t length) {
  std::string bytes(length, '\0');
  if (auto done = file.read_at(offset, std::as_writable_bytes(std::span(bytes))); !done)
    return tl::unexpected(done.error());
  return bytes;
}

// Numbers of a session go up over restarts: pieces are fewer than ten a second of what they show, and who
// goes on begins with something later. Many may be sent at once, so that it is not the time of sending.
uint64_t number_at(base::UtcTime time) {
  return static_cast<uint64_t>(base::to_unix_ms(time)) / 100;
}

}  // namespace

LiveSession::LiveSession(LiveShared& shared, std::string camera, std::string id)
    : shared_(shared),
      camera_(std::move(camera)),
      id_(std::move(id)),
      folder_(store::live_folder(shared.relay, camera_, id_)),
      media_{shared.take_client()},
      beside_{shared.take_client()},
      pause_(shared.loop.context()),
      backoff_(kFirstPause, kLongestPause, static_cast<uint32_t>(std::hash<std::string>{}(id_))),
      keeps_sub_(shared.subs != nullptr && shared.keep_sub(camera_, true)),
      main_from_(shared.clock.steady() +
                 (keeps_sub_ && !shared.sub_missing.contains(camera_) ? kSubPatience : base::seconds(0))) {
  look();
  if (source_ != Source::kNone || is_live(shared_.recordings, kStale)) return;
  // An empty list: we are at it, and the camera sends nothing.
  playlist_.media_sequence = number_at(shared_.clock.utc());
  changed_ = true;
  step();
}

LiveSession::~LiveSession() {
  *alive_ = false;
  release_sub();
  for (Lane* lane : {&media_, &beside_}) {
    if (!lane->busy) shared_.give_client(std::move(lane->client));
  }
}

bool LiveSession::urgent() const {
  return media_.busy || beside_.busy || (!pausing_ && !queue_.empty());
}

void LiveSession::look() {
  if (on_end_) return;
  choose_source();
  if (source_ != Source::kNone) {
    const bool sub = source_ == Source::kSub;
    const auto chunks = (sub ? *shared_.subs : shared_.recordings).recent(camera_);
    const auto take = [&] {
      for (LivePiece& piece : cutter_.cut(chunks)) {
        piece.sub = sub;
        queue_.push_back(std::move(piece));
      }
    };
    take();
    base::microseconds behind{};
    for (const LivePiece& piece : queue_) behind += piece.duration;
    const auto first = std::ranges::find(queue_, sub, &LivePiece::sub);
    if (behind > kMostBehind && first != queue_.end() && cutter_.skip(chunks, first->seq)) {
      drop_waiting();
      shared_.count([](LiveTotals& totals) { totals.skips += 1; });
      take();
    }
  }
  step();
}

bool LiveSession::is_live(const record::Recordings& recordings, base::nanoseconds stale) const {
  const auto chunks = recordings.recent(camera_);
  if (chunks.empty()) return false;
  const base::UtcTime end = chunks.back().start + base::milliseconds(chunks.back().duration_ms);
  return end > shared_.clock.utc() - stale;
}

// Asked at each part of either stream: as long as one of them lives, the other is not waited for in vain.
void LiveSession::choose_source() {
  const base::SteadyTime now = shared_.clock.steady();
  if (keeps_sub_) {
    const bool comes = is_live(*shared_.subs, kSubStale);
    if (source_ == Source::kSub && comes) return;
    if (source_ == Source::kSub) sub_from_ = now + kSubRest;
    if (comes && now >= sub_from_) {
      shared_.sub_missing.erase(camera_);
      return change_to(Source::kSub);
    }
  }
  const bool waits = source_ == Source::kNone && now < main_from_;
  if (source_ == Source::kMain || waits || !is_live(shared_.recordings, kStale)) return;
  if (keeps_sub_) {
    shared_.sub_missing.insert(camera_);
    if (shared_.limiter.pass(now))
      spdlog::warn("live through the bucket: {}: the smaller stream does not come, the main one is sent",
                   camera_);
  }
  change_to(Source::kMain);
}

// All but what is on its way.
void LiveSession::drop_waiting() {
  queue_.resize(std::min<size_t>(queue_.size(), media_.busy ? 1 : 0));
}

void LiveSession::change_to(Source source) {
  source_ = source;
  drop_waiting();
  cutter_.begin_anew();
}

void LiveSession::release_sub() {
  if (std::exchange(keeps_sub_, false)) shared_.keep_sub(camera_, false);
}

void LiveSession::end(std::function<void()> done) {
  on_end_ = std::move(done);
  release_sub();
  queue_.clear();
  playlist_.ended = true;
  changed_ = true;
  pause_.cancel();
  pausing_ = false;
  step();
}

void LiveSession::finish() {
  finished_ = true;
  // Not at once: it destroys us.
  shared_.loop.post([done = on_end_] { done(); });
}

bool LiveSession::has_init(const LivePiece& piece) const {
  return piece.container != store::Container::kFmp4 || inits_.contains(init_name(piece.run));
}

void LiveSession::step() {
  if (!pausing_ && !finished_) {
    if (!media_.busy && !queue_.empty()) put_piece();
    if (!beside_.busy) {
      const LivePiece* next = !uploaded_.empty() ? &uploaded_.front()
                              : !queue_.empty()  ? &queue_.front()
                                                 : nullptr;
      if (next != nullptr && !has_init(*next)) {
        put_init(*next);
      } else if (changed_) {
        put_playlist();
      }
    }
  }
  shared_.on_change();
}

void LiveSession::put_piece() {
  const LivePiece& piece = queue_.front();
  const auto place = recordings_of(piece).chunk(camera_, piece.run, piece.seq);
  auto bytes = place ? read(*place->file, piece.offset, piece.size_bytes)
                     : base::Result<std::string>(tl::unexpected(place.error()));
  if (!bytes) {
    // The disk gave it up, or forgot it while the line was away: what comes is all there is.
    if (shared_.limiter.pass(shared_.clock.steady()))
      spdlog::warn("live through the bucket: {}: {}", camera_, bytes.error().to_string());
    queue_.clear();
    cutter_.begin_anew();
    source_ = Source::kNone;
    return;
  }
  const base::SteadyTime began = shared_.clock.steady();
  put(media_, piece.name(), std::move(*bytes), piece_options(piece.container), [this, began] {
    if (queue_.empty()) return;
    const LivePiece& done = queue_.front();
    shared_.on_piece(camera_, done, shared_.clock.steady() - began);
    shared_.count([&done](LiveTotals& totals) {
      totals.pieces += 1;
      totals.bytes += done.size_bytes;
    });
    uploaded_.push_back(std::move(queue_.front()));
    queue_.pop_front();
    publish();
  });
}

void LiveSession::put_init(const LivePiece& piece) {
  const auto place = recordings_of(piece).init(camera_, piece.run);
  auto bytes = place ? read(*place->file, place->offset, place->length)
                     : base::Result<std::string>(tl::unexpected(place.error()));
  if (!bytes) {
    uploaded_.clear();
    drop_waiting();
    cutter_.begin_anew();
    return;
  }
  const std::string name = init_name(piece.run);
  put(beside_, name, std::move(*bytes), piece_options(piece.container), [this, name] {
    inits_.insert(name);
    publish();
  });
}

void LiveSession::publish() {
  for (; !uploaded_.empty() && has_init(uploaded_.front()); uploaded_.pop_front()) {
    const LivePiece& piece = uploaded_.front();
    // As in the live playlists of the recorder. (hls.js keeps an array by this number: it must be small,
    // which runs of a smaller stream are not.)
    if (playlist_.segments.empty()) {
      const auto recorded = shared_.recordings.recent(camera_);
      playlist_.discontinuity_sequence = !piece.sub         ? piece.run.number
                                         : recorded.empty() ? 0
                                                            : recorded.back().run.number;
      playlist_.media_sequence = std::max(playlist_.media_sequence, number_at(piece.start));
    }
    hls::RollingSegment segment;
    segment.name = piece.name();
    if (piece.container == store::Container::kFmp4) segment.init = init_name(piece.run);
    segment.start = piece.start;
    segment.duration = piece.duration;
    segment.key = piece.key;
    segment.discontinuity = piece.discontinuity;
    playlist_.add(std::move(segment));
    changed_ = true;
  }
}

void LiveSession::put_playlist() {
  changed_ = false;
  s3::PutOptions options;
  options.create_only = false;
  options.content_type = kPlaylistType;
  options.cache_control = kPlaylistCaching;
  const bool last = playlist_.ended;
  put(beside_, std::string(store::kLivePlaylist), playlist_.text(), options, [this, last] {
    if (last) finish();
  });
}

void LiveSession::put(Lane& lane, const std::string& name, std::string body, const s3::PutOptions& options,
                      std::function<void()> done) {
  lane.busy = true;
  const base::SteadyTime began = shared_.clock.steady();
  lane.client->send(shared_.requests.put(folder_ + name, std::move(body), options, shared_.store_time()),
                    [this, &lane, began, done = std::move(done)](const base::Result<net::HttpReply>& reply) {
                      lane.busy = false;
                      if (reply) shared_.on_reply(*reply);
                      const bool good = reply && reply->status >= 200 && reply->status < 300;
                      const s3::Failure failure =
                          good ? s3::Failure() : (reply ? s3::classify(*reply) : s3::classify(reply.error()));
                      // Names are of bytes: what is there is what was to be put.
                      if (good || failure.fault == s3::Fault::kExists) {
                        backoff_.reset();
                        done();
                      } else {
                        shared_.on_failure(shared_.clock.steady() - began);
                        failed(lane, failure);
                      }
                      step();
                    });
}

void LiveSession::failed(const Lane& lane, const s3::Failure& failure) {
  shared_.count(
      [&failure](LiveTotals& totals) { totals.failures[std::string(s3::name_of(failure.fault))] += 1; });
  if (&lane == &beside_) changed_ = true;
  if (on_end_) {
    if (&lane == &beside_) finish();
    return;
  }
  const bool passes = failure.passes_by_itself() || failure.fault == s3::Fault::kSkew;
  if (!passes && shared_.limiter.pass(shared_.clock.steady()))
    spdlog::warn("live through the bucket: {}: {}", camera_, failure.error().text);
  pausing_ = true;
  pause_.expires_after(passes ? backoff_.next() : kTroublePause);
  pause_.async_wait([this, alive = alive_](const boost::system::error_code& error) {
    if (error || !*alive) return;
    pausing_ = false;
    step();
  });
}

}  // namespace miharu::upload
