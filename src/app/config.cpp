#include "app/config.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>

#include <fmt/format.h>

#include "app/config_reader.h"
#include "app/config_values.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "store/object_name.h"

namespace miharu::app {
namespace {

using base::Errc;
using base::fail;
using base::Result;
using base::Status;
using std::chrono::nanoseconds;
using std::chrono::seconds;

template <class Enum>
struct Choice {
  std::string_view text;
  Enum value;
};
constexpr std::array<Choice<AuthMode>, 2> kAuthModes = {
    {{"users", AuthMode::kUsers}, {"none", AuthMode::kNone}}};
constexpr std::array<Choice<RecordFormat>, 2> kFormats = {
    {{"fmp4", RecordFormat::kFmp4}, {"mpegts", RecordFormat::kMpegTs}}};
constexpr std::array<Choice<LiveStream>, 2> kLiveStreams = {
    {{"sub", LiveStream::kSub}, {"main", LiveStream::kMain}}};
constexpr std::array<Choice<Transport>, 3> kTransports = {
    {{"auto", Transport::kAuto}, {"tcp", Transport::kTcp}, {"udp", Transport::kUdp}}};

constexpr std::array<Choice<s3::Addressing>, 3> kAddressings = {{{"auto", s3::Addressing::kAuto},
                                                                 {"path", s3::Addressing::kPath},
                                                                 {"virtual", s3::Addressing::kVirtual}}};

template <class Enum, size_t N>
ConfigSection::TakeText one_of(const std::array<Choice<Enum>, N>& choices, Enum& out) {
  return [&choices, &out](const std::string& text) -> Status {
    std::string allowed;
    for (const auto& choice : choices) {
      if (choice.text == text) {
        out = choice.value;
        return {};
      }
      allowed += fmt::format("{}\"{}\"", allowed.empty() ? "" : ", ", choice.text);
    }
    return fail(Errc::kInvalid, "must be one of " + allowed);
  };
}

// Accepts a text that `check` accepts.
ConfigSection::TakeText checked(Status (*check)(std::string_view), std::string& out) {
  return [check, &out](std::string text) -> Status {
    Status status = check(text);
    if (status) out = std::move(text);
    return status;
  };
}

// Stores what `parse` makes of the text.
template <class T, class Target>
ConfigSection::TakeText parsed(Result<T> (*parse)(std::string_view), Target& out) {
  return [parse, &out](const std::string& text) -> Status {
    auto value = parse(text);
    if (!value) return tl::unexpected(value.error());
    out = std::move(*value);
    return {};
  };
}

Result<nanoseconds> parse_age(std::string_view text) {
  auto age = base::parse_duration(text);
  if (!age || *age <= nanoseconds::zero()) {
    return fail(Errc::kInvalid, "must be a time above 0 with its unit, as 7d, 12h or 1d12h (units d h m s)");
  }
  return age;
}

Result<nanoseconds> parse_segment(std::string_view text) {
  auto segment = base::parse_duration(text);
  if (!segment || *segment < seconds(5) || *segment > seconds(120)) {
    return fail(Errc::kInvalid, "must be a time from 5s to 120s with its unit, as 30s or 2m");
  }
  return segment;
}

Result<uint64_t> parse_bytes(std::string_view text) {
  auto size = parse_size(text);
  if (!size || size->percent != 0) {
    return fail(Errc::kInvalid,
                "must be a size above 0, as 200GB, 1.5TB or 512MiB (units B KB MB GB TB KiB MiB GiB TiB)");
  }
  return size->bytes;
}

class Loader {
 public:
  explicit Loader(const Environment& environment) : environment_(environment) {}

  void read(std::string_view text, const std::filesystem::path& file, bool cameras_only) {
    if (text.size() > kMaxConfigBytes) {
      return problems_.add(file, {}, fmt::format("is larger than {} bytes", kMaxConfigBytes));
    }
    toml::parse_result result = toml::parse(text, file.string());
    if (!result) {
      return problems_.add(file, result.error().source().begin, std::string(result.error().description()));
    }
    const toml::table table = std::move(result).table();
    ConfigDocument document{file, environment_, problems_};
    read_root(document, table, cameras_only);
  }

  std::vector<std::string> known_keys() {
    std::vector<std::string> known;
    const std::filesystem::path file;
    ConfigDocument document{file, environment_, problems_, &known};
    read_root(document, toml::table{}, false);
    ConfigSection camera(document, "[[camera]]", "camera.", nullptr);
    read_camera(camera);
    return known;
  }

