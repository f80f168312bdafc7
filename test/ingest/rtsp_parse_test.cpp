// Messages, headers, URLs and passwords against the vectors in test/data/rtsp.
#include <string>

#include <gtest/gtest.h>
#include <boost/json.hpp>

#include "base/file.h"
#include "base/text.h"
#include "ingest/rtsp/auth.h"
#include "ingest/rtsp/headers.h"
#include "ingest/rtsp/message.h"
#include "ingest/rtsp/url.h"
#include "media/sdp.h"
#include "support/data_path.h"

namespace miharu::ingest::rtsp {
namespace {

namespace json = boost::json;

std::string read_text(const std::string& name) {
  const auto bytes = base::read_file(test::data_path(name), 1 << 24);
  EXPECT_TRUE(bytes) << name;
  return bytes ? std::string(base::as_text(*bytes)) : std::string();
}

const json::object& vectors() {
  static const json::value value = json::parse(read_text("rtsp/headers.json"));
  return value.as_object();
}

std::string text_of(const json::value& value) {
  return std::string(value.as_string());
}

template <class Pair>
void expect_pair(const json::object& expect, const char* key, const std::optional<Pair>& got) {
  ASSERT_EQ(expect.contains(key), got.has_value()) << key;
  if (!got) return;
  EXPECT_EQ(expect.at(key).at(0).as_int64(), got->first) << key;
  EXPECT_EQ(expect.at(key).at(1).as_int64(), got->second) << key;
}

// Feeds `bytes` in two parts and returns the events as text, so that they can be compared whatever the split
// was.
std::string events(std::string_view bytes, size_t split, std::initializer_list<uint8_t> channels = {0, 1}) {
  StreamParser parser;
  for (const uint8_t channel : channels) parser.set_known_channel(channel);
  std::string out;
  for (std::string_view part : {bytes.substr(0, split), bytes.substr(split)}) {
    const auto space = parser.space();
    if (!part.empty()) std::memcpy(space.data(), part.data(), part.size());
    parser.commit(part.size());
    for (;;) {
      const auto event = parser.next();
      if (event == StreamParser::Event::kNeedMore) break;
      if (event == StreamParser::Event::kFailed) return out + "failed;";
      if (event == StreamParser::Event::kFrame) {
        out += "frame " + std::to_string(parser.channel()) + " " + base::to_hex(parser.frame()) + ";";
      } else {
        const Message& message = parser.message();
        out += message.is_request ? message.method : std::to_string(message.status);
        out += " [" + message.body + "];";
      }
    }
  }
  return out;
}

std::string frame(uint8_t channel, std::string payload) {
  return std::string("$") + static_cast<char>(channel) + static_cast<char>(payload.size() >> 8) +
         static_cast<char>(payload.size() & 0xff) + payload;
}

std::string rtp(char tag) {
  return std::string("\x80\x60\x00\x01\x00\x00\x00\x01\x00\x00\x00\x02", 12) + tag;
}
std::string rtp_event(char tag) {
  return "frame 0 " + base::to_hex(base::as_bytes(rtp(tag))) + ";";
}

TEST(RtspHeaders, Transport) {
  for (const auto& entry : vectors().at("transport").as_array()) {
    SCOPED_TRACE(text_of(entry.at("name")));
    const auto got = parse_transport(text_of(entry.at("input")));
    ASSERT_TRUE(got);
    const json::object& expect = entry.at("expect").as_object();
    EXPECT_EQ(expect.at("proto") == "tcp", got->tcp);
    EXPECT_EQ(expect.contains("secure"), got->secure);
    EXPECT_EQ(expect.contains("multicast"), got->multicast);
    expect_pair(expect, "client_port", got->client_port);
    expect_pair(expect, "server_port", got->server_port);
    expect_pair(expect, "port", got->port);
    expect_pair(expect, "interleaved", got->interleaved);
    if (expect.contains("mode")) {
      EXPECT_EQ(text_of(expect.at("mode")), got->mode);
    }
    EXPECT_EQ(expect.contains("destination") ? text_of(expect.at("destination")) : "", got->destination);
    EXPECT_EQ(expect.contains("source") ? text_of(expect.at("source")) : "", got->source);
    if (expect.contains("ttl")) {
      EXPECT_EQ(expect.at("ttl").as_int64(), got->ttl.value_or(0));
    }
    ASSERT_EQ(expect.contains("ssrc"), got->ssrc.has_value());
    if (got->ssrc) {
      EXPECT_EQ(std::stoul(text_of(expect.at("ssrc")), nullptr, 16), *got->ssrc);
    }
  }
}

TEST(RtspHeaders, TransportOddForms) {
  // Quirk T1: judged by `interleaved`, a single number is two channels.
  const auto odd = parse_transport("RTP/AVP;unicast;interleaved=4");
  ASSERT_TRUE(odd);
  EXPECT_TRUE(odd->tcp);
  EXPECT_EQ(odd->interleaved, (std::pair<uint8_t, uint8_t>{4, 5}));
  EXPECT_FALSE(parse_transport(""));
  EXPECT_FALSE(parse_transport("RAW/RAW/UDP;unicast"));
  EXPECT_FALSE(parse_transport("RTP/AVP/TCP;interleaved=999")->interleaved);
  EXPECT_FALSE(parse_transport("RTP/AVP;ssrc=123456789")->ssrc);
}

void expect_rtp_info(const json::array& expect, const std::vector<RtpInfo>& got) {
  ASSERT_EQ(expect.size(), got.size());
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_EQ(text_of(expect[i].at("url")), got[i].url);
    EXPECT_EQ(expect[i].at("seq").as_int64(), got[i].sequence.value_or(0));
    ASSERT_EQ(expect[i].at("rtptime").is_null(), !got[i].rtp_time.has_value());
    if (got[i].rtp_time) {
      EXPECT_EQ(expect[i].at("rtptime").to_number<uint32_t>(), *got[i].rtp_time);
    }
  }
}

TEST(RtspHeaders, RtpInfo) {
  for (const auto& entry : vectors().at("rtp_info").as_array()) {
    SCOPED_TRACE(text_of(entry.at("name")));
    expect_rtp_info(entry.at("expect").as_array(), parse_rtp_info(text_of(entry.at("input"))));
  }
  EXPECT_EQ(parse_rtp_info("url=rtsp://a/b,c;seq=1;").size(), 1U);
}

TEST(RtspHeaders, KeyValues) {
  for (const auto& entry : vectors().at("key_value").as_array()) {
    SCOPED_TRACE(text_of(entry.at("name")));
    const auto got = parse_key_values(text_of(entry.at("input")), ',');
    const json::object& expect = entry.at("expect").as_object();
    ASSERT_EQ(expect.size(), got.size());
    for (const auto& [key, value] : got) EXPECT_EQ(text_of(expect.at(key)), value);
  }
}

TEST(RtspHeaders, Session) {
  for (const auto& entry : vectors().at("session").as_array()) {
    const auto got = parse_session(text_of(entry.at("input")));
    ASSERT_TRUE(got);
    EXPECT_EQ(text_of(entry.at("expect").at("id")), got->id);
    // The vector's own number, 47 or the default.
    const auto& timeout = entry.at("expect").at("timeout_s");
    EXPECT_EQ(timeout.is_int64() ? 60U : 47U, got->timeout_s.value_or(60));
  }
  EXPECT_FALSE(parse_session(";timeout=3"));
  EXPECT_FALSE(parse_session(std::string(2000, 'x')));
}

TEST(RtspHeaders, Challenges) {
  for (const auto& entry : vectors().at("www_authenticate").as_array()) {
    SCOPED_TRACE(text_of(entry.at("name")));
    const auto got = parse_challenges(text_of(entry.at("input")));
    ASSERT_EQ(got.size(), 1U);
    const json::object& expect = entry.at("expect").as_object();
    EXPECT_EQ(base::to_lower(text_of(expect.at("scheme"))), got[0].scheme);
    EXPECT_EQ(text_of(expect.at("realm")), got[0].realm);
    if (expect.contains("nonce")) {
      EXPECT_EQ(text_of(expect.at("nonce")), got[0].nonce);
    }
    EXPECT_EQ(expect.contains("algorithm") ? text_of(expect.at("algorithm")) : "",
              got[0].algorithm.value_or(""));
  }
}

TEST(RtspHeaders, ChallengeOddForms) {
  const auto two = parse_challenges(
      "Basic realm=\"a, b\", Digest realm=IP Camera, nonce=abc, stale=TRUE, opaque=\"\", "
      "qop=\"auth-int,auth\"");
  ASSERT_EQ(two.size(), 2U);
  EXPECT_EQ(two[0].realm, "a, b");
  EXPECT_EQ(two[1].realm, "IP Camera");
  EXPECT_EQ(two[1].nonce, "abc");
  EXPECT_EQ(two[1].opaque, "");
  EXPECT_TRUE(two[1].stale);
  EXPECT_TRUE(two[1].qop_auth);
}

TEST(RtspAuth, AnswersOfTheVectors) {
  int checked = 0;
  for (const auto& entry : vectors().at("digest").as_array()) {
    const json::object& object = entry.as_object();
    if (!object.contains("expect_authorization")) continue;
    SCOPED_TRACE(text_of(object.at("name")));
    std::vector<std::string> headers;
    for (const auto& header : object.at("www_authenticate").as_array()) headers.push_back(text_of(header));
    Authenticator authenticator(text_of(object.at("user")), text_of(object.at("password")));
    ASSERT_TRUE(authenticator.accept({headers.begin(), headers.end()}));
    EXPECT_EQ(authenticator.authorization(text_of(object.at("method")), text_of(object.at("uri"))),
              text_of(object.at("expect_authorization")));
    ++checked;
  }
  EXPECT_EQ(checked, 6);
}

TEST(RtspAuth, QopOfRfc7616) {
  // RFC 7616 section 3.9.1, but for the order of the parameters.
  Authenticator authenticator("Mufasa", "Circle of Life");
  authenticator.set_client_nonce([] { return std::string("f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"); });
  const std::string tail =
      "qop=\"auth, auth-int\", nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", "
      "opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"";
  const std::string md5 = "Digest realm=\"http-auth@example.org\", algorithm=MD5, " + tail;
  const std::string sha = "Digest realm=\"http-auth@example.org\", algorithm=SHA-256, " + tail;
  ASSERT_TRUE(authenticator.accept({md5}));
  std::string got = authenticator.authorization("GET", "/dir/index.html");
  EXPECT_NE(got.find("response=\"8ca523f5e9506fed4657c9700eebdbec\""), std::string::npos) << got;
  EXPECT_NE(got.find("nc=00000001"), std::string::npos);
  ASSERT_TRUE(authenticator.accept({md5, sha}));
  got = authenticator.authorization("GET", "/dir/index.html");
  EXPECT_NE(got.find("response=\"753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1\""),
            std::string::npos)
      << got;
}

TEST(RtspAuth, RefusesWhatItDoesNotKnow) {
  Authenticator authenticator("u", "p");
  EXPECT_FALSE(authenticator.accept({"Bearer realm=\"x\""}));
  EXPECT_FALSE(authenticator.accept({}));
  EXPECT_EQ(authenticator.authorization("PLAY", "x"), "");
}

TEST(RtspUrl, Vectors) {
  for (const auto& entry : vectors().at("url").as_array()) {
    const std::string input = text_of(entry.at("input"));
    SCOPED_TRACE(input);
    const json::object& object = entry.as_object();
    if (object.contains("expect") && object.at("expect").as_object().contains("error")) {
      EXPECT_FALSE(parse_url(input));
      continue;
    }
    const json::object& expect = object.at("expect").as_object();
    auto got = parse_url(input);
    // Forms that only cameras use are mended first.
    if (!got || got->host == "rtsp") got = parse_url(media::sdp_base_url("rtsp://camera/", input, ""));
    ASSERT_TRUE(got) << got.error().text;
    if (expect.contains("user")) {
      EXPECT_EQ(text_of(expect.at("user")), got->user);
    }
    if (expect.contains("password")) {
      EXPECT_EQ(text_of(expect.at("password")), got->password);
    }
    if (expect.contains("host")) {
      EXPECT_EQ(text_of(expect.at("host")), got->host);
    }
    if (expect.contains("port")) {
      EXPECT_EQ(expect.at("port").as_int64(), got->port);
    }
    if (expect.contains("request_uri")) {
      EXPECT_EQ(text_of(expect.at("request_uri")), got->request);
    }
    EXPECT_EQ(got->request.find('@'), std::string::npos);
  }
}

TEST(RtspMessage, VectorsAtEverySplit) {
  for (const auto& entry : vectors().at("response").as_array()) {
    const std::string input = text_of(entry.at("input"));
    SCOPED_TRACE(text_of(entry.at("name")));
    const json::object& expect = entry.at("expect").as_object();
    const auto message = parse_header_block(input);
    ASSERT_TRUE(message);
    if (expect.contains("status")) {
      EXPECT_EQ(expect.at("status").as_int64(), message->status);
    }
    if (expect.contains("cseq")) {
      EXPECT_EQ(std::to_string(expect.at("cseq").as_int64()), message->header("CSEQ"));
    }
    if (expect.contains("method")) {
      EXPECT_EQ(text_of(expect.at("method")), message->method);
    }
    if (expect.contains("challenges")) {
      EXPECT_EQ(message->all("www-authenticate").size(), 2U);
    }
    const std::string whole = events(input, 0);
    EXPECT_NE(whole, "");
    for (size_t split = 1; split < input.size(); ++split) EXPECT_EQ(events(input, split), whole) << split;
  }
}

TEST(RtspMessage, Replies) {
  const json::value replies = json::parse(read_text("rtsp/replies.json"));
  for (const auto& entry : replies.at("cases").as_array()) {
    const json::object& expect = entry.as_object();
    SCOPED_TRACE(text_of(expect.at("name")));
    const std::string text = read_text("rtsp/replies/" + text_of(expect.at("file")));
    const auto message = parse_header_block(text);
    ASSERT_TRUE(message);
    EXPECT_EQ(expect.contains("status") ? expect.at("status").as_int64() : 200, message->status);
    if (expect.contains("cseq")) {
      EXPECT_EQ(std::to_string(expect.at("cseq").as_int64()), message->header("CSeq"));
    }
    if (expect.contains("session")) {
      const auto session = parse_session(message->header("Session"));
      ASSERT_TRUE(session);
      EXPECT_EQ(text_of(expect.at("session")), session->id);
      if (expect.contains("timeout_s")) {
        EXPECT_EQ(expect.at("timeout_s").as_int64(), session->timeout_s.value_or(60));
      }
    }
    if (expect.contains("interleaved")) {
      const auto transport = parse_transport(message->header("Transport"));
      ASSERT_TRUE(transport);
      expect_pair(expect, "interleaved", transport->interleaved);
      ASSERT_EQ(expect.at("ssrc").is_null(), !transport->ssrc);
      if (transport->ssrc) {
        EXPECT_EQ(std::stoul(text_of(expect.at("ssrc")), nullptr, 16), *transport->ssrc);
      }
    }
    if (expect.contains("rtp_info")) {
      expect_rtp_info(expect.at("rtp_info").as_array(), parse_rtp_info(message->header("RTP-Info")));
    }
    if (expect.contains("public")) {
      const auto methods = parse_public(message->header("Public"));
      ASSERT_EQ(methods.size(), expect.at("public").as_array().size());
      for (size_t i = 0; i < methods.size(); ++i) EXPECT_EQ(text_of(expect.at("public").at(i)), methods[i]);
    }
    if (expect.contains("www_authenticate")) {
      const auto challenges = parse_challenges(message->header("WWW-Authenticate"));
      ASSERT_EQ(challenges.size(), 1U);
      EXPECT_EQ(text_of(expect.at("www_authenticate").at("nonce")), challenges[0].nonce);
      EXPECT_FALSE(challenges[0].qop_auth);
    }
    for (size_t split = 0; split < text.size(); split += 7) {
      EXPECT_EQ(events(text, split), std::to_string(message->status) + " [];") << split;
    }
  }
}

struct StreamCase {
  const char* name;
  std::string bytes;
  std::string expect;
};

TEST(RtspMessage, Streams) {
  const std::string junk = "junk \x01\x02$\x07more";
  const StreamCase cases[] = {
      {"frames and messages",
       frame(0, rtp('a')) + "\r\n\r\nRTSP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc" + frame(0, rtp('b')),
       rtp_event('a') + "200 [abc];" + rtp_event('b')},
      {"a request between frames",
       frame(0, rtp('a')) + "GET_PARAMETER * RTSP/1.0\r\nCSeq: 1\r\n\r\n" + frame(0, rtp('b')),
       rtp_event('a') + "GET_PARAMETER [];" + rtp_event('b')},
      {"T2: a frame on a channel that nobody asked for", frame(7, rtp('x')) + frame(0, rtp('a')),
       "frame 7 " + base::to_hex(base::as_bytes(rtp('x'))) + ";" + rtp_event('a')},
      {"T3: junk between frames", frame(0, rtp('a')) + junk + frame(0, rtp('b')) + frame(0, rtp('c')),
       rtp_event('a') + rtp_event('b') + rtp_event('c')},
      {"T3: junk, then a reply", junk + "RTSP/1.0 200 OK\r\n\r\n", "200 [];"},
  };
  for (const auto& c : cases) {
    for (size_t split = 0; split < c.bytes.size(); ++split) {
      EXPECT_EQ(events(c.bytes, split), c.expect) << c.name << " at " << split;
    }
  }
}

TEST(RtspMessage, FrameCutShort) {
  // Quirk T3: the camera wrote the first bytes of a frame, and then whole frames.
  const std::string cut = frame(0, rtp('a') + std::string(60, 'z')).substr(0, 30);
  const std::string bytes =
      cut + frame(0, rtp('b')) + frame(0, rtp('c')) + frame(0, rtp('d')) + frame(0, rtp('e'));
  EXPECT_EQ(events(bytes, bytes.size()), rtp_event('b') + rtp_event('c') + rtp_event('d') + rtp_event('e'));
}

TEST(RtspMessage, FrameCutShortAndTheRestComesLater) {
  // Quirk T3: the next frame, longer than what was cut off, ends in what looks like the end of the first.
  const std::string whole = frame(0, rtp('a') + std::string(60, 'z'));
  const std::string next = rtp('b') + std::string(100, 'y');
  const std::string bytes = whole.substr(0, 30) + frame(0, next) + frame(0, rtp('c')) + frame(0, rtp('d'));
  const std::string expect =
      "frame 0 " + base::to_hex(base::as_bytes(next)) + ";" + rtp_event('c') + rtp_event('d');
  for (size_t split = 0; split < bytes.size(); ++split) {
    if (split == whole.size()) continue;  // nothing is wrong with it so far
    EXPECT_EQ(events(bytes, split), expect) << "at " << split;
  }
}

TEST(RtspMessage, FrameCutShortBehindGoodOnes) {
  // Quirk T3: once the sender is known, neither the end of what has come so far nor a byte that looks like a
  // boundary hides that a frame was cut short.
  for (const char fill : {'y', '\n', 'A', '$'}) {
    const std::string whole = frame(0, rtp('a') + std::string(60, 'z'));
    const std::string next = rtp('b') + std::string(100, fill);
    const std::string bytes =
        frame(0, rtp('9')) + whole.substr(0, 30) + frame(0, next) + frame(0, rtp('c')) + frame(0, rtp('d'));
    const std::string expect = rtp_event('9') + "frame 0 " + base::to_hex(base::as_bytes(next)) + ";" +
                               rtp_event('c') + rtp_event('d');
    for (size_t split = 0; split < bytes.size(); ++split) {
      EXPECT_EQ(events(bytes, split), expect) << fill << " at " << split;
    }
  }
}

TEST(RtspMessage, Caps) {
  const std::string endless = "RTSP/1.0 200 OK\r\n" + std::string(20'000, 'x');
  EXPECT_EQ(events(endless, 100), "failed;");
  EXPECT_EQ(events("RTSP/1.0 200 OK\r\nContent-Length: 2147483648\r\n\r\n", 10), "failed;");
  EXPECT_EQ(events(std::string(100'000, 'j'), 50'000), "failed;");
  EXPECT_EQ(events("RTSP/1.0 200 OK\r\nContent-Length: -5\r\n\r\n", 10), "200 [];");
}

TEST(RtspMessage, ManyFalseRepliesDoNotRecurse) {
  std::string bytes;
  while (bytes.size() < 200'000) bytes += "RTSP/1.0 \x01";
  EXPECT_EQ(events(bytes, 1000), "");
}

// What once broke the parsers of others must come back from ours.
TEST(RtspSeeds, AllParsersReturn) {
  size_t lines = 0;
  for (const char* name :
       {"fuzz-seeds/rtsp-headers.jsonl", "fuzz-seeds/rtsp-message.jsonl", "fuzz-seeds/auth.jsonl"}) {
    const std::string text = read_text(name);
    std::string_view rest = text;
    while (!rest.empty()) {
      const std::string_view line = base::trim(base::take_until(rest, '\n'));
      if (line.empty()) continue;
      ++lines;
      const json::value seed = json::parse(json::string_view(line.data(), line.size()));
      for (const auto& hex : seed.at("in").as_array()) {
        const auto bytes = base::from_hex(text_of(hex));
        ASSERT_TRUE(bytes);
        const std::string_view input = base::as_text(*bytes);
        parse_challenges(input);
        parse_rtp_info(input);
        parse_key_values(input, ';');
        parse_public(input);
        static_cast<void>(parse_transport(input));
        static_cast<void>(parse_session(input));
        static_cast<void>(parse_url(input));
        static_cast<void>(parse_header_block(input));
        for (size_t split = 0; split <= input.size(); ++split)
          EXPECT_EQ(events(input, split), events(input, 0));
      }
    }
  }
  EXPECT_EQ(lines, 84U);
}

}  // namespace
}  // namespace miharu::ingest::rtsp
