#include "app/config.h"

#include <algorithm>
#include <fstream>
#include <sstream>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"

namespace miharu::app {
namespace {

using std::chrono::hours;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

template <class T>
concept Streamable = requires(std::ostream& out, const T& value) {
  out << value;
};
static_assert(Streamable<std::string> && !Streamable<base::Secret>);
static_assert(!fmt::is_formattable<base::Secret>::value);

Environment test_environment() {
  return {[](std::string_view name) -> std::optional<std::string> {
            if (name == "FRONT_PASSWORD" || name == "TURN_SECRET") return "s3cret \"x\"";
            if (name == "HOST") return "192.0.2.7";
            if (name == "EMPTY") return "";
            return std::nullopt;
          },
          [](const std::filesystem::path& path) -> base::Result<base::ByteVector> {
            const auto bytes = [](std::string_view text) {
              const base::ByteView view = base::as_bytes(text);
              return base::ByteVector(view.begin(), view.end());
            };
            if (path == "etc/front.password" || path == "etc/sub/front.password") return bytes("from file\n");
            if (path == "etc/empty") return bytes("\n");
            return base::fail(base::Errc::kNotFound, "open " + path.string() + ": No such file or directory");
          }};
}

base::Result<Config> parse(std::string_view text) {
  return parse_config(text, "etc/m.toml", test_environment());
}

std::string error_of(std::string_view text) {
  const auto config = parse(text);
  return config ? "no error" : config.error().text;
}

std::string camera_with(std::string_view lines) {
  return fmt::format("[[camera]]\nname = \"a\"\nurl = \"rtsp://h/s\"\n{}\n", lines);
}

TEST(Config, AnEmptyFileIsTheDefaults) {
  const auto config = parse("");
  ASSERT_TRUE(config) << config.error().text;
  EXPECT_EQ(config->server.listen, (Endpoint{"0.0.0.0", 8080}));
  EXPECT_EQ(config->auth.mode, AuthMode::kUsers);
  EXPECT_EQ(config->record.segment, seconds(30));
  EXPECT_EQ(config->record.format, RecordFormat::kFmp4);
  EXPECT_TRUE(config->store.path.empty());
  EXPECT_EQ(config->store.keep, Keep{});
  EXPECT_EQ(config->store.free, (Size{0, 5}));
  EXPECT_EQ(config->live.udp_port, 8555);
  EXPECT_FALSE(config->cloud.enabled());
  EXPECT_EQ(config->cloud.live_stream, LiveStream::kSub);
  EXPECT_TRUE(config->cameras.empty());
}

TEST(Config, EveryKeyIsRead) {
  const auto config = parse(R"(
[server]
listen = "[::1]:9000"
tls_cert = "c.pem"
tls_key = "/k.pem"
trusted_proxies = ["10.0.0.0/8", "2001:db8::1"]
base_path = "/cams/"
[auth]
mode = "none"
[store]
path = "/srv/rec"
keep = { age = "7d", bytes = "200GB", free = "1GiB" }
[cloud]
url = "s3://bucket/home"
endpoint = "https://s3.example.org:9000"
region = "eu-1"
bandwidth = "20Mbit/s"
live_stream = "main"
[record]
segment = "1m30s"
format = "mpegts"
[live]
udp_port = 1000
tcp_port = 1001
addresses = ["192.0.2.1"]
stun = "stun:s.example.org:3478"
turn = { url = "turns:t.example.org:5349?transport=tcp", secret = "${TURN_SECRET}" }
[[camera]]
name = "front"
url = "rtsp://${HOST}:554/stream1?a=b@c"
user = "admin"
password = "${FRONT_PASSWORD}"
sub_url = "rtsps://[2001:db8::2]:322/s2"
transport = "udp"
record = true
on_demand = false
keep = { age = "30d", bytes = "1TiB" }
[[camera]]
name = "yard"
url = "usb:/dev/video0"
on_demand = true
[[camera]]
name = "gate"
url = "onvif://h"
user = "u"
password_file = "front.password"
)");
  ASSERT_TRUE(config) << config.error().text;
  EXPECT_EQ(config->server.listen, (Endpoint{"::1", 9000}));
  EXPECT_EQ(config->server.tls_cert, "etc/c.pem");
  EXPECT_EQ(config->server.tls_key, "/k.pem");
  EXPECT_THAT(config->server.trusted_proxies, ElementsAre("10.0.0.0/8", "2001:db8::1"));
  EXPECT_EQ(config->server.base_path, "/cams");
  EXPECT_EQ(config->auth.mode, AuthMode::kNone);
  EXPECT_EQ(config->store.path, "/srv/rec");
  EXPECT_EQ(config->store.keep, (Keep{hours(7 * 24), 200'000'000'000U}));
  EXPECT_EQ(config->store.free, (Size{1U << 30, 0}));
  EXPECT_TRUE(config->cloud.enabled());
  EXPECT_EQ(config->cloud.url, "s3://bucket/home");
  EXPECT_EQ(config->cloud.endpoint, "https://s3.example.org:9000");
  EXPECT_EQ(config->cloud.region, "eu-1");
  EXPECT_EQ(config->cloud.bandwidth_bits_per_second, 20'000'000U);
  EXPECT_EQ(config->cloud.live_stream, LiveStream::kMain);
  EXPECT_EQ(config->record.segment, seconds(90));
  EXPECT_EQ(config->record.format, RecordFormat::kMpegTs);
  EXPECT_EQ(config->live.udp_port, 1000);
  EXPECT_EQ(config->live.tcp_port, 1001);
  EXPECT_THAT(config->live.addresses, ElementsAre("192.0.2.1"));
  EXPECT_EQ(config->live.stun, "stun:s.example.org:3478");
  EXPECT_EQ(config->live.turn_url, "turns:t.example.org:5349?transport=tcp");
  EXPECT_EQ(config->live.turn_secret.reveal(), "s3cret \"x\"");
  ASSERT_EQ(config->cameras.size(), 3U);
  const CameraConfig& front = config->cameras[0];
  EXPECT_EQ(front.name, "front");
  EXPECT_EQ(front.url, "rtsp://192.0.2.7:554/stream1?a=b@c");
  EXPECT_EQ(front.sub_url, "rtsps://[2001:db8::2]:322/s2");
  EXPECT_EQ(front.user, "admin");
  EXPECT_EQ(front.password.reveal(), "s3cret \"x\"");
  EXPECT_EQ(front.password_variable, "FRONT_PASSWORD");
  EXPECT_EQ(front.transport, Transport::kUdp);
  EXPECT_TRUE(front.record);
  EXPECT_EQ(front.keep, (Keep{hours(30 * 24), 1ULL << 40}));
  EXPECT_TRUE(config->cameras[1].on_demand);
  EXPECT_FALSE(config->cameras[1].record);
  EXPECT_EQ(config->cameras[2].password.reveal(), "from file");
}

struct Mistake {
  std::string text;
  std::string place;  // line:column
  std::string says;
};

TEST(Config, MistakesHaveTheirPlaceAndAnAnswer) {
  const Mistake mistakes[] = {
      {"[server]\nlisten = \"0.0.0.0:80\"\nx = ", "3:5", "end-of-file"},
      {"[:", "1:2", "expected bare key starting character"},
      {"\u0210 = 1", "1:1", "expected keys"},
      {"[server]\nlisten = 1\nlisten = 2", "3:", "listen"},
      {"[server]\nlisen = \"0.0.0.0:80\"", "2:1",
       "[server] has no key \"lisen\"; did you mean \"listen\"? It has listen, tls_cert"},
      {"[sever]\nlisten = \"0.0.0.0:80\"", "1:2",
       "the file has no key \"sever\"; did you mean \"server\"? It has server, auth"},
      {"[server]\nzzzzzzzzzz = 1", "2:1", "[server] has no key \"zzzzzzzzzz\". It has"},
      {"server = 1", "1:10", "\"server\" must be a table, this is a number"},
      {"[server]\nlisten = 8080", "2:10", "\"listen\" must be text in quotes, this is a number"},
      {"[server]\nlisten = \"8080\"", "2:10", "must be ADDRESS:PORT"},
      {"[server]\nlisten = \"example.org:80\"", "2:10", "must be ADDRESS:PORT"},
      {"[server]\nlisten = \"0.0.0.0:65536\"", "2:10", "must be ADDRESS:PORT"},
      {"[server]\nlisten = \"${NOT_SET}:1\"", "2:10", "environment variable NOT_SET is not set"},
      {"[server]\nlisten = \"${HOST:1\"", "2:10", "needs its \"}\""},
      {"[server]\ntls_cert = \"a\"", "2:12", "tls_cert and tls_key are needed together"},
      {"[server]\ntls_cert = \"\"\ntls_key = \"a\"", "2:12", "must name a file or folder"},
      {"[server]\ntrusted_proxies = \"10.0.0.1\"", "2:19", "must be a list of texts"},
      {"[server]\ntrusted_proxies = [\"10.0.0.1\", \"10.0.0.0/33\"]", "2:32", "or a network"},
      {"[server]\ntrusted_proxies = [1]", "2:20", "this is a number"},
      {"[server]\nbase_path = \"cams\"", "2:13", "must be a path"},
      {"[server]\nbase_path = \"/a/../b\"", "2:13", "must be a path"},
      {"[auth]\nmode = \"user\"", "2:8", "must be one of \"users\", \"none\""},
      {"[auth]\nmode = \"none\"", "2:8", "only with a loopback address: set listen = \"127.0.0.1:8080\""},
      {"[store]\nkeep = { age = \"7\" }", "2:16", "must be a time above 0 with its unit"},
      {"[store]\nkeep = { age = 7 }", "2:16", "text in quotes"},
      {"[store]\nkeep = { age = \"0s\" }", "2:16", "above 0"},
      {"[store]\nkeep = { bytes = \"200\" }", "2:18", "must be a size above 0"},
      {"[store]\nkeep = { bytes = \"5%\" }", "2:18", "must be a size above 0"},
      {"[store]\nkeep = { free = \"101%\" }", "2:17", "up to 100%"},
      {"[store]\nkeep = { ages = \"7d\" }", "2:10", "\"keep\" has no key \"ages\"; did you mean \"age\"?"},
      {"[store]\nkeep = \"7d\"", "2:8", "\"keep\" must be a table"},
      {"[cloud]\nurl = \"https://bucket\"", "2:7", "must be s3://BUCKET/PREFIX"},
      {"[cloud]\nurl = \"s3://b\"", "2:7", "3 to 63"},
      {"[cloud]\nendpoint = \"https://key:s3cret@host\"", "2:12", "credentials come from the environment"},
      {"[cloud]\nbandwidth = \"20M\"", "2:13", "must be a rate"},
      {"[cloud]\nlive_stream = \"both\"", "2:15", "must be one of \"sub\", \"main\""},
      {"[record]\nsegment = \"4s\"", "2:11", "from 5s to 120s"},
      {"[record]\nsegment = \"121s\"", "2:11", "from 5s to 120s"},
      {"[record]\nsegment = \"30\"", "2:11", "with its unit"},
      {"[record]\nformat = \"mp4\"", "2:10", "must be one of \"fmp4\", \"mpegts\""},
      {"[live]\nudp_port = 0", "2:12", "must be a port number, 1 to 65535, this is 0"},
      {"[live]\nudp_port = \"8555\"", "2:12", "must be a port number, 1 to 65535, this is text"},
      {"[live]\naddresses = [\"example.org\"]", "2:14", "must be an IP address"},
      {"[live]\nstun = \"stun.example.org\"", "2:8", "must be stun:HOST:PORT"},
      {"[live]\nturn = { url = \"turn:h:1\" }", "2:16", "needs url and secret together"},
      {"[live]\nturn = { url = \"turn:h:1\", secret = \"s3cret\" }", "2:37", "must not stand in the file"},
      {"[camera]\nname = \"a\"", "1:1", "write [[camera]] in place of [camera]"},
      {"[[camera]]\nname = \"a\"", "1:1", "[[camera]] needs \"url\""},
      {"[[camera]]\nurl = \"demo:\"", "1:1", "[[camera]] needs \"name\""},
      {"[[camera]]\nname = \"Front\"\nurl = \"demo:\"", "2:8", "\"name\": "},
      {camera_with("") + camera_with(""), "6:8", "there is a camera \"a\" already, at etc/m.toml:2:8"},
      {camera_with("recrod = true"), "4:1", "[[camera]] has no key \"recrod\"; did you mean \"record\"?"},
      {camera_with("record = \"yes\""), "4:10", "must be true or false, this is text"},
      {camera_with("record = true\non_demand = true"), "4:10", "choose one"},
      {camera_with("transport = \"http\""), "4:13", "\"auto\", \"tcp\", \"udp\""},
      {camera_with("sub_url = \"http://h/s\""), "4:11",
       "cannot begin with \"http:\", but with one of rtsp://"},
      {camera_with("sub_url = \"h/s\""), "4:11", "begins with one of rtsp://"},
      {camera_with("sub_url = \"rtsp:///s\""), "4:11", "no host"},
      {camera_with("sub_url = \"rtsp://h:99999/s\""), "4:11", "the port must be"},
      {camera_with("sub_url = \"rtsp://[h]/s\""), "4:11", "must be IPv6"},
      {camera_with("sub_url = \"rtsp://h/a b\""), "4:11", "no blanks"},
      {camera_with("sub_url = \"usb:\""), "4:11", "as in usb:/dev/video0"},
      {camera_with("sub_url = \"rtsp://u:s3cret@h/s\""), "4:11", "user and password do not stand in the URL"},
      {camera_with("sub_url = \"rtsp://u:s3/cret@h/s\""), "4:11", "is written %2F"},
      {camera_with("user = \"u\"\npassword = \"s3cret\""), "5:12", "password = \"${NAME}\""},
      {camera_with("user = \"u\"\npassword = \"s3cret${HOST}\""), "5:12", "must not stand in the file"},
      {camera_with("user = \"u\"\npassword = 1234"), "5:12", "must not stand in the file"},
      {camera_with("user = \"u\"\npassword = \"${NOT_SET}\""), "5:12",
       "environment variable NOT_SET is not set"},
      {camera_with("password = \"${FRONT_PASSWORD}\""), "4:12", "needs \"user\""},
      {camera_with("user = \"u\"\npassword_file = \"none\""), "5:17", "open etc/none: No such file"},
      {camera_with("user = \"u\"\npassword_file = \"empty\""), "5:17", "the file is empty"},
      {camera_with("user = \"u\"\npassword = \"${FRONT_PASSWORD}\"\npassword_file = \"front.password\""),
       "6:17", "choose one"},
      {camera_with("keep = { free = \"5%\" }"), "4:10", "\"keep\" has no key \"free\". It has age, bytes"},
  };
  for (const Mistake& mistake : mistakes) {
    const std::string error = error_of(mistake.text);
    EXPECT_THAT(error, StartsWith("etc/m.toml:" + mistake.place)) << mistake.text;
    EXPECT_THAT(error, HasSubstr(mistake.says)) << mistake.text;
    EXPECT_THAT(error, Not(HasSubstr("s3cret"))) << mistake.text;
  }
}

TEST(Config, AllMistakesAreToldAtOnceInTheOrderOfTheFile) {
  const std::string error = error_of("[record]\nsegment = \"1s\"\n[server]\nlisen = 1\nlisten = 1\n");
  EXPECT_THAT(error, StartsWith("etc/m.toml:2:11:"));
  EXPECT_THAT(error, HasSubstr("\netc/m.toml:4:1:"));
  EXPECT_THAT(error, HasSubstr("\netc/m.toml:5:10:"));
  EXPECT_EQ(std::count(error.begin(), error.end(), '\n'), 2);
}

TEST(Config, ManyMistakesAreCutShort) {
  std::string text = "[server]\n";
  for (int i = 0; i < 50; ++i) text += fmt::format("unknown{} = 1\n", i);
  const std::string error = error_of(text);
  EXPECT_EQ(std::count(error.begin(), error.end(), '\n'), 20);
  EXPECT_THAT(error, HasSubstr("\nand 30 more"));
}

TEST(Config, HasALimitOfCameras) {
  std::string text;
  for (size_t i = 0; i <= kMaxCameras; ++i)
    text += fmt::format("[[camera]]\nname = \"c{}\"\nurl = \"demo:\"\n", i);
  EXPECT_THAT(error_of(text), HasSubstr("257 cameras are configured, 256 are possible"));
}

// "#key = value" and "#[[camera]]" are keys switched off, "# text" is prose.
std::string with_everything_switched_on(std::string_view sample) {
  std::string out;
  std::istringstream lines{std::string(sample)};
  for (std::string line; std::getline(lines, line);) {
    if (line.size() > 1 && line[0] == '#' && line[1] != ' ') line.erase(0, 1);
    out += line + '\n';
  }
  return out;
}

TEST(ConfigSample, IsItselfAConfiguration) {
  const auto config = parse(sample_config());
  ASSERT_TRUE(config) << config.error().text;
  EXPECT_TRUE(config->cameras.empty());
}

TEST(ConfigSample, ItsExamplesAreValidToo) {
  std::string text = with_everything_switched_on(sample_config());
  const size_t file = text.find("password_file = ");
  ASSERT_NE(file, std::string::npos);
  text.insert(file, "# ");
  const auto config = parse(text);
  ASSERT_TRUE(config) << config.error().text;
  EXPECT_EQ(config->cameras.size(), 1U);
  EXPECT_TRUE(config->cloud.enabled());
}

TEST(ConfigSample, ShowsEveryKeyOnce) {
  const std::string sample = with_everything_switched_on(sample_config());
  for (const std::string& key : known_config_keys()) {
    const std::string section = key.substr(0, key.find('.'));
    const std::string leaf = key.substr(key.rfind('.') + 1);
    const size_t from =
        sample.find(section == "camera" ? "\n[[camera]]\n" : fmt::format("\n[{}]\n", section));
    ASSERT_NE(from, std::string::npos) << key;
    std::istringstream lines(sample.substr(from, sample.find("\n[", from + 2) - from));
    int seen = 0;
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with("# ")) continue;
      seen += line.starts_with(leaf + " = ") || line.find("{ " + leaf + " = ") != std::string::npos ||
              line.find(", " + leaf + " = ") != std::string::npos;
    }
    // cloud.url and live.turn.url share the leaf but not the section.
    EXPECT_EQ(seen, 1) << key;
  }
}

TEST(ConfigValues, Size) {
  const std::pair<const char*, Size> good[] = {{"200GB", {200'000'000'000U, 0}},
                                               {"1.5 TB", {1'500'000'000'000U, 0}},
                                               {"512mib", {512U << 20, 0}},
                                               {"1B", {1, 0}},
                                               {"5%", {0, 5}},
                                               {"0.5%", {0, 0.5}},
                                               {"100%", {0, 100}},
                                               {"6% ", {0, 6}}};
  for (const auto& [text, size] : good) {
    const auto parsed = parse_size(text);
    ASSERT_TRUE(parsed) << text;
    EXPECT_EQ(*parsed, size) << text;
  }
  for (const char* text : {"", "200", "GB", "-1GB", "1XB", "nan%", "inf GB", "1e3GB", "101%", "0%", "0GB",
                           "9999999999TB", "5%%"}) {
    EXPECT_FALSE(parse_size(text)) << text;
  }
}

TEST(ConfigValues, Bandwidth) {
  EXPECT_EQ(parse_bandwidth("20Mbit/s").value(), 20'000'000U);
  EXPECT_EQ(parse_bandwidth("800 kbit/s").value(), 800'000U);
  for (const char* text : {"", "20", "20MB/s", "0Mbit/s", "-1bit/s"})
    EXPECT_FALSE(parse_bandwidth(text)) << text;
}

TEST(ConfigValues, EndpointOfTheCommandLine) {
  EXPECT_EQ(parse_endpoint("localhost:0").value(), (Endpoint{"127.0.0.1", 0}));
  EXPECT_TRUE(parse_endpoint("[::1]:80").value().is_loopback());
  EXPECT_TRUE(parse_endpoint("127.1.2.3:80").value().is_loopback());
  EXPECT_FALSE(parse_endpoint("0.0.0.0:80").value().is_loopback());
  for (const char* text : {"", ":80", "::1:80", "[127.0.0.1]:80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x"}) {
    EXPECT_FALSE(parse_endpoint(text)) << text;
  }
}

TEST(CameraArgument, UserAndPasswordAreTakenOutAndDecodedOnce) {
  const auto camera = parse_camera_argument("front=rtsp://ad%6Din:p%2540@x:y@[2001:db8::1]:8554/s?a=1&b=@");
  ASSERT_TRUE(camera) << camera.error().text;
  EXPECT_EQ(camera->name, "front");
  EXPECT_EQ(camera->url, "rtsp://[2001:db8::1]:8554/s?a=1&b=@");
  EXPECT_EQ(camera->user, "admin");
  EXPECT_EQ(camera->password.reveal(), "p%40@x:y");

  const auto plain = parse_camera_argument("yard=demo:");
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->url, "demo:");
  EXPECT_TRUE(plain->user.empty());
}

TEST(CameraArgument, MistakesDoNotShowThePassword) {
  const std::pair<const char*, const char*> mistakes[] = {
      {"rtsp://u:s3cret@h/s", "--camera is NAME=URL"},
      {"Front=rtsp://u:s3cret@h/s", "--camera"},
      {"front=http://u:s3cret@h/s", "cannot begin with \"http:\""},
      {"front=rtsp://u:s3cret@/s", "no host"},
      {"front=rtsp://u:s3cret/s3cret@h/s", "is written %2F"}};
  for (const auto& [text, says] : mistakes) {
    const auto camera = parse_camera_argument(text);
    ASSERT_FALSE(camera) << text;
    EXPECT_THAT(camera.error().text, HasSubstr(says)) << text;
    EXPECT_THAT(camera.error().text, Not(HasSubstr("s3cret"))) << text;
  }
}

class ConfigFiles : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "miharu-config-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path write(const std::string& name, std::string_view text) const {
    std::ofstream(folder_ / name) << text;
    return folder_ / name;
  }

  std::filesystem::path folder_;
};

TEST_F(ConfigFiles, AMissingFileSaysHowToBegin) {
  const auto config = load_config(folder_ / "miharu.toml");
  ASSERT_FALSE(config);
  EXPECT_THAT(config.error().text, HasSubstr("miharu config sample"));
}

TEST_F(ConfigFiles, CamerasOfTheBrowserAndOfTheCommandLineAreAdded) {
  ConfigSources sources;
  sources.file = write("miharu.toml", "[auth]\nmode = \"none\"\n" + camera_with("transport = \"udp\""));
  sources.cameras_file = write("cameras.toml", "[[camera]]\nname = \"b\"\nurl = \"demo:\"\n");
  sources.listen = Endpoint{"127.0.0.1", 0};
  sources.cameras = {parse_camera_argument("a=demo:a").value(), parse_camera_argument("c=demo:c").value()};
  const auto config = load_config(sources);
  ASSERT_TRUE(config) << config.error().text;
  EXPECT_EQ(config->server.listen, (Endpoint{"127.0.0.1", 0}));
  ASSERT_EQ(config->cameras.size(), 3U);
  EXPECT_EQ(config->cameras[0].url, "demo:a");
  EXPECT_EQ(config->cameras[1].name, "b");
  EXPECT_EQ(config->cameras[2].name, "c");
}

TEST_F(ConfigFiles, ACamerasFileNeedNotExistAndHoldsNothingElse) {
  ConfigSources sources;
  sources.cameras_file = folder_ / "cameras.toml";
  EXPECT_TRUE(load_config(sources));
  sources.cameras_file = write("cameras.toml", "[server]\nlisten = \"0.0.0.0:1\"\n");
  const auto config = load_config(sources);
  ASSERT_FALSE(config);
  EXPECT_THAT(config.error().text,
              HasSubstr("cameras.toml:1:2: the file has no key \"server\". It has camera"));
}

TEST_F(ConfigFiles, ACameraInBothFilesIsAMistakeOfTheSecond) {
  ConfigSources sources;
  sources.file = write("miharu.toml", camera_with(""));
  sources.cameras_file = write("cameras.toml", camera_with(""));
  const auto config = load_config(sources);
  ASSERT_FALSE(config);
  EXPECT_THAT(config.error().text, HasSubstr("cameras.toml:2:8: \"name\": there is a camera \"a\" already"));
  EXPECT_THAT(config.error().text, HasSubstr("miharu.toml:2:8"));
}

TEST_F(ConfigFiles, FormatCamerasIsReadBackAsItWas) {
  CameraConfig camera = parse_camera_argument("front=rtsp://h/s?\"quoted\\path\"").value();
  camera.user = "ad\"min\n";
  camera.password = base::Secret("pw");
  camera.password_file = write("front.password", "pw\n");
  camera.sub_url = "rtsp://h/2";
  camera.transport = Transport::kTcp;
  camera.keep = {std::chrono::milliseconds(1500), 12345U};
  CameraConfig watched = parse_camera_argument("yard=demo:").value();
  watched.on_demand = true;
  watched.record = false;

  const auto text = format_cameras({camera, watched});
  ASSERT_TRUE(text) << text.error().text;
  ConfigSources sources;
  sources.cameras_file = write("cameras.toml", *text);
  const auto config = load_config(sources);
  ASSERT_TRUE(config) << config.error().text;
  EXPECT_THAT(config->cameras, ElementsAre(camera, watched));
}

TEST(FormatCameras, RefusesWhatCannotBeWritten) {
  CameraConfig camera = parse_camera_argument("front=rtsp://u:p@h/s").value();
  EXPECT_FALSE(format_cameras({camera}));
  camera = parse_camera_argument("front=rtsp://h/${AWS_SECRET_ACCESS_KEY}").value();
  EXPECT_FALSE(format_cameras({camera}));
}

}  // namespace
}  // namespace miharu::app
