#include "data/synthetic_digits.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

#include "data/digit_strokes.h"
#include "model/portable_math.h"

namespace convsweep {
namespace {

constexpr int kSide = 28;
constexpr int kPixels = kSide * kSide;

// SplitMix64 (Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014).
std::uint64_t mix(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
  return z ^ (z >> 31);
}

class Draw {
 public:
  Draw(std::uint64_t seed, std::uint64_t part, std::uint64_t index)
      : state_(mix(mix(mix(seed + 0x9E3779B97F4A7C15U) + part) + index)) {}

  std::uint64_t word() { return mix(state_ += 0x9E3779B97F4A7C15U); }
  // [0, 1)
  double unit() { return static_cast<double>(word() >> 11) * 0x1p-53; }
  double between(double low, double high) { return low + (high - low) * unit(); }
  bool chance(double probability) { return unit() < probability; }
  int below(int bound) { return static_cast<int>(((word() >> 32) * static_cast<std::uint64_t>(bound)) >> 32); }
  // Near enough to a normal deviate: four uniforms, mean 0, variance 1.
  double normal() { return (unit() + unit() + unit() + unit() - 2) * 1.7320508075688772; }

 private:
  std::uint64_t state_;
};

using Canvas = std::array<double, kPixels>;

// A slowly varying displacement: random vectors on a coarse grid, blended smoothly between its corners.
class Elastic {
 public:
  Elastic(Draw& draw, double strength) {
    for (auto& v : vectors_) v = {draw.normal() * strength, draw.normal() * strength};
  }
  StrokePoint operator()(StrokePoint p) const {
    const double gx = std::clamp(p.x / kSide, 0.0, 0.999) * (kGrid - 1);
    const double gy = std::clamp(p.y / kSide, 0.0, 0.999) * (kGrid - 1);
    const int ix = static_cast<int>(gx), iy = static_cast<int>(gy);
    const double fx = ease(gx - ix), fy = ease(gy - iy);
    StrokePoint moved = p;
    for (int dy = 0; dy < 2; ++dy) {
      for (int dx = 0; dx < 2; ++dx) {
        const double weight = (dx == 1 ? fx : 1 - fx) * (dy == 1 ? fy : 1 - fy);
        const StrokePoint& v = vectors_[static_cast<std::size_t>((iy + dy) * kGrid + ix + dx)];
        moved.x += weight * v.x;
        moved.y += weight * v.y;
      }
    }
    return moved;
  }

 private:
  static constexpr int kGrid = 4;
  static double ease(double t) { return t * t * (3 - 2 * t); }
  std::array<StrokePoint, kGrid * kGrid> vectors_;
};

// From the digit's box to pixels: scale, slant, rotation, place, then the elastic field.
struct Hand {
  double a, b, c, d, x, y;
  Elastic elastic;

  static Hand of(Draw& draw) {
    const double width = draw.between(11.0, 15.0), height = draw.between(17.0, 20.5);
    const double turn = draw.normal() * 0.042;  // of half a turn
    const double slant = draw.normal() * 0.15;
    const double cosine = cos_pi(turn), sine = sin_pi(turn);
    const double x = kSide / 2.0 + draw.normal() * 1.0, y = kSide / 2.0 + draw.normal() * 1.0;
    // Rotation times slant times scale.
    return {cosine * width,
            (-cosine * slant - sine) * height,
            sine * width,
            (cosine - sine * slant) * height,
            x,
            y,
            Elastic(draw, draw.between(0.3, 1.0))};
  }
  StrokePoint operator()(StrokePoint p) const {
    const double u = p.x - 0.5, v = p.y - 0.5;
    return elastic({x + a * u + b * v, y + c * u + d * v});
  }
};

// What is drawn with: how thick, how dark, and how thickness swells along the line.
struct Pen {
  double radius, ink, swell, phase;

