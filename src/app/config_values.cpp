#include "app/config_values.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include <fmt/format.h>

#include "app/config.h"
#include "base/text.h"
#include "store/object_name.h"
#include "store/relays.h"

namespace miharu::app {
namespace {

using base::Errc;
using base::fail;
using base::Result;
using base::Status;

constexpr std::string_view kSchemes = "rtsp://, rtsps://, onvif://, usb:, file: and demo:";

bool is_address(std::string_view text, int family) {
  std::array<unsigned char, sizeof(in6_addr)> out{};
  return inet_pton(family, std::string(text).c_str(), out.data()) == 1;
}

bool has_blank_or_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte <= 0x20 || byte == 0x7F;
  });
}

// Where the authority of "scheme://authority/path" is: [begin, end).
struct Authority {
  size_t begin;
  size_t end;
};
Authority authority_of(std::string_view url) {
  const size_t scheme = url.find("://");
  if (scheme == std::string_view::npos) return {url.size(), url.size()};
  return {scheme + 3, std::min(url.find_first_of("/?#", scheme + 3), url.size())};
}

// "host", "host:port", "[::1]:port"
Status check_host(std::string_view text) {
  std::string_view host = text;
  std::string_view port;
  bool has_port = false;
  if (text.starts_with('[')) {
    const size_t close = text.find(']');
    if (close == std::string_view::npos || !is_address(text.substr(1, close - 1), AF_INET6)) {
      return fail(Errc::kInvalid, "the address in [ ] must be IPv6");
    }
    host = text.substr(1, close - 1);
    const std::string_view rest = text.substr(close + 1);
    if (!rest.empty() && rest.front() != ':') return fail(Errc::kInvalid, "after ] only :PORT may follow");
    has_port = !rest.empty();
    if (has_port) port = rest.substr(1);
  } else if (const size_t colon = text.find(':'); colon != std::string_view::npos) {
    host = text.substr(0, colon);
    port = text.substr(colon + 1);
    has_port = true;
  }
  if (host.empty()) return fail(Errc::kInvalid, "there is no host in the URL");
  if (has_port && base::parse_number<uint16_t>(port).value_or(0) == 0) {
    return fail(
        Errc::kInvalid,
        "the port must be 1 to 65535 (a \"/\", \"?\" or \"#\" in a password is written %2F, %3F, %23; an "
        "IPv6 address stands in [ ])");
  }
  return {};
}

struct Unit {
  std::string_view name;
  double factor;
};

// A number and one of `units`, without a blank or with one between them.
template <size_t N>
std::optional<double> parse_amount(std::string_view text, const std::array<Unit, N>& units) {
  double number = 0;
  const auto [end, ec] =
      std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  if (ec != std::errc{} || !(number >= 0)) return std::nullopt;
  const std::string_view rest = base::trim(text.substr(static_cast<size_t>(end - text.data())));
  for (const Unit& unit : units) {
    if (base::equals_ignoring_case(rest, unit.name)) return number * unit.factor;
  }
  return std::nullopt;
}

constexpr double kMaxAmount = 9e18;  // fits 64 bits

}  // namespace

Status check_fingerprint(std::string_view text) {
  std::string digits;
  std::copy_if(text.begin(), text.end(), std::back_inserter(digits),
               [](char c) { return c != ':' && c != ' '; });
  if (digits.size() == 64 && base::from_hex(digits)) return {};
  return fail(Errc::kInvalid, "a SHA-256 has 64 hex digits: `miharu probe` shows that of a camera");
}

Status check_camera_url(std::string_view url) {
  constexpr std::array kWithHost = {"rtsp://", "rtsps://", "onvif://"};
  constexpr std::array kLocal = {"usb:", "file:", "demo:"};
  if (has_blank_or_control(url)) {
    return fail(Errc::kInvalid, "a URL has no blanks and no control characters (a blank is written %20)");
  }
  for (const std::string_view scheme : kLocal) {
    if (!base::starts_with_ignoring_case(url, scheme)) continue;
    if (scheme == "demo:" || url.size() > scheme.size()) return {};
    return fail(Errc::kInvalid, fmt::format("{} needs what to open behind it, as in {}", scheme,
                                            scheme == "usb:" ? "usb:/dev/video0" : "file:yard.mp4"));
  }
  for (const std::string_view scheme : kWithHost) {
    if (!base::starts_with_ignoring_case(url, scheme)) continue;
    const Authority authority = authority_of(url);
    const std::string_view host = url.substr(authority.begin, authority.end - authority.begin);
    if (host.find('@') != std::string_view::npos) {
      return fail(
          Errc::kInvalid,
          "user and password do not stand in the URL: write user = \"...\" and password = \"${NAME}\" "
          "(or password_file) beside it");
    }
    return check_host(host);
  }
  const size_t colon = url.find(':');
  if (colon == std::string_view::npos || colon > 16) {
    return fail(Errc::kInvalid, fmt::format("a camera's URL begins with one of {}", kSchemes));
  }
  return fail(Errc::kInvalid, fmt::format("a camera's URL cannot begin with \"{}\", but with one of {}",
                                          url.substr(0, colon + 1), kSchemes));
}

