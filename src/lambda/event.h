// What AWS Lambda hands to a function behind a function URL (payload format 2.0), and what it takes for an
// answer: JSON in, JSON out. AWS Lambda Developer Guide, "Invoking Lambda function URLs". No I/O but for a
// body that is elsewhere.
#pragma once

#include <string>
#include <string_view>

#include "net/http.h"

namespace miharu::lambda {

// An answer may have 6 MB with all that JSON and base64 add.
inline constexpr size_t kMostAnswerBytes = 6 << 20;
// Of a request, as for HttpServerOptions::Limits.
inline constexpr size_t kMostBodyBytes = 64 << 10;

// kMalformed: not a request of that form, or an address that the server would refuse; kLimit: its body is too
// long.
base::Result<net::HttpRequest> request_of(std::string_view event);

// Text goes as it is, or by gzip where the client takes it; all else as base64. What is too long becomes 501
// with what to do. Blocks for a body that is elsewhere.
std::string answer_to(const net::HttpRequest& request, net::HttpResponse response);

}  // namespace miharu::lambda
