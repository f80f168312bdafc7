#include "app/cli.h"

#include <fcntl.h>
#include <unistd.h>

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <boost/json.hpp>

#include "app/commands.h"
#include "base/file.h"
#include "base/text.h"
#include "support/recording.h"

namespace miharu::app {
namespace {

namespace fs = std::filesystem;
using base::seconds;
using testing::HasSubstr;
using testing::Not;

struct Outcome {
  int status = -1;
  std::string out;
  std::string err;
};

class CliTest : public ::testing::Test {
 protected:
  CliTest() {
    // Passwords are read from standard input: there is none.
    const int null = ::open("/dev/null", O_RDONLY);
    ::dup2(null, STDIN_FILENO);
    ::close(null);
  }
  Outcome run(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "miharu");
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    Outcome outcome;
    outcome.status = run_command_line(static_cast<int>(argv.size()), argv.data());
    std::fflush(stdout);
    outcome.out = testing::internal::GetCapturedStdout();
    outcome.err = testing::internal::GetCapturedStderr();
    return outcome;
  }
  std::string store() { return recorded_.store->root().string(); }
  static std::string at(base::nanoseconds offset) {
    return base::format_rfc3339(test::kRecordingStart + offset);
  }

  test::RecordedStore recorded_;
};

TEST_F(CliTest, ExitStatus) {
  recorded_.run(seconds(10));
  const std::string from = "--from=" + at(-seconds(60));
  const std::string to = "--to=" + at(seconds(60));
  struct Case {
    std::vector<std::string> arguments;
    int status;
    const char* told;  // on either stream
  };
  for (const Case& c : {
           Case{{"--version"}, kDone, ""},
           Case{{"--help"}, kDone, "export"},
           Case{{"ls", "--help"}, kDone, "--from"},
           Case{{}, kCalledWrongly, "subcommand"},
           Case{{"record"}, kCalledWrongly, ""},
           Case{{"ls"}, kCalledWrongly, "CAMERA"},
           Case{{"ls", "front", "--nonsense"}, kCalledWrongly, "nonsense"},
           Case{{"ls", "front", "--store", store(), from, to}, kDone, "run 1r"},
           Case{{"ls", "front", "--store", store(), "--from=yesterday"}, kCalledWrongly, "--from"},
           Case{{"ls", "front", "--store", store(), "--from=now", "--to=-1h"}, kCalledWrongly, "later"},
           Case{{"ls", "Front Door", "--store", store()}, kCalledWrongly, "a-z"},
           Case{{"ls", "back", "--store", store()}, kCouldNot, "there is front"},
           Case{{"ls", "front", "--store", store() + "/nowhere"}, kCouldNot, "nowhere"},
           Case{{"ls", "front", "--store", "s3://bucket"}, kCouldNot, "bucket"},
           Case{{"verify", "--store", store()}, kDone, "all is well"},
           Case{{"verify", "--store", store(), "--repair"}, kDone, "all is well"},
           Case{{"export", "front", "--store", store(), from, to}, kCalledWrongly, "--output"},
           Case{{"probe", "http://camera/"}, kCalledWrongly, "rtsp://"},
           Case{{"probe", "rtsp://camera/", "--transport=carrier-pigeon"}, kCalledWrongly, "transport"},
           Case{{"config", "sample"}, kDone, "[record]"},
           Case{{"config", "check", store() + "/nowhere.toml"}, kFoundWrong, "nowhere.toml"},
           Case{{"user", "list", "--data", store() + "/nowhere"}, kCouldNot, "start `miharu run` once"},
           Case{{"token", "create", "front"}, kCalledWrongly, "--rights"},
       }) {
    const Outcome outcome = run(c.arguments);
    std::string line = "miharu";
    for (const std::string& argument : c.arguments) line += " " + argument;
    EXPECT_EQ(outcome.status, c.status) << line << "\n" << outcome.out << outcome.err;
    EXPECT_THAT(outcome.out + outcome.err, HasSubstr(c.told)) << line;
    EXPECT_EQ(outcome.err.empty(), c.status == kDone) << line << ": results go to stdout, errors to stderr\n"
                                                      << outcome.err;
  }
}

TEST_F(CliTest, TheSampleConfigurationIsWell) {
  const auto file = recorded_.folder.path() / "miharu.toml";
  ASSERT_TRUE(base::write_file(file, base::as_bytes(run({"config", "sample"}).out)));
  const Outcome outcome = run({"config", "check", file.string()});
  EXPECT_EQ(outcome.status, kDone) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("is well"));
}

TEST_F(CliTest, LsTellsSpansAndGaps) {
  recorded_.run(seconds(10));
  recorded_.clock.advance(seconds(50));
  recorded_.run(seconds(10), store::RunReason::kDisk);
  const std::vector<std::string> arguments{
      "ls", "front", "--store", store(), "--from=" + at({}), "--to=" + at(seconds(70))};
  const Outcome text = run(arguments);
  EXPECT_EQ(std::count(text.out.begin(), text.out.end(), '\n'), 3) << text.out;
  EXPECT_LT(text.out.find("run 1r"), text.out.find("gap: the disk"));
  EXPECT_LT(text.out.find("gap: the disk"), text.out.find("run 2d"));

  auto with_json = arguments;
  with_json.emplace_back("--json");
  std::string_view rest;
  const Outcome json = run(with_json);
  rest = json.out;
  std::vector<std::string> types;
  while (!rest.empty()) {
    const auto value = boost::json::parse(std::string(base::take_until(rest, '\n')));
    types.emplace_back(value.at("type").as_string());
  }
  EXPECT_THAT(types, testing::ElementsAre("span", "gap", "span"));
}

