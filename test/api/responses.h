// What tests of handlers ask with, and what they read of the answers.
#pragma once

#include <gtest/gtest.h>
#include <zlib.h>

#include <memory>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "net/http.h"

namespace miharu::test {

inline std::string field(const net::HttpResponse& response, std::string_view name) {
  for (const auto& [key, value] : response.headers) {
    if (key == name) return value;
  }
  return {};
}

inline std::string gunzip(const std::string& compressed) {
  z_stream stream{};
  EXPECT_EQ(inflateInit2(&stream, 15 + 16), Z_OK);
  std::string text(1 << 20, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(compressed.data()));
  stream.avail_in = static_cast<uInt>(compressed.size());
  stream.next_out = reinterpret_cast<Bytef*>(text.data());
  stream.avail_out = static_cast<uInt>(text.size());
  EXPECT_EQ(inflate(&stream, Z_FINISH), Z_STREAM_END);
  text.resize(stream.total_out);
  inflateEnd(&stream);
  return text;
}

// The bytes of an answer, whatever they come from.
inline std::string body_of(const net::HttpResponse& response) {
  if (const auto* text = std::get_if<std::string>(&response.body)) return *text;
  if (const auto* shared = std::get_if<std::shared_ptr<const std::string>>(&response.body))
    return field(response, "Content-Encoding") == "gzip" ? gunzip(**shared) : **shared;
  std::string text;
  if (const auto* files = std::get_if<std::vector<net::FileBody>>(&response.body)) {
    for (const net::FileBody& piece : *files) {
      base::ByteVector bytes(piece.length);
      EXPECT_TRUE(piece.file->read_at(piece.offset, bytes));
      text += base::as_text(bytes);
    }
  }
  return text;
}

inline net::HttpRequest request(std::string query, net::HttpHeaders headers = {}) {
  net::HttpRequest made;
  made.method = "GET";
  made.query = std::move(query);
  made.headers = std::move(headers);
  return made;
}

}  // namespace miharu::test
