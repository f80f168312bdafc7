// SRTP that we send: the RFCs' test vectors, and libsrtp2 byte by byte.
#include <random>

#include <gtest/gtest.h>

#include "webrtc/srtcp_receiver.h"
#include "webrtc/srtp_cipher.h"
#include "webrtc/srtp_oracle.h"
#include "webrtc/srtp_sender.h"

namespace miharu::webrtc {
namespace {

using base::ByteVector;
using base::ByteView;
using base::Errc;
using base::from_hex;
using base::to_hex;
using Direction = SrtpOracle::Direction;

template <size_t kSize>
std::array<std::byte, kSize> array_of(std::string_view hex) {
  const ByteVector bytes = *from_hex(hex);
  std::array<std::byte, kSize> out{};
  EXPECT_LE(bytes.size(), kSize);
  std::copy(bytes.begin(), bytes.end(), out.begin());
  return out;
}

SrtpMaster random_master(SrtpProfile profile, std::mt19937& random) {
  SrtpMaster master;
  for (std::byte& b : master.key) b = static_cast<std::byte>(random());
  for (std::byte& b : std::span(master.salt).first(salt_bytes(profile))) b = static_cast<std::byte>(random());
  return master;
}

ByteVector random_bytes(size_t count, std::mt19937& random) {
  ByteVector out(count);
  for (std::byte& b : out) b = static_cast<std::byte>(random());
  return out;
}

// `extension_words` -1: none.
ByteVector rtp_header(uint64_t extended_sequence, uint32_t ssrc, int csrcs, int extension_words,
                      std::mt19937& random) {
  ByteVector out;
  base::ByteWriter writer(out);
  writer.u8(0x80U | (extension_words >= 0 ? 0x10U : 0U) | static_cast<unsigned>(csrcs));
  writer.u8(96);
  writer.u16(extended_sequence & 0xFFFF);
  writer.u32(extended_sequence * 3000);
  writer.u32(ssrc);
  for (int i = 0; i < csrcs; ++i) writer.u32(random());
  if (extension_words >= 0) {
    writer.u16(0xBEDE);
    writer.u16(static_cast<unsigned>(extension_words));
    for (int i = 0; i < extension_words; ++i) writer.u32(random());
  }
  return out;
}

ByteVector rtcp_packet(size_t words, uint32_t ssrc, std::mt19937& random) {
  ByteVector out;
  base::ByteWriter writer(out);
  writer.u8(0x80);
  writer.u8(200);
  writer.u16(words - 1);
  writer.u32(ssrc);
  for (size_t i = 2; i < words; ++i) writer.u32(random());
  return out;
}

ByteVector joined(ByteView a, ByteView b) {
  ByteVector out(a.begin(), a.end());
  out.insert(out.end(), b.begin(), b.end());
  return out;
}

ByteVector protect(SrtpSender& sender, uint64_t extended_sequence, ByteView header, ByteView payload) {
  ByteVector out(header.size() + payload.size() + sender.rtp_overhead());
  EXPECT_EQ(sender.protect(extended_sequence, header, payload, out), out.size());
  return out;
}

ByteVector protect_rtcp(SrtpSender& sender, ByteView packet) {
  ByteVector out(packet.begin(), packet.end());
  out.resize(packet.size() + sender.rtcp_overhead());
  EXPECT_EQ(sender.protect_rtcp(out, packet.size()), out.size());
  return out;
}

// RFC 3711 appendix B.3.
TEST(SrtpKeyDerivation, VectorsOfTheRfc) {
  SrtpMaster master;
  master.key = array_of<16>("E1F97A0D3E018BE0D64FA32C06DE4139");
  master.salt = array_of<14>("0EC675AD498AFEEBB6960B3AABE6");
  const SrtpSessionKeys keys = derive_session_keys(master, SrtpStream::kRtp);
  EXPECT_EQ(keys.cipher, array_of<16>("C61E7A93744F39EE10734AFE3FF7A087"));
  EXPECT_EQ(keys.salt, array_of<14>("30CBBC08863D8C85D49DB34A9AE1"));
  EXPECT_EQ(keys.authentication, array_of<20>("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"));
}

SrtpSessionKeys rfc_7714_keys() {
  SrtpSessionKeys keys;
  keys.cipher = array_of<16>("000102030405060708090a0b0c0d0e0f");
  keys.salt = array_of<14>("517569642070726f2071756f");
  return keys;
}

// RFC 7714 section 16.1.1.
TEST(SrtpCipher, VectorOfAeadRtp) {
  SrtpCipher cipher(SrtpProfile::kAeadAes128Gcm, rfc_7714_keys());
  const ByteVector header = *from_hex("8040f17b8041f8d35501a0b2");
  const ByteVector payload = *from_hex(
      "47616c6c696120657374206f6d6e697320646976697361"
      "20696e207061727465732074726573");
  ByteVector out(header.size() + payload.size() + 16);
  EXPECT_EQ(cipher.protect_rtp(0xf17b, header, payload, out), out.size());
  EXPECT_EQ(to_hex(out),
            "8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf"
            "8833899d7f27beb16a9152cf765ee4390cce");
}

// RFC 7714 section 17.1.
TEST(SrtpCipher, VectorOfAeadRtcp) {
  SrtpCipher cipher(SrtpProfile::kAeadAes128Gcm, rfc_7714_keys());
  ByteVector packet = *from_hex(
      "81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61deadbeefdeadbeefdeadbeefdeadbeef"
      "deadbeef");
  const size_t size = packet.size();
  packet.resize(size + 20);
  EXPECT_EQ(cipher.protect_rtcp(0x5d4, packet, size), packet.size());
  EXPECT_EQ(to_hex(packet),
            "81c8000d4d61727363e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b4686303ded"
            "0bb9275bc84aa45896cf4d2fc5abf87245d9eade800005d4");
}

class SrtpProfiles : public testing::TestWithParam<SrtpProfile> {
 protected:
  std::mt19937 random_{7};
  SrtpMaster master_ = random_master(GetParam(), random_);
  SrtpSender sender_{GetParam(), master_};
};
INSTANTIATE_TEST_SUITE_P(Both, SrtpProfiles,
                         testing::Values(SrtpProfile::kAeadAes128Gcm, SrtpProfile::kAesCm128Sha1_80),
                         [](const auto& instance) {
                           return instance.param == SrtpProfile::kAeadAes128Gcm ? "Gcm" : "CounterMode";
                         });

TEST_P(SrtpProfiles, EverySizeAsLibsrtp) {
  SrtpOracle oracle(GetParam(), master_, Direction::kOutbound);
  uint64_t sequence = 100;
  for (size_t size = 0; size <= 1500; size += size < 70 ? 1 : 37) {
    for (int extension = -1; extension <= 3; ++extension) {
      const ByteVector header = rtp_header(sequence, 0xCAFE0001, extension == 2 ? 3 : 0, extension, random_);
      const ByteVector payload = random_bytes(size, random_);
      const ByteVector packet = joined(header, payload);
      const ByteVector expected = oracle.protect(packet);
      ASSERT_EQ(protect(sender_, sequence, header, payload), expected) << size << " " << extension;

      ByteVector in_place = packet;
      in_place.resize(packet.size() + SrtpSender::kMostRtpOverhead);
      in_place.resize(sender_.protect(sequence, in_place, packet.size()));
      ASSERT_EQ(in_place, expected) << size << " " << extension;
      ++sequence;
    }
  }
}

// Two roll-overs, two SSRCs that are not at the same place, and what came before said again.
TEST_P(SrtpProfiles, RollOverAsLibsrtp) {
  SrtpOracle out(GetParam(), master_, Direction::kOutbound);
  SrtpOracle in(GetParam(), master_, Direction::kInbound);
  const ByteVector payload = random_bytes(33, random_);
  ByteVector kept;
  ByteVector kept_header;
  constexpr uint64_t kKept = 0x1FFFE;
  for (uint64_t sequence = 0xFF00; sequence < 0x20100; ++sequence) {
    for (const uint64_t shift : {uint64_t{0}, uint64_t{0x5000}}) {
      const auto ssrc = static_cast<uint32_t>(1 + shift);
      const ByteVector header = rtp_header(sequence + shift - 0x5000, ssrc, 0, -1, random_);
      const ByteVector made = protect(sender_, sequence + shift - 0x5000, header, payload);
      const ByteVector packet = joined(header, payload);
      ASSERT_EQ(made, out.protect(packet)) << sequence;
      ASSERT_EQ(in.unprotect(made), packet) << sequence << " " << in.status();
      if (sequence + shift - 0x5000 == kKept && shift != 0) {
        kept = made;
        kept_header = header;
      }
    }
  }
  ASSERT_FALSE(kept.empty());
  // After the roll-over, and in any order with others.
  EXPECT_EQ(protect(sender_, kKept, kept_header, payload), kept);
  const ByteVector next = rtp_header(0x25100, 0x5001, 0, -1, random_);
  EXPECT_EQ(in.unprotect(protect(sender_, 0x25100, next, payload)), joined(next, payload));
  EXPECT_EQ(protect(sender_, kKept, kept_header, payload), kept);
}

TEST_P(SrtpProfiles, EveryBitIsAuthenticated) {
  const ByteVector header = rtp_header(5, 9, 1, 1, random_);
  const ByteVector payload = random_bytes(20, random_);
  const ByteVector made = protect(sender_, 5, header, payload);
  const ByteVector report = protect_rtcp(sender_, rtcp_packet(7, 9, random_));
  for (size_t bit = 0; bit < made.size() * 8; ++bit) {
    SrtpOracle oracle(GetParam(), master_, Direction::kInbound);
    ByteVector changed = made;
    changed[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
    EXPECT_TRUE(oracle.unprotect(changed).empty()) << bit;
  }
  for (size_t bit = 0; bit < report.size() * 8; ++bit) {
    auto receiver = SrtcpReceiver::make(GetParam(), master_);
    ByteVector changed = report;
    changed[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
    EXPECT_FALSE(receiver->unprotect(changed).has_value()) << bit;
  }
  SrtpOracle oracle(GetParam(), master_, Direction::kInbound);
  EXPECT_FALSE(oracle.unprotect(made).empty());
  EXPECT_FALSE(oracle.unprotect_rtcp(report).empty());
}

TEST_P(SrtpProfiles, BrokenPromisesAbort) {
  const ByteVector header = rtp_header(0x10005, 9, 0, -1, random_);
  const ByteVector payload(100);
  ByteVector out(header.size() + payload.size() + sender_.rtp_overhead());
  EXPECT_DEATH(sender_.protect(0x10006, header, payload, out), "CHECK");
  out.pop_back();
  EXPECT_DEATH(sender_.protect(0x10005, header, payload, out), "CHECK");
  EXPECT_DEATH(sender_.protect_rtcp(out, out.size() - sender_.rtcp_overhead() + 1), "CHECK");
}

TEST_P(SrtpProfiles, RtcpThatWeSendIsWhatLibsrtpReads) {
  SrtpOracle in(GetParam(), master_, Direction::kInbound);
  for (size_t words = 2; words < 300; words += words < 12 ? 1 : 29) {
    const ByteVector packet = rtcp_packet(words, 77, random_);
    const ByteVector made = protect_rtcp(sender_, packet);
    ASSERT_EQ(in.unprotect_rtcp(made), packet) << words << " " << in.status();
    ASSERT_TRUE(words == 2 || !std::equal(packet.begin() + 8, packet.end(), made.begin() + 8)) << words;
  }
}

// libsrtp2 counts from one, we from zero as RFC 3711 section 3.4 says.
TEST_P(SrtpProfiles, RtcpIsThatOfLibsrtpButForOneOfTheIndex) {
  SrtpOracle out(GetParam(), master_, Direction::kOutbound);
  protect_rtcp(sender_, rtcp_packet(7, 77, random_));
  for (int i = 0; i < 300; ++i) {
    const ByteVector packet = rtcp_packet(7, 77, random_);
    ASSERT_EQ(protect_rtcp(sender_, packet), out.protect_rtcp(packet)) << i;
  }
}

TEST_P(SrtpProfiles, ReceiverReadsLibsrtpAndOurselves) {
  SrtpOracle out(GetParam(), master_, Direction::kOutbound);
  auto receiver = SrtcpReceiver::make(GetParam(), master_);
  ASSERT_TRUE(receiver.has_value());
  for (size_t words = 2; words < 300; words += 13) {
    const ByteVector packet = rtcp_packet(words, 5, random_);
    ByteVector made = out.protect_rtcp(packet);
    const auto read = receiver->unprotect(made);
    ASSERT_TRUE(read.has_value()) << read.error().to_string();
    EXPECT_EQ(ByteVector(read->begin(), read->end()), packet);
  }
  const ByteVector ours = rtcp_packet(4, 6, random_);
  ByteVector made = protect_rtcp(sender_, ours);
  const auto read = receiver->unprotect(made);
  ASSERT_TRUE(read.has_value()) << read.error().to_string();
  EXPECT_EQ(ByteVector(read->begin(), read->end()), ours);
}

TEST_P(SrtpProfiles, ReceiverRefusesReplaysAndOldOnes) {
  auto receiver = SrtcpReceiver::make(GetParam(), master_);
  std::vector<ByteVector> made;
  for (int i = 0; i < 200; ++i) made.push_back(protect_rtcp(sender_, rtcp_packet(4, 6, random_)));
  const auto again = [&](size_t i) {
    ByteVector copy = made[i];
    return receiver->unprotect(copy);
  };
  EXPECT_TRUE(again(1).has_value());
  EXPECT_EQ(again(1).error().code, Errc::kExists);
  EXPECT_TRUE(again(0).has_value()) << "in another order";
  EXPECT_TRUE(again(199).has_value());
  EXPECT_TRUE(again(150).has_value());
  EXPECT_EQ(again(150).error().code, Errc::kExists);
  EXPECT_EQ(again(2).error().code, Errc::kExists) << "too old";
}

TEST_P(SrtpProfiles, ReceiverNamesTheReason) {
  auto receiver = SrtcpReceiver::make(GetParam(), master_);
  const ByteVector good = protect_rtcp(sender_, rtcp_packet(4, 6, random_));
  for (size_t size = 0; size < good.size(); ++size) {
    ByteVector cut(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size));
    const auto read = receiver->unprotect(cut);
    ASSERT_FALSE(read.has_value()) << size;
    EXPECT_EQ(read.error().code == Errc::kTruncated, size < 22) << size;
  }
  ByteVector wrong = good;
  wrong[wrong.size() - 5] ^= std::byte{1};
  EXPECT_EQ(receiver->unprotect(wrong).error().code, Errc::kUnauthorized);
  const SrtpMaster other = random_master(GetParam(), random_);
  SrtpSender stranger(GetParam(), other);
  ByteVector theirs = protect_rtcp(stranger, rtcp_packet(4, 6, random_));
  EXPECT_EQ(receiver->unprotect(theirs).error().code, Errc::kUnauthorized);
}

TEST_P(SrtpProfiles, ReceiverKeepsFewSsrcs) {
  auto receiver = SrtcpReceiver::make(GetParam(), master_);
  SrtpSender stranger(GetParam(), random_master(GetParam(), random_));
  for (uint32_t ssrc = 0; ssrc < 100; ++ssrc) {
    ByteVector forged = protect_rtcp(stranger, rtcp_packet(20, 1000 + ssrc, random_));
    EXPECT_EQ(receiver->unprotect(forged).error().code, Errc::kUnauthorized) << "and takes no place";
  }
  for (uint32_t ssrc = 1; ssrc <= SrtcpReceiver::kMostSsrcs; ++ssrc) {
    ByteVector made = protect_rtcp(sender_, rtcp_packet(4, ssrc, random_));
    EXPECT_TRUE(receiver->unprotect(made).has_value()) << ssrc;
  }
  ByteVector more = protect_rtcp(sender_, rtcp_packet(4, 99, random_));
  EXPECT_EQ(receiver->unprotect(more).error().code, Errc::kLimit);
  ByteVector known = protect_rtcp(sender_, rtcp_packet(4, 1, random_));
  EXPECT_TRUE(receiver->unprotect(known).has_value());
}

}  // namespace
}  // namespace miharu::webrtc
