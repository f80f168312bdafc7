#include "api/events.h"

#include <fmt/format.h>
#include <boost/json.hpp>

namespace miharu::api {

namespace json = boost::json;

namespace {

json::value text_or_null(const std::string& text) {
  return text.empty() ? json::value(nullptr) : json::value(text);
}

}  // namespace

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
  const std::optional<upload::UploadStatus> uploads = cameras_.uploads();
  std::erase_if(listeners_, [&](Listener& listener) {
    std::string text;
    const auto tell = [&](const std::string& event, const std::string& about, const json::object& data) {
      std::string now = json::serialize(data);
      std::string& told = listener.told[{event, about}];
      if (told == now) return;
      text += fmt::format("event: {}\ndata: {}\n\n", event, now);
      told = std::move(now);
    };
    for (const CameraStatus& camera : cameras) {
      if (!listener.sees(camera.name)) continue;
      tell("camera", camera.name,
           {{"camera", camera.name},
            {"state", state_of(camera)},
            {"reason", text_or_null(trouble_of(camera).value_or(""))}});
      if (!uploads) continue;
      const auto found = uploads->cameras.find(camera.name);
      if (found == uploads->cameras.end()) continue;
      json::value until;
      if (found->second.safe_until) until = base::to_unix_ms(*found->second.safe_until);
      tell("safe", camera.name,
           {{"camera", camera.name},
            {"safe_until_ms", until},
            {"pending_objects", found->second.pending_objects}});
    }
    if (uploads) {
      tell("uploads", "",
           {{"state", upload::name_of(uploads->state)},
            {"error", text_or_null(uploads->error)},
            {"warning", text_or_null(uploads->warning)}});
    }
    if (text.empty() && idle_seconds_ == 0) text = ": still here\n\n";
    return !text.empty() && !listener.stream->write(std::move(text));
  });
}

}  // namespace miharu::api
