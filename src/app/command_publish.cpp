// publish: the page into the bucket, below app/, for a CDN or the function to hand out.
#include <csignal>
#include <cstdio>
#include <vector>

#include <fmt/format.h>

#include "api/asset_table.h"
#include "api/page_files.h"
#include "app/commands.h"
#include "app/store_access.h"
#include "s3/client.h"

namespace miharu::app {

int publish_command(const PublishArguments& arguments) {
  std::signal(SIGPIPE, SIG_IGN);
  if (!arguments.store.starts_with("s3://")) {
    return report_error(
        {base::Errc::kInvalid,
         "--store is a bucket here: s3://bucket/prefix; `miharu serve` over a directory has the "
         "page in itself"});
  }
  auto access = open_bucket(arguments.store);
  if (!access) return report_error(access.error());
  // What the .html files name is there before they are.
  std::vector<api::Asset> files;
  for (const bool html : {false, true}) {
    for (const api::Asset& asset : api::asset_table()) {
      if (asset.path.ends_with(".html") == html) files.push_back(asset);
    }
  }
  s3::Client client(access->bucket, access->credentials, access->http);
  uint64_t bytes = 0;
  for (const api::Asset& file : files) {
    s3::PutOptions options;
    options.create_only = false;
    options.content_type = api::page_file_type(file.path);
    options.cache_control = api::page_file_caching(file.path);
    const auto done = client.put("app/" + std::string(file.path), std::string(file.bytes), options);
    if (!done) {
      return report_error(done.error().error().in(
          fmt::format("{}/app/{}, which takes an administrator's key", client.bucket().url(), file.path)));
    }
    bytes += file.bytes.size();
  }
  fmt::print("published {} files of the page, {} bytes, to {}/app/\n", files.size(), bytes,
             client.bucket().url());
  return kDone;
}

}  // namespace miharu::app
