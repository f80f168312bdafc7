#include "webrtc/ice_candidate.h"

#include <gtest/gtest.h>

namespace miharu::webrtc {
namespace {

using boost::asio::ip::udp;

udp::endpoint endpoint(const char* address, uint16_t port) {
  return {boost::asio::ip::make_address(address), port};
}

TEST(IceCandidate, ReadsThoseOfBrowsers) {
  const struct {
    const char* line;
    IceCandidateType type;
    uint32_t priority;
    udp::endpoint address;
    std::optional<udp::endpoint> related;
    const char* ufrag;
  } cases[] = {
      {"candidate:842163049 1 udp 1677729535 203.0.113.7 46154 typ srflx raddr 10.0.17.1 rport 46154 "
       "generation 0 "
       "ufrag 7kFQ network-cost 999",
       IceCandidateType::kServerReflexive, 1677729535, endpoint("203.0.113.7", 46154),
       endpoint("10.0.17.1", 46154), "7kFQ"},
      {"a=candidate:1 1 UDP 2122252543 2001:db8::1 50000 typ host", IceCandidateType::kHost, 2122252543,
       endpoint("2001:db8::1", 50000), std::nullopt, ""},
      {"candidate:a+/1 1 udp 8331263 198.51.100.2 3478 typ relay raddr 0.0.0.0 rport 0",
       IceCandidateType::kRelay, 8331263, endpoint("198.51.100.2", 3478), endpoint("0.0.0.0", 0), ""},
      {"candidate:1 1 udp 5 ::ffff:198.51.100.2 3478 typ prflx raddr hidden.local rport 9",
       IceCandidateType::kPeerReflexive, 5, endpoint("198.51.100.2", 3478), std::nullopt, ""},
  };
  for (const auto& c : cases) {
    const auto read = parse_candidate(c.line);
    ASSERT_TRUE(read.has_value() && read->has_value()) << c.line;
    const IceCandidate& candidate = **read;
    EXPECT_EQ(candidate.type, c.type) << c.line;
    EXPECT_EQ(candidate.priority, c.priority) << c.line;
    EXPECT_EQ(candidate.address, c.address) << c.line;
    EXPECT_EQ(candidate.related, c.related) << c.line;
    EXPECT_EQ(candidate.ufrag, c.ufrag) << c.line;
  }
}

TEST(IceCandidate, LeavesOutWhatIsNotForUs) {
  for (const char* line : {
           "candidate:1 1 udp 2113937151 4f7a1c2e-0d3b-4c66-9e0e-2f0c6f3a1b11.local 56032 typ host",
           "candidate:1 1 tcp 1518280447 203.0.113.7 9 typ host tcptype active",
           "candidate:1 2 udp 2122252542 203.0.113.7 50001 typ host",
           "candidate:1 1 udp 2122252542 203.0.113.7 50001 typ holographic",
           "candidate:1 1 udp 2122252542 203.0.113.7 0 typ host",
           "candidate:1 1 udp 2122252542 0.0.0.0 5000 typ host",
           "candidate:1 1 udp 2122252542 :: 5000 typ host",
           "candidate:1 1 udp 2122252542 224.0.0.1 5000 typ host",
           "candidate:1 1 udp 2122252542 ff02::1 5000 typ host",
           "candidate:1 1 udp 2122252542 255.255.255.255 5000 typ host",
           "candidate:1 1 udp 2122252542 fe80::1%2 5000 typ host",
       }) {
    const auto read = parse_candidate(line);
    ASSERT_TRUE(read.has_value()) << line << ": " << read.error().to_string();
    EXPECT_FALSE(read->has_value()) << line;
  }
}

TEST(IceCandidate, RefusesBrokenLines) {
  const struct {
    std::string line;
    int64_t offset;
  } cases[] = {
      {"", 0},
      {"candidates", 0},
      {"a=rtpmap:96 H264/90000", 0},
      {"candidate:", 10},
      {"candidate: 1 udp 1 203.0.113.7 1 typ host", 10},
      {"candidate:" + std::string(33, 'f') + " 1 udp 1 203.0.113.7 1 typ host", 10},
      {"candidate:1 0 udp 1 203.0.113.7 1 typ host", 12},
      {"candidate:1 257 udp 1 203.0.113.7 1 typ host", 12},
      {"a=candidate:1 1 udp 4294967296 203.0.113.7 1 typ host", 20},
      {"candidate:1 1 udp -1 203.0.113.7 1 typ host", 18},
      {"candidate:1 1 udp 1 203.0.113.7 65536 typ host", 32},
      {"candidate:1 1 udp 1 203.0.113.7", 31},
      {"candidate:1 1 udp 1  1 typ host", 20},
      {"candidate:1 1 udp 1 203.0.113.7 1 type host", 34},
      {"candidate:1 1 udp 1 203.0.113.7 1 typ", 37},
      {"candidate:1 1 udp 1 203.0.113.7 1 typ host raddr 1.2.3.4 rport x", 63},
      {"candidate:1 1 udp 1 203.0.113.7 1 typ host  raddr 1.2.3.4", 43},
  };
  for (const auto& c : cases) {
    const auto read = parse_candidate(c.line);
    ASSERT_FALSE(read.has_value()) << c.line;
    EXPECT_EQ(read.error().code, base::Errc::kMalformed) << c.line;
    EXPECT_EQ(read.error().offset, c.offset) << c.line << ": " << read.error().text;
  }
  const auto read = parse_candidate("candidate:1 1 udp 1 203.0.113.7 1 typ host x " + std::string(1000, 'x'));
  ASSERT_FALSE(read.has_value());
  EXPECT_EQ(read.error().code, base::Errc::kLimit);
}

// RFC 8445 section 5.1.2.1: 2^24 * type + 2^8 * local + 256 - component.
TEST(IceCandidate, HasThePrioritiesOfTheStandard) {
  EXPECT_EQ(candidate_priority(IceCandidateType::kHost, 65535), 126U * 16777216 + 65535U * 256 + 255);
  EXPECT_EQ(candidate_priority(IceCandidateType::kPeerReflexive, 1), 110U * 16777216 + 256 + 255);
  EXPECT_EQ(candidate_priority(IceCandidateType::kServerReflexive, 0), 100U * 16777216 + 255);
  EXPECT_EQ(candidate_priority(IceCandidateType::kRelay, 2), 767U);
}

TEST(IceCandidate, WritesOurs) {
  const auto base_address = endpoint("192.168.1.5", 8189);
  const IceCandidate host = host_candidate(base_address, 65535);
  EXPECT_EQ(format_candidate(host),
            "candidate:" + host.foundation + " 1 udp 2130706431 192.168.1.5 8189 typ host");
  const IceCandidate mapped = server_reflexive_candidate(endpoint("203.0.113.9", 61000), base_address, 65535);
  EXPECT_EQ(format_candidate(mapped),
            "candidate:" + mapped.foundation +
                " 1 udp 1694498815 203.0.113.9 61000 typ srflx raddr 192.168.1.5 rport 8189");
  EXPECT_NE(host.foundation, mapped.foundation);
  EXPECT_EQ(host.foundation, host_candidate(endpoint("192.168.1.5", 9999), 1).foundation);
  EXPECT_NE(host.foundation, host_candidate(endpoint("192.168.1.6", 8189), 1).foundation);
  EXPECT_EQ(format_candidate(host_candidate(endpoint("2001:db8::1", 1), 0)).find('['), std::string::npos);
}

TEST(IceCandidate, ReadsWhatItWrites) {
  IceCandidate ours =
      server_reflexive_candidate(endpoint("2001:db8::7", 61000), endpoint("2001:db8::1", 8189), 3);
  ours.ufrag = "abcd";
  const auto read = parse_candidate(format_candidate(ours));
  ASSERT_TRUE(read.has_value() && read->has_value());
  EXPECT_EQ(format_candidate(**read), format_candidate(ours));
}

}  // namespace
}  // namespace miharu::webrtc
