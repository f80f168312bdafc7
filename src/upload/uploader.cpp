#include "upload/uploader.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include <fmt/format.h>

#include "base/check.h"

namespace miharu::upload {
namespace {

using State = UploadStatus::State;

constexpr std::chrono::milliseconds kFirstPause{250};
constexpr std::chrono::milliseconds kHeldPause{2'000};  // before names that do not stand are asked for again
constexpr size_t kMostLeftAlone = 1000;
// One miss is of an object that is being renamed or deleted, which the log is about to be told.
constexpr size_t kMissesToLook = 2;
constexpr std::chrono::minutes kStuck{10};

// ioprio_set(2); linux/ioprio.h is not C++: IOPRIO_WHO_PROCESS, and IOPRIO_CLASS_BE with the least priority.
constexpr int kOneThread = 1;
constexpr int kLastOfAll = 2 << 13 | 7;

uint32_t seed_of(const void* object, size_t index) {
  return static_cast<uint32_t>(
      std::hash<const void*>{}(object) + index * 7919 +
      static_cast<size_t>(std::chrono::steady_clock::now().time_since_epoch().count()));
}

// Where there was no connection nothing has been sent.
bool may_have_arrived(const base::Error& error) {
  return error.code != base::Errc::kRefused && error.code != base::Errc::kNotFound;
}

// A portal of a guest network answers 200 to everything.
bool is_stored(const net::HttpReply& reply, uint64_t bytes) {
  return reply.status == 200 && !reply.header("ETag").empty() && reply.sent_bytes == bytes;
}

}  // namespace

std::string_view name_of(State state) {
  switch (state) {
    case State::kStarting:
      return "starting";
    case State::kUploading:
      return "uploading";
    case State::kUnreachable:
      return "unreachable";
    case State::kClock:
      return "clock";
    case State::kTrouble:
      return "trouble";
  }
  return {};
}

std::string stuck_reason(const UploadStatus& status) {
  const bool needs_somebody = status.state == State::kTrouble || status.state == State::kClock;
  if (!needs_somebody && status.failing < kStuck) return {};
  return fmt::format("nothing was uploaded for {} s: {}", status.failing.count(), status.error);
}

Uploader::Uploader(UploaderOptions options, const UploaderEnvironment& environment)
    : options_(std::move(options)),
      environment_(environment),
      requests_(options_.bucket, options_.credentials),
      pacer_(options_.bits_per_second),
      timer_(loop_.context()),
      clock_timer_(loop_.context()),
      missing_timer_(loop_.context()),
      missed_timer_(loop_.context()),
      clock_backoff_(kFirstPause, options_.longest_pause, seed_of(this, 0)) {
  options_.http.pacer = &pacer_;
  options_.http.gate = &gate_;
}

Uploader::~Uploader() {
  stop();
}

void Uploader::start() {
  started_ = true;
  loop_.start();
  loop_.post([this] {
    settled_ = environment_.clock.steady() + kUnanswered;
    lower_priority();
    for (size_t i = 0; i < std::max<size_t>(1, options_.connections); ++i) {
      slots_.push_back(
          std::make_unique<Slot>(loop_, Backoff(kFirstPause, options_.longest_pause, seed_of(this, i + 1))));
    }
    std::set<std::string> cameras;
    if (const auto known = environment_.log.cameras()) cameras.insert(known->begin(), known->end());
    if (const auto listing = environment_.store.list("rec/", true)) {
      for (const std::string& prefix : listing->prefixes) cameras.insert(prefix.substr(4, prefix.size() - 5));
    }
    reconcile({cameras.begin(), cameras.end()});
    compare_clocks();
  });
}

void Uploader::stop() {
  if (!started_) return;
  started_ = false;
  loop_.run_and_wait([this] {
    timer_.cancel();
    clock_timer_.cancel();
    missing_timer_.cancel();
    missed_timer_.cancel();
    slots_.clear();
  });
  loop_.stop();
}

void Uploader::change(UploaderOptions options) {
  loop_.run_and_wait([this, &options] {
    options_ = std::move(options);
    options_.http.pacer = &pacer_;
    options_.http.gate = &gate_;
    requests_ = s3::RequestMaker(options_.bucket, options_.credentials);
    pacer_ = net::Pacer(options_.bits_per_second);
    generation_ += 1;
    // What was refused may be right now, and another store has another clock.
    left_alone_.clear();
    refused_.clear();
    agreed_.reset();
    clock_timer_.cancel();
    for (const auto& slot : slots_) {
      slot->backoff.reset();
      if (slot->pausing) slot->pause.cancel();
    }
  });
  loop_.post([this] { pump(); });
}

// Made anew after a change, but never while it is at work.
net::HttpClient& Uploader::client_of(Slot& slot) {
  if (slot.generation != generation_) {
    slot.generation = generation_;
    slot.client = std::make_unique<net::HttpClient>(loop_, options_.bucket.origin, options_.http);
  }
  return *slot.client;
}

// Recording comes first: what the machine cannot do at once is done for it.
void Uploader::lower_priority() {
  const auto thread = static_cast<id_t>(::syscall(SYS_gettid));
  ::setpriority(PRIO_PROCESS, thread, 5);
  ::syscall(SYS_ioprio_set, kOneThread, static_cast<int>(thread), kLastOfAll);
}

// Camera by camera, so that uploading begins meanwhile.
void Uploader::reconcile(std::vector<std::string> cameras) {
  if (cameras.empty()) return;
  const std::string camera = std::move(cameras.back());
  cameras.pop_back();
  if (store::check_camera_name(camera)) {
    const auto added = environment_.log.reconcile(camera, [this, &camera](const UploadLog::Take& take) {
      const auto walked = walk("rec/" + camera + "/", 3, take);
      // The empty directory below a disk that is not mounted is no verdict on what was there.
      return walked ? environment_.store.check_identity() : walked;
    });
    if (!added) {
      spdlog::warn("upload: {}: {}", camera, added.error().to_string());
      miss_in_log(camera, base::UtcTime::max());
    } else {
      {
        const std::lock_guard lock(mutex_);
        missed_.erase(camera);
      }
      if (*added > 0)
        spdlog::info("upload: {}: {} objects on the disk are new to the upload log", camera, *added);
    }
  }
  for (const auto& slot : slots_) {
    if (std::exchange(slot->crowded, false) && slot->pausing) slot->pause.cancel();
  }
  pump();
  loop_.post([this, cameras = std::move(cameras)]() mutable { reconcile(std::move(cameras)); });
}

// Day by day: memory does not depend on how much waits.
base::Status Uploader::walk(const std::string& prefix, int levels, const UploadLog::Take& take) {
  const auto listing = environment_.store.list(prefix, levels > 0);
  if (!listing) return tl::unexpected(listing.error());
  if (levels > 0) {
    for (const std::string& below : listing->prefixes) {
      if (auto done = walk(below, levels - 1, take); !done) return done;
    }
    return {};
  }
  std::vector<store::ObjectName> names;
  for (const store::ListedObject& object : listing->objects) {
    if (auto name = store::decode_name(store::file_name_of(object.key))) names.push_back(std::move(*name));
  }
  return take(names);
}

void Uploader::added(const std::string& camera, const store::ObjectName& name) {
  loop_.post([this, camera, name] {
    if (auto done = environment_.log.add(camera, name); !done) {
      // A full disk, as a rule.
      tell(State::kTrouble, done.error().to_string());
      miss_in_log(camera, name.start);
    }
    compare_rates(camera, name);
    pump();
  });
}

void Uploader::miss_in_log(const std::string& camera, base::UtcTime start) {
  {
    const std::lock_guard lock(mutex_);
    base::UtcTime& first = missed_.emplace(camera, start).first->second;
    first = std::min(first, start);
  }
  if (std::exchange(missed_waits_, true)) return;
  missed_timer_.expires_after(options_.trouble_pause);
  missed_timer_.async_wait([this](const boost::system::error_code& error) {
    missed_waits_ = false;
    if (!error) look_again();
  });
}

void Uploader::look_again() {
  std::vector<std::string> cameras;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [camera, start] : missed_) cameras.push_back(camera);
  }
  reconcile(std::move(cameras));
}

