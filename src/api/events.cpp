#include "api/events.h"

#include <fmt/format.h>
#include <boost/json.hpp>

namespace miharu::api {

void Events::add(net::HttpExchange& exchange, std::function<bool(const std::string&)> sees) {
  if (stopped_ || listeners_.size() >= kMaxListeners) {
    net::HttpResponse refusal = net::problem(503, "too many listen to events already");
    refusal.headers.emplace_back("Retry-After", std::to_string(kKeepAliveSeconds));
    refusal.headers.emplace_back("Cache-Control", "no-store");
    exchange.respond(std::move(refusal));
    return;
  }
  auto stream = exchange.stream(200, {{"Content-Type", "text/event-stream"}, {"Cache-Control", "no-store"}});
  if (!stream) return;
  listeners_.push_back({std::move(stream), std::move(sees), {}});
  look();
  if (!scheduled_) schedule();
}

void Events::stop() {
  stopped_ = true;
  timer_.cancel();
  listeners_.clear();
}

void Events::schedule() {
  scheduled_ = true;
  timer_.expires_after(std::chrono::seconds(1));
  timer_.async_wait([this](const boost::system::error_code& error) {
    scheduled_ = false;
    if (error || listeners_.empty()) return;
    look();
    if (!listeners_.empty()) schedule();
  });
}

void Events::look() {
  idle_seconds_ = (idle_seconds_ + 1) % kKeepAliveSeconds;
  const std::vector<CameraStatus> cameras = cameras_.cameras();
  std::erase_if(listeners_, [&](Listener& listener) {
    std::string text;
    for (const CameraStatus& camera : cameras) {
      if (!listener.sees(camera.name)) continue;
      const auto trouble = trouble_of(camera);
      std::string state = boost::json::serialize(boost::json::object{
          {"camera", camera.name},
          {"state", state_of(camera)},
          {"reason", trouble ? boost::json::value(*trouble) : boost::json::value(nullptr)}});
      std::string& told = listener.told[camera.name];
      if (told == state) continue;
      text += fmt::format("event: camera\ndata: {}\n\n", state);
      told = std::move(state);
    }
    if (text.empty() && idle_seconds_ == 0) text = ": still here\n\n";
    return !text.empty() && !listener.stream->write(std::move(text));
  });
}

}  // namespace miharu::api
