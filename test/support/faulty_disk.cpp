#include "support/faulty_disk.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include <fmt/format.h>

namespace miharu::test {

namespace fs = std::filesystem;
using base::Status;

namespace {

constexpr uint64_t kPage = 4096;

std::string_view name_of(FaultyDisk::Operation operation) {
  using enum FaultyDisk::Operation;
  switch (operation) {
    case kCreate:
      return "create";
    case kOpen:
      return "open";
    case kMakeDirectories:
      return "make directories";
    case kRename:
      return "rename";
    case kSyncDirectory:
      return "sync directory";
    case kRemove:
      return "remove";
    case kAllocate:
      return "preallocate";
    case kAppend:
      return "write";
    case kTruncate:
      return "truncate";
    case kSync:
      return "sync";
    case kRewrite:
      return "write again";
  }
  return "";
}

}  // namespace

class FaultyDisk::File final : public record::DiskFile {
 public:
  File(FaultyDisk& disk, NodePtr node, std::unique_ptr<record::DiskFile> file)
      : disk_(disk), node_(std::move(node)), file_(std::move(file)) {
    node_->open = true;
  }
  ~File() override { node_->open = false; }

  Status append(std::span<const iovec> pieces, uint64_t total_bytes) override {
    const auto due = disk_.fail_if_due(Operation::kAppend, node_->path, node_.get());
    base::ByteVector bytes;
    bytes.reserve(total_bytes);
    for (const iovec& piece : pieces) {
      const auto* data = static_cast<const std::byte*>(piece.iov_base);
      bytes.insert(bytes.end(), data, data + piece.iov_len);
    }
    if (!due) bytes.resize(disk_.dice_.roll(bytes.size() + 1));
    const iovec whole{bytes.data(), bytes.size()};
    if (auto done = file_->append({&whole, 1}, bytes.size()); !done) return done;
    node_->size += bytes.size();
    if (!due) return due;
    disk_.listener_.wrote(node_->number, node_->size, bytes);
    return {};
  }
  Status allocate(uint64_t size) override {
    if (auto due = disk_.fail_if_due(Operation::kAllocate, node_->path, node_.get()); !due) return due;
    node_->allocated = std::max(node_->allocated, size);
    return {};  // not for real: the tests need no room that they do not use
  }
  Status truncate(uint64_t size) override {
    if (auto due = disk_.fail_if_due(Operation::kTruncate, node_->path, node_.get()); !due) return due;
    Node& node = *node_;
    if (size < node.durable_size) {
      base::ByteVector tail(node.durable_size - size);
      if (file_->readable()->read_at(size, tail)) node.cut_tail = std::move(tail);
      node.durable_size = size;
    }
    if (auto done = file_->truncate(size); !done) return done;
    node.size = size;
    node.lost_to = std::min(node.lost_to, size);
    return {};
  }
  Status sync() override {
    Node& node = *node_;
    if (auto due = disk_.fail_if_due(Operation::kSync, node.path, &node); !due) {
      if (node.size > node.durable_size && disk_.dice_.once_in(2)) {
        node.lost_from =
            node.lost_from < node.lost_to ? std::min(node.lost_from, node.durable_size) : node.durable_size;
        node.lost_to = node.size;
      }
      return due;
    }
    node.durable_size = node.size;
    node.cut_tail.clear();
    return {};
  }
  Status rewrite(base::ByteView bytes) override {
    Node& node = *node_;
    if (auto due = disk_.fail_if_due(Operation::kRewrite, node.path, &node); !due) return due;
    if (auto done = file_->rewrite(bytes); !done) return done;
    if (node.lost_from < node.lost_to) node.durable_size = std::min(node.durable_size, node.lost_from);
    node.lost_from = std::max<uint64_t>(node.lost_from, bytes.size());
    return {};
  }
  void drop_cache() override {}
  std::shared_ptr<const base::File> readable() const override { return file_->readable(); }

