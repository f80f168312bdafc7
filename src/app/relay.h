// The running system of `miharu run`: threads, store, cameras, web server, in the order in which they start
// and stop.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "api/camera_list.h"
#include "app/camera.h"
#include "app/config.h"
#include "record/gap_log.h"
#include "record/provisional.h"
#include "record/recorder.h"
#include "record/recording_index.h"
#include "record/retention.h"
#include "store/catalog.h"
#include "store/directory_store.h"
#include "upload/live_publisher.h"
#include "upload/uploader.h"
#include "webrtc/server.h"

namespace miharu::app {

class WebService;

// Constructed, started and stopped on the main thread.
class Relay final : public api::CameraList {
 public:
  // `data` is the folder of miharu.db, cameras.toml and keys.
  Relay(Config config, std::filesystem::path data);
  ~Relay() override;

  // Opens the store, starts cameras and the web server. Errors tell the person what to do.
  base::Status start();
  // Ends sessions, gives growing objects their names. Safe to call twice.
  void stop();

  // Takes over cameras from a configuration that was read again: those that did not change go on undisturbed.
  // [cloud] too, and the files of its credentials. Other settings need a restart, which the log says.
  base::Status reload(Config config);

  // The password that was made because there was no user yet; once.
  [[nodiscard]] const std::string& first_password() const { return first_password_; }
  [[nodiscard]] std::string address() const;  // "http://127.0.0.1:8080/"

  std::vector<api::CameraStatus> cameras() const override;
  bool has(std::string_view camera) const override;
  std::optional<upload::UploadStatus> uploads() const override;
  std::optional<upload::LiveStatus> bucket_live() const override;

 private:
  base::Status open_store();
  base::Status open_cloud();
  base::Result<upload::UploaderOptions> upload_options(const Config::Cloud& cloud) const;
  base::Status start_live();
  // On the disk thread, again and again.
  void correct_clocks();
  base::Result<std::unique_ptr<Camera>> make_camera(const CameraConfig& config);
  bool keep_latest_of_sub(const std::string& camera, bool wanted);  // any thread

  Config config_;
  std::filesystem::path data_;
  std::string first_password_;
  base::File store_lock_;

  std::unique_ptr<store::DirectoryStore> store_;
  std::unique_ptr<record::Disk> disk_;
  std::unique_ptr<record::GapLog> gaps_;
  std::unique_ptr<record::ProvisionalRuns> provisional_;
  record::WaitingBytes waiting_;
  std::unique_ptr<record::RecordingIndex> index_;
  std::unique_ptr<record::RecordingIndex> latest_of_subs_;
  std::unique_ptr<store::Catalog> catalog_;
  std::unique_ptr<record::Retention> retention_;
  std::unique_ptr<upload::UploadLog> uploads_;  // null without [cloud], as the uploader
  std::unique_ptr<upload::Uploader> uploader_;
  std::unique_ptr<upload::LivePublisher> publisher_;  // likewise, on the uploader's thread
  std::unique_ptr<net::EventLoop> disk_loop_;
  std::unique_ptr<boost::asio::steady_timer> correction_;  // on the disk thread
  std::unique_ptr<net::EventLoop> control_loop_;
  std::vector<std::unique_ptr<MediaThread>> media_;
  mutable std::mutex cameras_mutex_;
  std::vector<std::unique_ptr<Camera>> cameras_;  // guarded by cameras_mutex_
  size_t next_thread_ = 0;
  std::unique_ptr<webrtc::Server> live_;
  std::unique_ptr<WebService> web_;
};

}  // namespace miharu::app
