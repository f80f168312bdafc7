// gzip (RFC 1952) for text that is built once and served often.
#pragma once

#include <string>
#include <string_view>

#include "net/http.h"

namespace miharu::api {

std::string gzip(std::string_view text, int level = 6);  // level 1 to 9
bool accepts_gzip(const net::HttpRequest& request);      // RFC 9110 section 12.5.3; "q=0" refuses

}  // namespace miharu::api
