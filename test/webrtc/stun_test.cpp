#include "webrtc/stun.h"

#include <gtest/gtest.h>

namespace miharu::webrtc {
namespace {

using base::ByteVector;
using base::ByteView;
using base::Errc;
using boost::asio::ip::udp;

ByteVector hex(std::string_view text) {
  auto bytes = base::from_hex(text);
  EXPECT_TRUE(bytes.has_value()) << text;
  return bytes.value_or(ByteVector());
}

udp::endpoint endpoint(const char* address, uint16_t port) {
  return {boost::asio::ip::make_address(address), port};
}

// RFC 5769 sections 2.1 to 2.3.
constexpr const char* kPassword = "VOkJxbRl1RmTxUk/WvJxBt";
constexpr const char* kRequest =
    "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74002400046e0001ff80290008"
    "932f"
    "f9b151263b36000600096576746a3a68367659202020000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a"
    "3bc"
    "f";
constexpr const char* kResponseV4 =
    "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000080001a147e112a64300080014"
    "2b91"
    "f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96";
constexpr const char* kResponseV6 =
    "010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000140002a1470113a9faa5d3f179"
    "bc25"
    "f4b5bed2b9d900080014a382954e4be67bf11784c97c8292c275bfe3ed4180280004c8fb0b4c";

// A message of `attributes` as they are, without MESSAGE-INTEGRITY and FINGERPRINT.
ByteVector message_of(std::string_view attributes, uint16_t type = 0x0001) {
  const ByteVector body = hex(attributes);
  ByteVector out;
  base::ByteWriter writer(out);
  writer.u16(type);
  writer.u16(body.size());
  writer.bytes(hex("2112a442b7e7a701bc34d686fa87dfae"));
  writer.bytes(body);
  return out;
}

TEST(Stun, ReadsTheRequestOfTheTestVectors) {
  const auto bytes = hex(kRequest);
  const auto request = parse_stun(bytes);
  ASSERT_TRUE(request.has_value()) << request.error().to_string();
  EXPECT_EQ(request->type, StunClass::kRequest);
  EXPECT_EQ(base::to_hex(request->transaction), "b7e7a701bc34d686fa87dfae");
  EXPECT_EQ(request->username, "evtj:h6vY");
  EXPECT_EQ(request->priority, 0x6e0001ffU);
  EXPECT_EQ(request->ice_controlled, 0x932ff9b151263b36U);
  EXPECT_EQ(request->ice_controlling, std::nullopt);
  EXPECT_FALSE(request->use_candidate);
  EXPECT_TRUE(request->has_fingerprint);
  EXPECT_TRUE(request->is_signed_by(StunKey(kPassword)));
  EXPECT_FALSE(request->is_signed_by(StunKey("VOkJxbRl1RmTxUk/WvJxBT")));
  EXPECT_EQ(local_ufrag_of(bytes), "evtj");
  EXPECT_EQ(answer_tag(bytes), std::nullopt);
}

TEST(Stun, ReadsTheResponsesOfTheTestVectors) {
  const StunKey key(kPassword);
  const struct {
    const char* bytes;
    udp::endpoint mapped;
  } cases[] = {{kResponseV4, endpoint("192.0.2.1", 32853)},
               {kResponseV6, endpoint("2001:db8:1234:5678:11:2233:4455:6677", 32853)}};
  for (const auto& c : cases) {
    const auto bytes = hex(c.bytes);
    const auto response = parse_stun(bytes);
    ASSERT_TRUE(response.has_value()) << response.error().to_string();
    EXPECT_EQ(response->type, StunClass::kSuccess);
    EXPECT_EQ(response->mapped, c.mapped);
    EXPECT_TRUE(response->has_fingerprint);
    EXPECT_TRUE(response->is_signed_by(key));
    EXPECT_EQ(local_ufrag_of(bytes), std::nullopt);
    EXPECT_EQ(answer_tag(bytes), 0xb7e7a701U);
  }
}

// The expected bytes were made by another implementation of HMAC and CRC (Python's hmac and zlib).
TEST(Stun, BuildsWhatOthersBuild) {
  const StunKey key(kPassword);
  StunTransactionId transaction;
  std::copy_n(hex("b7e7a701bc34d686fa87dfae").begin(), 12, transaction.begin());

  ByteVector request;
  StunBuilder builder(request, StunClass::kRequest, transaction);
  builder.username("evtj:h6vY");
  builder.priority(0x6e0001ff);
  builder.ice_controlling(0x932ff9b151263b36);
  builder.use_candidate();
  builder.finish(&key);
  EXPECT_EQ(
      base::to_hex(request),
      "000100482112a442b7e7a701bc34d686fa87dfae000600096576746a3a68367659000000002400046e0001ff802a0008932ff9"
      "b151263b3600250000000800149722b22f7aced8809ee6b97a2d6327ec2882d509802800041d7c6f47");

  ByteVector error;
  StunBuilder error_builder(error, StunClass::kError, transaction);
  error_builder.error_code(420, "Unknown Attribute");
  error_builder.unknown_attributes(std::array<uint16_t, 3>{0x7001, 0x7002, 0x0014});
  error_builder.finish(&key);
  EXPECT_EQ(base::to_hex(error),
            "011100482112a442b7e7a701bc34d686fa87dfae0009001500000414556e6b6e6f776e20417474726962757465000000"
            "000a0006"
            "70017002001400000008001400986689c4f0bf669acdb7554977d0fa5ae7cd8b802800048ede3f0f");

  ByteVector refusal;
  StunBuilder refusal_builder(refusal, StunClass::kError, transaction);
  refusal_builder.error_code(401);
  refusal_builder.finish(nullptr);
  EXPECT_EQ(base::to_hex(refusal),
            "011100102112a442b7e7a701bc34d686fa87dfae000900040000040180280004ed5056a4");
}

TEST(Stun, ReadsWhatItBuilds) {
  const StunKey key("some-password-of-24-char");
  for (const auto& address : {endpoint("203.0.113.200", 65535), endpoint("2001:db8:ffff::1", 1)}) {
    const auto transaction = make_transaction_id(0x01020304);
    ByteVector bytes;
    StunBuilder builder(bytes, StunClass::kSuccess, transaction);
    builder.xor_mapped_address(address);
    builder.finish(&key);
    const auto read = parse_stun(bytes);
    ASSERT_TRUE(read.has_value()) << read.error().to_string();
    EXPECT_EQ(read->mapped, address);
    EXPECT_EQ(read->transaction, transaction);
    EXPECT_TRUE(read->has_fingerprint);
    EXPECT_TRUE(read->is_signed_by(key));
    EXPECT_TRUE(read->is_signed_by(key)) << "a key is good for more than one message";
    EXPECT_EQ(answer_tag(bytes), 0x01020304U);
  }
  ByteVector bytes;
  StunBuilder builder(bytes, StunClass::kError, make_transaction_id(0));
  builder.error_code(487, "Role Conflict");
  builder.finish(&key);
  const auto read = parse_stun(bytes);
  ASSERT_TRUE(read.has_value() && read->error.has_value());
  EXPECT_EQ(read->error->code, 487);
  EXPECT_EQ(read->error->reason, "Role Conflict");
}

TEST(Stun, NoTwoTransactionsAreTheSame) {
  EXPECT_NE(make_transaction_id(1), make_transaction_id(1));
}

TEST(Stun, IsToldByTheFirstByte) {
  for (unsigned first = 0; first < 256; ++first) {
    const ByteVector bytes{static_cast<std::byte>(first)};
    EXPECT_EQ(is_stun(bytes), first < 4) << first;
  }
  EXPECT_FALSE(is_stun({}));
}

TEST(Stun, RefusesBrokenMessages) {
  const std::string header = "000100002112a442b7e7a701bc34d686fa87dfae";
  const struct {
    const char* what;
    ByteVector bytes;
    Errc code;
  } cases[] = {
      {"empty", {}, Errc::kTruncated},
      {"half a header", hex(header.substr(0, 30)), Errc::kTruncated},
      {"another cookie", hex("000100002112a443b7e7a701bc34d686fa87dfae"), Errc::kMalformed},
      {"not STUN by its first bits", hex("400100002112a442b7e7a701bc34d686fa87dfae"), Errc::kMalformed},
      {"another method (TURN's Allocate)", hex("000300002112a442b7e7a701bc34d686fa87dfae"),
       Errc::kUnsupported},
      {"length beyond the end", hex("000100042112a442b7e7a701bc34d686fa87dfae"), Errc::kMalformed},
      {"the longest length", hex("0001fffc2112a442b7e7a701bc34d686fa87dfae"), Errc::kMalformed},
      {"length not of words", hex("000100022112a442b7e7a701bc34d686fa87dfae0000"), Errc::kMalformed},
      {"bytes behind the end", hex(header + "00"), Errc::kMalformed},
      {"attribute longer than the message", message_of("00060010aabbccdd"), Errc::kTruncated},
      {"attribute of 65535 bytes", message_of("0006ffffaabbccdd"), Errc::kTruncated},
      {"PRIORITY too short", message_of("00240002aabb0000"), Errc::kMalformed},
      {"PRIORITY too long", message_of("00240008aabbccddaabbccdd"), Errc::kMalformed},
      {"ICE-CONTROLLED too short", message_of("80290004aabbccdd"), Errc::kMalformed},
      {"ICE-CONTROLLING too long", message_of("802a000caabbccddaabbccddaabbccdd"), Errc::kMalformed},
      {"USE-CANDIDATE with a value", message_of("00250004aabbccdd"), Errc::kMalformed},
      {"MESSAGE-INTEGRITY too short", message_of("00080010aabbccddaabbccddaabbccddaabbccdd"),
       Errc::kMalformed},
      {"MESSAGE-INTEGRITY empty", message_of("00080000"), Errc::kMalformed},
      {"wrong FINGERPRINT", message_of("80280004aabbccdd"), Errc::kMalformed},
      {"FINGERPRINT too long", message_of("80280008aabbccddaabbccdd"), Errc::kMalformed},
      {"right FINGERPRINT, not at the end", message_of("802800048efe89cd00250000"), Errc::kMalformed},
      {"address of no family", message_of("0020000800031234aabbccdd"), Errc::kMalformed},
      {"IPv6 address of 4 bytes", message_of("0020000800021234aabbccdd"), Errc::kMalformed},
      {"IPv4 address of 16 bytes", message_of("0001001400011234aabbccddaabbccddaabbccddaabbccdd"),
       Errc::kMalformed},
      {"address without a value", message_of("00200000"), Errc::kMalformed},
      {"error code too short", message_of("00090002aabb0000"), Errc::kMalformed},
      {"error code 200", message_of("0009000400000200"), Errc::kMalformed},
      {"error code 4 and 100", message_of("0009000400000464"), Errc::kMalformed},
      {"UNKNOWN-ATTRIBUTES of half a type", message_of("000a0003aabbcc00"), Errc::kMalformed},
  };
  for (const auto& c : cases) {
    const auto read = parse_stun(c.bytes);
    ASSERT_FALSE(read.has_value()) << c.what;
    EXPECT_EQ(read.error().code, c.code) << c.what << ": " << read.error().to_string();
  }
}

TEST(Stun, RefusesLongOnes) {
  const std::string attribute = "80ff07e8" + std::string(size_t{2024} * 2, '0');
  EXPECT_TRUE(parse_stun(message_of(attribute)).has_value());
  const auto read = parse_stun(message_of(attribute + "80ff0000"));
  ASSERT_FALSE(read.has_value());
  EXPECT_EQ(read.error().code, Errc::kLimit);
  const std::string name = std::string(size_t{513} * 2, '6');
  EXPECT_TRUE(parse_stun(message_of("00060201" + name + "000000")).has_value());
  EXPECT_FALSE(parse_stun(message_of("00060202" + name + "660000")).has_value());
}

TEST(Stun, EveryCutAndEveryFlippedBitOfAMessageIsFound) {
  const StunKey key(kPassword);
  const auto good = hex(kRequest);
  for (size_t size = 0; size < good.size(); ++size)
    EXPECT_FALSE(parse_stun(ByteView(good).first(size)).has_value()) << size;
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    auto bytes = good;
    bytes[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
    const auto read = parse_stun(bytes);
    // The last attribute may become another one: then there is no FINGERPRINT.
    if (read) {
      EXPECT_FALSE(read->has_fingerprint) << bit;
    }
    EXPECT_EQ(local_ufrag_of(bytes), std::nullopt) << bit;
  }
}

TEST(Stun, EverySignedBitCounts) {
  const StunKey key(kPassword);
  auto good = hex(kRequest);
  good.resize(good.size() - 8);  // without FINGERPRINT, so that MESSAGE-INTEGRITY stands alone
  good[3] = std::byte{0x50};
  ASSERT_TRUE(parse_stun(good)->is_signed_by(key));
  size_t read_ones = 0;
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    auto bytes = good;
    bytes[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
    const auto read = parse_stun(bytes);
    if (!read) continue;
    ++read_ones;
    EXPECT_FALSE(read->is_signed_by(key)) << bit;
  }
  EXPECT_GT(read_ones, 500U);
}

TEST(Stun, LeavesOutWhatNobodySigned) {
  const StunKey key(kPassword);
  auto bytes = hex(kRequest);
  bytes.resize(bytes.size() - 8);
  base::ByteWriter writer(bytes);
  // USE-CANDIDATE, PRIORITY, another USERNAME, an unknown one, and MESSAGE-INTEGRITY once more.
  writer.bytes(hex("00250000002400040000000100060004787878787fff0000"));
  writer.bytes(hex("00080014" + std::string(40, '0')));
  writer.patch_u32(0, uint64_t{0x0001} << 16 | (bytes.size() - kStunHeaderBytes));
  const auto read = parse_stun(bytes);
  ASSERT_TRUE(read.has_value()) << read.error().to_string();
  EXPECT_FALSE(read->use_candidate);
  EXPECT_EQ(read->priority, 0x6e0001ffU);
  EXPECT_EQ(read->username, "evtj:h6vY");
  EXPECT_EQ(read->unknown_count, 0U);
  EXPECT_TRUE(read->is_signed_by(key));
}

TEST(Stun, TheFirstOfEqualAttributesCounts) {
  const auto bytes = message_of(
      "002400040000000100240004000000020006000461616161000600046262626200090004000004010009000400000414");
  const auto read = parse_stun(bytes);
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->priority, 1U);
  EXPECT_EQ(read->username, "aaaa");
  EXPECT_EQ(read->error->code, 401);
}

TEST(Stun, TheMaskedAddressCounts) {
  const std::string plain = "000100080001223d0a000001";
  const std::string masked = "002000080001a147e112a643";
  const std::string masked_other = "002000080001a147e112a644";
  const auto of = [](const std::string& attributes) {
    return parse_stun(message_of(attributes, 0x0101))->mapped;
  };
  EXPECT_EQ(of(plain), endpoint("10.0.0.1", 8765));
  EXPECT_EQ(of(plain + masked), endpoint("192.0.2.1", 32853));
  EXPECT_EQ(of(masked + plain), endpoint("192.0.2.1", 32853));
  EXPECT_EQ(of(plain + masked + masked_other), endpoint("192.0.2.1", 32853));
}

TEST(Stun, ListsWhatMustBeUnderstood) {
  std::string attributes = "c0570004aabbccddff000000";  // of browsers; these may be ignored
  for (int i = 0; i < 20; ++i) attributes += "7f0" + std::to_string(i % 10) + "0000";
  const auto bytes = message_of(attributes + "00140000");
  const auto read = parse_stun(bytes);
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->unknown_count, StunMessage::kMaxUnknown);
  EXPECT_EQ(read->unknown[0], 0x7f00);
  EXPECT_EQ(read->unknown[7], 0x7f07);
}

