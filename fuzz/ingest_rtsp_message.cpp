// The first byte chooses how the rest is cut into reads.
#include <algorithm>
#include <cstring>

#include "ingest/rtsp/message.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using miharu::ingest::rtsp::StreamParser;
  if (size == 0) return 0;
  const size_t piece = size_t{data[0]} + 1;
  StreamParser parser(StreamParser::kMinCapacity);
  parser.set_known_channel(0);
  parser.set_known_channel(1);
  for (size_t at = 1; at < size;) {
    const auto space = parser.space();
    const size_t count = std::min({piece, size - at, space.size()});
    std::memcpy(space.data(), data + at, count);
    parser.commit(count);
    at += count;
    for (auto event = parser.next(); event != StreamParser::Event::kNeedMore; event = parser.next()) {
      if (event == StreamParser::Event::kFailed) return 0;
    }
  }
  if (parser.in_body()) parser.take_partial_body();
  return 0;
}
