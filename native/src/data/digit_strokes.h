// How people write digits, as data: the strokes of several variants of each.
//
// Points are in a box one wide and one high, y downwards. A smooth stroke passes through its points in a curve, any other
// one in straight lines.
#pragma once

#include <cstddef>
#include <span>

namespace convsweep {

struct StrokePoint {
  double x, y;
};

struct DigitStroke {
  bool smooth;
  std::span<const StrokePoint> points;
};

struct DigitVariant {
  std::span<const DigitStroke> strokes;
};

// The ways to write `digit`, 0 to 9.
std::span<const DigitVariant> digit_variants(int digit);

}  // namespace convsweep
