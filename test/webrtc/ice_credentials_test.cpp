#include "webrtc/ice_credentials.h"

#include <set>

#include <gtest/gtest.h>

namespace miharu::webrtc {
namespace {

TEST(IceCredentials, CarryTheirOwner) {
  for (const unsigned owner : {0U, 1U, 63U, 64U, 255U, kMaxIceOwners - 1}) {
    const IceCredentials made = make_ice_credentials(owner);
    EXPECT_EQ(owner_of_ufrag(made.ufrag), owner);
    EXPECT_GE(made.ufrag.size(), 8U);
    EXPECT_GE(made.password.reveal().size(), 22U);
    EXPECT_TRUE(check_ice_credentials(made).has_value());
  }
}

TEST(IceCredentials, AreNeverTheSame) {
  std::set<std::string> seen;
  for (int i = 0; i < 500; ++i) {
    const IceCredentials made = make_ice_credentials(5);
    seen.insert(made.ufrag);
    seen.insert(made.password.reveal());
  }
  EXPECT_EQ(seen.size(), 1000U);
}

TEST(IceCredentials, OthersHaveNoOwner) {
  for (const char* ufrag :
       {"", "A", "AAourufrag1", "AAourufrag123", "AAour:frag12", "AA our-frag1", "AAourufrag1\xff"})
    EXPECT_EQ(owner_of_ufrag(ufrag), std::nullopt) << ufrag;
}

TEST(IceCredentials, OfAPeerAreChecked) {
  const std::string good_password(22, 'p');
  const struct {
    const char* what;
    std::string ufrag;
    std::string password;
    bool ok;
  } cases[] = {
      {"shortest", "4+/Z", good_password, true},
      {"longest", std::string(256, 'u'), std::string(256, 'p'), true},
      {"short ufrag", "abc", good_password, false},
      {"long ufrag", std::string(257, 'u'), good_password, false},
      {"short password", "abcd", std::string(21, 'p'), false},
      {"long password", "abcd", std::string(257, 'p'), false},
      {"colon", "ab:d", good_password, false},
      {"line end", "abcd\r\n", good_password, false},
      {"blank in the password", "abcd", good_password + " ", false},
  };
  for (const auto& c : cases) {
    const auto status = check_ice_credentials({c.ufrag, base::Secret(c.password)});
    EXPECT_EQ(status.has_value(), c.ok) << c.what;
    if (!status) {
      EXPECT_EQ(status.error().text.find(c.password), std::string::npos) << c.what;
    }
  }
}

}  // namespace
}  // namespace miharu::webrtc
