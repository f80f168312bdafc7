#include "ingest/demo/video_encoder.h"

#include <algorithm>

extern "C" {
#include <x264.h>
}

#include "media/h264.h"

namespace miharu::ingest::demo {
namespace {

using base::Errc;
using base::fail;

base::ByteView view_of(const x264_nal_t& nal) {
  return {reinterpret_cast<const std::byte*>(nal.p_payload), static_cast<size_t>(nal.i_payload)};
}

// 600 kbit/s at 640x360 and 25 frames a second, less than proportionally more for more.
int kilobits_for(const DemoOptions& options) {
  const double pixels = static_cast<double>(options.width) * options.height / (640.0 * 360);
  const double rate = std::max(0.2, options.fps / 25.0);
  return static_cast<int>(600 * (0.4 + 0.6 * pixels) * (0.4 + 0.6 * rate));
}

}  // namespace

void VideoEncoder::Close::operator()(x264_t* encoder) const {
  x264_encoder_close(encoder);
}

base::Result<std::unique_ptr<VideoEncoder>> VideoEncoder::make(const DemoOptions& options) {
  x264_param_t param;
  if (x264_param_default_preset(&param, "superfast", "zerolatency") < 0) {
    return fail(Errc::kInternal, "x264 does not know its preset superfast");
  }
  param.i_log_level = X264_LOG_NONE;
  param.i_threads = 1;
  param.b_sliced_threads = 0;
  param.i_csp = X264_CSP_I420;
  param.i_width = static_cast<int>(options.width);
  param.i_height = static_cast<int>(options.height);
  param.i_fps_num = options.fps;
  param.i_fps_den = 1;
  param.b_vfr_input = 0;
  // Key frames come when encode() asks for them.
  param.i_keyint_max = X264_KEYINT_MAX_INFINITE;
  param.i_scenecut_threshold = 0;
  param.b_open_gop = 0;
  param.b_repeat_headers = 0;
  param.b_annexb = 0;
  param.vui.b_fullrange = 0;
  param.vui.i_colorprim = param.vui.i_transfer = param.vui.i_colmatrix = 1;  // ITU-R BT.709
  param.rc.i_rc_method = X264_RC_ABR;
  param.rc.i_bitrate = kilobits_for(options);
  param.rc.i_vbv_max_bitrate = param.rc.i_bitrate * 3 / 2;
  param.rc.i_vbv_buffer_size = param.rc.i_bitrate * 3 / 2;
  if (x264_param_apply_profile(&param, "main") < 0)
    return fail(Errc::kInternal, "x264 refuses the main profile");

  std::unique_ptr<VideoEncoder> encoder(new VideoEncoder);
  encoder->encoder_.reset(x264_encoder_open(&param));
  if (!encoder->encoder_) return fail(Errc::kInternal, "x264 could not be opened for the demo picture");

  x264_nal_t* nals = nullptr;
  int count = 0;
  if (x264_encoder_headers(encoder->encoder_.get(), &nals, &count) < 0) {
    return fail(Errc::kInternal, "x264 gives no parameter sets");
  }
  media::h264::ParameterSets sets;
  for (int i = 0; i < count; ++i) {
    constexpr size_t kLengthBytes = 4;
    if (nals[i].i_type == NAL_SPS || nals[i].i_type == NAL_PPS)
      sets.add(view_of(nals[i]).subspan(kLengthBytes));
  }
  encoder->config_ = sets.config(0, kClockRate);
  if (!encoder->config_) return fail(Errc::kInternal, "the parameter sets of x264 cannot be read");
  return encoder;
}

base::Result<media::FramePtr> VideoEncoder::encode(Picture& picture, int64_t pts, bool key,
                                                   const base::Clock& clock) {
  x264_picture_t in;
  x264_picture_init(&in);
  in.i_type = key ? X264_TYPE_IDR : X264_TYPE_P;
  in.i_pts = pictures_++;
  in.img.i_csp = X264_CSP_I420;
  in.img.i_plane = 3;
  for (size_t i = 0; i < 3; ++i) {
    in.img.plane[i] = picture.plane(i);
    in.img.i_stride[i] = static_cast<int>(picture.stride(i));
  }
  x264_picture_t out;
  x264_nal_t* nals = nullptr;
  int count = 0;
  const int bytes = x264_encoder_encode(encoder_.get(), &nals, &count, &in, &out);
  if (bytes <= 0) return fail(Errc::kInternal, "x264 could not encode a picture");
  for (int i = 0; i < count; ++i) {
    if (nals[i].i_type == NAL_SLICE || nals[i].i_type == NAL_SLICE_IDR) builder_.append(view_of(nals[i]));
  }
  return builder_.finish({config_, pts, pts, clock.steady(), out.b_keyframe != 0, false});
}

}  // namespace miharu::ingest::demo
