#include "store/directory_store.h"

#include <sys/stat.h>

#include <fstream>

#include <gtest/gtest.h>

#include "store/temporary_directory.h"

namespace miharu::store {
namespace {

using base::Errc;
using test::TemporaryDirectory;
namespace fs = std::filesystem;

std::vector<std::string> keys_of(const Listing& listing) {
  std::vector<std::string> keys;
  for (const ListedObject& object : listing.objects) keys.push_back(object.key);
  return keys;
}
std::unique_ptr<DirectoryStore> create(const fs::path& root) {
  auto store = DirectoryStore::open(root, DirectoryStore::Open::kCreate);
  EXPECT_TRUE(store) << store.error().to_string();
  return std::move(*store);
}
base::Status put(DirectoryStore& store, std::string_view key, std::string_view text = "x") {
  return store.put(key, base::as_bytes(text));
}

TEST(DirectoryStore, HasAnIdentity) {
  const TemporaryDirectory dir;
  EXPECT_EQ(DirectoryStore::open(dir / "s", DirectoryStore::Open::kExisting).error().code, Errc::kNotFound);
  const auto store = create(dir / "s");
  EXPECT_EQ(store->id().size(), 32U);
  EXPECT_TRUE(store->check_identity());
  const auto again = DirectoryStore::open(dir / "s", DirectoryStore::Open::kExisting, store->id());
  ASSERT_TRUE(again) << again.error().to_string();
  EXPECT_EQ((*again)->id(), store->id());
  EXPECT_NE(create(dir / "other")->id(), store->id());
  const auto bytes = base::read_file(dir / "s/miharu-store.json", 100);
  EXPECT_EQ(base::as_text(*bytes), "{\"format\":1,\"id\":\"" + store->id() + "\"}\n");
}

TEST(DirectoryStore, AMissingMountIsNoEmptyStore) {
  const TemporaryDirectory dir;
  const auto store = create(dir / "s");
  EXPECT_EQ(store->get("auth/users.json", 0, 10).error().code, Errc::kNotFound);
  fs::rename(dir / "s", dir / "away");
  EXPECT_EQ(store->check_identity().error().code, Errc::kNotFound);
  EXPECT_FALSE(store->list("rec/", true));
  EXPECT_EQ(store->get("auth/users.json", 0, 10).error().code, Errc::kIo);
  fs::create_directory(dir / "s");
  EXPECT_EQ(store->check_identity().error().code, Errc::kNotFound);
  EXPECT_EQ(store->get("auth/users.json", 0, 10).error().code, Errc::kIo);
  for (const auto mode : {DirectoryStore::Open::kExisting, DirectoryStore::Open::kCreate}) {
    EXPECT_EQ(DirectoryStore::open(dir / "s", mode, store->id()).error().code, Errc::kNotFound);
  }
  create(dir / "s");  // another disk at the same place
  EXPECT_EQ(store->check_identity().error().code, Errc::kNotFound);
  EXPECT_EQ(DirectoryStore::open(dir / "s", DirectoryStore::Open::kExisting, store->id()).error().code,
            Errc::kNotFound);
}

TEST(DirectoryStore, CreatesOnlyInAnEmptyDirectory) {
  const TemporaryDirectory dir;
  fs::create_directories(dir / "ext4/lost+found");
  EXPECT_TRUE(DirectoryStore::open(dir / "ext4", DirectoryStore::Open::kCreate));
  fs::create_directories(dir / "home/photos");
  EXPECT_EQ(DirectoryStore::open(dir / "home", DirectoryStore::Open::kCreate).error().code, Errc::kInvalid);
  for (const char* text :
       {"", "{}", R"({"format":2,"id":"00000000000000000000000000000000"})", R"({"format":1,"id":"0000"})",
        R"({"format":1,"id":"0000000000000000000000000000000G"})"}) {
    std::ofstream(dir / "home/miharu-store.json") << text;
    EXPECT_EQ(DirectoryStore::open(dir / "home", DirectoryStore::Open::kCreate).error().code,
              Errc::kMalformed)
        << text;
  }
  std::ofstream(dir / "home/miharu-store.json")
      << "{ \"format\": 1,\n \"id\": \"00000000000000000000000000000000\" }";
  EXPECT_TRUE(DirectoryStore::open(dir / "home", DirectoryStore::Open::kExisting));
}

TEST(DirectoryStore, PutsGetsListsAndRemoves) {
  const TemporaryDirectory dir;
  const auto store = create(dir / "s");
  ASSERT_TRUE(put(*store, "rec/a/2026/11/21/03/b.mp4", "hello"));
  ASSERT_TRUE(put(*store, "rec/a/2026/11/21/03/a.mp4"));
  ASSERT_TRUE(put(*store, "rec/a/2026/11/21/04/c.mp4"));
  ASSERT_TRUE(put(*store, "rec/b/2026/11/21/04/d.mp4"));
  EXPECT_EQ(put(*store, "rec/a/2026/11/21/03/a.mp4").error().code, Errc::kExists);

  const std::string a = "rec/a/2026/11/21/";
  EXPECT_EQ(keys_of(*store->list(a, false)), (std::vector{a + "03/a.mp4", a + "03/b.mp4", a + "04/c.mp4"}));
  EXPECT_TRUE(store->list(a, true)->objects.empty());
  EXPECT_EQ(store->list(a, true)->prefixes, (std::vector{a + "03/", a + "04/"}));
  EXPECT_EQ(store->list("", true)->prefixes, std::vector<std::string>{"rec/"});
  EXPECT_EQ(store->list("", false)->objects.size(), 4U);
  EXPECT_TRUE(store->list("rec/none/", false)->objects.empty());

  const auto text = [&](uint64_t offset, uint64_t length) {
    return std::string(base::as_text(*store->get(a + "03/b.mp4", offset, length)));
  };
  EXPECT_EQ(text(0, 100), "hello");
  EXPECT_EQ(text(1, 3), "ell");
  EXPECT_EQ(text(4, ~uint64_t{0}), "o");
  EXPECT_EQ(text(9, 1), "");
  EXPECT_EQ(store->get("rec/a/none", 0, 1).error().code, Errc::kNotFound);

  ASSERT_TRUE(store->remove(a + "03/a.mp4"));
  EXPECT_TRUE(fs::exists(dir / "s" / (a + "03")));
  ASSERT_TRUE(store->remove(a + "03/b.mp4"));
  EXPECT_FALSE(fs::exists(dir / "s" / (a + "03")));
  EXPECT_TRUE(fs::exists(dir / "s" / (a + "04/c.mp4")));
  ASSERT_TRUE(store->remove(a + "04/c.mp4"));
  EXPECT_FALSE(fs::exists(dir / "s/rec/a/2026"));
  EXPECT_TRUE(fs::exists(dir / "s/rec/a"));
  EXPECT_EQ(store->remove(a + "04/c.mp4").error().code, Errc::kNotFound);
}

TEST(DirectoryStore, KeysStayBelowTheRoot) {
  const TemporaryDirectory dir;
  const auto store = create(dir / "s");
  for (const std::string& bad :
       {std::string(), std::string("/etc/passwd"), std::string("../x"), std::string("rec/../../x"),
        std::string("rec//x"), std::string("rec/x/"), std::string("rec/./x"), std::string("rec/.hidden"),
        std::string("rec/a b"), std::string("rec/a\0b", 7), std::string("rec/x.new"),
        std::string("miharu-store.json"), std::string("tmp/x.part"), "rec/" + std::string(256, 'a'),
        std::string(1025, 'a')}) {
    EXPECT_EQ(store->path_of(bad).error().code, Errc::kInvalid) << bad;
    EXPECT_EQ(put(*store, bad).error().code, Errc::kInvalid) << bad;
    EXPECT_EQ(store->get(bad, 0, 1).error().code, Errc::kInvalid) << bad;
    EXPECT_EQ(store->remove(bad).error().code, Errc::kInvalid) << bad;
  }
  for (const char* bad : {"rec", "/", "../", "rec/../", "tmp/"}) EXPECT_FALSE(store->list(bad, false)) << bad;
  EXPECT_EQ(*store->path_of("rec/a=b_c-D.mp4"), store->root() / "rec/a=b_c-D.mp4");
}

TEST(DirectoryStore, FollowsNoLinks) {
  const TemporaryDirectory dir;
  const auto store = create(dir / "s");
  fs::create_directories(dir / "outside");
  std::ofstream(dir / "outside/secret") << "secret";
  fs::create_directories(dir / "s/rec/a");
  fs::create_directory_symlink(dir / "outside", dir / "s/rec/b");
  fs::create_symlink(dir / "outside/secret", dir / "s/rec/a/secret");
  ASSERT_EQ(::mkfifo((dir / "s/rec/a/fifo").c_str(), 0600), 0);
  EXPECT_FALSE(store->get("rec/b/secret", 0, 10));
  EXPECT_FALSE(store->get("rec/a/secret", 0, 10));
  EXPECT_FALSE(store->get("rec/a/fifo", 0, 10));
  EXPECT_FALSE(put(*store, "rec/b/new"));
  EXPECT_FALSE(store->remove("rec/b/secret"));
  EXPECT_TRUE(store->list("", false)->objects.empty());
  EXPECT_TRUE(fs::exists(dir / "outside/secret"));
}

TEST(DirectoryStore, ListsNoTemporariesAndNothingReserved) {
  const TemporaryDirectory dir;
  const auto store = create(dir / "s");
  fs::create_directories(dir / "s/rec/a");
  fs::create_directories(dir / "s/tmp");
  for (const char* name : {"rec/a/x.mp4.new", "rec/a/.nfs1", "rec/a/a b", "tmp/x.part"})
    std::ofstream(dir / "s" / name) << "x";
  EXPECT_EQ(keys_of(*store->list("", false)), std::vector<std::string>{});
}

TEST(DirectoryStore, VersionSettlesAndChanges) {
  class LaterClock final : public base::Clock {
   public:
    base::UtcTime utc() const override { return base::system_clock().utc() + later; }
    base::SteadyTime steady() const override { return base::system_clock().steady(); }
    bool synchronised() const override { return true; }
    base::seconds later{0};
  } clock;
  const TemporaryDirectory dir;
  const auto store = std::move(*DirectoryStore::open(dir / "s", DirectoryStore::Open::kCreate, {}, clock));
  EXPECT_FALSE(store->version("rec/a/")->settled);  // absent
  ASSERT_TRUE(put(*store, "rec/a/1"));
  EXPECT_FALSE(store->version("rec/a/")->settled);
  clock.later = base::seconds(3);
  const auto version = store->version("rec/a/");
  EXPECT_TRUE(version->settled);
  EXPECT_EQ(store->version("rec/a/")->value, version->value);
  clock.later = base::seconds(-60);  // a clock that stepped back proves nothing
  EXPECT_FALSE(store->version("rec/a/")->settled);
}

}  // namespace
}  // namespace miharu::store
