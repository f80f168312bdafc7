// Turns the bytes of an unfinished object into its name: what a crash left is kept up to its last whole part.
#pragma once

#include <string>
#include <string_view>

#include "base/bytes.h"
#include "store/object_name.h"

namespace miharu::record {

struct Recovered {
  store::ObjectName name;   // complete, CRC included
  uint64_t size_bytes = 0;  // cut the file here
};

// `head`: what the unfinished file's own name says (run, first seq, container, start). kNotFound when not one
// whole part is there.
base::Result<Recovered> recover_object(base::ByteView bytes, const store::ObjectName& head);

// "front_1795230059123_2fr_1a2b3c_mp4.part" in tmp/.
std::string unfinished_file_name(std::string_view camera, const store::ObjectName& name);
struct UnfinishedFile {
  std::string camera;
  store::ObjectName head;
};
base::Result<UnfinishedFile> parse_unfinished_file_name(std::string_view file_name);

}  // namespace miharu::record