  static Pen of(Draw& draw) {
    return {draw.between(0.7, 1.6), draw.between(0.7, 1.0), draw.between(0.0, 0.35), draw.between(0.0, 2.0)};
  }
  double radius_at(double t) const { return radius * (1 + swell * sin_pi(phase + 1.5 * t)); }
};

// The line from p to q; each pixel keeps the darkest ink it was given.
void draw_line(Canvas& canvas, StrokePoint p, StrokePoint q, double radius, double ink) {
  const double reach = radius + 1;
  const int x0 = std::max(0, static_cast<int>(std::min(p.x, q.x) - reach));
  const int x1 = std::min(kSide - 1, static_cast<int>(std::max(p.x, q.x) + reach));
  const int y0 = std::max(0, static_cast<int>(std::min(p.y, q.y) - reach));
  const int y1 = std::min(kSide - 1, static_cast<int>(std::max(p.y, q.y) + reach));
  const double dx = q.x - p.x, dy = q.y - p.y;
  const double length2 = dx * dx + dy * dy;
  const double inverse = length2 > 1e-12 ? 1 / length2 : 0;
  for (int y = y0; y <= y1; ++y) {
    for (int x = x0; x <= x1; ++x) {
      const double px = x + 0.5 - p.x, py = y + 0.5 - p.y;
      const double t = std::clamp((px * dx + py * dy) * inverse, 0.0, 1.0);
      const double ex = px - t * dx, ey = py - t * dy;
      const double cover = std::clamp(radius + 0.5 - std::sqrt(ex * ex + ey * ey), 0.0, 1.0) * ink;
      double& pixel = canvas[static_cast<std::size_t>(y * kSide + x)];
      pixel = std::max(pixel, cover);
    }
  }
}

// A point of the Catmull-Rom curve between p1 and p2.
StrokePoint curve(StrokePoint p0, StrokePoint p1, StrokePoint p2, StrokePoint p3, double t) {
  const auto along = [t](double a, double b, double c, double d) {
    return b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)));
  };
  return {along(p0.x, p1.x, p2.x, p3.x), along(p0.y, p1.y, p2.y, p3.y)};
}

void draw_stroke(Canvas& canvas, const std::vector<StrokePoint>& points, bool smooth, const Hand& hand,
                 const Pen& pen) {
  constexpr int kSteps = 5;
  const std::size_t spans = points.size() - 1;
  StrokePoint last = hand(points[0]);
  for (std::size_t i = 0; i < spans; ++i) {
    const StrokePoint before = points[i == 0 ? 0 : i - 1], after = points[std::min(i + 2, spans)];
    for (int s = 1; s <= kSteps; ++s) {
      const double t = static_cast<double>(s) / kSteps;
      const StrokePoint p = smooth ? curve(before, points[i], points[i + 1], after, t)
                                   : StrokePoint{points[i].x + t * (points[i + 1].x - points[i].x),
                                                 points[i].y + t * (points[i + 1].y - points[i].y)};
      const StrokePoint next = hand(p);
      draw_line(canvas, last, next, pen.radius_at((static_cast<double>(i) + t) / static_cast<double>(spans)), pen.ink);
      last = next;
    }
  }
}

void draw_digit(Canvas& canvas, Draw& draw, int digit) {
  const auto variants = digit_variants(digit);
  const DigitVariant& variant = variants[static_cast<std::size_t>(draw.below(static_cast<int>(variants.size())))];
  const Hand hand = Hand::of(draw);
  const Pen pen = Pen::of(draw);
  const double wobble = draw.between(0.01, 0.038);
  for (const DigitStroke& stroke : variant.strokes) {
    std::vector<StrokePoint> points(stroke.points.begin(), stroke.points.end());
    for (StrokePoint& p : points) {
      p.x += draw.normal() * wobble;
      p.y += draw.normal() * wobble;
    }
    draw_stroke(canvas, points, stroke.smooth, hand, pen);
  }
}

// Short lines that belong to nothing, mostly near the edge.
void draw_clutter(Canvas& canvas, Draw& draw) {
  const int count = draw.below(3);
  for (int i = 0; i < count; ++i) {
    const StrokePoint from{draw.between(0, kSide), draw.between(0, kSide)};
    const double turn = draw.between(0.0, 2.0), length = draw.between(2.0, 7.5);
    const StrokePoint bend{from.x + 0.5 * length * cos_pi(turn), from.y + 0.5 * length * sin_pi(turn)};
    const double bent = turn + draw.normal() * 0.2;
    const StrokePoint to{bend.x + 0.5 * length * cos_pi(bent), bend.y + 0.5 * length * sin_pi(bent)};
    const double radius = draw.between(0.3, 1.0), ink = draw.between(0.35, 0.95);
    draw_line(canvas, from, bend, radius, ink);
    draw_line(canvas, bend, to, radius, ink);
  }
}

