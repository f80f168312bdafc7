// How the files of the page are sent, wherever they lie: in the program, in a bucket, at a CDN.
#pragma once

#include <string>
#include <string_view>

namespace miharu::api {

std::string_view page_file_type(std::string_view path);  // the content type, by the ending
// Names under assets/ carry a hash of their content; the others are asked for again each time.
std::string_view page_file_caching(std::string_view path);
// Content-Security-Policy of the page. `media_origin`: where media come from, if that is elsewhere
// ("https://bucket.example").
std::string page_content_policy(std::string_view media_origin = {});

}  // namespace miharu::api
