// The depacketizers behind make_depacketizer.
#pragma once

#include <memory>

#include "media/depacketizer.h"

namespace miharu::media {

std::unique_ptr<Depacketizer> make_h264_depacketizer(const SdpFormat& format, FrameSink& sink);
std::unique_ptr<Depacketizer> make_aac_depacketizer(const SdpFormat& format, FrameSink& sink);
// PCMU, PCMA and Opus: every packet is a frame.
std::unique_ptr<Depacketizer> make_simple_depacketizer(Codec codec, const SdpFormat& format, FrameSink& sink);

}  // namespace miharu::media
