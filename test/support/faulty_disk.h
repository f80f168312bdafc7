// A disk over a real folder that fails by a schedule of chance, and that forgets what was not synced when the
// power is cut (the way of leveldb's FaultInjectionTestEnv, with torn blocks besides).
#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <random>
#include <string>

#include "record/disk.h"

namespace miharu::test {

// All chance of a run comes from one of these. Not std::uniform_int_distribution: its numbers differ between
// libraries.
class Dice {
 public:
  explicit Dice(uint64_t seed) : engine_(seed) {}
  // 0 .. below - 1
  uint64_t roll(uint64_t below) { return below == 0 ? 0 : engine_() % below; }
  int64_t between(int64_t first, int64_t last) {
    return first + static_cast<int64_t>(roll(static_cast<uint64_t>(last - first + 1)));
  }
  bool once_in(uint64_t times) { return roll(times) == 0; }

 private:
  std::mt19937_64 engine_;
};

// Single-threaded, as the run is. It assumes of the file system below what ext4, XFS and btrfs give: a rename
// is whole or did not happen, an entry is durable once its folder was synced, bytes once their file was.
class FaultyDisk final : public record::Disk {
 public:
  enum class Operation : uint8_t {
    kCreate,
    kOpen,
    kMakeDirectories,
    kRename,
    kSyncDirectory,
    kRemove,
    kAllocate,
    kAppend,
    kTruncate,
    kSync,
    kRewrite
  };
  struct Listener {
    virtual ~Listener() = default;
    // 0, or the errno with which the operation is to fail. An append then writes a part of its bytes.
    virtual int fault(Operation operation, const std::filesystem::path& path) = 0;
    // An append that succeeded: these bytes end at `end` of the file. `file` stays its number whatever its
    // name becomes.
    virtual void wrote(uint64_t file, uint64_t end, base::ByteView bytes) = 0;
  };

  FaultyDisk(std::filesystem::path root, Dice& dice, Listener& listener);
  ~FaultyDisk() override;

  base::Result<std::unique_ptr<record::DiskFile>> create(const std::filesystem::path& path) override;
  base::Result<std::unique_ptr<record::DiskFile>> open_existing(const std::filesystem::path& path) override;
  base::Status make_directories(const std::filesystem::path& path) override;
  base::Status rename(const std::filesystem::path& from, const std::filesystem::path& to) override;
  base::Status sync_directory(const std::filesystem::path& path) override;
  base::Status remove(const std::filesystem::path& path) override;

  // Makes the folder look as after a power cut. No file may be open any more. Gives what it did, for a
  // person.
  std::string power_cut();
  // The process ended: what was written stays in the page cache and will reach the disk.
  void process_ended();
  // Whether a power cut now would leave the file's first `end` bytes.
  [[nodiscard]] bool is_durable(uint64_t file, uint64_t end) const;
  // Whether something failed that concerned the file since it was last durable as a whole.
  [[nodiscard]] bool had_fault(uint64_t file) const;
  // Something happened that is no fault of an operation, such as a mount that went away.
  void blame_all() {
    for (const NodePtr& node : nodes_) node->fault = true;
  }
  [[nodiscard]] uint64_t operations() const { return operations_; }
  [[nodiscard]] size_t remembered() const { return nodes_.size(); }

 private:
  class File;
  // What is known of one file, whatever its name is: kept until all of it is durable.
  struct Node {
    uint64_t number = 0;
    bool fault = false;
    std::filesystem::path path;  // as it is now; empty when removed
    uint64_t size = 0;
    uint64_t allocated = 0;
    uint64_t durable_size = 0;
    // After a sync that failed its pages count as clean but are not on disk: these bytes, unless written
    // again.
    uint64_t lost_from = UINT64_MAX;
    uint64_t lost_to = 0;
    base::ByteVector cut_tail;  // durable bytes behind `size`, cut off by a truncation that is not synced
    bool open = false;
    struct Change {
      std::filesystem::path from;  // empty: created
      std::filesystem::path to;    // empty: removed, and the bytes lie in the grave
    };
    std::list<Change> changes;  // of its name that are not durable, oldest first
    std::filesystem::path grave;
  };
  using NodePtr = std::shared_ptr<Node>;
  NodePtr node_of(const std::filesystem::path& path);
  NodePtr make_node(const std::filesystem::path& path, uint64_t size);
  base::Status fail_if_due(Operation operation, const std::filesystem::path& path, Node* node);
  void forget_durable();
  void undo(Node& node);
  void tear(const Node& node);

  std::unique_ptr<record::Disk> disk_;
  std::filesystem::path graves_;
  Dice& dice_;
  Listener& listener_;
  std::list<NodePtr> nodes_;
  uint64_t operations_ = 0;
  uint64_t next_number_ = 0;
  uint64_t next_grave_ = 0;
};

}  // namespace miharu::test
