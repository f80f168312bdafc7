#include "s3/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace miharu::s3 {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr std::string_view kHead =
    R"(<LifecycleConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">)";

TEST(Settings, ALifecycleIsWhatTheApiTakes) {
  LifecycleRule expire{"miharu/r1/recordings", "home/r1/rec/"};
  expire.expire_days = 30;
  expire.noncurrent_days = 7;
  expire.abort_days = 1;
  LifecycleRule markers{"miharu/markers", "home/"};
  markers.delete_markers = true;
  const auto text = lifecycle_xml("", std::vector{expire, markers});
  ASSERT_TRUE(text) << text.error().text;
  EXPECT_EQ(*text,
            std::string(kHead) +
                "<Rule><ID>miharu/r1/recordings</ID><Status>Enabled</Status>"
                "<Filter><Prefix>home/r1/rec/</Prefix></Filter><Expiration><Days>30</Days></Expiration>"
                "<NoncurrentVersionExpiration><NoncurrentDays>7</NoncurrentDays>"
                "</NoncurrentVersionExpiration><AbortIncompleteMultipartUpload>"
                "<DaysAfterInitiation>1</DaysAfterInitiation></AbortIncompleteMultipartUpload></Rule>"
                "<Rule><ID>miharu/markers</ID><Status>Enabled</Status>"
                "<Filter><Prefix>home/</Prefix></Filter>"
                "<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>"
                "</Rule></LifecycleConfiguration>");
}

TEST(Settings, RulesOfOthersStayAndOursAreReplaced) {
  const std::string before =
      std::string(kHead) +
      "<Rule><ID>logs</ID><Status>Enabled</Status></Rule><Rule><ID>miharu/r1/recordings</ID></Rule>"
      "<Rule><ID>miharu/r1/recordings/front</ID></Rule><Rule><ID>miharu/r10/recordings</ID></Rule>"
      "</LifecycleConfiguration>";
  LifecycleRule rule{"miharu/r1/recordings", "r1/rec/"};
  rule.expire_days = 90;
  const auto text = lifecycle_xml(before, std::vector{rule},
                                  [](std::string_view id) { return id == "miharu/r1/recordings/front"; });
  ASSERT_TRUE(text) << text.error().text;
  EXPECT_THAT(*text, HasSubstr("<ID>logs</ID>"));
  EXPECT_THAT(*text, HasSubstr("<ID>miharu/r10/recordings</ID>"));
  EXPECT_THAT(*text, Not(HasSubstr("recordings/front")));
  EXPECT_EQ(text->find("<ID>miharu/r1/recordings</ID>"), text->rfind("<ID>miharu/r1/recordings</ID>"));
  EXPECT_THAT(*text, HasSubstr("<Days>90</Days>"));
  EXPECT_EQ(lifecycle_ids(before).value(),
            (std::vector<std::string>{"logs", "miharu/r1/recordings", "miharu/r1/recordings/front",
                                      "miharu/r10/recordings"}));
  EXPECT_TRUE(lifecycle_ids("").value().empty());
}

TEST(Settings, WhatIsNoSuchSettingIsLeftAlone) {
  EXPECT_EQ(lifecycle_xml("<html/>", {}).error().code, base::Errc::kMalformed);
  EXPECT_EQ(lifecycle_xml("<Lifecy", {}).error().code, base::Errc::kMalformed);
  EXPECT_EQ(lifecycle_ids("<Lifecy").error().code, base::Errc::kMalformed);
  EXPECT_EQ(cors_xml(*lifecycle_xml("", {}), {}).error().code, base::Errc::kMalformed);
}

TEST(Settings, CorsIsWhatTheApiTakes) {
  const CorsRule rule{"miharu", {"https://a"}, {"GET", "HEAD"}, {"range"}, {"ETag"}, 3000};
  const auto text = cors_xml("<CORSConfiguration><CORSRule><ID>other</ID></CORSRule></CORSConfiguration>",
                             std::vector{rule});
  ASSERT_TRUE(text) << text.error().text;
  EXPECT_EQ(*text,
            "<CORSConfiguration><CORSRule><ID>other</ID></CORSRule><CORSRule><ID>miharu</ID>"
            "<AllowedOrigin>https://a</AllowedOrigin><AllowedMethod>GET</AllowedMethod>"
            "<AllowedMethod>HEAD</AllowedMethod><AllowedHeader>range</AllowedHeader>"
            "<ExposeHeader>ETag</ExposeHeader><MaxAgeSeconds>3000</MaxAgeSeconds></CORSRule>"
            "</CORSConfiguration>");
}

}  // namespace
}  // namespace miharu::s3