void take_credentials(std::string& url, std::string& user, std::string& password) {
  const Authority authority = authority_of(url);
  const std::string_view text =
      std::string_view(url).substr(authority.begin, authority.end - authority.begin);
  const size_t sign = text.rfind('@');  // an unescaped @ in a password is common
  if (sign == std::string_view::npos) return;
  std::string_view credentials = text.substr(0, sign);
  user = base::percent_decode(base::take_until(credentials, ':'));
  password = base::percent_decode(credentials);
  url.erase(authority.begin, sign + 1);
}

Result<std::string> parse_base_path(std::string_view text) {
  while (text.ends_with('/')) text.remove_suffix(1);
  if (text.empty()) return std::string();
  const bool plain = std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '/' ||
           c == '-' || c == '_' || c == '.' || c == '~';
  });
  if (!plain || text.front() != '/' || text.find("//") != std::string_view::npos ||
      text.find("/.") != std::string_view::npos) {
    return fail(Errc::kInvalid, "must be a path of letters, digits, - and _, as in \"/cameras\"");
  }
  return std::string(text);
}

Status check_address(std::string_view text) {
  if (is_address(text, AF_INET) || is_address(text, AF_INET6)) return {};
  return fail(Errc::kInvalid, "must be an IP address, as 192.0.2.10 or 2001:db8::10");
}

Status check_network(std::string_view text) {
  std::string_view rest = text;
  const std::string_view address = base::take_until(rest, '/');
  const bool v4 = is_address(address, AF_INET);
  const bool with_length = address.size() < text.size();
  const auto length = base::parse_number<uint8_t>(rest);
  if ((v4 || is_address(address, AF_INET6)) && (!with_length || (length && *length <= (v4 ? 32 : 128))))
    return {};
  return fail(Errc::kInvalid, "must be an IP address or a network, as 192.0.2.10 or 10.0.0.0/8");
}

Status check_store_url(std::string_view text) {
  constexpr std::string_view kScheme = "s3://";
  if (text.starts_with(kScheme) && !has_blank_or_control(text)) {
    const std::string_view bucket =
        text.substr(kScheme.size(), text.find('/', kScheme.size()) - kScheme.size());
    const bool plain = std::all_of(bucket.begin(), bucket.end(), [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
    });
    if (bucket.size() >= 3 && bucket.size() <= 63 && plain) return {};
  }
  return fail(Errc::kInvalid,
              "must be s3://BUCKET/PREFIX, the bucket of 3 to 63 lower-case letters, digits, - and .");
}

Status check_relay_name(std::string_view text) {
  if (store::is_of_other_use(text))
    return fail(Errc::kInvalid, fmt::format("\"{}\" is a folder of another use", text));
  // A store's users are named by it.
  for (const std::string_view taken : {"reader", "admin"}) {
    if (text == taken) return fail(Errc::kInvalid, fmt::format("\"{}\" is the name of another key", taken));
  }
  if (store::check_camera_name(text)) return {};
  return fail(Errc::kInvalid, "must be 1 to 32 lower-case letters, digits and -, as \"home\"");
}

Status check_http_url(std::string_view text) {
  if ((!text.starts_with("https://") && !text.starts_with("http://")) || has_blank_or_control(text)) {
    return fail(Errc::kInvalid, "must be a URL that begins with https:// or http://");
  }
  const Authority authority = authority_of(text);
  const std::string_view host = text.substr(authority.begin, authority.end - authority.begin);
  if (host.find('@') != std::string_view::npos) {
    return fail(Errc::kInvalid, "has user and password in it; credentials come from the environment");
  }
  return check_host(host);
}

