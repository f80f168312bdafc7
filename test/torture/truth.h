// What was handed to the recorders, and what of it must be in the store.
#pragma once

#include <deque>
#include <map>
#include <string>
#include <vector>

#include "base/clock.h"
#include "store/directory_store.h"
#include "store/object_name.h"
#include "support/faulty_disk.h"
#include "torture/content.h"

namespace miharu::torture {

// A frame of video. Sound is judged by its neighbours (see Truth::check_sound).
struct TrueFrame {
  uint32_t number = 0;
  uint32_t size_bytes = 0;
  base::UtcTime pts;
  base::nanoseconds fed{};  // on the steady clock
  bool excused = false;     // trouble was on, or this was fed so soon after it that it may be missing
  bool written = false;     // it lay in a file whole
  bool promised = false;    // it must be found for ever
  bool luck = false;        // a power cut came before it was durable: it may be there or not
  bool gone = false;        // it may be missing, for a reason that is known
  uint64_t file = 0;
  uint64_t file_end = 0;
  base::nanoseconds written_at{};  // on the disk's clock, which stands still while the disk is stalled
};

struct TrueSound {
  base::UtcTime dts;
  uint32_t size_bytes = 0;
};

struct CheckedObject {
  store::ObjectName name;
  uint64_t stamp = 0;  // changes with the file
  std::vector<FrameId> video;
  std::vector<FrameId> sound;
};

class CameraTruth {
 public:
  CameraTruth(uint8_t number, std::string name) : number_(number), name_(std::move(name)) {}

  TrueFrame& fed(uint32_t size_bytes, base::UtcTime pts, base::nanoseconds now);
  FrameId fed_sound(uint32_t size_bytes, base::UtcTime dts);
  [[nodiscard]] TrueFrame* find(uint32_t number);
  // Forgets the frames that are known to be gone.
  void forget_gone();

  [[nodiscard]] uint8_t number() const { return number_; }
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] uint32_t next() const { return next_; }
  std::map<uint32_t, TrueFrame>& frames() { return frames_; }
  [[nodiscard]] const TrueSound* sound(uint32_t number) const {
    return number >= first_sound_ && number - first_sound_ < sound_.size() ? &sound_[number - first_sound_]
                                                                           : nullptr;
  }

  std::map<std::string, CheckedObject> objects;  // by key
  std::map<uint64_t, uint64_t> deleted;  // numbers of chunks that retention deleted: the first, and the end
  uint32_t written_to = 0;               // frames before this were written or skipped

 private:
  uint8_t number_;
  std::string name_;
  std::map<uint32_t, TrueFrame> frames_;  // by number
  uint32_t next_ = 0;
  std::deque<TrueSound> sound_;
  uint32_t first_sound_ = 0;
};

// Reads what is new or changed in the store and compares everything with the truth. Gives what is wrong.
// `unfinished`: files of the camera wait in tmp/, so that frames may be there that no object holds yet.
std::vector<std::string> check_camera(store::DirectoryStore& store, CameraTruth& truth, bool read_all,
                                      bool unfinished);

}  // namespace miharu::torture
