#include "api/objects.h"

#include <fmt/format.h>

#include "api/router.h"
#include "net/conditional.h"

namespace miharu::api {

std::string_view media_type(store::Container container) {
  return container == store::Container::kFmp4 ? "video/mp4" : "video/mp2t";
}

net::HttpResponse out_of_interval() {
  return net::problem(403, "your credentials do not reach to this time");
}

net::HttpResponse object_response(const store::DirectoryStore& store, const net::HttpRequest& request,
                                  const Access& access, const std::string& key) {
  const auto name = store::decode_name(store::file_name_of(key));
  if (!name) return net::problem(404, "not a recorded object");
  if (!clamp(access, {name->start, name->end()})) return out_of_interval();
  auto file = store.open_object(key);
  if (!file) return problem_of(file.error());
  const auto size = file->size();
  if (!size) return problem_of(size.error());
  return net::file_response(request, std::make_shared<const base::File>(std::move(*file)), 0, *size,
                            media_type(name->container), fmt::format("\"{:08x}-{:x}\"", name->crc, *size),
                            kImmutable);
}

net::HttpResponse object_response(store::ObjectStore& store, const RunBlocking& run,
                                  const net::HttpRequest& request, const Access& access,
                                  const std::string& key) {
  const auto name = store::decode_name(store::file_name_of(key));
  if (!name) return net::problem(404, "not a recorded object");
  if (!clamp(access, {name->start, name->end()})) return out_of_interval();
  // Whether it is there at all is known before the answer begins.
  if (const auto first = store.get(key, 0, 1); !first) return problem_of(first.error());
  auto pull = [&store, run, key](uint64_t offset, uint64_t length, net::PulledBody::Done done) {
    run([&store, key, offset, length, done = std::move(done)] {
      auto bytes = store.get(key, offset, length);
      if (!bytes) return done(tl::unexpected(std::move(bytes.error())));
      done(std::string(base::as_text(*bytes)));
    });
  };
  return net::pulled_response(request, std::move(pull), name->size_bytes(), media_type(name->container),
                              fmt::format("\"{:08x}-{:x}\"", name->crc, name->size_bytes()), kImmutable);
}

}  // namespace miharu::api