// Wipes a narrow stripe across the image, as a crease or a dry pen would.
void wipe(Canvas& canvas, Draw& draw) {
  Canvas stripe{};
  const double turn = draw.between(0.0, 2.0);
  const StrokePoint middle{kSide / 2.0 + draw.normal() * 5, kSide / 2.0 + draw.normal() * 5};
  const double dx = 20 * cos_pi(turn), dy = 20 * sin_pi(turn);
  draw_line(stripe, {middle.x - dx, middle.y - dy}, {middle.x + dx, middle.y + dy}, draw.between(0.2, 1.0),
            draw.between(0.6, 1.0));
  for (int i = 0; i < kPixels; ++i) {
    const auto at = static_cast<std::size_t>(i);
    canvas[at] *= 1 - stripe[at];
  }
}

// Three by three, weights 1 : edge : edge^2 from the middle outwards.
void blur(Canvas& canvas, double edge) {
  const double norm = 1 / (1 + 2 * edge);
  Canvas half{};
  const auto at = [](int y, int x) { return static_cast<std::size_t>(y * kSide + x); };
  for (int y = 0; y < kSide; ++y) {
    for (int x = 0; x < kSide; ++x) {
      const double left = x > 0 ? canvas[at(y, x - 1)] : 0, right = x + 1 < kSide ? canvas[at(y, x + 1)] : 0;
      half[at(y, x)] = (canvas[at(y, x)] + edge * (left + right)) * norm;
    }
  }
  for (int y = 0; y < kSide; ++y) {
    for (int x = 0; x < kSide; ++x) {
      const double up = y > 0 ? half[at(y - 1, x)] : 0, down = y + 1 < kSide ? half[at(y + 1, x)] : 0;
      canvas[at(y, x)] = (half[at(y, x)] + edge * (up + down)) * norm;
    }
  }
}

// Paper that is not quite black, with a slope of light and grain.
void to_bytes(const Canvas& canvas, Draw& draw, std::uint8_t* out) {
  const double floor = draw.between(0.0, 0.1), grain = draw.between(0.01, 0.06);
  const double slope_x = draw.normal() * 0.04, slope_y = draw.normal() * 0.04;
  for (int i = 0; i < kPixels; ++i) {
    const double u = static_cast<double>(i % kSide) / kSide - 0.5, v = static_cast<double>(i / kSide) / kSide - 0.5;
    const double paper = floor + slope_x * u + slope_y * v;
    // Two bytes make a triangular deviate of variance 1.
    const std::uint64_t word = draw.word();
    const double noise =
        (static_cast<double>((word & 0xFFFF) + ((word >> 16) & 0xFFFF)) / 65536.0 - 1) * 2.449489742783178;
    const double ink = canvas[static_cast<std::size_t>(i)];
    const double value = std::clamp(ink + (1 - ink) * paper + grain * noise, 0.0, 1.0);
    out[i] = static_cast<std::uint8_t>(value * 255 + 0.5);
  }
}

void draw_image(std::uint64_t seed, std::uint64_t part, int index, int digit, std::uint8_t* out) {
  Draw draw(seed, part, static_cast<std::uint64_t>(index));
  Canvas canvas{};
  draw_digit(canvas, draw, digit);
  if (draw.chance(0.15)) wipe(canvas, draw);
  draw_clutter(canvas, draw);
  blur(canvas, draw.between(0.0, 0.45));
  to_bytes(canvas, draw, out);
}

void draw_part(std::uint64_t seed, std::uint64_t part, int count, std::vector<std::uint8_t>& images,
               std::vector<std::uint8_t>& labels) {
  images.resize(static_cast<std::size_t>(count) * kPixels);
  labels.resize(static_cast<std::size_t>(count));
  std::array<int, 10> order{};
  for (int i = 0; i < count; ++i) {
    if (i % 10 == 0) {
      // Fisher and Yates; a stream of its own, beside those of the images.
      Draw draw(seed, part + 2, static_cast<std::uint64_t>(i));
      for (int d = 0; d < 10; ++d) order[static_cast<std::size_t>(d)] = d;
      for (int d = 9; d > 0; --d) {
        std::swap(order[static_cast<std::size_t>(d)], order[static_cast<std::size_t>(draw.below(d + 1))]);
      }
    }
    const int digit = order[static_cast<std::size_t>(i % 10)];
    labels[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(digit);
    draw_image(seed, part, i, digit, images.data() + static_cast<std::size_t>(i) * kPixels);
  }
}

}  // namespace

DigitSet make_synthetic_digits(std::uint32_t seed, int train, int test) {
  DigitSet set;
  draw_part(seed, 0, train, set.train_images, set.train_labels);
  draw_part(seed, 1, test, set.test_images, set.test_labels);
  return set;
}

}  // namespace convsweep
