#include "base/file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <gtest/gtest.h>

#include "support/temp_dir.h"

namespace miharu::base {
namespace {

class FileTest : public ::testing::Test {
 protected:
  std::filesystem::path path_of(const char* name) { return folder_.path() / name; }
  test::TempDir folder_;
};

TEST_F(FileTest, WritesAndReadsWhole) {
  for (const std::string& text :
       {std::string(), std::string("text\0with nul", 13), std::string(300'000, 'x')}) {
    ASSERT_TRUE(write_file(path_of("a"), as_bytes(text)));
    const auto bytes = read_file(path_of("a"), 1 << 20);
    ASSERT_TRUE(bytes);
    EXPECT_EQ(as_text(*bytes), text);
  }
  EXPECT_FALSE(std::filesystem::exists(path_of("a.new")));
}

TEST_F(FileTest, AFileAboveTheLimitIsRefused) {
  ASSERT_TRUE(write_file(path_of("a"), as_bytes("12345")));
  EXPECT_TRUE(read_file(path_of("a"), 5));
  const auto bytes = read_file(path_of("a"), 4);
  ASSERT_FALSE(bytes);
  EXPECT_EQ(bytes.error().code, Errc::kLimit);
}

TEST_F(FileTest, ErrorsNameTheFile) {
  const auto missing = read_file(path_of("missing"), 100);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Errc::kNotFound);
  EXPECT_NE(missing.error().text.find("missing"), std::string::npos);
  EXPECT_FALSE(write_file(path_of("no/such/folder"), as_bytes("x")));
  EXPECT_FALSE(sync_directory(path_of("missing")));
  EXPECT_TRUE(sync_directory(folder_.path()));
}

TEST_F(FileTest, TheModeIsAsAsked) {
  ASSERT_TRUE(write_file(path_of("key"), as_bytes("secret"), 0600));
  struct stat info {};
  ASSERT_EQ(::stat(path_of("key").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
}

TEST_F(FileTest, ReadsAtOffsets) {
  ASSERT_TRUE(write_file(path_of("a"), as_bytes("0123456789")));
  const auto file = File::open(path_of("a"), O_RDONLY);
  ASSERT_TRUE(file);
  EXPECT_EQ(*file->size(), 10U);
  ByteVector four(4);
  ASSERT_TRUE(file->read_at(6, four));
  EXPECT_EQ(as_text(four), "6789");
  const auto late = file->read_at(7, four);
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, Errc::kTruncated);
  EXPECT_EQ(late.error().offset, 10);
  EXPECT_EQ(*file->read_some_at(7, four), 3U);
  EXPECT_EQ(*file->read_some_at(100, four), 0U);
}

TEST_F(FileTest, OwnsItsDescriptor) {
  ASSERT_TRUE(write_file(path_of("a"), as_bytes("0")));
  File first = std::move(*File::open(path_of("a"), O_RDONLY));
  const int fd = first.fd();
  EXPECT_NE(::fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
  File second(std::move(first));
  EXPECT_FALSE(first.is_open());  // NOLINT(bugprone-use-after-move): that is what is tested
  EXPECT_EQ(second.fd(), fd);
  second = File();
  EXPECT_EQ(::fcntl(fd, F_GETFD), -1) << "assigning closed it";
  EXPECT_FALSE(second.size());
}

}  // namespace
}  // namespace miharu::base
