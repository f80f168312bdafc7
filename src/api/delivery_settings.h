// Which way media take, as the environment of `serve` and of the function says.
//   MIHARU_DELIVERY   proxied   through the server
//                     presigned from the bucket, with MIHARU_PRESIGN_ACCESS_KEY_ID and
//                               MIHARU_PRESIGN_SECRET_ACCESS_KEY, else with the store's own key
//                     cdn       from CloudFront in front of it: MIHARU_CDN_KEY_ID, and the private key as PEM
//                     in
//                               MIHARU_CDN_KEY or in the file MIHARU_CDN_KEY_FILE. MIHARU_CDN_SITE is the
//                               distribution's address (https://cameras.example), any when it is not set
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "api/delivery.h"

namespace miharu::api {

using Variables = std::function<std::optional<std::string>(std::string_view)>;

// Of a bucket. `way`: as MIHARU_DELIVERY, which it goes before unless it is empty; neither: `otherwise`.
// kInvalid says which variable is wrong and what to do.
base::Result<std::unique_ptr<MediaDelivery>> make_delivery(const Variables& variable, std::string_view way,
                                                           std::string_view otherwise,
                                                           const s3::Bucket& bucket,
                                                           const s3::Credentials& key);

}  // namespace miharu::api
