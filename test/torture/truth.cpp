#include "torture/truth.h"

#include <sys/stat.h>

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "record/verify.h"

namespace miharu::torture {
namespace {

using base::milliseconds;
using base::seconds;
using base::UtcTime;
using Wrong = std::vector<std::string>;

uint64_t stamp_of(const std::filesystem::path& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return 0;
  return static_cast<uint64_t>(info.st_mtim.tv_sec) * 1'000'000'007U +
         static_cast<uint64_t>(info.st_mtim.tv_nsec) + static_cast<uint64_t>(info.st_size) * 31 +
         info.st_ino * 1'000'003U;
}

CheckedObject read_object(store::DirectoryStore& store, const std::string& key, uint64_t stamp,
                          Wrong& wrong) {
  CheckedObject object;
  object.stamp = stamp;
  auto name = store::decode_name(std::string_view(key).substr(key.rfind('/') + 1));
  if (!name) {
    wrong.push_back(key + ": its name cannot be read");
    return object;
  }
  object.name = *name;
  const auto bytes = store.get(key, 0, UINT64_MAX);
  if (!bytes) {
    wrong.push_back(key + ": " + bytes.error().to_string());
    return object;
  }
  Wrong found;
  uint64_t frames = 0;
  found = record::check_object(*name, *bytes, &frames);
  const auto ids = name->container == store::Container::kFmp4
                       ? find_payloads(*bytes, &found)
                       : find_payloads(unpack_mpegts(*bytes, &found), &found);
  for (const FrameId& id : ids) (id.video ? object.video : object.sound).push_back(id);
  // Pictures that are none of ours would be counted here.
  if (frames != object.video.size())
    found.push_back(fmt::format("{} pictures, of which {} are known", frames, object.video.size()));
  for (const std::string& text : found) wrong.push_back(key + ": " + text);
  return object;
}

void check_video(const std::string& key, const CheckedObject& object, CameraTruth& truth, Wrong& wrong) {
  const auto say = [&](std::string text) { wrong.push_back(key + ": " + std::move(text)); };
  if (object.video.empty()) {
    say("no picture in it");
    return;
  }
  for (size_t i = 1; i < object.video.size(); ++i) {
    if (object.video[i].number != object.video[i - 1].number + 1)
      say(fmt::format("frame {} stands behind frame {}", object.video[i].number, object.video[i - 1].number));
  }
  for (const FrameId& id : object.video) {
    const TrueFrame* frame = truth.find(id.number);
    if (id.camera != truth.number() || !frame || frame->size_bytes != id.size_bytes) {
      say(fmt::format("frame {} of camera {} does not belong here", id.number, id.camera));
    }
  }
  const TrueFrame* first = truth.find(object.video.front().number);
  const TrueFrame* last = truth.find(object.video.back().number);
  if (!first || !last) return;
  const auto off = object.name.start - first->pts;
  if (off > milliseconds(1) || off < -milliseconds(1))
    say(fmt::format("begins {} ms beside its first frame", off / milliseconds(1)));
  const auto rest = object.name.end() - last->pts;
  if (rest < milliseconds(0) || rest > seconds(10) + milliseconds(2))
    say(fmt::format("ends {} ms behind the start of its last frame", rest / milliseconds(1)));
}

// The sound of one run, `objects` in order.
void check_sound(const std::vector<const CheckedObject*>& objects, const std::string& key,
                 const CameraTruth& truth, CameraTruth& frames, Wrong& wrong) {
  std::optional<uint32_t> before;
  for (const CheckedObject* object : objects) {
    for (const FrameId& id : object->sound) {
      const TrueSound* sound = truth.sound(id.number);
      if (id.camera != truth.number() || (sound && sound->size_bytes != id.size_bytes))
        wrong.push_back(
            fmt::format("{}: sound {} of camera {} does not belong here", key, id.number, id.camera));
      if (before && id.number != *before + 1)
        wrong.push_back(fmt::format("{}: sound {} stands behind {}", key, id.number, *before));
      before = id.number;
    }
  }
  if (!objects.front()->name.has_audio) return;
  const TrueFrame* first = frames.find(objects.front()->video.front().number);
  const TrueFrame* last = frames.find(objects.back()->video.back().number);
  if (!first || !last || last->pts - first->pts < seconds(3)) return;
  const TrueSound* end = before ? truth.sound(*before) : nullptr;
  if (before && !end) return;
  if (!end || last->pts - end->dts > milliseconds(1600))
    wrong.push_back(fmt::format("{}: sound ends {} ms before the pictures do", key,
                                end ? (last->pts - end->dts) / milliseconds(1) : -1));
}

}  // namespace

TrueFrame& CameraTruth::fed(uint32_t size_bytes, UtcTime pts, base::nanoseconds now) {
  TrueFrame frame;
  frame.number = next_++;
  frame.size_bytes = size_bytes;
  frame.pts = pts;
  frame.fed = now;
  return frames_.emplace_hint(frames_.end(), frame.number, frame)->second;
}

FrameId CameraTruth::fed_sound(uint32_t size_bytes, UtcTime dts) {
  sound_.push_back({dts, size_bytes});
  if (sound_.size() > 400'000) {
    sound_.pop_front();
    ++first_sound_;
  }
  return {number_, false, first_sound_ + static_cast<uint32_t>(sound_.size()) - 1, size_bytes};
}

TrueFrame* CameraTruth::find(uint32_t number) {
  const auto found = frames_.find(number);
  return found != frames_.end() ? &found->second : nullptr;
}

void CameraTruth::forget_gone() {
  std::erase_if(frames_, [](const auto& each) { return each.second.gone; });
}

std::vector<std::string> check_camera(store::DirectoryStore& store, CameraTruth& truth, bool read_all,
                                      bool unfinished) {
  Wrong wrong;
  const auto listing = store.list("rec/" + truth.name() + "/", false);
  if (!listing) return {listing.error().to_string()};
  std::map<std::string, CheckedObject> there;
  for (const store::ListedObject& listed : listing->objects) {
    const uint64_t stamp = stamp_of(store.root() / listed.key);
    const auto known = truth.objects.find(listed.key);
    if (!read_all && known != truth.objects.end() && known->second.stamp == stamp) {
      there.insert(*known);
      continue;
    }
    CheckedObject object = read_object(store, listed.key, stamp, wrong);
    check_video(listed.key, object, truth, wrong);
    there.emplace(listed.key, std::move(object));
  }
  truth.objects = std::move(there);

  std::vector<std::pair<const std::string*, const CheckedObject*>> order;
  for (const auto& [key, object] : truth.objects) order.emplace_back(&key, &object);
  std::sort(order.begin(), order.end(),
            [](const auto& a, const auto& b) { return a.second->name.seq < b.second->name.seq; });
  std::vector<const CheckedObject*> run;
  std::set<uint32_t> found;
  const CheckedObject* before = nullptr;
  for (const auto& [key, object] : order) {
    const auto say = [&, where = key](std::string text) { wrong.push_back(*where + ": " + std::move(text)); };
    if (object->video.empty()) continue;
    const store::ObjectName& name = object->name;
    if (before) {
      const uint64_t expected = before->name.seq + before->name.chunks.size();
      const uint32_t gap = object->video.front().number - before->video.back().number;
      if (name.seq < expected) say(fmt::format("the numbers from {} on are given twice", name.seq));
      // A hole in the numbers is there only where retention deleted.
      if (name.seq > expected) {
        uint64_t missing = expected;
        for (auto each = truth.deleted.find(missing); each != truth.deleted.end();
             each = truth.deleted.find(missing))
          missing = each->second;
        if (missing != name.seq) say(fmt::format("{} chunks before it are missing", name.seq - missing));
      } else if (name.run == before->name.run) {
        if (gap != 1)
          say(fmt::format("frames are missing inside of the run, {} to {}", before->video.back().number,
                          object->video.front().number));
        if (name.start != before->name.end()) say("does not begin where the object before it ends");
      }
      if (object->video.front().number <= before->video.back().number)
        say(fmt::format("frame {} comes again or too late", object->video.front().number));
      if (name.run.number < before->name.run.number) say("the run's number goes back");
      if (name.run.number == before->name.run.number && name.run.reason != before->name.run.reason)
        say("one run with two reasons");
    }
    for (const FrameId& id : object->video) {
      if (!found.insert(id.number).second) say(fmt::format("frame {} is there twice", id.number));
    }
    before = object;
  }
  // Sound, run by run.
  for (size_t i = 0; i < order.size(); ++i) {
    if (order[i].second->video.empty()) continue;
    run.push_back(order[i].second);
    const bool ends =
        i + 1 == order.size() || order[i + 1].second->name.run != order[i].second->name.run ||
        order[i + 1].second->name.seq != order[i].second->name.seq + order[i].second->name.chunks.size();
    if (!ends) continue;
    check_sound(run, *order[i].first, truth, truth, wrong);
    run.clear();
  }
  for (auto& [number, frame] : truth.frames()) {
    const bool present = found.contains(number);
    if (frame.promised && !frame.gone && !present && !unfinished)
      wrong.push_back(fmt::format("{}: frame {} is missing, which was promised", truth.name(), number));
    if (present && frame.gone)
      wrong.push_back(fmt::format("{}: frame {} is there, which was known to be gone", truth.name(), number));
    frame.gone |= frame.luck && !present && !unfinished;
  }
  return wrong;
}

}  // namespace miharu::torture