void Uploader::compare_rates(const std::string& camera, const store::ObjectName& name) {
  const base::SteadyTime now = environment_.clock.steady();
  const double seconds = std::chrono::duration<double>(name.duration()).count();
  if (seconds > 0) rates_[camera] = {static_cast<double>(name.size_bytes()) * 8 / seconds, now};
  std::erase_if(rates_, [now](const auto& each) { return now - each.second.seen > kRateAge; });
  double sum = 0;
  for (const auto& [of, rate] : rates_) sum += rate.bits_per_second;
  const auto cap = static_cast<double>(options_.bits_per_second);
  std::string warning;
  if (cap > 0 && sum > cap) {
    warning = fmt::format(
        "the cameras make {:.1f} Mbit/s and [cloud] bandwidth lets {:.1f} Mbit/s through: what waits to be "
        "uploaded "
        "grows; raise it, or let the cameras send less",
        sum / 1e6, cap / 1e6);
  }
  const std::lock_guard lock(mutex_);
  if (!warning.empty() && status_.warning.empty()) spdlog::warn("upload: {}", warning);
  status_.warning = std::move(warning);
}

bool Uploader::clock_stands() {
  if (!agreed_) return false;
  const base::nanoseconds step = base::utc_minus_steady(environment_.clock) - *agreed_;
  if (std::chrono::abs(step) <= kMostClockStep) return true;
  agreed_.reset();
  return false;
}