TEST(Stun, RoutesOnlyWholeRequests) {
  const auto request = [](std::string_view username, StunClass type = StunClass::kRequest) {
    ByteVector out;
    StunBuilder builder(out, type, make_transaction_id(5));
    builder.username(username);
    builder.finish(nullptr);
    return out;
  };
  const auto good = request("local:remote");
  EXPECT_EQ(local_ufrag_of(good), "local");
  for (const char* username : {"", ":", ":remote", "local"})
    EXPECT_EQ(local_ufrag_of(request(username)), std::nullopt) << username;
  EXPECT_EQ(local_ufrag_of(request("local:remote", StunClass::kIndication)), std::nullopt);
  EXPECT_EQ(local_ufrag_of(request("local:remote", StunClass::kSuccess)), std::nullopt);
  EXPECT_EQ(local_ufrag_of(message_of("00060004613a6262")), std::nullopt) << "no FINGERPRINT";
  EXPECT_EQ(answer_tag(request("local:remote", StunClass::kError)), 5U);
  EXPECT_EQ(answer_tag(request("local:remote", StunClass::kIndication)), std::nullopt);
  EXPECT_EQ(answer_tag(ByteView(request("local:remote", StunClass::kError)).first(19)), std::nullopt);
}

}  // namespace
}  // namespace miharu::webrtc
