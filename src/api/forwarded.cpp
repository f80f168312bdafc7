#include "api/forwarded.h"

#include <algorithm>

#include <fmt/format.h>
#include <boost/asio/ip/address.hpp>

#include "base/text.h"

namespace miharu::api {

namespace ip = boost::asio::ip;

base::Result<Forwarded> Forwarded::make(const std::vector<std::string>& proxies, std::string base_path) {
  Forwarded made;
  made.base_path_ = std::move(base_path);
  for (const std::string& proxy : proxies) {
    const bool v6 = proxy.find(':') != std::string::npos;
    const bool whole = proxy.find('/') != std::string::npos;
    boost::system::error_code error;
    if (v6) {
      made.v6_.push_back(ip::make_network_v6(whole ? proxy : proxy + "/128", error));
    } else {
      made.v4_.push_back(ip::make_network_v4(whole ? proxy : proxy + "/32", error));
    }
    if (error) {
      return base::fail(
          base::Errc::kInvalid,
          fmt::format("trusted proxies: \"{}\" is neither an address nor a network such as 10.0.0.0/8",
                      proxy));
    }
  }
  return made;
}

bool Forwarded::trusts(const std::string& text) const {
  boost::system::error_code error;
  ip::address address = ip::make_address(text, error);
  if (error) return false;
  if (address.is_v6() && address.to_v6().is_v4_mapped())
    address = ip::make_address_v4(ip::v4_mapped, address.to_v6());
  if (address.is_v4()) {
    return std::any_of(v4_.begin(), v4_.end(), [v4 = address.to_v4()](const ip::network_v4& network) {
      return (v4.to_uint() & network.netmask().to_uint()) == network.network().to_uint();
    });
  }
  return std::any_of(v6_.begin(), v6_.end(), [v6 = address.to_v6()](const ip::network_v6& network) {
    return ip::make_network_v6(v6, network.prefix_length()).network() == network.network();
  });
}

namespace {

// A proxy may add a line of its own behind those that the client made up.
std::string whole_chain(const net::HttpRequest& request) {
  std::string chain;
  for (const auto& [name, value] : request.headers) {
    if (!base::equals_ignoring_case(name, "X-Forwarded-For")) continue;
    if (!chain.empty()) chain += ',';
    chain += value;
  }
  return chain;
}

}  // namespace

bool Forwarded::apply(net::HttpRequest& request) const {
  if (trusts(request.remote)) {
    request.secure |= base::equals_ignoring_case(base::trim(request.header("X-Forwarded-Proto")), "https");
    // From the right: each proxy appended who it heard. The first that is not one of ours is who asked.
    const std::string all = whole_chain(request);
    std::string_view chain = all;
    while (!chain.empty()) {
      const size_t comma = chain.rfind(',');
      const std::string hop(base::trim(comma == std::string_view::npos ? chain : chain.substr(comma + 1)));
      boost::system::error_code error;
      ip::make_address(hop, error);
      if (error) break;
      request.remote = hop;
      if (!trusts(hop)) break;
      chain = comma == std::string_view::npos ? std::string_view() : chain.substr(0, comma);
    }
  }
  if (base_path_.empty()) return true;
  if (!request.path.starts_with(base_path_)) return false;
  const std::string_view rest = std::string_view(request.path).substr(base_path_.size());
  if (!rest.starts_with('/')) return false;
  request.path = std::string(rest);
  return true;
}

}  // namespace miharu::api
