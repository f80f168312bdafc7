// miharu.toml, --camera and the values in quotes.
#include <cstdint>
#include <cstdlib>

#include "app/config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace miharu;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const app::Environment environment{[](std::string_view name) -> std::optional<std::string> {
                                       return name.size() < 4 ? std::optional<std::string>(name)
                                                              : std::nullopt;
                                     },
                                     [](const std::filesystem::path& path) -> base::Result<base::ByteVector> {
                                       if (path.string().size() > 10)
                                         return base::fail(base::Errc::kNotFound, "none");
                                       return base::ByteVector(3, std::byte{'p'});
                                     }};
  if (const auto config = app::parse_config(text, "m.toml", environment)) {
    // What the browser would save is read back as it was, or refused.
    if (const auto saved = app::format_cameras(config->cameras)) {
      const auto again = app::parse_config(*saved, "m.toml", environment);
      if (again && again->cameras != config->cameras) {
        for (size_t i = 0; i < config->cameras.size(); ++i) {
          if (again->cameras[i].password_file.empty() && again->cameras[i] != config->cameras[i])
            std::abort();
        }
      }
    }
  }
  (void)app::parse_camera_argument(text);
  (void)app::parse_endpoint(text);
  (void)app::parse_bandwidth(text);
  if (const auto size_value = app::parse_size(text)) {
    if (size_value->percent > 100 || (size_value->percent == 0 && size_value->bytes > (1ULL << 63)))
      std::abort();
  }
  return 0;
}
