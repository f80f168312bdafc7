// A small independent reader of media playlists: what a player would make of the text. Knows only the tags it
// is shown.
#pragma once

#include <cstdint>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/clock.h"

namespace miharu::test {

struct ReadSegment {
  std::string uri;
  std::string map;  // the attribute list in force
  int64_t duration_ms = -1;
  uint64_t size_bytes = 0;
  uint64_t offset = 0;
  bool range = false;
  bool discontinuity = false;
  std::optional<base::UtcTime> date;
};

struct ReadPlaylist {
  int version = 0;
  int64_t target_seconds = 0;
  uint64_t media_sequence = 0;
  uint64_t discontinuity_sequence = 0;
  std::string start;
  bool independent = false;
  bool iframes_only = false;
  bool vod = false;
  bool ended = false;
  std::vector<ReadSegment> segments;
};

// Throws std::runtime_error on anything unknown, doubled or out of place.
inline ReadPlaylist read_playlist(const std::string& text) {
  ReadPlaylist list;
  ReadSegment next;
  std::string map;
  std::istringstream lines(text);
  std::string line;
  const auto need = [&line](bool good) {
    if (!good) throw std::runtime_error("playlist: " + line);
  };
  if (!std::getline(lines, line) || line != "#EXTM3U" || text.back() != '\n')
    throw std::runtime_error("not a playlist");
  while (std::getline(lines, line)) {
    const size_t colon = line[0] == '#' ? line.find(':') : std::string::npos;
    const std::string tag = line.substr(0, colon);
    const std::string value = colon == std::string::npos ? "" : line.substr(colon + 1);
    need(!list.ended);
    if (tag == "#EXT-X-VERSION") {
      list.version = std::stoi(value);
    } else if (tag == "#EXT-X-TARGETDURATION") {
      list.target_seconds = std::stoll(value);
    } else if (tag == "#EXT-X-MEDIA-SEQUENCE") {
      need(list.segments.empty());
      list.media_sequence = std::stoull(value);
    } else if (tag == "#EXT-X-DISCONTINUITY-SEQUENCE") {
      need(list.segments.empty() && !next.discontinuity);
      list.discontinuity_sequence = std::stoull(value);
    } else if (tag == "#EXT-X-START") {
      need(list.start.empty() && list.segments.empty());
      list.start = value;
    } else if (tag == "#EXT-X-INDEPENDENT-SEGMENTS") {
      list.independent = true;
    } else if (tag == "#EXT-X-SERVER-CONTROL" || tag == "#EXT-X-PART-INF" || tag == "#EXT-X-PART" ||
               tag == "#EXT-X-PRELOAD-HINT" || tag == "#EXT-X-SKIP") {
      // Parts are for live_playlist_test.cpp; an ordinary player passes over them.
    } else if (tag == "#EXT-X-I-FRAMES-ONLY") {
      list.iframes_only = true;
    } else if (tag == "#EXT-X-PLAYLIST-TYPE") {
      need(value == "VOD");
      list.vod = true;
    } else if (tag == "#EXT-X-ENDLIST") {
      list.ended = true;
    } else if (tag == "#EXT-X-DISCONTINUITY") {
      need(!next.discontinuity);
      next.discontinuity = true;
    } else if (tag == "#EXT-X-MAP") {
      map = value;
    } else if (tag == "#EXT-X-PROGRAM-DATE-TIME") {
      need(!next.date);
      next.date = base::parse_time(value, {}).value();
    } else if (tag == "#EXTINF") {
      const size_t dot = value.find('.');
      need(next.duration_ms < 0 && dot != std::string::npos && value.size() == dot + 5 &&
           value.back() == ',');
      next.duration_ms = std::stoll(value.substr(0, dot)) * 1000 + std::stoll(value.substr(dot + 1, 3));
    } else if (tag == "#EXT-X-BYTERANGE") {
      need(!next.range && value.find('@') != std::string::npos);
      next.range = true;
      next.size_bytes = std::stoull(value);
      next.offset = std::stoull(value.substr(value.find('@') + 1));
    } else {
      need(!line.empty() && line[0] != '#' && next.duration_ms >= 0 &&
           (next.duration_ms + 500) / 1000 <= list.target_seconds);
      next.uri = line;
      next.map = map;
      list.segments.push_back(next);
      next = {};
    }
  }
  return list;
}

}  // namespace miharu::test
