#include <string_view>

#include "ingest/rtsp/auth.h"
#include "ingest/rtsp/headers.h"
#include "ingest/rtsp/url.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace miharu::ingest::rtsp;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  static_cast<void>(parse_transport(text));
  static_cast<void>(parse_session(text));
  static_cast<void>(parse_url(text));
  parse_rtp_info(text);
  parse_public(text);
  parse_key_values(text, ';');
  Authenticator authenticator("user", "password");
  if (authenticator.accept({text})) authenticator.authorization("DESCRIBE", "rtsp://camera/");
  return 0;
}
