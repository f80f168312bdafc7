#include "app/relay.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <thread>

#include <fmt/format.h>

#include "app/cloud.h"
#include "app/web_service.h"
#include "base/log.h"

namespace miharu::app {
namespace {

// Cameras go to the threads by so many at a time, since those of a thread share its rounds of reading: ten
// cameras on one thread and not on two are 106 system calls a camera a second instead of 145, and 0.85 times
// the CPU.
constexpr size_t kCamerasAThread = 16;

// Newest footage is to be in the bucket soon after the link is back: attempts are short.
constexpr std::chrono::milliseconds kUploadConnect{5'000};
constexpr std::chrono::milliseconds kUploadConsent{1'000};
// After the clock was set, what was recorded before of cameras that are gone waits for so long to be moved.
constexpr base::seconds kCorrectionPause{10};
// A live picture that does not get through is soon an old one.
constexpr std::chrono::milliseconds kLiveStall{8'000};

record::RetentionOptions retention_options(const Config& config) {
  record::RetentionOptions options;
  options.all = {config.store.keep.age, config.store.keep.bytes};
  if (config.store.free.percent > 0) {
    options.free_fraction = config.store.free.percent / 100;
  } else if (config.store.free.bytes > 0) {
    options.free_bytes = config.store.free.bytes;
  }
  for (const CameraConfig& camera : config.cameras) {
    if (camera.keep.age || camera.keep.bytes)
      options.cameras[camera.name] = {camera.keep.age, camera.keep.bytes};
  }
  return options;
}

upload::LiveOptions live_options(const upload::UploaderOptions& uploads, const Config::Cloud& cloud) {
  upload::LiveOptions options;
  options.enabled = cloud.live;
  options.sub = cloud.live_stream == LiveStream::kSub;
  options.bucket = uploads.bucket;
  options.credentials = uploads.credentials;
  options.http = uploads.http;
  options.http.stall = kLiveStall;
  options.relay = uploads.relay;
  options.bits_per_second = cloud.live_bits_per_second;
  return options;
}

}  // namespace

Relay::Relay(Config config, std::filesystem::path data)
    : config_(std::move(config)), data_(std::move(data)) {}

Relay::~Relay() {
  stop();
}

base::Status Relay::open_store() {
  std::error_code error;
  std::filesystem::create_directories(data_, error);
  if (error)
    return tl::unexpected(base::system_error("make the data folder " + data_.string(), error.value()));
  ::chmod(data_.c_str(), 0750);

  // Which store this relay recorded to: a disk that is not mounted must not look like an empty store.
  const std::filesystem::path known = data_ / "store-id";
  std::string expected;
  if (auto seen = base::read_file(known, 256)) expected = std::string(base::as_text(*seen));
  const std::string place = config_.store.path.string() + "\n";
  if (expected.starts_with(place)) {
    expected.erase(0, place.size());
  } else {
    expected.clear();
  }
  auto store =
      store::DirectoryStore::open(config_.store.path, store::DirectoryStore::Open::kCreate, expected);
  if (!store) return tl::unexpected(store.error());
  store_ = std::move(*store);
  if (expected.empty()) {
    if (auto done = base::write_file(known, base::as_bytes(place + store_->id())); !done) return done;
  }
  auto lock = base::File::open(store_->root() / "lock", O_RDWR | O_CREAT, 0640);
  if (!lock) return tl::unexpected(lock.error());
  if (::flock(lock->fd(), LOCK_EX | LOCK_NB) != 0) {
    return base::fail(base::Errc::kExists,
                      fmt::format("another miharu records to {}; stop it first or give another --data",
                                  store_->root().string()));
  }
  store_lock_ = std::move(*lock);
  return {};
}

base::Status Relay::start() {
  const base::Clock& clock = base::system_clock();
  if (auto opened = open_store(); !opened) return opened;
  auto gaps = record::GapLog::open(data_ / "miharu.db");
  if (!gaps) return tl::unexpected(gaps.error());
  gaps_ = std::move(*gaps);
  disk_ = record::make_system_disk();
  index_ = std::make_unique<record::RecordingIndex>();
  latest_of_subs_ = std::make_unique<record::RecordingIndex>(record::MemoryRecording::kKeep);
  catalog_ = std::make_unique<store::Catalog>(*store_, index_.get(), clock);
  auto provisional =
      record::ProvisionalRuns::open(data_ / "miharu.db", record::boot_id(), *store_, *disk_, *gaps_);
  if (!provisional) return tl::unexpected(provisional.error());
  provisional_ = std::move(*provisional);
  record::RetentionOptions retention = retention_options(config_);
  retention.spared = [this, &clock](const std::string& camera, const store::ObjectName& name) {
    return provisional_->misplaced(camera, name.run.number, base::utc_minus_steady(clock));
  };
  if (auto cloud = open_cloud(); !cloud) return cloud;
  retention.copies = uploads_.get();
  retention_ = std::make_unique<record::Retention>(*store_, clock, std::move(retention));

  disk_loop_ = std::make_unique<net::EventLoop>("disk");
  control_loop_ = std::make_unique<net::EventLoop>("control");
  const size_t threads = std::clamp<size_t>(std::thread::hardware_concurrency(), 1, 16);
  for (size_t i = 0; i < threads; ++i)
    media_.push_back(std::make_unique<MediaThread>(fmt::format("media-{}", i)));
  disk_loop_->start();
  control_loop_->start();
  for (const auto& thread : media_) thread->loop.start();

  for (const CameraConfig& config : config_.cameras) {
    auto camera = make_camera(config);
    if (!camera) return tl::unexpected(camera.error());
    cameras_.push_back(std::move(*camera));
  }

  if (auto live = start_live(); !live) return live;
  web_ = std::make_unique<WebService>(*control_loop_, config_, data_, *store_, *catalog_, *index_, *gaps_,
                                      *this, uploads_.get());
  index_->set_on_change([this](const std::string& camera) {
    web_->recording_changed(camera);
    if (publisher_) publisher_->changed(camera);
  });
  latest_of_subs_->set_on_change([this](const std::string& camera) {
    if (publisher_) publisher_->changed(camera);
  });
  auto password = web_->open();
  if (!password) return tl::unexpected(password.error());
  first_password_ = std::move(*password);

  web_->set_sessions(live_.get());
  if (auto listening = web_->start(); !listening) return listening;
  for (const auto& camera : cameras_) camera->start();
  correction_ = std::make_unique<boost::asio::steady_timer>(disk_loop_->context());
  disk_loop_->post([this] { correct_clocks(); });
  retention_->start();
  if (uploader_) uploader_->start();
  if (publisher_) publisher_->start();
  return {};
}

base::Result<upload::UploaderOptions> Relay::upload_options(const Config::Cloud& cloud) const {
  auto access = make_cloud_access(cloud, data_);
  if (!access) return tl::unexpected(access.error());
  upload::UploaderOptions options;
  options.bucket = std::move(access->bucket);
  options.credentials = std::move(access->credentials);
  options.http = std::move(access->http);
  options.http.connect = kUploadConnect;
  options.http.continue_wait = kUploadConsent;
  options.relay = std::move(access->relay);
  options.bits_per_second = cloud.bandwidth_bits_per_second;
  spdlog::info("recordings go to {}/{}/", options.bucket.url(), options.relay);
  return options;
}

base::Status Relay::open_cloud() {
  if (!config_.cloud.enabled()) return {};
  auto options = upload_options(config_.cloud);
  if (!options) return tl::unexpected(options.error());
  auto log = upload::UploadLog::open(data_ / "miharu.db");
  if (!log) return tl::unexpected(log.error());
  uploads_ = std::move(*log);
  const base::Clock& clock = base::system_clock();
  // On the thread that moves objects: what is accepted here is not being moved, and will not be.
  auto accept = [this, &clock](const std::string& camera, uint64_t run, std::function<void(bool)> done) {
    disk_loop_->post([this, &clock, camera, run, done = std::move(done)] {
      const auto stands = provisional_->accept(camera, run, base::utc_minus_steady(clock));
      if (!stands) spdlog::warn("upload: {}: {}", camera, stands.error().to_string());
      done(stands.value_or(false));
    });
  };
  upload::LiveOptions live = live_options(*options, config_.cloud);
  uploader_ = std::make_unique<upload::Uploader>(
      std::move(*options), upload::UploaderEnvironment{*store_, *uploads_, clock, std::move(accept)});
  const upload::Uploader::Line line = uploader_->line();
  publisher_ = std::make_unique<upload::LivePublisher>(
      std::move(live),
      upload::LiveEnvironment{
          line.loop, line.pacer, line.gate, *index_, clock,
          [this](const std::string& camera) { return has(camera); }, latest_of_subs_.get(),
          [this](const std::string& camera, bool wanted) { return keep_latest_of_sub(camera, wanted); }});
  provisional_->set_on_moved(
      [this](const std::string& camera, const store::ObjectName& name) { uploader_->added(camera, name); });
  return {};
}

base::Status Relay::start_live() {
  webrtc::ServerOptions options;
  // Who lets the kernel choose the port of HTTP expects no other one either.
  options.udp_port = config_.server.listen.port == 0 ? uint16_t{0} : config_.live.udp_port;
  for (const std::string& text : config_.live.addresses) {
    boost::system::error_code error;
    options.addresses.push_back(boost::asio::ip::make_address(text, error));
    if (error) {
      return base::fail(base::Errc::kInvalid,
                        fmt::format("[live] addresses: \"{}\" is no IPv4 or IPv6 address", text));
    }
  }
  const bool only_loopback =
      !options.addresses.empty() && std::all_of(options.addresses.begin(), options.addresses.end(),
                                                [](const auto& each) { return each.is_loopback(); });
  options.loopback =
      config_.server.listen.is_loopback() && (config_.server.listen.port == 0 || only_loopback);
  if (config_.live.tcp_port != 0) {
    spdlog::warn(
        "[live] tcp_port is not there yet: viewers whose network has no UDP get HLS, or TURN over TCP with "
        "[live] turn");
  }
  // As in the configuration, without its scheme.
  options.stun = config_.live.stun.substr(config_.live.stun.find(':') + 1);
  std::vector<net::EventLoop*> loops;
  for (const auto& thread : media_) loops.push_back(&thread->loop);
  live_ = std::make_unique<webrtc::Server>(std::move(options), *control_loop_, std::move(loops),
                                           base::system_clock());
  if (auto started = live_->start(); !started) return started;
  for (const auto& camera : cameras_) live_->add_camera(camera->name(), camera->live());
  return {};
}

// Recorders put right what is theirs when they begin an object: of a camera that is gone nobody does.
void Relay::correct_clocks() {
  record::correct_all_provisional(*provisional_, *disk_loop_, base::system_clock());
  correction_->expires_after(kCorrectionPause);
  correction_->async_wait([this](const boost::system::error_code& error) {
    if (!error) correct_clocks();
  });
}

base::Result<std::unique_ptr<Camera>> Relay::make_camera(const CameraConfig& config) {
  MediaThread& thread = *media_[next_thread_++ / kCamerasAThread % media_.size()];
  record::RecorderEnvironment environment{thread.loop,
                                          *disk_loop_,
                                          *disk_,
                                          *store_,
                                          *index_,
                                          *gaps_,
                                          base::system_clock(),
                                          [this](const std::string& camera, const store::ObjectName& name) {
                                            retention_->added(camera, name.start, name.size_bytes());
                                            if (uploader_) uploader_->added(camera, name);
                                          },
                                          [this] { retention_->hurry(); }};
  environment.provisional = provisional_.get();
  environment.waiting = &waiting_;
  return Camera::make(config, config_.record, thread, environment, *latest_of_subs_);
}

base::Status Relay::reload(Config config) {
  std::optional<upload::UploaderOptions> uploads;
  if (uploader_ && config.cloud.enabled()) {
    auto options = upload_options(config.cloud);
    if (!options) return tl::unexpected(options.error());
    uploads = std::move(*options);
  }
  std::vector<std::unique_ptr<Camera>> made;
  std::vector<std::unique_ptr<Camera>> ended;
  for (const CameraConfig& wanted : config.cameras) {
    const auto before = std::find_if(config_.cameras.begin(), config_.cameras.end(),
                                     [&](const CameraConfig& each) { return each.name == wanted.name; });
    if (before != config_.cameras.end() && *before == wanted) continue;
    auto camera = make_camera(wanted);
    if (!camera) return tl::unexpected(camera.error());
    made.push_back(std::move(*camera));
  }
  {
    const std::lock_guard lock(cameras_mutex_);
    for (auto& camera : cameras_) {
      const bool stays = std::any_of(config.cameras.begin(), config.cameras.end(),
                                     [&](const CameraConfig& each) { return each.name == camera->name(); }) &&
                         std::none_of(made.begin(), made.end(),
                                      [&](const auto& each) { return each->name() == camera->name(); });
      if (!stays) ended.push_back(std::move(camera));
    }
    std::erase(cameras_, nullptr);
  }
  if (uploads) {
    upload::LiveOptions live = live_options(*uploads, config.cloud);
    uploader_->change(std::move(*uploads));
    publisher_->change(std::move(live));
    config_.cloud = std::move(config.cloud);
  }
  // An old session ends before its successor begins: cameras have few of them, and an object one writer.
  for (const auto& camera : ended) live_->remove_camera(camera->name());
  ended.clear();
  spdlog::info(
      "configuration read again: {} cameras changed or are new; settings outside of [[camera]] and [cloud] "
      "need a "
      "restart, [cloud] too where it is new or taken away",
      made.size());
  {
    const std::lock_guard lock(cameras_mutex_);
    for (auto& camera : made) {
      camera->start();
      live_->add_camera(camera->name(), camera->live());
      cameras_.push_back(std::move(camera));
    }
    const auto place = [&config](const std::unique_ptr<Camera>& camera) {
      return std::find_if(config.cameras.begin(), config.cameras.end(),
                          [&](const CameraConfig& each) { return each.name == camera->name(); });
    };
    std::sort(cameras_.begin(), cameras_.end(),
              [&](const auto& a, const auto& b) { return place(a) < place(b); });
  }
  config_.cameras = std::move(config.cameras);
  return {};
}

void Relay::stop() {
  if (retention_) retention_->stop();
  for (const auto& camera : cameras_) camera->stop(store::RunReason::kRestart);
  if (web_) web_->stop();
  if (live_) live_->stop();
  std::vector<std::unique_ptr<Camera>> ended;
  {
    // The publisher still asks which there are.
    const std::lock_guard lock(cameras_mutex_);
    ended.swap(cameras_);
  }
  ended.clear();
  // The control thread may still hold a callback of the web service: it ends first.
  if (control_loop_) control_loop_->stop();
  for (const auto& thread : media_) thread->loop.stop();
  if (publisher_) publisher_->stop();
  if (uploader_) uploader_->stop();
  if (disk_loop_) disk_loop_->stop();
  web_.reset();  // the disk thread tells it of parts
}

std::string Relay::address() const {
  return web_ ? web_->address() : std::string();
}

std::optional<upload::UploadStatus> Relay::uploads() const {
  if (!uploader_) return std::nullopt;
  return uploader_->status();
}

std::optional<upload::LiveStatus> Relay::bucket_live() const {
  if (!publisher_) return std::nullopt;
  return publisher_->status();
}

std::vector<api::CameraStatus> Relay::cameras() const {
  const std::lock_guard lock(cameras_mutex_);
  std::vector<api::CameraStatus> all;
  all.reserve(cameras_.size());
  for (const auto& camera : cameras_) all.push_back(camera->status());
  return all;
}

bool Relay::keep_latest_of_sub(const std::string& camera, bool wanted) {
  const std::lock_guard lock(cameras_mutex_);
  const auto found = std::ranges::find(cameras_, camera, [](const auto& each) { return each->name(); });
  return found != cameras_.end() && (*found)->keep_latest_of_sub(wanted);
}

bool Relay::has(std::string_view camera) const {
  const std::lock_guard lock(cameras_mutex_);
  return std::any_of(cameras_.begin(), cameras_.end(),
                     [camera](const auto& each) { return each->name() == camera; });
}

}  // namespace miharu::app