  void apply(const ConfigSources& sources) {
    if (sources.listen) config_.server.listen = *sources.listen;
    for (const CameraConfig& camera : sources.cameras) {
      const auto same = std::find_if(config_.cameras.begin(), config_.cameras.end(),
                                     [&](const CameraConfig& other) { return other.name == camera.name; });
      if (same == config_.cameras.end()) {
        config_.cameras.push_back(camera);
      } else {
        *same = camera;
      }
    }
  }

  void problem(const std::filesystem::path& file, std::string text) {
    problems_.add(file, {}, std::move(text));
  }

  Result<Config> finish() {
    if (config_.auth.mode == AuthMode::kNone && !config_.server.listen.is_loopback()) {
      problems_.add(
          auth_file_, auth_place_,
          fmt::format("[auth] mode = \"none\" shows the cameras to everybody and is accepted only with a "
                      "loopback address: set listen = \"127.0.0.1:{}\" in [server], or mode = \"users\"",
                      config_.server.listen.port));
    }
    if (config_.cameras.size() > kMaxCameras) {
      problem({},
              fmt::format("{} cameras are configured, {} are possible", config_.cameras.size(), kMaxCameras));
    }
    if (!problems_.empty()) return tl::unexpected(problems_.error());
    return std::move(config_);
  }

 private:
  void read_root(ConfigDocument& document, const toml::table& table, bool cameras_only) {
    ConfigSection root(document, "the file", "", &table);
    if (!cameras_only) {
      read_server(root.table("server"));
      read_auth(document, root.table("auth"));
      read_store(root.table("store"));
      read_cloud(root.table("cloud"));
      read_record(root.table("record"));
      read_live(root.table("live"));
    }
    read_cameras(root);
    root.finish();
  }

  void read_server(ConfigSection section) {
    Config::Server& server = config_.server;
    section.text("listen", parsed(parse_endpoint, server.listen));
    section.path("tls_cert", server.tls_cert);
    section.path("tls_key", server.tls_key);
    if (server.tls_cert.empty() != server.tls_key.empty()) {
      const char* given = server.tls_cert.empty() ? "tls_key" : "tls_cert";
      section.problem(section.place(given), "tls_cert and tls_key are needed together");
    }
    section.texts("trusted_proxies", [&](std::string text) -> Status {
      Status status = check_network(text);
      if (status) server.trusted_proxies.push_back(std::move(text));
      return status;
    });
    section.text("base_path", parsed(parse_base_path, server.base_path));
    section.finish();
  }

  void read_auth(const ConfigDocument& document, ConfigSection section) {
    section.text("mode", one_of(kAuthModes, config_.auth.mode));
    if (section.node("mode")) {
      auth_file_ = document.file;
      auth_place_ = section.place("mode");
    }
    section.finish();
  }

  static void read_keep(ConfigSection& section, Keep& keep) {
    section.text("age", parsed(parse_age, keep.age));
    section.text("bytes", parsed(parse_bytes, keep.bytes));
  }

  void read_store(ConfigSection section) {
    section.path("path", config_.store.path);
    ConfigSection keep = section.table("keep");
    read_keep(keep, config_.store.keep);
    keep.text("free", parsed(parse_size, config_.store.free));
    keep.finish();
    section.finish();
  }

  void read_cloud(ConfigSection section) {
    Config::Cloud& cloud = config_.cloud;
    section.text("url", checked(check_store_url, cloud.url));
    section.text("endpoint", checked(check_http_url, cloud.endpoint));
    section.text("region", cloud.region);
    section.text("addressing", one_of(kAddressings, cloud.addressing));
    section.text("relay", checked(check_relay_name, cloud.relay));
    section.text("profile", cloud.profile);
    section.path("credentials_file", cloud.credentials_file);
    section.text("bandwidth", parsed(parse_bandwidth, cloud.bandwidth_bits_per_second));
    section.text("keep", parsed(parse_age, cloud.keep));
    if (const toml::node* live = section.node("live"); live != nullptr && live->is_string()) {
      section.text("live", parsed(parse_bandwidth, cloud.live_bits_per_second));
    } else {
      section.boolean("live", cloud.live);
    }
    section.text("live_stream", one_of(kLiveStreams, cloud.live_stream));
    section.finish();
  }

