// Whatever a function may be sent: an event is refused, or a request that the server would have taken too.
#include <cstdint>
#include <cstdlib>
#include <string>

#include <boost/json.hpp>

#include "lambda/event.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace miharu;
  const auto request = lambda::request_of({reinterpret_cast<const char*>(data), size});
  if (!request) return 0;
  if (request->path.empty() || request->path[0] != '/' ||
      (request->path + "/").find("/../") != std::string::npos ||
      request->path.find('\0') != std::string::npos || request->body.size() > lambda::kMostBodyBytes)
    std::abort();
  for (const auto& [name, value] : request->headers) {
    if ((name + value).find_first_of("\r\n") != std::string::npos) std::abort();
  }
  net::HttpResponse response;
  response.headers = {{"Content-Type", std::string(request->header("Content-Type"))},
                      {"Set-Cookie", std::string(request->header("Cookie"))}};
  response.body = request->body;
  const std::string answer = lambda::answer_to(*request, std::move(response));
  if (answer.size() > lambda::kMostAnswerBytes) std::abort();
  return 0;
}
