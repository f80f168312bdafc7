// RFC 6184 packets to NAL units, written with 4-byte lengths straight into the frame that they will be a part
// of.
#pragma once

#include <cstdint>
#include <string_view>

#include "media/frame.h"

namespace miharu::media::h264 {

// Must outlive the assembler.
class NalHandler {
 public:
  virtual ~NalHandler() = default;
  // A whole NAL unit without start code, valid during the call. True: it stays in the frame; false: it is
  // taken out.
  virtual bool on_nal(base::ByteView nal) = 0;
  // A part of the unit is missing or was unusable.
  virtual void on_damage(base::Error reason) = 0;
  virtual void on_oddity(std::string_view quirk_id) = 0;
};

// Lenient as quirks C1..C4 and C14 ask. `builder` must outlive the assembler and is changed by nobody else
// while a unit is being made. The caller bounds the unit: see FrameBuilder::size.
class NalAssembler {
 public:
  NalAssembler(FrameBuilder& builder, NalHandler& handler) : builder_(builder), handler_(handler) {}

  void push(base::ByteView payload);
  // Takes out the fragment that has no end yet, as it will not get one: before a new unit and after a loss.
  void drop_fragment();
  // In the middle of a fragmented NAL unit.
  [[nodiscard]] bool in_fragment() const { return in_fragment_; }
  // Forgets the fragment; the builder has been cleared by the caller.
  void reset() { in_fragment_ = false; }

 private:
  void push_single(base::ByteView nal);
  void push_stap(base::ByteView payload);
  void push_fragment(base::ByteView payload);
  void begin_nal();
  void end_nal();
  void offer(base::ByteView nal);

  FrameBuilder& builder_;
  NalHandler& handler_;
  size_t nal_at_ = 0;  // where the length of the open NAL unit is
  bool in_fragment_ = false;
  base::ByteVector scratch_;  // for NAL units that have to be cut up (C1)
};

}  // namespace miharu::media::h264
