#include "webrtc/ice_candidate.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <zlib.h>

#include "base/bytes.h"
#include "base/text.h"

namespace miharu::webrtc {
namespace {

using base::Errc;
using boost::asio::ip::address;
using boost::asio::ip::udp;

constexpr std::array<std::string_view, 4> kTypeNames = {"host", "srflx", "prflx", "relay"};

std::string_view name_of(IceCandidateType type) {
  return kTypeNames[static_cast<size_t>(type)];
}

std::optional<IceCandidateType> type_of(std::string_view name) {
  const auto* const found =
      std::find_if(kTypeNames.begin(), kTypeNames.end(),
                   [name](std::string_view known) { return base::equals_ignoring_case(known, name); });
  if (found == kTypeNames.end()) return std::nullopt;
  return static_cast<IceCandidateType>(found - kTypeNames.begin());
}

// Words between single blanks, with the place of each for errors.
class Words {
 public:
  Words(std::string_view rest, size_t offset) : rest_(rest), offset_(offset) {}

  std::string_view next() {
    at_ = offset_;
    const size_t before = rest_.size();
    const std::string_view word = base::take_until(rest_, ' ');
    offset_ += before - rest_.size();
    return word;
  }
  [[nodiscard]] bool empty() const { return rest_.empty(); }
  [[nodiscard]] tl::unexpected<base::Error> error(std::string_view text) const {
    return base::fail(Errc::kMalformed, fmt::format("candidate: {}", text), static_cast<int64_t>(at_));
  }

 private:
  std::string_view rest_;
  size_t offset_;
  size_t at_ = 0;
};

// Nothing for a name, and for an address with a zone, which is one of another machine's.
std::optional<address> read_address(std::string_view text) {
  if (text.find('%') != std::string_view::npos) return std::nullopt;
  boost::system::error_code error;
  const address found = boost::asio::ip::make_address(text, error);
  if (error) return std::nullopt;
  if (found.is_v6() && found.to_v6().is_v4_mapped())
    return boost::asio::ip::make_address_v4(boost::asio::ip::v4_mapped, found.to_v6());
  return found;
}

// Enough that two with another base or type are seldom taken for equal.
std::string foundation_of(IceCandidateType type, const address& base) {
  const std::string text = fmt::format("{} {}", name_of(type), base.to_string());
  return std::to_string(
      crc32(0, reinterpret_cast<const Bytef*>(text.data()), static_cast<uInt>(text.size())));
}

}  // namespace

uint32_t candidate_priority(IceCandidateType type, uint16_t local_preference) {
  // RFC 8445 section 5.1.2.2
  static constexpr std::array<uint32_t, 4> kTypePreference = {126, 100, 110, 0};
  return kTypePreference[static_cast<size_t>(type)] << 24 | uint32_t{local_preference} << 8 | (256 - 1);
}

IceCandidate host_candidate(const udp::endpoint& address, uint16_t local_preference) {
  constexpr auto kType = IceCandidateType::kHost;
  return {foundation_of(kType, address.address()),
          candidate_priority(kType, local_preference),
          address,
          kType,
          std::nullopt,
          {}};
}

IceCandidate server_reflexive_candidate(const udp::endpoint& mapped, const udp::endpoint& base,
                                        uint16_t local_preference) {
  constexpr auto kType = IceCandidateType::kServerReflexive;
  return {foundation_of(kType, base.address()),
          candidate_priority(kType, local_preference),
          mapped,
          kType,
          base,
          {}};
}

bool is_usable(const udp::endpoint& endpoint) {
  const address& where = endpoint.address();
  if (endpoint.port() == 0 || where.is_unspecified() || where.is_multicast()) return false;
  return !where.is_v4() || where.to_v4() != boost::asio::ip::address_v4::broadcast();
}

base::Result<std::optional<IceCandidate>> parse_candidate(std::string_view line) {
  if (line.size() > kMaxCandidateBytes) return base::fail(Errc::kLimit, "candidate is too long");
  const std::string_view whole = line;
  if (line.starts_with("a=")) line.remove_prefix(2);
  if (!base::starts_with_ignoring_case(line, "candidate:"))
    return base::fail(Errc::kMalformed, "no candidate attribute", 0);
  line.remove_prefix(std::string_view("candidate:").size());
  Words words(line, whole.size() - line.size());

  IceCandidate candidate;
  candidate.foundation = words.next();
  if (candidate.foundation.empty() || candidate.foundation.size() > 32) return words.error("foundation");
  const auto component = base::parse_number<uint16_t>(words.next());
  if (!component || *component == 0 || *component > 256) return words.error("component");
  const bool is_udp = base::equals_ignoring_case(words.next(), "udp");
  const auto priority = base::parse_number<uint32_t>(words.next());
  if (!priority) return words.error("priority");
  const std::string_view where = words.next();
  if (where.empty()) return words.error("address");
  const auto port = base::parse_number<uint16_t>(words.next());
  if (!port) return words.error("port");
  if (words.next() != "typ") return words.error("\"typ\" is missing");
  const std::string_view type_name = words.next();
  if (type_name.empty()) return words.error("type");
  const auto type = type_of(type_name);

  std::optional<address> related;
  uint16_t related_port = 0;
  while (!words.empty()) {
    const std::string_view name = words.next();
    if (name.empty()) return words.error("more than one blank");
    const std::string_view value = words.next();
    if (name == "raddr") {
      related = read_address(value);
    } else if (name == "rport") {
      const auto number = base::parse_number<uint16_t>(value);
      if (!number) return words.error("rport");
      related_port = *number;
    } else if (name == "ufrag") {
      candidate.ufrag = value;
    }
  }

  const auto numeric = read_address(where);
  if (!is_udp || *component != 1 || !type || !numeric) return std::nullopt;
  candidate.priority = *priority;
  candidate.address = udp::endpoint(*numeric, *port);
  candidate.type = *type;
  if (related) candidate.related = udp::endpoint(*related, related_port);
  if (!is_usable(candidate.address)) return std::nullopt;
  return candidate;
}

std::string format_candidate(const IceCandidate& candidate) {
  std::string out =
      fmt::format("candidate:{} 1 udp {} {} {} typ {}", candidate.foundation, candidate.priority,
                  candidate.address.address().to_string(), candidate.address.port(), name_of(candidate.type));
  if (candidate.related) {
    out += fmt::format(" raddr {} rport {}", candidate.related->address().to_string(),
                       candidate.related->port());
  }
  if (!candidate.ufrag.empty()) out += " ufrag " + candidate.ufrag;
  return out;
}

}  // namespace miharu::webrtc