std::optional<base::nanoseconds> Uploader::clock_error(const net::HttpReply& reply) const {
  const auto date = s3::parse_http_date(reply.header("date"));
  if (!date) return std::nullopt;
  return environment_.clock.utc() - *date;
}

// By the one thing that a relay may read: the wishes of viewers. Whatever the answer is, it has a date.
void Uploader::compare_clocks() {
  if (comparing_ || compare_waits_) return;
  const auto free = std::ranges::find_if(slots_, [](const auto& slot) { return !slot->busy; });
  if (free == slots_.end()) return;  // pump() comes by again
  comparing_ = true;
  Slot& slot = **free;
  slot.busy = true;
  client_of(slot).send(
      requests_.get(fmt::format("control/{}/wanted.json", options_.relay), 0, 0, environment_.clock.utc()),
      [this, &slot, generation = generation_](const base::Result<net::HttpReply>& reply) {
        comparing_ = false;
        slot.busy = false;
        if (generation != generation_) return pump();
        compared(reply);
      });
}

void Uploader::compared(const base::Result<net::HttpReply>& reply) {
  if (!reply) {
    tell(State::kUnreachable, s3::classify(reply.error()).error().text);
    return compare_after(clock_backoff_.next());
  }
  const auto error = clock_error(*reply);
  if (!error && reply->status >= 500) {
    tell(State::kUnreachable, s3::classify(*reply).error().text);
    return compare_after(clock_backoff_.next());
  }
  clock_backoff_.reset();
  // A store that tells no time gets what the kernel vouches for alone.
  const bool agree =
      error ? std::chrono::abs(*error) <= kMostClockDifference : environment_.clock.synchronised();
  if (!agree) {
    tell(State::kClock,
         error ? fmt::format("this machine's clock is {:+.0f} s from the store's: nothing is uploaded until "
                             "they agree within 60 s; set it, and let NTP keep it",
                             std::chrono::duration<double>(*error).count())
               : std::string("the store tells no time, and this machine's clock is not synchronised"));
    return compare_after(options_.trouble_pause);
  }
  agreed_ = base::utc_minus_steady(environment_.clock);
  pump();
}

