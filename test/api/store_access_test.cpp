#include "api/auth/store_access.h"

#include <functional>
#include <map>
#include <utility>

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "support/manual_clock.h"

namespace miharu::api {
namespace {

using base::Errc;
using base::seconds;

constexpr PasswordCost kCheap{1, 8192};
constexpr std::string_view kPassword = "correct horse";

class MemoryStore final : public store::ObjectStore {
 public:
  base::Result<store::Listing> list(std::string_view, bool) override { return store::Listing{}; }
  base::Result<base::ByteVector> get(std::string_view key, uint64_t, uint64_t) override {
    ++gets;
    if (broken) return base::fail(Errc::kIo, "the store is away");
    const auto found = objects.find(std::string(key));
    if (found == objects.end()) return base::fail(Errc::kNotFound, "there is no such object");
    const auto bytes = base::as_bytes(found->second);
    return base::ByteVector(bytes.begin(), bytes.end());
  }
  base::Status put(std::string_view key, base::ByteView bytes) override { return replace(key, bytes); }
  base::Status replace(std::string_view key, base::ByteView bytes) override {
    if (broken) return base::fail(Errc::kIo, "the store is away");
    objects[std::string(key)] = std::string(base::as_text(bytes));
    return {};
  }
  base::Status remove(std::string_view) override { return {}; }

  std::map<std::string, std::string> objects;
  bool broken = false;
  int gets = 0;
};

// Of which somebody else may write at any moment.
class VersionedStore final : public store::ObjectStore {
 public:
  base::Result<store::Listing> list(std::string_view, bool) override { return store::Listing{}; }
  base::Result<base::ByteVector> get(std::string_view, uint64_t, uint64_t) override { return not_so(); }
  base::Status put(std::string_view, base::ByteView) override { return not_so(); }
  base::Status replace(std::string_view, base::ByteView) override { return not_so(); }
  base::Status remove(std::string_view) override { return not_so(); }
  [[nodiscard]] bool is_bucket() const override { return true; }
  base::Result<store::VersionedText> get_versioned(std::string_view key, uint64_t) override {
    if (away) return base::fail(Errc::kNotFound, "there is no such bucket");
    const auto found = objects.find(std::string(key));
    if (found == objects.end()) return store::VersionedText{};
    return store::VersionedText{found->second, std::to_string(version), {}};
  }
  base::Status replace_version(std::string_view key, std::string_view text, const std::string& of) override {
    if (const auto other = std::exchange(before_replace, {})) other();
    const bool there = objects.contains(std::string(key));
    if (of != (there ? std::to_string(version) : "")) return base::fail(Errc::kExists, "changed");
    objects[std::string(key)] = text;
    ++version;
    if (std::exchange(unanswered, false)) return base::fail(Errc::kExists, "changed, by the first attempt");
    return {};
  }

  std::map<std::string, std::string> objects;
  int version = 1;
  std::function<void()> before_replace;
  bool unanswered = false;
  bool away = false;

 private:
  static tl::unexpected<base::Error> not_so() { return base::fail(Errc::kRefused, "without a version"); }
};

class StoreAccessTest : public testing::Test {
 protected:
  bool verifies(std::string_view name, std::string_view password) {
    const auto matches = access.verify(name, password);
    EXPECT_TRUE(matches) << matches.error().text;
    return matches && *matches;
  }
  // Of a user as the store has him now; of "" there is no user.
  TokenClaims session_of(std::string_view name) {
    const std::vector<StoredUser> users = read_users(store).value();
    for (const StoredUser& user : users) {
      if (user.name == name) return access.session_of(user);
    }
    return access.session_of(StoredUser{});
  }