TEST_F(CliTest, VerifyFindsAndRepairs) {
  recorded_.run(seconds(20));
  const fs::path file = recorded_.store->root() / recorded_.entries()[1]->key;
  fs::resize_file(file, fs::file_size(file) - 10);
  const Outcome found = run({"verify", "--store", store()});
  EXPECT_EQ(found.status, kFoundWrong);
  EXPECT_THAT(found.out, HasSubstr("1 findings"));
  const Outcome json = run({"verify", "--store", store(), "--json"});
  EXPECT_THAT(json.out, HasSubstr("\"type\":\"finding\""));
  EXPECT_THAT(json.out, HasSubstr("\"findings\":1"));
  const Outcome repaired = run({"verify", "--store", store(), "--repair"});
  EXPECT_THAT(repaired.out, HasSubstr("is now"));
  for (const auto& finding : {"checksum", "cannot be read"})
    EXPECT_THAT(repaired.out, Not(HasSubstr(finding)));
}

TEST_F(CliTest, ExportWritesAFileOrNone) {
  recorded_.run(seconds(20));
  const fs::path file = recorded_.folder.path() / "out.mp4";
  const auto outcome = run({"export", "front", "--store", store(), "--from=" + at(seconds(2)),
                            "--to=" + at(seconds(5)), "-o", file.string()});
  EXPECT_EQ(outcome.status, kDone) << outcome.err;
  ASSERT_TRUE(fs::exists(file));
  EXPECT_EQ(base::as_text(base::ByteView(*base::read_file(file, 1 << 20)).subspan(4, 4)), "ftyp");
  fs::remove(file);
  const auto nothing = run({"export", "front", "--store", store(), "--from=" + at(seconds(200)),
                            "--to=" + at(seconds(300)), "-o", file.string()});
  EXPECT_EQ(nothing.status, kCouldNot);
  EXPECT_FALSE(fs::exists(file));
  EXPECT_FALSE(fs::exists(file.string() + ".part"));
  EXPECT_EQ(
      run({"export", "front", "--store", store(), "--from=-1h", "--to=now", "-o", "/nonexistent/out.mp4"})
          .status,
      kCouldNot);
}

TEST_F(CliTest, Users) {
  const std::string data = recorded_.folder.path().string();
  const Outcome added = run({"user", "add", "anna", "--data", data});
  EXPECT_EQ(added.status, kDone) << added.err;
  EXPECT_THAT(added.out, HasSubstr("Password (shown this once): "));
  EXPECT_NE(run({"user", "add", "anna", "--data", data}).status, kDone);
  EXPECT_THAT(run({"user", "list", "--data", data}).out, HasSubstr("anna"));
  EXPECT_EQ(run({"user", "passwd", "anna", "--data", data}).status, kDone);
  EXPECT_NE(run({"user", "passwd", "otto", "--data", data}).status, kDone);
  EXPECT_NE(run({"user", "remove", "otto", "--data", data}).status, kDone);
}

TEST_F(CliTest, Tokens) {
  const std::string data = recorded_.folder.path().string();
  struct Case {
    std::vector<std::string> arguments;
    int status;
  };
  for (const Case& c : {
           Case{{"front", "--rights=live,playback"}, kDone},
           Case{{"*", "--rights=live", "--expires=12h"}, kDone},
           Case{{"front", "back", "--rights=export", "--from=-1h"}, kDone},
           Case{{"front", "--rights=playback", "--to=now"}, kDone},
           Case{{"front", "--rights=admin"}, kCalledWrongly},
           Case{{"front", "--rights=live", "--expires=7"}, kCalledWrongly},
           Case{{"front", "--rights=live", "--from=9999-01-01T00:00:00Z"}, kCalledWrongly},
           Case{{"Front", "--rights=live"}, kCalledWrongly},
       }) {
    std::vector<std::string> arguments{"token", "create", "--data", data};
    arguments.insert(arguments.end(), c.arguments.begin(), c.arguments.end());
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.status, c.status) << c.arguments[0] << " " << c.arguments[1] << ": " << outcome.err;
    EXPECT_EQ(outcome.out.empty(), c.status != kDone);
  }
  const Outcome list = run({"token", "list", "--data", data});
  EXPECT_EQ(std::count(list.out.begin(), list.out.end(), '\n'), 4) << list.out;
  const std::string id = list.out.substr(0, list.out.find(' '));
  EXPECT_EQ(run({"token", "revoke", id, "--data", data}).status, kDone);
  EXPECT_THAT(run({"token", "list", "--data", data}).out, HasSubstr(id + "  revoked"));
}

}  // namespace
}  // namespace miharu::app
