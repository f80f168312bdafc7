#include "store/spooled_store.h"

#include <unistd.h>

#include <fcntl.h>

namespace miharu::store {

base::Result<std::unique_ptr<SpooledStore>> SpooledStore::make(ObjectStore& store,
                                                               const std::filesystem::path& folder) {
  auto spool = base::File::open(folder, O_TMPFILE | O_RDWR, 0600);
  if (!spool) return tl::unexpected(std::move(spool.error()).in("make a file for what is fetched"));
  return std::unique_ptr<SpooledStore>(new SpooledStore(store, std::move(*spool)));
}

base::Result<base::ByteVector> SpooledStore::get(std::string_view key, uint64_t offset, uint64_t length) {
  const std::tuple asked{std::string(key), offset, length};
  if (const auto found = pieces_.find(asked); found != pieces_.end()) {
    base::ByteVector bytes(found->second.size_bytes);
    if (auto read = spool_.read_at(found->second.at, bytes); !read) return tl::unexpected(read.error());
    return bytes;
  }
  auto bytes = store_.get(key, offset, length);
  if (!bytes) return bytes;
  for (uint64_t done = 0; done < bytes->size();) {
    const auto written =
        ::pwrite(spool_.fd(), bytes->data() + done, bytes->size() - done, static_cast<off_t>(end_ + done));
    if (written < 0) return base::fail_system("keep what was fetched");
    done += static_cast<uint64_t>(written);
  }
  pieces_.emplace(asked, Piece{end_, bytes->size()});
  end_ += bytes->size();
  return bytes;
}

}  // namespace miharu::store
