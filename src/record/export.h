// One MP4 file of an interval, cut exactly at both ends, pictures as they were recorded.
#pragma once

#include <functional>
#include <string>

#include "base/clock.h"
#include "media/mp4_file.h"
#include "store/catalog.h"
#include "store/object_store.h"

namespace miharu::record {

struct ExportReport {
  uint64_t bytes = 0;
  uint64_t frames = 0;  // in the file, those hidden by the edit list included
  uint64_t objects = 0;
};

// Of the first and the last object only the chunks that are needed are read; each is read twice. Blocking.
// `progress` is told (bytes written, bytes in all) and may return false to give up (kClosed).
// kNotFound when nothing was recorded in [from, to).
base::Result<ExportReport> export_mp4(store::ObjectStore& store, store::Footage& catalog,
                                      std::string_view camera, base::UtcTime from, base::UtcTime to,
                                      const media::Mp4FileWriter::Sink& sink,
                                      const std::function<bool(uint64_t, uint64_t)>& progress);

}  // namespace miharu::record
