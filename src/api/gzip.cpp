#include "api/gzip.h"

#include <zlib.h>

#include "base/check.h"
#include "base/text.h"

namespace miharu::api {

std::string gzip(std::string_view text, int level) {
  constexpr int kWindowBits = 15 + 16;  // 16: gzip and not zlib framing
  constexpr int kMemoryLevel = 8;
  z_stream stream{};
  CHECK(deflateInit2(&stream, level, Z_DEFLATED, kWindowBits, kMemoryLevel, Z_DEFAULT_STRATEGY) == Z_OK);
  // Playlists shrink to an eighth. Room for the worst case would be filled and kept: the text's own size for
  // every one cached.
  std::string out(text.size() / 6 + 256, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  int result = Z_OK;
  do {
    if (stream.total_out == out.size()) out.resize(2 * out.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + stream.total_out);
    stream.avail_out = static_cast<uInt>(out.size() - stream.total_out);
    result = deflate(&stream, Z_FINISH);
  } while (result == Z_OK || result == Z_BUF_ERROR);
  CHECK(result == Z_STREAM_END);
  out.resize(stream.total_out);
  out.shrink_to_fit();
  deflateEnd(&stream);
  return out;
}

bool accepts_gzip(const net::HttpRequest& request) {
  std::string_view rest = request.header("Accept-Encoding");
  while (!rest.empty()) {
    std::string_view parameters = base::take_until(rest, ',');
    const std::string_view coding = base::trim(base::take_until(parameters, ';'));
    if (!base::equals_ignoring_case(coding, "gzip")) continue;
    const std::string_view quality = base::trim(parameters);
    return quality.substr(0, 2) != "q=" ||
           quality.substr(2).find_first_not_of("0.") != std::string_view::npos;
  }
  return false;
}

}  // namespace miharu::api