 private:
  FaultyDisk& disk_;
  NodePtr node_;
  std::unique_ptr<record::DiskFile> file_;
};

FaultyDisk::FaultyDisk(fs::path root, Dice& dice, Listener& listener)
    : disk_(record::make_system_disk()), graves_(root / "graves"), dice_(dice), listener_(listener) {
  fs::create_directories(graves_);
}
FaultyDisk::~FaultyDisk() = default;

FaultyDisk::NodePtr FaultyDisk::node_of(const fs::path& path) {
  for (const NodePtr& node : nodes_) {
    if (node->path == path) return node;
  }
  return nullptr;
}

FaultyDisk::NodePtr FaultyDisk::make_node(const fs::path& path, uint64_t size) {
  auto node = std::make_shared<Node>();
  node->number = ++next_number_;
  node->path = path;
  node->size = node->durable_size = size;
  nodes_.push_back(node);
  return node;
}

Status FaultyDisk::fail_if_due(Operation operation, const fs::path& path, Node* node) {
  ++operations_;
  if (const int error = listener_.fault(operation, path); error != 0) {
    if (node) node->fault = true;
    return tl::unexpected(base::system_error(fmt::format("{} {}", name_of(operation), path.string()), error));
  }
  return {};
}

void FaultyDisk::forget_durable() {
  nodes_.remove_if([](const NodePtr& node) {
    return !node->open && node->changes.empty() && node->durable_size == node->size &&
           node->lost_from >= node->lost_to && node->cut_tail.empty();
  });
}

base::Result<std::unique_ptr<record::DiskFile>> FaultyDisk::create(const fs::path& path) {
  if (auto due = fail_if_due(Operation::kCreate, path, nullptr); !due) return tl::unexpected(due.error());
  auto file = disk_->create(path);
  if (!file) return file;
  const NodePtr node = make_node(path, 0);
  node->changes.push_back({{}, path});
  return std::make_unique<File>(*this, node, std::move(*file));
}

base::Result<std::unique_ptr<record::DiskFile>> FaultyDisk::open_existing(const fs::path& path) {
  if (auto due = fail_if_due(Operation::kOpen, path, nullptr); !due) return tl::unexpected(due.error());
  auto file = disk_->open_existing(path);
  if (!file) return file;
  NodePtr node = node_of(path);
  if (!node) {
    const auto size = (*file)->readable()->size();
    if (!size) return tl::unexpected(size.error());
    node = make_node(path, *size);
  }
  return std::make_unique<File>(*this, node, std::move(*file));
}

Status FaultyDisk::make_directories(const fs::path& path) {
  if (auto due = fail_if_due(Operation::kMakeDirectories, path, nullptr); !due) return due;
  return disk_->make_directories(path);
}

Status FaultyDisk::rename(const fs::path& from, const fs::path& to) {
  NodePtr node = node_of(from);
  if (auto due = fail_if_due(Operation::kRename, from, node.get()); !due) return due;
  if (auto done = disk_->rename(from, to); !done) return done;
  if (const NodePtr before = node_of(to)) nodes_.remove(before);
  if (!node) node = make_node(from, fs::file_size(to));
  node->path = to;
  node->changes.push_back({from, to});
  return {};
}

Status FaultyDisk::sync_directory(const fs::path& path) {
  if (auto due = fail_if_due(Operation::kSyncDirectory, path, nullptr); !due) {
    for (const NodePtr& node : nodes_) {
      for (const Node::Change& change : node->changes)
        node->fault |= change.from.parent_path() == path || change.to.parent_path() == path;
    }
    return due;
  }
  if (::access(path.c_str(), F_OK) != 0) return base::fail_system("open directory " + path.string());
  for (const NodePtr& node : nodes_) {
    auto& changes = node->changes;
    const auto last = std::find_if(changes.rbegin(), changes.rend(), [&](const Node::Change& change) {
      return change.from.parent_path() == path || change.to.parent_path() == path;
    });
    changes.erase(changes.begin(), last.base());
    if (changes.empty() && node->path.empty() && !node->grave.empty())
      fs::remove(std::exchange(node->grave, {}));
  }
  forget_durable();
  return {};
}

Status FaultyDisk::remove(const fs::path& path) {
  NodePtr node = node_of(path);
  if (auto due = fail_if_due(Operation::kRemove, path, node.get()); !due) return due;
  const fs::path grave = graves_ / std::to_string(next_grave_++);
  if (auto done = disk_->rename(path, grave); !done) return done;
  if (!node) node = make_node(path, fs::file_size(grave));
  node->path.clear();
  node->grave = grave;
  node->changes.push_back({path, {}});
  return {};
}

void FaultyDisk::process_ended() {
  for (const NodePtr& node : nodes_) {
    node->lost_from = UINT64_MAX;
    node->lost_to = 0;
  }
}

bool FaultyDisk::is_durable(uint64_t file, uint64_t end) const {
  for (const NodePtr& node : nodes_) {
    if (node->number != file) continue;
    if (node->path.empty()) return false;
    const bool created = std::none_of(node->changes.begin(), node->changes.end(),
                                      [](const Node::Change& change) { return change.from.empty(); });
    const bool lost = node->lost_from < node->lost_to && node->lost_from < end;
    return created && end <= node->durable_size && !lost;
  }
  return true;
}

bool FaultyDisk::had_fault(uint64_t file) const {
  return std::any_of(nodes_.begin(), nodes_.end(),
                     [file](const NodePtr& node) { return node->number == file && node->fault; });
}

std::string FaultyDisk::power_cut() {
  std::string report;
  for (const NodePtr& node : nodes_) {
    const fs::path before = node->path;
    undo(*node);
    if (node->path.empty() || !fs::exists(node->path)) continue;
    tear(*node);
    report += fmt::format(" {} ({} of {} bytes synced)", node->path.filename().string().substr(0, 60),
                          node->durable_size, node->size);
  }
  nodes_.clear();
  for (const auto& grave : fs::directory_iterator(graves_)) fs::remove(grave);
  return report;
}

void FaultyDisk::undo(Node& node) {
  for (uint64_t keep = dice_.roll(node.changes.size() + 1); node.changes.size() > keep;
       node.changes.pop_back()) {
    const Node::Change& change = node.changes.back();
    std::error_code error;
    if (change.from.empty()) {
      fs::remove(change.to, error);
      node.path.clear();
    } else if (change.to.empty()) {
      fs::rename(node.grave, change.from, error);
      node.path = change.from;
    } else if (fs::exists(change.to)) {  // retention may have deleted it for good
      fs::rename(change.to, change.from, error);
      node.path = change.from;
    }
  }
}

void FaultyDisk::tear(const Node& node) {
  auto file = base::File::open(node.path, O_RDWR);
  if (!file) return;
  const auto put = [&](uint64_t from, base::ByteView bytes) {
    if (::pwrite(file->fd(), bytes.data(), bytes.size(), static_cast<off_t>(from)) < 0) std::abort();
  };
  const auto cut = [&](uint64_t size) {
    if (::ftruncate(file->fd(), static_cast<off_t>(size)) != 0) std::abort();
  };
  if (node.lost_from < node.lost_to) put(node.lost_from, base::ByteVector(node.lost_to - node.lost_from));
  if (!node.cut_tail.empty() && dice_.once_in(2)) {
    put(node.size, node.cut_tail);
    return;
  }
  if (node.size <= node.durable_size) return;
  const uint64_t unsynced = node.size - node.durable_size;
  const uint64_t kept = node.durable_size + dice_.roll(unsynced + 1);
  switch (dice_.roll(5)) {
    case 0:  // nothing of it reached the disk
      cut(node.durable_size);
      break;
    case 1:
      cut(kept);
      break;
    case 2: {  // the length did, and the rest is preallocation
      cut(kept);
      cut(std::max(node.size, kept + dice_.roll(64 * kPage)));
      break;
    }
    case 3: {  // each page is there, or zeros, or what lay there before
      for (uint64_t page = node.durable_size / kPage * kPage; page < node.size; page += kPage) {
        const uint64_t from = std::max(page, node.durable_size);
        const uint64_t to = std::min(page + kPage, node.size);
        const uint64_t fate = dice_.roll(4);
        if (fate < 2) continue;
        base::ByteVector bytes(to - from);
        if (fate == 3) {
          for (std::byte& byte : bytes) byte = static_cast<std::byte>(dice_.roll(256));
        }
        put(from, bytes);
      }
      break;
    }
    default:
      break;
  }
}

}  // namespace miharu::test
