// The test scene of a demo camera, drawn in YUV 4:2:0.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "ingest/demo/demo_options.h"

namespace miharu::ingest::demo {

// Planes Y, Cb, Cr without padding, ITU-R BT.709 limited range. What is drawn depends on (time, number) only.
class Picture {
 public:
  explicit Picture(const DemoOptions& options);

  // `time` is what the clock in the picture shows, `number` what the strip at the top says.
  void draw(base::UtcTime time, uint32_t number);

  [[nodiscard]] uint32_t width() const { return width_; }
  [[nodiscard]] uint32_t height() const { return height_; }
  [[nodiscard]] uint8_t* plane(size_t index) { return pixels_.data() + plane_at(index); }
  [[nodiscard]] uint32_t stride(size_t index) const { return index == 0 ? width_ : width_ / 2; }

 private:
  struct Colour {
    uint8_t y, cb, cr;
  };
  [[nodiscard]] size_t plane_at(size_t index) const;
  void draw_background();
  void draw_strip(uint32_t number);
  void draw_ball(base::UtcTime time);
  void draw_text(std::string_view text, uint32_t top, uint32_t scale);
  void fill(uint32_t left, uint32_t top, uint32_t right, uint32_t bottom, Colour colour);

  uint32_t width_;
  uint32_t height_;
  std::string name_;
  std::vector<uint8_t> background_;
  std::vector<uint8_t> pixels_;
};

}  // namespace miharu::ingest::demo
