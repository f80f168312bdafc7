#include "base/bytes.h"

#include <gtest/gtest.h>

namespace miharu::base {
namespace {

ByteVector hex(std::string_view text) {
  return *from_hex(text);
}

TEST(ByteReader, ReadsBigEndian) {
  const ByteVector bytes = hex("01020304050607080910111213141516171819");
  ByteReader in(bytes);
  EXPECT_EQ(in.u8(), 0x01U);
  EXPECT_EQ(in.u16(), 0x0203U);
  EXPECT_EQ(in.u24(), 0x040506U);
  EXPECT_EQ(in.u32(), 0x07080910U);
  EXPECT_EQ(in.u64(), 0x1112131415161718U);
  EXPECT_EQ(in.remaining(), 1U);
  EXPECT_EQ(in.rest().size(), 1U);
  EXPECT_TRUE(in.ok());
  EXPECT_TRUE(in.empty());
}

TEST(ByteReader, AReadPastTheEndFailsForGood) {
  const ByteVector bytes = hex("010203");
  ByteReader in(bytes);
  EXPECT_EQ(in.u8(), 1U);
  EXPECT_EQ(in.u32(), 0U);
  EXPECT_FALSE(in.ok());
  EXPECT_EQ(in.position(), 1U) << "where it failed";
  EXPECT_EQ(in.u8(), 0U) << "though there is one";
  EXPECT_TRUE(in.bytes(1).empty());
  EXPECT_EQ(in.error("short").value().code, Errc::kTruncated);
  EXPECT_EQ(in.error("short").value().offset, 1);
}

TEST(ByteReader, HugeCountsDoNotOverflow) {
  const ByteVector bytes = hex("0102");
  ByteReader in(bytes);
  in.u8();
  in.skip(SIZE_MAX);
  EXPECT_FALSE(in.ok());
  ByteReader again(bytes);
  again.u8();
  EXPECT_TRUE(again.bytes(SIZE_MAX).empty());
  EXPECT_FALSE(again.ok());
  ByteReader good(bytes);
  EXPECT_EQ(good.error("odd").value().code, Errc::kMalformed) << "nothing was cut off";
}

TEST(ByteWriter, WritesWhatTheReaderReads) {
  ByteVector bytes;
  ByteWriter out(bytes);
  out.u32(0);
  out.u8(0x1FF);
  out.u16(0x0203);
  out.u24(0x040506);
  out.u64(0x0708091011121314);
  out.text("ab");
  out.zeros(2);
  out.patch_u32(0, 0xCAFEBABE);
  EXPECT_EQ(to_hex(bytes), "cafebabeff0203040506070809101112131461620000");
  EXPECT_EQ(out.size(), bytes.size());
}

TEST(BitReader, BitsAndExpGolomb) {
  const ByteVector bytes = hex("a5ff");
  BitReader in(bytes);
  EXPECT_EQ(in.bits(0), 0U);
  EXPECT_TRUE(in.bit());
  EXPECT_EQ(in.bits(3), 2U);
  in.skip(4);
  EXPECT_EQ(in.bits(8), 0xFFU);
  EXPECT_EQ(in.remaining_bits(), 0U);
  EXPECT_TRUE(in.ok());
  EXPECT_FALSE(in.bit());
  EXPECT_FALSE(in.ok());

  // ITU-T H.264 table 9-2: 1, 010, 011, 00100, 00101 are 0 to 4.
  const ByteVector codes = hex("a64280");  // 1 010 011 00100 00101 0000000
  BitReader golomb(codes);
  for (const uint32_t expected : {0U, 1U, 2U, 3U, 4U}) EXPECT_EQ(golomb.ue(), expected);
  BitReader is_signed(codes);
  for (const int32_t expected : {0, 1, -1, 2, -2}) EXPECT_EQ(is_signed.se(), expected);
}

TEST(BitReader, LongCodes) {
  const ByteVector largest = hex("00000001fffffffe");  // 31 zeros, 1, 31 ones
  BitReader in(largest);
  EXPECT_EQ(in.ue(), 0xFFFFFFFEU);
  EXPECT_TRUE(in.ok());
  BitReader is_signed(largest);
  EXPECT_EQ(is_signed.se(), -0x7FFFFFFF);
  for (const char* text : {"0000000000", "00000000ffffffffff", "0000000100", "", "00"}) {
    const ByteVector bytes = hex(text);
    BitReader bad(bytes);
    EXPECT_EQ(bad.ue(), text == std::string_view("0000000100") ? 0x7FFFFFFFU : 0U) << text;
    EXPECT_FALSE(bad.ok()) << text;
  }
  BitReader skipping(largest);
  skipping.skip(SIZE_MAX);
  EXPECT_FALSE(skipping.ok());
}

TEST(Bytes, Hex) {
  EXPECT_EQ(to_hex({}), "");
  EXPECT_EQ(to_hex(hex("00fFa0")), "00ffa0");
  for (const char* text : {"0", "0g", "g0", "0x", " 00", "00 "}) EXPECT_FALSE(from_hex(text)) << text;
  EXPECT_EQ(from_hex("00zz").error().offset, 2);
}

TEST(Bytes, Base64) {
  // RFC 4648 section 10.
  struct Case {
    const char* text;
    const char* encoded;
    const char* url;
  };
  for (const Case& c : {Case{"", "", ""},
                        {"f", "Zg==", "Zg"},
                        {"fo", "Zm8=", "Zm8"},
                        {"foo", "Zm9v", "Zm9v"},
                        {"foob", "Zm9vYg==", "Zm9vYg"},
                        {"fooba", "Zm9vYmE=", "Zm9vYmE"},
                        {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
                        {"\xfb\xff\xfe", "+//+", "-__-"}}) {
    EXPECT_EQ(to_base64(as_bytes(c.text)), c.encoded);
    EXPECT_EQ(to_base64url(as_bytes(c.text)), c.url);
    EXPECT_EQ(as_text(*from_base64(c.encoded)), c.text);
    EXPECT_EQ(as_text(*from_base64url(c.url)), c.text);
  }
  EXPECT_EQ(as_text(*from_base64("Zg")), "f") << "padding may be missing";
  for (const char* text : {"Z", "Zm9vY", "Zm 9v", "Zm9v\n", "Zm9v-_", "Z\xc3\xa9"})
    EXPECT_FALSE(from_base64(text)) << text;
  for (const char* text : {"Zg==", "+//+", "Z"}) EXPECT_FALSE(from_base64url(text)) << text;
}

TEST(Bytes, Crc32c) {
  // RFC 3720 appendix B.4, and the check value of the polynomial.
  EXPECT_EQ(crc32c(0, as_bytes("123456789")), 0xE3069283U);
  EXPECT_EQ(crc32c(0, ByteVector(32)), 0x8A9136AAU);
  EXPECT_EQ(crc32c(0, ByteVector(32, std::byte{0xFF})), 0x62A8AB43U);
  EXPECT_EQ(crc32c(0, {}), 0U);
  const std::string text = "continued from any place, in pieces of any length";
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    const uint32_t first = crc32c(0, as_bytes(std::string_view(text).substr(0, cut)));
    EXPECT_EQ(crc32c(first, as_bytes(std::string_view(text).substr(cut))), crc32c(0, as_bytes(text)));
  }
}

TEST(Bytes, CrcOfLongPieces) {
  // Long ones are counted in several streams; byte by byte they are not.
  ByteVector bytes(3 * 3072 + 77);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 31 + i / 256);
  uint32_t expected = 7;
  for (size_t i = 0; i <= bytes.size(); ++i) {
    if (i % 511 == 0 || i == bytes.size()) {
      EXPECT_EQ(crc32c(7, ByteView(bytes).first(i)), expected) << i;
    }
    if (i < bytes.size()) expected = crc32c(expected, ByteView(bytes).subspan(i, 1));
  }
}

TEST(Bytes, Varints) {
  struct Case {
    uint64_t value;
    const char* bytes;
  };
  for (const Case& c : {Case{0, "00"},
                        {127, "7f"},
                        {128, "8001"},
                        {300, "ac02"},
                        {UINT32_MAX, "ffffffff0f"},
                        {UINT64_MAX, "ffffffffffffffffff01"}}) {
    ByteVector bytes;
    put_varint(bytes, c.value);
    EXPECT_EQ(to_hex(bytes), c.bytes);
    ByteReader in(bytes);
    EXPECT_EQ(*get_varint(in), c.value);
    EXPECT_TRUE(in.empty());
  }
  for (const char* text :
       {"", "80", "ffffffffffffffffff02", "ffffffffffffffffffff01", "8080808080808080808000"}) {
    const ByteVector bytes = hex(text);
    ByteReader in(bytes);
    EXPECT_FALSE(get_varint(in)) << text;
  }
  for (const int64_t value : {int64_t{0}, int64_t{-1}, int64_t{1}, int64_t{-64}, INT64_MAX, INT64_MIN})
    EXPECT_EQ(unzigzag(zigzag(value)), value);
  EXPECT_EQ(zigzag(-1), 1U);
  EXPECT_EQ(zigzag(1), 2U);
}

}  // namespace
}  // namespace miharu::base
