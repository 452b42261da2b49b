#include "data/digit_strokes.h"

namespace convsweep {
namespace {
constexpr StrokePoint points_0a1[] = {{0.5, 0.02}, {0.16, 0.28}, {0.13, 0.7}, {0.5, 0.98},
                                      {0.87, 0.7}, {0.84, 0.28}, {0.5, 0.02}};
constexpr DigitStroke strokes_0a[] = {{true, points_0a1}};
constexpr StrokePoint points_0b1[] = {{0.58, 0.03}, {0.28, 0.25}, {0.25, 0.72}, {0.48, 0.98},
                                      {0.74, 0.72}, {0.74, 0.26}, {0.52, 0.02}, {0.4, 0.08}};
constexpr DigitStroke strokes_0b[] = {{true, points_0b1}};
constexpr StrokePoint points_0c1[] = {{0.62, 0.1}, {0.3, 0.06},  {0.1, 0.5},   {0.38, 0.96},
                                      {0.8, 0.8},  {0.88, 0.35}, {0.62, 0.06}, {0.42, 0.1}};
constexpr DigitStroke strokes_0c[] = {{true, points_0c1}};
constexpr DigitVariant variants_0[] = {{strokes_0a}, {strokes_0b}, {strokes_0c}};

constexpr StrokePoint points_1a1[] = {{0.5, 0}, {0.5, 1}};
constexpr DigitStroke strokes_1a[] = {{false, points_1a1}};
constexpr StrokePoint points_1b1[] = {{0.28, 0.24}, {0.54, 0}, {0.54, 1}};
constexpr DigitStroke strokes_1b[] = {{false, points_1b1}};
constexpr StrokePoint points_1c1[] = {{0.3, 0.2}, {0.52, 0.02}, {0.52, 0.98}};
constexpr StrokePoint points_1c2[] = {{0.26, 0.98}, {0.8, 0.98}};
constexpr DigitStroke strokes_1c[] = {{false, points_1c1}, {false, points_1c2}};
constexpr StrokePoint points_1d1[] = {{0.62, 0}, {0.52, 0.4}, {0.42, 1}};
constexpr DigitStroke strokes_1d[] = {{true, points_1d1}};
constexpr DigitVariant variants_1[] = {{strokes_1a}, {strokes_1b}, {strokes_1c}, {strokes_1d}};

constexpr StrokePoint points_2a1[] = {{0.15, 0.25}, {0.35, 0.03}, {0.74, 0.08}, {0.8, 0.34}, {0.5, 0.65}, {0.15, 0.97}};
constexpr StrokePoint points_2a2[] = {{0.15, 0.97}, {0.86, 0.95}};
constexpr DigitStroke strokes_2a[] = {{true, points_2a1}, {false, points_2a2}};
constexpr StrokePoint points_2b1[] = {{0.18, 0.22}, {0.45, 0.02}, {0.78, 0.2},  {0.66, 0.5},  {0.3, 0.86},
                                      {0.14, 0.9},  {0.2, 0.76},  {0.45, 0.86}, {0.68, 0.98}, {0.9, 0.88}};
constexpr DigitStroke strokes_2b[] = {{true, points_2b1}};
constexpr StrokePoint points_2c1[] = {{0.14, 0.12}, {0.5, 0.02}};
constexpr StrokePoint points_2c2[] = {{0.5, 0.02}, {0.8, 0.2}, {0.62, 0.55}, {0.12, 0.96}};
constexpr StrokePoint points_2c3[] = {{0.12, 0.96}, {0.88, 0.96}};
constexpr DigitStroke strokes_2c[] = {{false, points_2c1}, {true, points_2c2}, {false, points_2c3}};
constexpr DigitVariant variants_2[] = {{strokes_2a}, {strokes_2b}, {strokes_2c}};

constexpr StrokePoint points_3a1[] = {{0.2, 0.1}, {0.55, 0}, {0.8, 0.2}, {0.45, 0.46}};
constexpr StrokePoint points_3a2[] = {{0.45, 0.46}, {0.85, 0.68}, {0.6, 0.98}, {0.15, 0.9}};
constexpr DigitStroke strokes_3a[] = {{true, points_3a1}, {true, points_3a2}};
constexpr StrokePoint points_3b1[] = {{0.18, 0.03}, {0.8, 0.03}, {0.45, 0.42}};
constexpr StrokePoint points_3b2[] = {{0.45, 0.42}, {0.85, 0.64}, {0.62, 0.97}, {0.15, 0.9}};
constexpr DigitStroke strokes_3b[] = {{false, points_3b1}, {true, points_3b2}};
constexpr StrokePoint points_3c1[] = {{0.16, 0.16}, {0.5, 0.02},  {0.76, 0.16}, {0.68, 0.4}, {0.36, 0.48},
                                      {0.74, 0.56}, {0.84, 0.78}, {0.5, 0.99},  {0.14, 0.84}};
constexpr DigitStroke strokes_3c[] = {{true, points_3c1}};
constexpr DigitVariant variants_3[] = {{strokes_3a}, {strokes_3b}, {strokes_3c}};

constexpr StrokePoint points_4a1[] = {{0.3, 0.02}, {0.14, 0.6}, {0.86, 0.6}};
constexpr StrokePoint points_4a2[] = {{0.66, 0.28}, {0.62, 1}};
constexpr DigitStroke strokes_4a[] = {{false, points_4a1}, {false, points_4a2}};
constexpr StrokePoint points_4b1[] = {{0.66, 1}, {0.66, 0}, {0.12, 0.68}, {0.92, 0.68}};
constexpr DigitStroke strokes_4b[] = {{false, points_4b1}};
constexpr StrokePoint points_4c1[] = {{0.24, 0.02}, {0.18, 0.4}, {0.4, 0.54}, {0.76, 0.46}};
constexpr StrokePoint points_4c2[] = {{0.8, 0.02}, {0.74, 0.5}, {0.7, 1}};
constexpr DigitStroke strokes_4c[] = {{true, points_4c1}, {true, points_4c2}};
constexpr DigitVariant variants_4[] = {{strokes_4a}, {strokes_4b}, {strokes_4c}};

constexpr StrokePoint points_5a1[] = {{0.8, 0.03}, {0.28, 0.03}, {0.22, 0.45}};
constexpr StrokePoint points_5a2[] = {{0.22, 0.45}, {0.55, 0.36}, {0.83, 0.62}, {0.6, 0.95}, {0.15, 0.92}};
constexpr DigitStroke strokes_5a[] = {{false, points_5a1}, {true, points_5a2}};
constexpr StrokePoint points_5b1[] = {{0.82, 0.04}, {0.4, 0.05},  {0.26, 0.36}, {0.58, 0.42},
                                      {0.82, 0.66}, {0.56, 0.97}, {0.15, 0.9}};
constexpr DigitStroke strokes_5b[] = {{true, points_5b1}};
constexpr StrokePoint points_5c1[] = {{0.26, 0.06}, {0.22, 0.42}, {0.56, 0.38},
                                      {0.82, 0.64}, {0.58, 0.97}, {0.14, 0.88}};
constexpr StrokePoint points_5c2[] = {{0.26, 0.06}, {0.84, 0.02}};
constexpr DigitStroke strokes_5c[] = {{true, points_5c1}, {false, points_5c2}};
constexpr DigitVariant variants_5[] = {{strokes_5a}, {strokes_5b}, {strokes_5c}};

constexpr StrokePoint points_6a1[] = {{0.7, 0.02}, {0.35, 0.3}, {0.18, 0.68}, {0.45, 0.98},
                                      {0.8, 0.78}, {0.6, 0.52}, {0.22, 0.66}};
constexpr DigitStroke strokes_6a[] = {{true, points_6a1}};
constexpr StrokePoint points_6b1[] = {{0.5, 0},     {0.26, 0.4}, {0.2, 0.76}, {0.48, 0.99},
                                      {0.76, 0.82}, {0.66, 0.6}, {0.4, 0.58}, {0.22, 0.74}};
constexpr DigitStroke strokes_6b[] = {{true, points_6b1}};
constexpr StrokePoint points_6c1[] = {{0.8, 0.08}, {0.5, 0.06},  {0.2, 0.4},  {0.18, 0.78},
                                      {0.5, 0.98}, {0.82, 0.76}, {0.56, 0.5}, {0.2, 0.62}};
constexpr DigitStroke strokes_6c[] = {{true, points_6c1}};
constexpr DigitVariant variants_6[] = {{strokes_6a}, {strokes_6b}, {strokes_6c}};

constexpr StrokePoint points_7a1[] = {{0.12, 0.04}, {0.86, 0.04}, {0.4, 1}};
constexpr DigitStroke strokes_7a[] = {{false, points_7a1}};
constexpr StrokePoint points_7b1[] = {{0.14, 0.05}, {0.84, 0.05}, {0.46, 1}};
constexpr StrokePoint points_7b2[] = {{0.3, 0.5}, {0.78, 0.48}};
constexpr DigitStroke strokes_7b[] = {{false, points_7b1}, {false, points_7b2}};
constexpr StrokePoint points_7c1[] = {{0.1, 0.14}, {0.3, 0.04}, {0.84, 0.05}, {0.62, 0.45}, {0.46, 1}};
constexpr DigitStroke strokes_7c[] = {{true, points_7c1}};
constexpr StrokePoint points_7d1[] = {{0.14, 0.2}, {0.16, 0.04}, {0.86, 0.04}};
constexpr StrokePoint points_7d2[] = {{0.86, 0.04}, {0.58, 0.44}, {0.5, 1}};
constexpr DigitStroke strokes_7d[] = {{false, points_7d1}, {true, points_7d2}};
constexpr DigitVariant variants_7[] = {{strokes_7a}, {strokes_7b}, {strokes_7c}, {strokes_7d}};

constexpr StrokePoint points_8a1[] = {{0.78, 0.16}, {0.5, 0.02}, {0.24, 0.2}, {0.5, 0.46}, {0.8, 0.74},
                                      {0.5, 0.98},  {0.2, 0.75}, {0.5, 0.46}, {0.78, 0.16}};
constexpr DigitStroke strokes_8a[] = {{true, points_8a1}};
constexpr StrokePoint points_8b1[] = {{0.5, 0.02}, {0.25, 0.22}, {0.5, 0.45}, {0.75, 0.22}, {0.5, 0.02}};
constexpr StrokePoint points_8b2[] = {{0.5, 0.45}, {0.18, 0.72}, {0.5, 0.98}, {0.82, 0.72}, {0.5, 0.45}};
constexpr DigitStroke strokes_8b[] = {{true, points_8b1}, {true, points_8b2}};
constexpr StrokePoint points_8c1[] = {{0.7, 0.06}, {0.34, 0.06}, {0.3, 0.34},  {0.72, 0.62}, {0.7, 0.94},
                                      {0.3, 0.94}, {0.3, 0.64},  {0.66, 0.36}, {0.72, 0.08}};
constexpr DigitStroke strokes_8c[] = {{true, points_8c1}};
constexpr DigitVariant variants_8[] = {{strokes_8a}, {strokes_8b}, {strokes_8c}};

constexpr StrokePoint points_9a1[] = {{0.78, 0.3}, {0.5, 0.02}, {0.2, 0.25}, {0.45, 0.52}, {0.78, 0.3}};
constexpr StrokePoint points_9a2[] = {{0.78, 0.3}, {0.74, 0.65}, {0.6, 1}};
constexpr DigitStroke strokes_9a[] = {{true, points_9a1}, {true, points_9a2}};
constexpr StrokePoint points_9b1[] = {{0.76, 0.12}, {0.4, 0.02}, {0.22, 0.3},  {0.5, 0.5},
                                      {0.78, 0.26}, {0.8, 0.66}, {0.56, 0.98}, {0.2, 0.9}};
constexpr DigitStroke strokes_9b[] = {{true, points_9b1}};
constexpr StrokePoint points_9c1[] = {{0.74, 0.26}, {0.48, 0.04}, {0.22, 0.28}, {0.46, 0.52}, {0.74, 0.28}};
constexpr StrokePoint points_9c2[] = {{0.76, 0.04}, {0.74, 1}};
constexpr DigitStroke strokes_9c[] = {{true, points_9c1}, {false, points_9c2}};
constexpr DigitVariant variants_9[] = {{strokes_9a}, {strokes_9b}, {strokes_9c}};

constexpr std::span<const DigitVariant> variants[10] = {variants_0, variants_1, variants_2, variants_3, variants_4,
                                                        variants_5, variants_6, variants_7, variants_8, variants_9};

}  // namespace

std::span<const DigitVariant> digit_variants(int digit) { return variants[digit]; }

}  // namespace convsweep
