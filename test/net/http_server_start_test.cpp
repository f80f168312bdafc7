// Why a server does not start: the error is for a person.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "net/http_server.h"
#include "support/temp_dir.h"

namespace miharu::net {
namespace {

using testing::HasSubstr;

TEST(HttpServerStart, AnErrorNamesWhatIsWrong) {
  const test::TempDir folder;
  const std::string no_pem = folder.path() / "no.pem";
  const std::string missing = folder.path() / "missing.pem";
  ASSERT_TRUE(base::write_file(no_pem, base::as_bytes("no certificate\n")));
  EventLoop loop("start");
  loop.start();
  HttpServer taken(loop, {}, {});
  ASSERT_TRUE(taken.start());
  const std::string used = "127.0.0.1:" + std::to_string(taken.port());

  struct Case {
    std::string listen;
    std::string cert;
    std::string key;
    const char* text;
  };
  for (const Case& c : {
           Case{"127.0.0.1:0", no_pem, "", "both tls_cert and tls_key"},
           Case{"127.0.0.1:0", "", no_pem, "both tls_cert and tls_key"},
           Case{"127.0.0.1:0", no_pem, no_pem, "must be a PEM certificate chain"},
           Case{"127.0.0.1:0", missing, no_pem, "missing.pem"},
           Case{"127.0.0.1", "", "", "the port is missing"},
           Case{"127.0.0.1:65536", "", "", "not a number up to 65535"},
           Case{"camera.local:80", "", "", "the address is not one"},
           Case{"::1:80", "", "", "the address is not one"},
           Case{"[127.0.0.1]:80", "", "", "the address is not one"},
           Case{used, "", "", "listen on 127.0.0.1:"},
           Case{"192.0.2.1:0", "", "", "listen on 192.0.2.1:0"},  // of nobody: RFC 5737
       }) {
    HttpServerOptions options;
    options.listen = c.listen;
    options.tls_cert = c.cert;
    options.tls_key = c.key;
    HttpServer server(loop, options, {});
    const auto started = server.start();
    ASSERT_FALSE(started) << c.listen << " " << c.text;
    EXPECT_THAT(started.error().text, HasSubstr(c.text));
    EXPECT_EQ(server.port(), 0);
  }
}

}  // namespace
}  // namespace miharu::net
