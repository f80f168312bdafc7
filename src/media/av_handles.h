// Owning pointers for the FFmpeg libraries, and their error numbers as our errors.
#pragma once

#include <memory>
#include <string_view>

extern "C" {
#include <libavcodec/avcodec.h>
#include <libswresample/swresample.h>
}

#include "base/error.h"

namespace miharu::media {

struct AvDelete {
  void operator()(AVCodecContext* context) const { avcodec_free_context(&context); }
  void operator()(AVFrame* frame) const { av_frame_free(&frame); }
  void operator()(AVPacket* packet) const { av_packet_free(&packet); }
  void operator()(SwrContext* context) const { swr_free(&context); }
};
template <class T>
using AvPtr = std::unique_ptr<T, AvDelete>;

// libavcodec writes to stderr about every damaged packet; what matters comes back as error numbers. For the
// whole process.
inline void silence_av_log() {
  av_log_set_level(AV_LOG_QUIET);
}

inline tl::unexpected<base::Error> fail_av(std::string_view what, int error_number) {
  char reason[AV_ERROR_MAX_STRING_SIZE] = {};
  av_strerror(error_number, reason, sizeof reason);
  return base::fail(base::Errc::kInternal, std::string(what) + ": " + reason);
}

}  // namespace miharu::media
