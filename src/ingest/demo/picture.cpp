#include "ingest/demo/picture.h"

#include <algorithm>
#include <cmath>

#include "ingest/demo/font.h"
#include "ingest/demo/frame_number.h"

namespace miharu::ingest::demo {
namespace {

double fraction_of(base::UtcTime time, base::nanoseconds period) {
  return static_cast<double>((time.time_since_epoch() % period).count()) /
         static_cast<double>(period.count());
}

// There and back: 0 to 1 to 0 in a period.
double swing(double phase) {
  return phase < 0.5 ? phase * 2 : 2 - phase * 2;
}

uint8_t to_level(double value) {
  return static_cast<uint8_t>(std::clamp(value, 16.0, 235.0));
}

}  // namespace

Picture::Picture(const DemoOptions& options)
    : width_(options.width), height_(options.height), name_(options.name.substr(0, 64)) {
  pixels_.resize(size_t{width_} * height_ * 3 / 2);
  draw_background();
  background_ = pixels_;
}

size_t Picture::plane_at(size_t index) const {
  const size_t luma = size_t{width_} * height_;
  return index == 0 ? 0 : luma + (index - 1) * luma / 4;
}

void Picture::draw_background() {
  for (uint32_t y = 0; y < height_; ++y) {
    const double down = static_cast<double>(y) / height_;
    for (uint32_t x = 0; x < width_; ++x) {
      const double right = static_cast<double>(x) / width_;
      pixels_[size_t{y} * width_ + x] = to_level(50 + 60 * down + 40 * right);
    }
  }
  for (uint32_t y = 0; y < height_ / 2; ++y) {
    for (uint32_t x = 0; x < width_ / 2; ++x) {
      const size_t at = size_t{y} * (width_ / 2) + x;
      plane(1)[at] = to_level(160 - 50.0 * x / (width_ / 2));
      plane(2)[at] = to_level(100 + 45.0 * y / (height_ / 2));
    }
  }
}

void Picture::draw(base::UtcTime time, uint32_t number) {
  std::copy(background_.begin(), background_.end(), pixels_.begin());
  draw_ball(time);
  std::string clock = base::format_rfc3339(time);
  clock.replace(clock.find('T'), 1, " ");
  clock.replace(clock.find('Z'), 1, " UTC");
  const uint32_t scale = width_ / 200;
  draw_text(clock, height_ - 9 * scale, scale);
  draw_text(name_, height_ / kStripHeightParts * (kStripRows + 1), scale);
  draw_strip(number);
}

void Picture::draw_strip(uint32_t number) {
  const auto cells = strip_cells(number);
  for (uint32_t i = 0; i < cells.size(); ++i) {
    const uint32_t column = i % kStripColumns;
    const uint32_t row = i / kStripColumns;
    const Colour colour{cells[i] ? kLumaWhite : kLumaBlack, 128, 128};
    fill(width_ * column / kStripColumns, height_ * row / kStripHeightParts,
         width_ * (column + 1) / kStripColumns, height_ * (row + 1) / kStripHeightParts, colour);
  }
}

void Picture::draw_ball(base::UtcTime time) {
  const double radius = height_ / 10.0;
  const double top = height_ * 0.28 + radius;
  const double bottom = height_ * 0.84 - radius;
  const double bounce = 1 - std::pow(1 - 2 * fraction_of(time, base::milliseconds(1600)), 2);
  const double x0 = radius + (width_ - 2 * radius) * swing(fraction_of(time, base::seconds(8)));
  const double y0 = bottom - (bottom - top) * bounce;
  // White while the sound beeps: picture and sound can be compared by eye and ear.
  const bool beep = fraction_of(time, base::seconds(1)) < 0.1;
  const Colour colour = beep ? Colour{225, 128, 128} : Colour{150, 60, 170};

  const auto from = static_cast<uint32_t>(std::max(0.0, y0 - radius));
  const auto to = std::min(height_ - 1, static_cast<uint32_t>(y0 + radius));
  for (uint32_t y = from; y <= to; ++y) {
    const double dy = y - y0;
    const double square = radius * radius - dy * dy;
    if (square <= 0) continue;
    const double half = std::sqrt(square);
    const auto left = static_cast<uint32_t>(std::max(0.0, x0 - half));
    const auto right = std::min(width_, static_cast<uint32_t>(x0 + half) + 1);
    std::fill(plane(0) + size_t{y} * width_ + left, plane(0) + size_t{y} * width_ + right,
              to_level(colour.y - 60 * (dy / radius + 1) / 2));
    if (y % 2 != 0) continue;
    const size_t row = size_t{y / 2} * (width_ / 2);
    std::fill(plane(1) + row + left / 2, plane(1) + row + right / 2, colour.cb);
    std::fill(plane(2) + row + left / 2, plane(2) + row + right / 2, colour.cr);
  }
}

void Picture::draw_text(std::string_view text, uint32_t top, uint32_t scale) {
  constexpr uint32_t kAdvance = kGlyphColumns + 1;
  const uint32_t margin = 2 * scale;
  const size_t fits = (width_ - 2 * margin) / (kAdvance * scale);
  text = text.substr(0, fits);
  const auto length = static_cast<uint32_t>(text.size());
  if (length == 0) return;
  fill(margin - scale, top - scale, margin + length * kAdvance * scale, top + (kGlyphRows + 1) * scale,
       {24, 128, 128});
  for (uint32_t i = 0; i < length; ++i) {
    const auto& columns = glyph(text[i]);
    const uint32_t left = margin + i * kAdvance * scale;
    for (uint32_t column = 0; column < kGlyphColumns; ++column) {
      for (uint32_t row = 0; row < kGlyphRows; ++row) {
        if ((columns[column] >> row & 1) == 0) continue;
        for (uint32_t y = 0; y < scale; ++y) {
          std::fill_n(plane(0) + size_t{top + row * scale + y} * width_ + left + column * scale, scale,
                      kLumaWhite);
        }
      }
    }
  }
}

void Picture::fill(uint32_t left, uint32_t top, uint32_t right, uint32_t bottom, Colour colour) {
  for (uint32_t y = top; y < bottom; ++y) {
    std::fill(plane(0) + size_t{y} * width_ + left, plane(0) + size_t{y} * width_ + right, colour.y);
  }
  for (uint32_t y = top / 2; y < bottom / 2; ++y) {
    const size_t row = size_t{y} * (width_ / 2);
    std::fill(plane(1) + row + left / 2, plane(1) + row + right / 2, colour.cb);
    std::fill(plane(2) + row + left / 2, plane(2) + row + right / 2, colour.cr);
  }
}

}  // namespace miharu::ingest::demo
