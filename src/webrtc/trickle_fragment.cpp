#include "webrtc/trickle_fragment.h"

#include <fmt/format.h>

#include "base/text.h"
#include "webrtc/sdp_offer.h"

namespace miharu::webrtc {

using base::Errc;
using base::trim;

namespace {

struct Credentials {
  std::string_view ufrag;
  std::string_view password;
};

class FragmentReader {
 public:
  explicit FragmentReader(SdpLines lines) : lines_(lines) {}

  base::Result<TrickleFragment> read() {
    while (lines_.next()) {
      base::Status status;
      if (lines_.type() == 'm') {
        status = finish_part();
        if (status) status = begin_media();
      } else if (lines_.type() == 'a') {
        status = read_attribute(split_attribute(lines_.value()));
      }
      if (!status) return tl::unexpected(status.error());
    }
    if (auto status = finish_part(); !status) return tl::unexpected(status.error());
    return std::move(fragment_);
  }

 private:
  // The m= line is a pseudo one (RFC 8840 section 9): its mid says which it is.
  base::Status begin_media() {
    if (in_media_ && fragment_.media.size() >= kMaxFragmentMedia)
      return lines_.fail(Errc::kLimit, fmt::format("there are more than {} m= lines", kMaxFragmentMedia));
    fragment_.media.emplace_back();
    in_media_ = true;
    return {};
  }

  base::Status finish_part() {
    const Credentials found = std::exchange(credentials_, {});
    if (found.ufrag.empty() != found.password.empty())
      return lines_.fail(Errc::kMalformed, "before it, ice-ufrag and ice-pwd do not come together");
    if (found.ufrag.empty() || fragment_.ice) return {};
    IceCredentials ice{std::string(found.ufrag), base::Secret(std::string(found.password))};
    if (auto checked = check_ice_credentials(ice); !checked)
      return tl::unexpected(lines_.at_line(checked.error()));
    fragment_.ice = std::move(ice);
    return {};
  }

  base::Status read_attribute(const SdpAttribute& attribute) {
    const auto& [name, value] = attribute;
    if (name == "ice-ufrag") return read_credential(credentials_.ufrag, value);
    if (name == "ice-pwd") return read_credential(credentials_.password, value);
    if (name == "mid") {
      const std::string_view mid = trim(value);
      if (!is_sdp_token(mid) || mid.size() > kMaxMidBytes)
        return lines_.fail(Errc::kMalformed, "the mid is not a word");
      // Some clients write the mid alone.
      if (!in_media_ || !fragment_.media.back().mid.empty()) {
        if (auto begun = begin_media(); !begun) return begun;
      }
      fragment_.media.back().mid = mid;
    } else if (name == "candidate") {
      if (candidates_ < kMaxFragmentCandidates) {
        if (fragment_.media.empty()) fragment_.media.emplace_back();
        fragment_.media.back().candidates.emplace_back(lines_.value());
        ++candidates_;
      }
    } else if (name == "end-of-candidates") {
      (fragment_.media.empty() ? fragment_.end_of_candidates : fragment_.media.back().end_of_candidates) =
          true;
    }
    return {};
  }

  base::Status read_credential(std::string_view& out, std::string_view value) {
    out = trim(value);
    if (out.empty()) return lines_.fail(Errc::kMalformed, "the ICE credential is empty");
    return {};
  }

  SdpLines lines_;
  TrickleFragment fragment_;
  Credentials credentials_;
  size_t candidates_ = 0;
  bool in_media_ = false;
};

}  // namespace

std::vector<std::string> TrickleFragment::candidates_of(std::string_view mid) const {
  std::vector<std::string> out;
  for (const Media& part : media) {
    if (part.mid.empty() || part.mid == mid)
      out.insert(out.end(), part.candidates.begin(), part.candidates.end());
  }
  return out;
}

bool TrickleFragment::ended(std::string_view mid) const {
  bool ended = end_of_candidates;
  for (const Media& part : media) ended |= part.end_of_candidates && (part.mid.empty() || part.mid == mid);
  return ended;
}

base::Result<TrickleFragment> parse_fragment(std::string_view text) {
  auto lines = SdpLines::open(text);
  if (!lines) return tl::unexpected(lines.error());
  return FragmentReader(*lines).read();
}

std::string write_fragment(const IceCredentials& ice, std::string_view kind, std::string_view mid,
                           const std::vector<std::string>& candidates, bool ice_lite) {
  std::string out = ice_lite ? "a=ice-lite\r\n" : "";
  out += fmt::format("a=ice-options:trickle\r\na=ice-ufrag:{}\r\na=ice-pwd:{}\r\n", ice.ufrag,
                     ice.password.reveal());
  out += fmt::format("m={} 9 UDP/TLS/RTP/SAVPF 0\r\n", kind);
  if (!mid.empty()) out += fmt::format("a=mid:{}\r\n", mid);
  for (const std::string& candidate : candidates) out += fmt::format("a={}\r\n", candidate);
  out += "a=end-of-candidates\r\n";
  return out;
}

}  // namespace miharu::webrtc