  void read_record(ConfigSection section) {
    section.text("segment", parsed(parse_segment, config_.record.segment));
    section.text("format", one_of(kFormats, config_.record.format));
    section.finish();
  }

  void read_live(ConfigSection section) {
    Config::Live& live = config_.live;
    section.port("udp_port", live.udp_port);
    section.port("tcp_port", live.tcp_port);
    section.texts("addresses", [&](std::string text) -> Status {
      Status status = check_address(text);
      if (status) live.addresses.push_back(std::move(text));
      return status;
    });
    section.text("stun", [&](std::string text) -> Status {
      Status status = check_ice_url(text, "stun");
      if (status) live.stun = std::move(text);
      return status;
    });
    ConfigSection turn = section.table("turn");
    turn.text("url", [&](std::string text) -> Status {
      Status status = check_ice_url(text, "turn");
      if (status) live.turn_url = std::move(text);
      return status;
    });
    std::string variable;
    turn.secret("secret", live.turn_secret, variable, "");
    if ((turn.node("url") == nullptr) != (turn.node("secret") == nullptr)) {
      turn.problem(turn.place(turn.node("url") ? "url" : "secret"), "\"turn\" needs url and secret together");
    }
    turn.finish();
    section.finish();
  }

  void read_cameras(ConfigSection& root) {
    for (ConfigSection& section : root.tables("camera")) {
      CameraConfig camera = read_camera(section);
      if (camera.name.empty()) continue;
      const auto [first, is_new] = camera_places_.emplace(camera.name, section.place_text("name"));
      if (is_new) {
        config_.cameras.push_back(std::move(camera));
      } else {
        section.problem(
            section.place("name"),
            fmt::format("\"name\": there is a camera \"{}\" already, at {}", camera.name, first->second));
      }
    }
  }

  CameraConfig read_camera(ConfigSection& section) {
    CameraConfig camera;
    section.text("name", checked(store::check_camera_name, camera.name));
    section.text("url", checked(check_camera_url, camera.url));
    for (const char* key : {"name", "url"}) {
      if (section.is_there() && !section.node(key)) {
        section.problem(section.place({}), fmt::format("[[camera]] needs \"{}\"", key));
      }
    }
    section.text("sub_url", checked(check_camera_url, camera.sub_url));
    section.text("user", camera.user);
    section.secret("password", camera.password, camera.password_variable,
                   ", or name a file that holds it: password_file = \"...\"");
    section.path("password_file", camera.password_file);
    read_password(section, camera);
    section.text("transport", one_of(kTransports, camera.transport));
    section.text("certificate_sha256", checked(check_fingerprint, camera.certificate_sha256));
    section.boolean("on_demand", camera.on_demand);
    camera.record = !camera.on_demand;
    section.boolean("record", camera.record);
    if (camera.record && camera.on_demand) {
      section.problem(
          section.place("record"),
          "record = true needs the camera all the time, on_demand = true pulls it only while it is "
          "watched: choose one");
    }
    ConfigSection keep = section.table("keep");
    read_keep(keep, camera.keep);
    keep.finish();
    section.text("cloud_keep", parsed(parse_age, camera.cloud_keep));
    section.finish();
    return camera;
  }

  void read_password(ConfigSection& section, CameraConfig& camera) {
    if (section.node("password") && section.node("password_file")) {
      return section.problem(section.place("password_file"),
                             "password and password_file are both there: choose one");
    }
    if (!camera.password_file.empty()) {
      const auto bytes = environment_.read_file(camera.password_file);
      std::string_view password = bytes ? base::as_text(*bytes) : std::string_view{};
      while (password.ends_with('\n') || password.ends_with('\r')) password.remove_suffix(1);
      if (!bytes || password.empty()) {
        return section.problem(
            section.place("password_file"),
            fmt::format("\"password_file\": {}", bytes ? "the file is empty" : bytes.error().text));
      }
      camera.password = base::Secret(std::string(password));
    }
    if (!camera.password.empty() && !section.node("user")) {
      section.problem(section.place(section.node("password") ? "password" : "password_file"),
                      "a password needs \"user\" beside it");
    }
  }

