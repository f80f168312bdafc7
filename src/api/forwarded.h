// Requests that came through a reverse proxy: who really asked, by which scheme, below which path.
#pragma once

#include <string>
#include <vector>

#include <boost/asio/ip/network_v4.hpp>
#include <boost/asio/ip/network_v6.hpp>

#include "base/error.h"
#include "net/http.h"

namespace miharu::api {

// Immutable after construction, thread-safe.
class Forwarded {
 public:
  // `proxies`: addresses or networks ("10.0.0.0/8") whose X-Forwarded-For and X-Forwarded-Proto are believed.
  // `base_path`: "" or "/cameras", taken off every path. kInvalid names the entry that is none.
  static base::Result<Forwarded> make(const std::vector<std::string>& proxies, std::string base_path);

  // Puts the request right in place. False when its path is not below the base path.
  bool apply(net::HttpRequest& request) const;

 private:
  [[nodiscard]] bool trusts(const std::string& address) const;

  std::vector<boost::asio::ip::network_v4> v4_;
  std::vector<boost::asio::ip::network_v6> v6_;
  std::string base_path_;
};

}  // namespace miharu::api
