#include "api/assets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/asset_table.h"

namespace miharu::api {
namespace {

using testing::HasSubstr;

std::string field(const net::HttpResponse& response, std::string_view name) {
  for (const auto& [key, value] : response.headers) {
    if (key == name) return value;
  }
  return {};
}

TEST(Assets, ThePageIsThere) {
  const net::HttpRequest request;
  const auto page = asset_response(request, "");
  ASSERT_EQ(page.status, 200U);
  EXPECT_EQ(field(page, "Content-Type"), "text/html; charset=utf-8");
  EXPECT_EQ(field(page, "Cache-Control"), "no-cache") << "it names the files of this version";
  EXPECT_THAT(field(page, "Content-Security-Policy"), HasSubstr("default-src 'self'"));
  EXPECT_THAT(std::get<std::string>(page.body), HasSubstr("<html"));
  EXPECT_EQ(std::get<std::string>(asset_response(request, "index.html").body),
            std::get<std::string>(page.body));
}

TEST(Assets, EveryFileIsServedWithAType) {
  ASSERT_FALSE(asset_table().empty());
  for (const Asset& asset : asset_table()) {
    const auto response = asset_response({}, asset.path);
    ASSERT_EQ(response.status, 200U) << asset.path;
    EXPECT_EQ(std::get<std::string>(response.body), asset.bytes);
    EXPECT_NE(field(response, "Content-Type"), "application/octet-stream") << asset.path;
    EXPECT_EQ(field(response, "Cache-Control").find("immutable") != std::string::npos,
              asset.path.starts_with("assets/"))
        << asset.path;
    net::HttpRequest again;
    again.headers = {{"If-None-Match", field(response, "ETag")}};
    const auto same = asset_response(again, asset.path);
    EXPECT_EQ(same.status, 304U);
    EXPECT_TRUE(std::holds_alternative<std::monostate>(same.body));
  }
}

TEST(Assets, OtherPathsAreNotThere) {
  for (const char* path :
       {"x", "index.htm", "INDEX.HTML", "assets", "assets/", "../index.html", "index.html/", "/index.html"})
    EXPECT_EQ(asset_response({}, path).status, 404U) << path;
}

}  // namespace
}  // namespace miharu::api