void Uploader::pump() {
  if (slots_.empty()) return;
  if (!clock_stands()) return compare_clocks();
  const auto is_free = [](const auto& slot) { return !slot->busy; };
  const auto free = static_cast<size_t>(std::ranges::count_if(slots_, is_free));
  if (free == 0) return;
  const base::SteadyTime now = environment_.clock.steady();
  std::erase_if(left_alone_, [now](const auto& each) { return each.second <= now; });
  const bool settled = now >= settled_;
  bool waits = false;  // for that
  const auto objects = environment_.log.newest(free, [&](const Pending& each) {
    if (under_way_.contains({each.camera, each.seq}) || left_alone_.contains({each.camera, each.seq}))
      return true;
    waits = waits || (!settled && each.attempts > 0);
    return !settled && each.attempts > 0;
  });
  if (!objects) {
    tell(State::kTrouble, objects.error().to_string());
    return pump_after(options_.trouble_pause);
  }
  if (objects->empty() && under_way_.empty() && left_alone_.empty() && !waits) tell(State::kUploading, "");
  std::optional<base::SteadyTime> next;
  if (waits) next = settled_;
  for (const auto& [id, until] : left_alone_) next = std::min(next.value_or(until), until);
  if (next) pump_after(std::chrono::ceil<std::chrono::milliseconds>(*next - now));
  for (const Pending& each : *objects) {
    const auto slot = std::ranges::find_if(slots_, is_free);
    if (slot == slots_.end()) return;
    begin(**slot, each);
  }
}

void Uploader::begin(Slot& slot, Pending object) {
  const auto name = store::decode_name(store::file_name_of(object.key));
  slot.busy = true;
  slot.wakes = false;
  slot.object = {object.camera, object.seq};
  under_way_.insert(slot.object);
  if (!name) return refused(slot, name.error().to_string());
  if (!environment_.accept) return send(slot, object);
  environment_.accept(object.camera, name->run.number, [this, &slot, object](bool stands) {
    loop_.post([this, &slot, object, stands] {
      if (slots_.empty()) return;
      if (stands) return send(slot, object);
      leave_alone(slot, kHeldPause, "");
    });
  });
}

void Uploader::send(Slot& slot, const Pending& object) {
  auto file = environment_.store.open_object(object.key);
  if (!file) {
    if (file.error().code != base::Errc::kNotFound) return refused(slot, file.error().to_string());
    return miss(slot);
  }
  const auto size = file->size();
  if (!size) return refused(slot, size.error().to_string());
  net::FileBody body{std::make_shared<const base::File>(std::move(*file)), 0, *size};
  const auto payload = s3::sha256_of(body);
  if (!payload) return refused(slot, payload.error().to_string());
  slot.bytes = *size;
  slot.may_be_ours = object.attempts > 0;
  slot.attempted = false;
  s3::PutOptions options;
  options.content_type = object.key.ends_with(".ts") ? "video/mp2t" : "video/mp4";
  // Where it may be there already, the store can say so before the body is sent.
  options.expect_continue = object.attempts > 0 || object.found;
  net::HttpClientRequest request = requests_.put(options_.relay + "/" + object.key, std::move(body), *payload,
                                                 options, environment_.clock.utc());
  request.on_body = [this, &slot] { note_attempt(slot); };
  client_of(slot).send(std::move(request),
                       [this, &slot](const base::Result<net::HttpReply>& reply) { answered(slot, reply); });
}

void Uploader::note_attempt(Slot& slot) {
  if (std::exchange(slot.attempted, true)) return;
  // A log on a full disk is no reason to upload nothing: that makes room.
  warn_of(environment_.log.attempt(slot.object.first, slot.object.second));
}

// Only what may have been stored makes an object of that name ours.
void Uploader::note_outcome(Slot& slot, const base::Result<net::HttpReply>& reply) {
  if (!slot.attempted) return;
  const bool whole = reply ? reply->sent_bytes == slot.bytes : slot.client->sent_all();
  // A refusal is one; that something went wrong behind the store's door is none.
  if (whole && (!reply || reply->status < 300 || reply->status >= 500)) return;
  warn_of(environment_.log.attempt_failed(slot.object.first, slot.object.second));
}

void Uploader::warn_of(const base::Status& noted) {
  if (!noted && limiter_.pass(environment_.clock.steady()))
    spdlog::warn("upload: {}", noted.error().to_string());
}