  MemoryStore store;
  test::ManualClock clock{base::from_unix_ms(1'790'000'000'000)};
  AccessAdmin admin{store, clock, kCheap};
  StoreAccess access{store, clock, kCheap};
};

TEST_F(StoreAccessTest, UsersOfTheStoreSignIn) {
  EXPECT_FALSE(*access.has_users());
  EXPECT_FALSE(verifies("alice", kPassword));
  ASSERT_TRUE(admin.add_user("alice", kPassword));
  clock.advance(StoreAccess::kRefresh);
  EXPECT_TRUE(*access.has_users());
  EXPECT_TRUE(verifies("alice", kPassword));
  EXPECT_FALSE(verifies("alice", "wrong horse"));
  EXPECT_FALSE(verifies("bob", kPassword));
  EXPECT_EQ(store.objects.at("auth/users.json").find(kPassword), std::string::npos);
}

TEST_F(StoreAccessTest, UsersAreCheckedBeforeTheyAreWritten) {
  ASSERT_TRUE(admin.add_user("alice", kPassword));
  EXPECT_EQ(admin.add_user("alice", kPassword).error().code, Errc::kExists);
  EXPECT_EQ(admin.add_user("no blank", kPassword).error().code, Errc::kInvalid);
  EXPECT_EQ(admin.add_user("bob", "short").error().code, Errc::kInvalid);
  EXPECT_EQ(admin.set_password("bob", kPassword).error().code, Errc::kNotFound);
  EXPECT_EQ(admin.remove_user("bob").error().code, Errc::kNotFound);
  EXPECT_EQ(read_users(store)->size(), 1U);
}

TEST_F(StoreAccessTest, ASessionEndsWithItsPasswordAndWithItsUser) {
  ASSERT_TRUE(admin.add_user("alice", kPassword));
  ASSERT_TRUE(admin.add_user("bob", kPassword));
  const TokenClaims alice = session_of("alice");
  const TokenClaims bob = session_of("bob");
  EXPECT_EQ(alice.expires, clock.utc() + StoreAccess::kSessionLife);
  EXPECT_TRUE(access.check(alice));
  EXPECT_TRUE(access.check(bob));
  clock.advance(seconds(100));
  ASSERT_TRUE(admin.set_password("alice", "another horse"));
  ASSERT_TRUE(admin.remove_user("bob"));
  EXPECT_EQ(access.check(alice).error().code, Errc::kUnauthorized);
  EXPECT_EQ(access.check(bob).error().code, Errc::kUnauthorized);
  EXPECT_TRUE(access.check(session_of("alice")));
}

// Who sets passwords has a clock of his own.
TEST_F(StoreAccessTest, ASessionEndsWithItsPasswordWhateverTheClocksSay) {
  for (const seconds off : {seconds(-90), seconds(90)}) {
    test::ManualClock elsewhere{clock.utc() + off};
    AccessAdmin other(store, elsewhere, kCheap);
    const std::string name = off < seconds(0) ? "behind" : "ahead";
    ASSERT_TRUE(other.add_user(name, kPassword));
    clock.advance(StoreAccess::kRefresh);
    elsewhere.advance(StoreAccess::kRefresh);
    auto user = access.verify(name, kPassword);
    ASSERT_TRUE(user && *user);
    const TokenClaims old = access.session_of(**user);
    EXPECT_TRUE(access.check(old)) << name;
    elsewhere.step(-seconds(60));  // and it may be set
    ASSERT_TRUE(other.set_password(name, "another horse"));
    clock.advance(StoreAccess::kRefresh);
    EXPECT_EQ(access.check(old).error().code, Errc::kUnauthorized) << name;
    user = access.verify(name, "another horse");
    ASSERT_TRUE(user && *user);
    EXPECT_TRUE(access.check(access.session_of(**user))) << name;
  }
}

TEST_F(StoreAccessTest, ARevokedTokenHoldsNoLongerThanAMinute) {
  TokenClaims claims = session_of("");
  ASSERT_TRUE(admin.add_token(claims, "test"));
  EXPECT_TRUE(access.check(claims));
  EXPECT_EQ(admin.revoke_token("another").error().code, Errc::kNotFound);
  ASSERT_TRUE(admin.revoke_token(claims.id));
  EXPECT_TRUE(access.check(claims));  // the list was read a moment ago
  clock.advance(StoreAccess::kRefresh);
  EXPECT_EQ(access.check(claims).error().code, Errc::kUnauthorized);
  EXPECT_TRUE(read_tokens(store)->at(0).revoked);
}

TEST_F(StoreAccessTest, TheListsAreReadOnceInAWhile) {
  ASSERT_TRUE(admin.add_user("alice", kPassword));
  const TokenClaims session = session_of("alice");
  EXPECT_TRUE(access.check(session));
  const int gets = store.gets;
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(access.check(session));
  EXPECT_EQ(store.gets, gets);
  clock.advance(StoreAccess::kRefresh);
  EXPECT_TRUE(access.check(session));
  EXPECT_EQ(store.gets, gets + 2);
}

TEST_F(StoreAccessTest, AStoreThatIsAwayIsBelievedForAMinuteAndThenNobodyIsLetIn) {
  ASSERT_TRUE(admin.add_user("alice", kPassword));
  const TokenClaims session = session_of("alice");
  ASSERT_TRUE(access.check(session));
  store.broken = true;
  clock.advance(StoreAccess::kStale - seconds(1));
  EXPECT_TRUE(access.check(session));
  clock.advance(seconds(1));
  EXPECT_EQ(access.check(session).error().code, Errc::kIo);
  EXPECT_FALSE(access.verify("alice", kPassword));
  store.broken = false;
  EXPECT_TRUE(access.check(session));
}

TEST_F(StoreAccessTest, ListsThatAreNotOursLetNobodyIn) {
  for (const char* text :
       {"", "[]", "{}", R"({"users":1})", R"({"users":[1]})", R"({"users":[{"name":"alice"}]})",
        R"({"users":[{"name":"a","hash":"b","role":"admin","created":-1,"changed":0}]})"}) {
    store.objects["auth/users.json"] = text;
    EXPECT_EQ(access.verify("alice", kPassword).error().code, Errc::kMalformed) << text;
    EXPECT_EQ(admin.add_user("bob", kPassword).error().code, Errc::kMalformed) << text;
  }
  store.objects.clear();
  for (const char* text :
       {"", R"({"tokens":[{"claims":{},"created":0,"created_by":"a","revoked":false}]})"}) {
    store.objects["auth/tokens.json"] = text;
    EXPECT_EQ(access.check(session_of("")).error().code, Errc::kMalformed) << text;
  }
}

TEST_F(StoreAccessTest, TokensThatEndedLongAgoAreForgotten) {
  const TokenClaims old = session_of("");
  ASSERT_TRUE(admin.add_token(old, "test"));
  clock.advance(std::chrono::days(60));
  const TokenClaims fresh = session_of("");
  ASSERT_TRUE(admin.add_token(fresh, "test"));
  const auto tokens = read_tokens(store);
  ASSERT_EQ(tokens->size(), 1U);
  EXPECT_EQ(tokens->at(0).claims.id, fresh.id);
}

TEST_F(StoreAccessTest, WhatTwoAdministratorsDoAtOnceHolds) {
  VersionedStore shared;
  AccessAdmin one(shared, clock, kCheap);
  AccessAdmin other(shared, clock, kCheap);
  const TokenClaims first = session_of("");
  const TokenClaims second = session_of("");
  ASSERT_TRUE(one.add_token(first, "test"));
  shared.before_replace = [&] { ASSERT_TRUE(other.revoke_token(first.id)); };
  ASSERT_TRUE(one.add_token(second, "test"));
  const auto tokens = read_tokens(shared);
  ASSERT_EQ(tokens->size(), 2U);
  EXPECT_TRUE(tokens->at(0).revoked);
  EXPECT_EQ(tokens->at(1).claims.id, second.id);

  shared.before_replace = [&] { ASSERT_TRUE(other.add_user("bob", kPassword)); };
  ASSERT_TRUE(one.add_user("alice", kPassword));
  shared.before_replace = [&] { ASSERT_TRUE(other.remove_user("bob")); };
  ASSERT_TRUE(one.set_password("alice", "another horse"));
  ASSERT_EQ(read_users(shared)->size(), 1U);
  EXPECT_EQ(read_users(shared)->at(0).name, "alice");
  shared.before_replace = [&] { ASSERT_TRUE(other.add_user("carol", kPassword)); };
  EXPECT_EQ(one.add_user("carol", kPassword).error().code, Errc::kExists);
  shared.before_replace = [&] { ASSERT_TRUE(other.remove_user("carol")); };
  EXPECT_EQ(one.set_password("carol", kPassword).error().code, Errc::kNotFound);
}

TEST_F(StoreAccessTest, ABucketThatIsAwayIsNotOneWithoutUsers) {
  VersionedStore shared;
  AccessAdmin mine(shared, clock, kCheap);
  ASSERT_TRUE(mine.add_user("alice", kPassword));
  const auto before = shared.objects;
  shared.away = true;
  EXPECT_FALSE(mine.add_user("bob", kPassword));
  EXPECT_FALSE(mine.add_token(session_of(""), "test"));
  EXPECT_FALSE(read_users(shared));
  EXPECT_FALSE(read_tokens(shared));
  EXPECT_EQ(shared.objects, before);
}

TEST_F(StoreAccessTest, AnAttemptThatWasNotAnsweredIsFoundToBeDone) {
  VersionedStore shared;
  AccessAdmin mine(shared, clock, kCheap);
  const TokenClaims claims = session_of("");
  shared.unanswered = true;
  ASSERT_TRUE(mine.add_token(claims, "test"));
  EXPECT_EQ(read_tokens(shared)->size(), 1U);
  shared.unanswered = true;
  ASSERT_TRUE(mine.revoke_token(claims.id));
  EXPECT_TRUE(read_tokens(shared)->at(0).revoked);
  shared.unanswered = true;
  ASSERT_TRUE(mine.add_user("alice", kPassword));
  EXPECT_EQ(read_users(shared)->size(), 1U);
  shared.unanswered = true;
  ASSERT_TRUE(mine.remove_user("alice"));
  EXPECT_TRUE(read_users(shared)->empty());
}

}  // namespace
}  // namespace miharu::api