  const Environment& environment_;
  ConfigProblems problems_;
  Config config_;
  std::map<std::string, std::string> camera_places_;
  std::filesystem::path auth_file_;
  toml::source_position auth_place_;
};

}  // namespace

Environment process_environment() {
  return {[](std::string_view name) -> std::optional<std::string> {
            const char* value = std::getenv(std::string(name).c_str());
            return value ? std::optional<std::string>(value) : std::nullopt;
          },
          [](const std::filesystem::path& path) { return base::read_file(path, kMaxSecretFileBytes); }};
}

Result<Config> load_config(const ConfigSources& sources, const Environment& environment) {
  Loader loader(environment);
  const auto read = [&](const std::filesystem::path& file, bool cameras_only) {
    const auto bytes = base::read_file(file, kMaxConfigBytes);
    if (bytes) {
      loader.read(base::as_text(*bytes), file, cameras_only);
    } else if (!cameras_only && bytes.error().code == Errc::kNotFound) {
      loader.problem(file, "there is no such file; `miharu config sample` prints one to begin with");
    } else if (bytes.error().code != Errc::kNotFound) {
      loader.problem(file, bytes.error().text);
    }
  };
  if (!sources.file.empty()) read(sources.file, false);
  if (!sources.cameras_file.empty()) read(sources.cameras_file, true);
  loader.apply(sources);
  return loader.finish();
}

Result<Config> load_config(const std::filesystem::path& file) {
  ConfigSources sources;
  sources.file = file;
  return load_config(sources);
}

Result<Config> parse_config(std::string_view text, const std::filesystem::path& file,
                            const Environment& environment) {
  Loader loader(environment);
  loader.read(text, file, false);
  return loader.finish();
}

std::vector<std::string> known_config_keys() {
  const Environment nothing;
  return Loader(nothing).known_keys();
}

Result<std::string> format_cameras(const std::vector<CameraConfig>& cameras) {
  const auto quoted = [](std::string_view text) {
    std::string out = "\"";
    for (const char c : text) {
      const auto byte = static_cast<unsigned char>(c);
      if (c == '"' || c == '\\') {
        out += '\\';
        out += c;
      } else if (byte < 0x20 || byte == 0x7F) {
        out += fmt::format("\\u{:04X}", byte);
      } else {
        out += c;
      }
    }
    return out + '"';
  };
  std::string out =
      "# Cameras added in the browser. miharu writes this file; its form is that of miharu.toml.\n";
  for (const CameraConfig& camera : cameras) {
    if (!camera.password.empty() && camera.password_variable.empty() && camera.password_file.empty()) {
      return fail(Errc::kInvalid,
                  fmt::format("camera {}: its password is in no file and no variable", camera.name));
    }
    // Reading would replace it by a variable of this process: what came over the API must not ask for one.
    for (const std::string& value :
         {camera.url, camera.sub_url, camera.user, camera.password_file.string()}) {
      if (value.find("${") == std::string::npos) continue;
      return fail(Errc::kInvalid, fmt::format("camera {}: \"${{\" cannot be part of a value", camera.name));
    }
    out += "\n[[camera]]\n";
    const auto text = [&](std::string_view key, std::string_view value) {
      if (!value.empty()) out += fmt::format("{} = {}\n", key, quoted(value));
    };
    text("name", camera.name);
    text("url", camera.url);
    text("sub_url", camera.sub_url);
    text("user", camera.user);
    if (!camera.password_variable.empty()) text("password", "${" + camera.password_variable + "}");
    // Absolute, because this file lies in another folder than the one that the path may count from.
    if (!camera.password_file.empty()) {
      text("password_file", std::filesystem::absolute(camera.password_file).string());
    }
    for (const auto& transport : kTransports) {
      if (transport.value == camera.transport) text("transport", transport.text);
    }
    text("certificate_sha256", camera.certificate_sha256);
    out += fmt::format("record = {}\non_demand = {}\n", camera.record, camera.on_demand);
    const auto milliseconds = [](std::chrono::nanoseconds time) {
      return fmt::format("{}ms", std::chrono::ceil<std::chrono::milliseconds>(time).count());
    };
    if (camera.cloud_keep) text("cloud_keep", milliseconds(*camera.cloud_keep));
    std::vector<std::string> keep;
    if (camera.keep.age) keep.push_back(fmt::format("age = \"{}\"", milliseconds(*camera.keep.age)));
    if (camera.keep.bytes) keep.push_back(fmt::format("bytes = \"{}B\"", *camera.keep.bytes));
    if (!keep.empty()) out += fmt::format("keep = {{ {} }}\n", fmt::join(keep, ", "));
  }
  return out;
}

}  // namespace miharu::app