// Deleted or renamed while it waited. Whoever of us did so tells the log; others do not.
void Uploader::miss(Slot& slot) {
  if (const auto there = environment_.store.check_identity(); !there) {
    tell(State::kTrouble, there.error().to_string());
    return pause(slot, options_.trouble_pause);
  }
  const base::SteadyTime now = environment_.clock.steady();
  Missing& missing = missing_[slot.object.first];
  if (missing.looked && now < *missing.looked + kLookPause)
    return leave_alone(slot, *missing.looked + kLookPause - now, "");
  if (missing.misses++ == 0 && !std::exchange(look_waits_, true)) {
    missing_timer_.expires_after(kMissingFor);
    missing_timer_.async_wait([this](const boost::system::error_code& error) {
      look_waits_ = false;
      if (!error) look_for_missing();
    });
  }
  leave_alone(slot, kHeldPause, "");
}

void Uploader::look_for_missing() {
  std::erase_if(missing_,
                [](const auto& each) { return !each.second.looked && each.second.misses < kMissesToLook; });
  std::vector<std::string> cameras;
  for (auto& [camera, missing] : missing_) {
    if (missing.misses >= kMissesToLook) {
      cameras.push_back(camera);
      missing.looked = environment_.clock.steady();
      spdlog::warn("upload: {}: objects that wait are gone from the disk: the rest is looked through",
                   camera);
    }
    missing.misses = 0;
  }
  reconcile(std::move(cameras));
}

void Uploader::answered(Slot& slot, const base::Result<net::HttpReply>& reply) {
  if (reply) {
    if (const auto error = clock_error(*reply); error && std::chrono::abs(*error) > kMostClockDifference)
      agreed_.reset();
    if (reply->status >= 200 && reply->status < 300) {
      if (is_stored(*reply, slot.bytes)) return done(slot, true);
      note_outcome(slot, reply);
      tell(State::kTrouble,
           fmt::format(
               "what answers at the endpoint is no S3 server: {} to an upload, without an ETag or before "
               "all was sent; check [cloud] endpoint and what stands before it",
               reply->status));
      return pause(slot, options_.trouble_pause);
    }
  }
  const s3::Failure failure = reply ? s3::classify(*reply) : s3::classify(reply.error());
  if (failure.fault == s3::Fault::kExists) return done(slot, slot.may_be_ours);
  note_outcome(slot, reply);
  {
    const std::lock_guard lock(mutex_);
    status_.failures[std::string(s3::name_of(failure.fault))] += 1;
  }
  const std::string text = failure.error().text;
  switch (failure.fault) {
    case s3::Fault::kNetwork:
    case s3::Fault::kBusy:
    case s3::Fault::kConflict:
      // One of many that fails is nothing to tell.
      if (slot.backoff.failures() > 0) tell(State::kUnreachable, text);
      slot.wakes = failure.fault == s3::Fault::kNetwork;
      if (!reply && may_have_arrived(reply.error()) && left_alone_.size() < kMostLeftAlone)
        left_alone_[slot.object] = environment_.clock.steady() + kUnanswered;
      return pause(slot, slot.backoff.next());
    case s3::Fault::kSkew:
      agreed_.reset();
      tell(State::kClock, text);
      return pause(slot, slot.backoff.next());
    case s3::Fault::kChecksum:
    case s3::Fault::kOther:
      // Of this object alone, as far as can be known.
      return refused(slot, text);
    default:
      tell(State::kTrouble, text);
      return pause(slot, options_.trouble_pause);
  }
}

void Uploader::done(Slot& slot, bool verified) {
  // Before the log: what no longer waits there has been counted here.
  {
    const std::lock_guard lock(mutex_);
    status_.objects += 1;
    status_.bytes += slot.bytes;
  }
  if (auto noted = environment_.log.uploaded(slot.object.first, slot.object.second, verified); !noted) {
    tell(State::kTrouble, noted.error().to_string());
    return pause(slot, options_.trouble_pause);
  }
  if (!verified) {
    if (const auto pass = unverified_.pass(environment_.clock.steady())) {
      spdlog::warn(
          "upload: {}: object {} was in the bucket before it was uploaded: not compared with the one here "
          "({} more "
          "like it)",
          slot.object.first, slot.object.second, pass.swallowed);
    }
  }
  tell(State::kUploading, "");
  slot.backoff.reset();
  refused_.erase(slot.object);
  release(slot);
  wake_all();
  pump();
}

