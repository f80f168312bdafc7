#include "s3/credentials.h"

#include <sys/stat.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "support/temp_dir.h"

namespace miharu::s3 {
namespace {

using testing::HasSubstr;

class CredentialsTest : public testing::Test {
 protected:
  std::filesystem::path write(const std::string& name, std::string_view text, unsigned mode = 0600) {
    const std::filesystem::path path = directory_.path() / name;
    EXPECT_TRUE(base::write_file(path, base::as_bytes(text), mode));
    ::chmod(path.c_str(), mode);
    return path;
  }
  CredentialSources sources() {
    CredentialSources out;
    out.variable = [this](std::string_view name) -> std::optional<std::string> {
      const auto found = variables_.find(std::string(name));
      return found == variables_.end() ? std::nullopt : std::optional(found->second);
    };
    return out;
  }

  test::TempDir directory_;
  std::map<std::string, std::string> variables_;
};

TEST_F(CredentialsTest, OfTheEnvironmentComeBeforeTheAwsFiles) {
  const auto file = write("credentials",
                          "[default]\naws_access_key_id=F\naws_secret_access_key=f\n"
                          "[other]\naws_access_key_id = O\naws_secret_access_key = o=/+\n"
                          "aws_session_token = t\n");
  variables_ = {{"AWS_SHARED_CREDENTIALS_FILE", file.string()}};
  EXPECT_EQ(load_credentials(sources()).value().access_key, "F");
  variables_["AWS_PROFILE"] = "other";
  const auto other = load_credentials(sources()).value();
  EXPECT_EQ(other.access_key, "O");
  EXPECT_EQ(other.secret_key.reveal(), "o=/+");
  EXPECT_EQ(other.session_token, "t");
  variables_["AWS_ACCESS_KEY_ID"] = "E";
  variables_["AWS_SECRET_ACCESS_KEY"] = "e";
  EXPECT_EQ(load_credentials(sources()).value().access_key, "E");
  // A profile that was asked for in so many words wins.
  auto named = sources();
  named.profile = "default";
  EXPECT_EQ(load_credentials(named).value().access_key, "F");
}

TEST_F(CredentialsTest, AFileThatOthersCanReadIsRefused) {
  constexpr std::string_view kText = "aws_access_key_id = A\naws_secret_access_key = s3cret\n";
  auto from = sources();
  from.file = write("keys", kText);
  EXPECT_EQ(load_credentials(from).value().secret_key.reveal(), "s3cret");
  for (const unsigned mode : {0640U, 0604U, 0660U, 0601U}) {
    from.file = write("keys", kText, mode);
    const auto refused = load_credentials(from);
    ASSERT_FALSE(refused) << mode;
    EXPECT_THAT(refused.error().text, HasSubstr("chmod 600 " + from.file.string()));
    EXPECT_EQ(refused.error().text.find("s3cret"), std::string::npos);
  }
}

TEST_F(CredentialsTest, ErrorsSayWhereTheyLookedAndShowNoSecret) {
  variables_ = {{"HOME", directory_.path().string()}};
  EXPECT_THAT(load_credentials(sources()).error().text, HasSubstr("/.aws/credentials"));
  auto from = sources();
  from.file = write("keys", "aws_access_key_id = A\ns3cret\n");
  EXPECT_THAT(load_credentials(from).error().text, HasSubstr("keys: line 2"));
  EXPECT_EQ(load_credentials(from).error().text.find("s3cret"), std::string::npos);
  from.file = write("keys", "[default]\nrole_arn = arn\n");
  EXPECT_THAT(load_credentials(from).error().text, HasSubstr("not supported"));
  from.profile = "nobody";
  EXPECT_THAT(load_credentials(from).error().text, HasSubstr("no section [nobody]"));
}

TEST_F(CredentialsTest, RegionsComeFromTheEnvironmentOrTheProfile) {
  const auto file = write(
      "config", "[default]\nregion = eu-1\n[profile other]\nregion=eu-2\ns3 =\n  region = nested\n", 0644);
  variables_ = {{"AWS_CONFIG_FILE", file.string()}};
  EXPECT_EQ(load_region(sources()), "eu-1");
  auto other = sources();
  other.profile = "other";
  EXPECT_EQ(load_region(other), "eu-2");
  variables_["AWS_REGION"] = "eu-3";
  EXPECT_EQ(load_region(other), "eu-3");
}

TEST(Ini, IsBounded) {
  EXPECT_EQ(parse_ini(std::string(kMaxIniBytes + 1, '\n')).error().code, base::Errc::kLimit);
  EXPECT_EQ(parse_ini("[a\n").error().code, base::Errc::kMalformed);
  const auto file = parse_ini("# no\n; no\n\n[ a ]\r\nKEY = v v \r\n");
  EXPECT_EQ(file.value().at("a").at("key"), "v v");
}

}  // namespace
}  // namespace miharu::s3
