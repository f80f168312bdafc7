// miharu.toml: what runs, as the user wrote it. Every key is explained in sample_config().
//
// Reading collects every mistake of the files and returns them as one error, a line each:
//   miharu.toml:12:3: [server] has no key "lisen"; did you mean "listen"? It has listen, tls_cert, ...
// Secrets are never part of an error.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"
#include "base/secret.h"
#include "s3/bucket.h"

namespace miharu::app {

// An address of this machine to listen on. Port 0: the kernel chooses.
struct Endpoint {
  std::string address = "0.0.0.0";  // IPv4, or IPv6 without brackets
  uint16_t port = 8080;
  [[nodiscard]] bool is_loopback() const;
  [[nodiscard]] std::string to_string() const;  // "127.0.0.1:8080", "[::1]:8080"
  // How somebody on this machine reaches it: the host of a URL.
  [[nodiscard]] std::string url_host() const;
  bool operator==(const Endpoint&) const = default;
};

// An amount of disk: bytes, or a percentage of the file system.
struct Size {
  uint64_t bytes = 0;
  double percent = 0;  // used when not 0
  bool operator==(const Size&) const = default;
};

// What retention keeps; what is not set does not limit.
struct Keep {
  std::optional<std::chrono::nanoseconds> age;
  std::optional<uint64_t> bytes;
  bool operator==(const Keep&) const = default;
};

enum class Transport : uint8_t { kAuto, kTcp, kUdp };
enum class AuthMode : uint8_t { kUsers, kNone };
enum class RecordFormat : uint8_t { kFmp4, kMpegTs };
enum class LiveStream : uint8_t { kSub, kMain };

struct CameraConfig {
  std::string name;
  std::string url;  // without user and password
  std::string sub_url;
  std::string user;
  base::Secret password;
  // Where the password came from, so that format_cameras can say it again: at most one of them is set.
  std::string password_variable;
  std::filesystem::path password_file;
  Transport transport = Transport::kAuto;
  std::string certificate_sha256;  // rtsps: the one that is accepted, in hex; empty = any
  bool record = true;
  bool on_demand = false;
  Keep keep;
  std::optional<std::chrono::nanoseconds> cloud_keep;  // in place of [cloud] keep
  bool operator==(const CameraConfig&) const = default;
};

struct Config {
  struct Server {
    Endpoint listen;
    std::filesystem::path tls_cert;  // empty: plain HTTP
    std::filesystem::path tls_key;
    std::vector<std::string> trusted_proxies;  // addresses or networks in CIDR form
    std::string base_path;                     // "" or "/cameras": begins with '/', does not end in one
  } server;
  struct Auth {
    AuthMode mode = AuthMode::kUsers;
  } auth;
  struct Store {
    std::filesystem::path path;  // empty: store/ in the data folder
    Keep keep;
    Size free{.bytes = 0, .percent = 5};
  } store;
  struct Cloud {
    std::string url;  // s3://bucket/prefix
    std::string endpoint;
    std::string region;
    s3::Addressing addressing = s3::Addressing::kAuto;
    std::string relay;                             // whose folder; empty: one made for this data folder
    std::string profile;                           // of the AWS files
    std::filesystem::path credentials_file;        // mode 0600; empty: the environment or the AWS files
    uint64_t bandwidth_bits_per_second = 0;        // 0: no cap
    std::optional<std::chrono::nanoseconds> keep;  // what `cloud init` and `prune` keep there
    bool live = true;                              // live pictures through the bucket
    uint64_t live_bits_per_second = 0;             // of them; 0: no cap of their own
    LiveStream live_stream = LiveStream::kSub;     // of cameras that have a sub_url
    [[nodiscard]] bool enabled() const { return !url.empty(); }
  } cloud;
  struct Record {
    std::chrono::nanoseconds segment = std::chrono::seconds(30);
    RecordFormat format = RecordFormat::kFmp4;
  } record;
  struct Live {
    uint16_t udp_port = 8555;
    uint16_t tcp_port = 0;  // 0: none
    std::vector<std::string> addresses;
    std::string stun;
    std::string turn_url;
    base::Secret turn_secret;
  } live;
  std::vector<CameraConfig> cameras;
};

inline constexpr size_t kMaxConfigBytes = 1 << 20;
inline constexpr size_t kMaxSecretFileBytes = 4096;
inline constexpr size_t kMaxCameras = 256;

// Where ${NAME} and password_file get their values.
struct Environment {
  std::function<std::optional<std::string>(std::string_view)> variable;
  std::function<base::Result<base::ByteVector>(const std::filesystem::path&)> read_file;
};
// The process's variables and the real files, of at most kMaxSecretFileBytes.
Environment process_environment();

// Relative paths inside a file count from the folder that holds it.
struct ConfigSources {
  std::filesystem::path file;          // miharu.toml; empty: defaults
  std::filesystem::path cameras_file;  // data/cameras.toml, [[camera]] only; need not exist
  std::optional<Endpoint> listen;      // --listen, in place of the file's
  std::vector<CameraConfig> cameras;   // --camera, in place of one of the same name in the files
};
base::Result<Config> load_config(const ConfigSources& sources,
                                 const Environment& environment = process_environment());
base::Result<Config> load_config(const std::filesystem::path& file);
base::Result<Config> parse_config(std::string_view text, const std::filesystem::path& file,
                                  const Environment& environment);

// --camera NAME=URL. User and password in the URL are taken out of it and percent-decoded once (quirk A6).
base::Result<CameraConfig> parse_camera_argument(std::string_view text);
base::Result<Endpoint> parse_endpoint(
    std::string_view text);  // "127.0.0.1:8080", "[::1]:8080", "localhost:0"
// "200GB", "1.5TiB", "5%". Decimal units count by 1000, those with an i by 1024.
base::Result<Size> parse_size(std::string_view text);
base::Result<uint64_t> parse_bandwidth(std::string_view text);  // "20Mbit/s" in bits a second

// The text of data/cameras.toml. Passwords are named by variable or file, never written: kInvalid for a
// camera whose password has neither.
base::Result<std::string> format_cameras(const std::vector<CameraConfig>& cameras);

// The commented miharu.toml that `miharu config sample` prints: every key once. Lines that begin with "#" and
// no blank are keys without a default.
std::string_view sample_config();
// "server.listen", "camera.keep.age", ...: all that the files may hold.
std::vector<std::string> known_config_keys();

}  // namespace miharu::app
