// The function: playback over a bucket, as `miharu serve` does it (api/store_site.h), an event at a time.
// What it learned stays for the next one as long as Lambda keeps the process.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "api/delivery_settings.h"
#include "api/store_site.h"
#include "api/stored_page.h"
#include "store/bucket_store.h"

namespace miharu::lambda {

// By environment:
//   MIHARU_STORE             s3://bucket/prefix; region, endpoint and credentials as AWS_... say
//   MIHARU_TOKEN_KEY         signing key (base64url of 32 bytes), or MIHARU_TOKEN_KEY_FILE, the file of it
//   MIHARU_DELIVERY          cdn unless it is set; see api/delivery_settings.h for what belongs to it
//   AWS_CA_BUNDLE            authorities in place of the system's
// One request at a time.
class Function {
 public:
  // Errors say which variable is wrong. `clock` must outlive it.
  static base::Result<std::unique_ptr<Function>> make(const api::Variables& variable,
                                                      const base::Clock& clock);

  // Blocks for the store. What is wrong with the event is an answer too.
  std::string handle(std::string_view event);

 private:
  Function(s3::Bucket bucket, s3::Credentials credentials, net::HttpClientOptions http,
           const api::TokenKey& key, std::unique_ptr<api::MediaDelivery> delivery, std::string site_host,
           const base::Clock& clock);
  void put_right(net::HttpRequest& request) const;

  store::BucketStore store_;
  const bool behind_cdn_;
  const std::string site_host_;
  api::StoreSite site_;
  api::StoredPage page_;
};

}  // namespace miharu::lambda
