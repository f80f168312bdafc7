#include "api/objects.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "api/router.h"
#include "net/conditional.h"

namespace miharu::api {
namespace {

// A chunk of some megabits is there in one piece.
constexpr uint64_t kFirstPieceBytes = 1 << 20;

net::HttpResponse answer_of_file(const net::HttpRequest& request, const store::ObjectName& name,
                                 base::Result<base::File> file) {
  if (!file) return problem_of(file.error());
  const auto size = file->size();
  if (!size) return problem_of(size.error());
  return net::file_response(request, std::make_shared<const base::File>(std::move(*file)), 0, *size,
                            media_type(name.container), fmt::format("\"{:08x}-{:x}\"", name.crc, *size),
                            kImmutable);
}

base::Result<std::string> fetch(store::ObjectStore& store, const std::string& key, uint64_t offset,
                                uint64_t length) {
  auto bytes = store.get(key, offset, length);
  if (!bytes) return tl::unexpected(std::move(bytes.error()));
  return std::string(base::as_text(*bytes));
}

// What is there already is the first piece; the others are pulled.
decltype(net::PulledBody::pull) after(std::string first, uint64_t offset,
                                      decltype(net::PulledBody::pull) pull) {
  return [held = std::make_shared<std::string>(std::move(first)), offset, pull = std::move(pull)](
             uint64_t at, uint64_t length, net::PulledBody::Done done) {
    if (at != offset || held->empty() || length < held->size()) return pull(at, length, std::move(done));
    done(std::exchange(*held, {}));
  };
}

}  // namespace

std::string_view media_type(store::Container container) {
  return container == store::Container::kFmp4 ? "video/mp4" : "video/mp2t";
}

net::HttpResponse out_of_interval() {
  return net::problem(403, "your credentials do not reach to this time");
}

net::HttpResponse object_response(store::ObjectStore& store, const RunBlocking& run,
                                  const net::HttpRequest& request, const Access& access,
                                  const std::string& key) {
  const auto name = store::decode_name(store::file_name_of(key));
  if (!name) return net::problem(404, "not a recorded object");
  if (!clamp(access, {name->start, name->end()})) return out_of_interval();
  if (auto file = store.open_file(key)) return answer_of_file(request, *name, std::move(*file));
  auto pull = [&store, run, key](uint64_t offset, uint64_t length, net::PulledBody::Done done) {
    run([&store, key, offset, length, done = std::move(done)] { done(fetch(store, key, offset, length)); });
  };
  net::HttpResponse response =
      net::pulled_response(request, std::move(pull), name->size_bytes(), media_type(name->container),
                           fmt::format("\"{:08x}-{:x}\"", name->crc, name->size_bytes()), kImmutable);
  auto* body = std::get_if<net::PulledBody>(&response.body);
  if (body == nullptr) return response;
  // Whether it is there at all is known before the answer begins.
  const uint64_t wanted = request.method == "HEAD" ? 1 : kFirstPieceBytes;
  auto first = fetch(store, key, body->offset, std::min(body->length, wanted));
  if (!first) return problem_of(first.error());
  if (first->empty()) return net::problem(502, "the store has less of this object than its name tells");
  body->pull = after(std::move(*first), body->offset, std::move(body->pull));
  return response;
}

net::HttpResponse object_response(store::ObjectStore& files, const net::HttpRequest& request,
                                  const Access& access, const std::string& key) {
  return object_response(
      files, [](const std::function<void()>& work) { work(); }, request, access, key);
}

}  // namespace miharu::api