// What is between here and the store may have garbled one attempt: the first pauses are short.
void Uploader::refused(Slot& slot, const std::string& why) {
  base::nanoseconds pause = kLongestObjectPause;
  const auto before = refused_.find(slot.object);
  if (before != refused_.end()) {
    pause = before->second = std::min<base::nanoseconds>(before->second * 2, kLongestObjectPause);
  } else if (refused_.size() < kMostLeftAlone) {
    pause = refused_[slot.object] = options_.object_pause;
  }
  leave_alone(slot, pause, why);
}

void Uploader::leave_alone(Slot& slot, base::nanoseconds time, const std::string& why) {
  if (!why.empty()) {
    spdlog::warn("upload: {}: object {} is left for later: {}", slot.object.first, slot.object.second, why);
    tell(State::kTrouble, why);
  }
  if (left_alone_.size() >= kMostLeftAlone) {
    slot.crowded = true;
    return pause(slot, options_.trouble_pause);
  }
  left_alone_[slot.object] =
      environment_.clock.steady() + std::chrono::duration_cast<base::SteadyTime::duration>(time);
  release(slot);
  // Not at once: pump() may be what called.
  loop_.post([this] { pump(); });
}

void Uploader::release(Slot& slot) {
  under_way_.erase(slot.object);
  slot.busy = false;
}

// The object is free meanwhile: the next attempt is for the newest of then.
void Uploader::pause(Slot& slot, std::chrono::milliseconds time) {
  under_way_.erase(slot.object);
  slot.pausing = true;
  slot.pause.expires_after(time);
  slot.pause.async_wait([this, &slot](const boost::system::error_code&) {
    if (slots_.empty()) return;
    slot.pausing = false;
    slot.busy = false;
    slot.crowded = false;
    pump();
  });
}

// One success tells that the link is back; a store that is busy wants its pauses.
void Uploader::wake_all() {
  for (const auto& slot : slots_) {
    if (!slot->pausing || !slot->wakes) continue;
    slot->backoff.reset();
    slot->pause.cancel();
  }
}

void Uploader::compare_after(std::chrono::milliseconds time) {
  compare_waits_ = true;
  clock_timer_.expires_after(time);
  clock_timer_.async_wait([this](const boost::system::error_code& error) {
    compare_waits_ = false;
    if (!error) pump();
  });
}

void Uploader::pump_after(std::chrono::milliseconds time) {
  timer_.expires_after(std::max(time, std::chrono::milliseconds(1)));
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) pump();
  });
}

void Uploader::tell(State state, const std::string& error) {
  const std::lock_guard lock(mutex_);
  if (state == State::kUploading) {
    failing_since_.reset();
  } else if (!failing_since_) {
    failing_since_ = environment_.clock.steady();
  }
  if (status_.state == state && status_.error == error) return;
  const bool changed = status_.state != state;
  status_.state = state;
  status_.error = error;
  if (!changed || !limiter_.pass(environment_.clock.steady())) return;
  if (error.empty()) {
    spdlog::info("upload: {}", name_of(state));
  } else {
    spdlog::warn("upload: {}: {}", name_of(state), error);
  }
}

UploadStatus Uploader::status() const {
  std::map<std::string, base::UtcTime> missed;
  {
    // Before the log is asked: what it is told meanwhile must not be missing in both.
    const std::lock_guard lock(mutex_);
    missed = missed_;
  }
  auto totals = environment_.log.totals();
  const std::lock_guard lock(mutex_);
  UploadStatus status = status_;
  if (failing_since_)
    status.failing = std::chrono::floor<std::chrono::seconds>(environment_.clock.steady() - *failing_since_);
  if (totals) status.cameras = std::move(*totals);
  for (const auto& [camera, start] : missed) {
    const auto of_camera = status.cameras.find(camera);
    if (of_camera != status.cameras.end() && of_camera->second.safe_until)
      of_camera->second.safe_until = std::min(*of_camera->second.safe_until, start);
  }
  return status;
}

}  // namespace miharu::upload