Status check_ice_url(std::string_view text, std::string_view scheme) {
  const size_t colon = text.find(':');
  const std::string_view given = text.substr(0, colon);
  if (colon != std::string_view::npos && !has_blank_or_control(text) &&
      (given == scheme ||
       (given.size() == scheme.size() + 1 && given.starts_with(scheme) && given.back() == 's'))) {
    std::string_view rest = text.substr(colon + 1);
    if (rest.find('@') == std::string_view::npos) return check_host(base::take_until(rest, '?'));
  }
  return fail(Errc::kInvalid, fmt::format("must be {0}:HOST:PORT or {0}s:HOST:PORT", scheme));
}

std::string Endpoint::to_string() const {
  return address.find(':') == std::string::npos ? fmt::format("{}:{}", address, port)
                                                : fmt::format("[{}]:{}", address, port);
}

std::string Endpoint::url_host() const {
  if (address == "0.0.0.0" || address == "::") return "localhost";
  return address.find(':') == std::string::npos ? address : "[" + address + "]";
}

bool Endpoint::is_loopback() const {
  return address == "::1" || address.starts_with("127.");
}

Result<Endpoint> parse_endpoint(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon != std::string_view::npos) {
    std::string_view address = text.substr(0, colon);
    const auto port = base::parse_number<uint16_t>(text.substr(colon + 1));
    const bool brackets = address.starts_with('[') && address.ends_with(']');
    if (brackets) address = address.substr(1, address.size() - 2);
    if (address == "localhost") address = "127.0.0.1";
    if (port && is_address(address, brackets ? AF_INET6 : AF_INET))
      return Endpoint{std::string(address), *port};
  }
  return fail(Errc::kInvalid,
              "must be ADDRESS:PORT, as 0.0.0.0:8080 (all of IPv4), 127.0.0.1:8080 or [::]:8080");
}

Result<Size> parse_size(std::string_view text) {
  constexpr std::array<Unit, 10> kUnits = {{{"B", 1},
                                            {"KB", 1e3},
                                            {"MB", 1e6},
                                            {"GB", 1e9},
                                            {"TB", 1e12},
                                            {"KiB", 0x1p10},
                                            {"MiB", 0x1p20},
                                            {"GiB", 0x1p30},
                                            {"TiB", 0x1p40},
                                            {"%", -1}}};
  const auto amount = parse_amount(text, kUnits);
  const bool percent = amount && *amount < 0;
  if (!amount || *amount == 0 || (percent ? *amount < -100 : *amount > kMaxAmount)) {
    return fail(
        Errc::kInvalid,
        "must be a size above 0, as 200GB, 1.5TB, 512MiB (units B KB MB GB TB KiB MiB GiB TiB), or a part of "
        "the disk up to 100%, as 5%");
  }
  if (percent) return Size{.bytes = 0, .percent = -*amount};
  return Size{.bytes = static_cast<uint64_t>(std::llround(*amount)), .percent = 0};
}

Result<uint64_t> parse_bandwidth(std::string_view text) {
  constexpr std::array<Unit, 4> kUnits = {{{"bit/s", 1}, {"kbit/s", 1e3}, {"Mbit/s", 1e6}, {"Gbit/s", 1e9}}};
  const auto amount = parse_amount(text, kUnits);
  if (!amount || *amount < 1 || *amount > kMaxAmount) {
    return fail(Errc::kInvalid,
                "must be a rate above 0, as 20Mbit/s or 800kbit/s (units bit/s kbit/s Mbit/s Gbit/s)");
  }
  return static_cast<uint64_t>(std::llround(*amount));
}

Result<CameraConfig> parse_camera_argument(std::string_view text) {
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos) {
    return fail(Errc::kInvalid, "--camera is NAME=URL, as front=rtsp://user:password@192.0.2.20/stream1");
  }
  CameraConfig camera;
  camera.name = text.substr(0, equals);
  camera.url = text.substr(equals + 1);
  const std::string where = fmt::format("--camera {}", camera.name);
  if (const Status name = store::check_camera_name(camera.name); !name) {
    return tl::unexpected(base::Error(name.error()).in("--camera"));
  }
  std::string password;
  take_credentials(camera.url, camera.user, password);
  camera.password = base::Secret(std::move(password));
  if (const Status url = check_camera_url(camera.url); !url) {
    return tl::unexpected(base::Error(url.error()).in(where));
  }
  return camera;
}

}  // namespace miharu::app
