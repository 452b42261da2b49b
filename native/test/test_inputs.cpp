// What goes into networks beside images: normal draws against their definition, labels as planes.
#include <memory>

#include "backend/cpu/cpu_backend.h"
#include "backend/reference/reference_backend.h"
#include "ops/math.h"
#include "support.h"

using namespace convsweep;
using namespace convsweep::test;

namespace {

constexpr double turn = 6.283185307179586;

std::vector<float> draw(Purpose purpose, std::uint32_t step, int count, int n, std::uint32_t first) {
  const auto backend = make_reference_backend();
  const auto context = backend->context(nullptr);
  LaneScalars scalars;
  scalars.key = 0xFEDCBA9876543210;
  scalars.step = step;
  Guarded<float> x(static_cast<std::size_t>(count) * static_cast<std::size_t>(n));
  NormalCall call;
  call.count = count;
  call.n = n;
  call.purpose = purpose;
  call.first = first;
  call.scalars = &scalars;
  call.x = {x.data(), 0};
  backend->ops().draw_normal(*context, call);
  x.check("x");
  return {x.data(), x.data() + x.size()};
}

}  // namespace

TEST_CASE("a normal pair is Box and Muller's, within a few units in the last place") {
  for (std::uint32_t i = 0; i < 100000; ++i) {
    const PhiloxBlock block = draw_block(7, Purpose::latent, 0, 0, i);
    const math::Normals found = math::normal_pair(block.word[0], block.word[1]);
    const double uniform = ((block.word[0] >> 9) + 0.5) / 8388608.0;
    const double radius = std::sqrt(-2 * std::log(uniform)), angle = turn * (block.word[1] / 4294967296.0);
    CHECK(std::fabs(found.v[0] - radius * std::cos(angle)) < 2e-6);
    CHECK(std::fabs(found.v[1] - radius * std::sin(angle)) < 2e-6);
  }
  // Every eighth of a turn, and the ends of the uniform's range.
  for (std::uint32_t octant = 0; octant < 8; ++octant) {
    const math::Normals found = math::normal_pair(0, octant << 29);
    const double radius = std::sqrt(-2 * std::log(0.5 / 8388608.0));
    CHECK(std::fabs(found.v[0] - radius * std::cos(turn * octant / 8)) < 2e-6);
    CHECK(std::fabs(found.v[1] - radius * std::sin(turn * octant / 8)) < 2e-6);
  }
  CHECK(math::normal_pair(0xFFFFFFFF, 0).v[0] == doctest::Approx(std::sqrt(-2 * std::log(1 - 0.5 / 8388608.0))));
}

TEST_CASE("normal draws: moments of a normal distribution, new with each step, the same for every cut of a batch") {
  const std::vector<float> values = draw(Purpose::latent, 3, 1000, 200, 0);
  double sum = 0, squares = 0, fourth = 0;
  for (const float v : values) {
    sum += v;
    squares += double{v} * v;
    fourth += double{v} * v * v * v;
  }
  const auto count = static_cast<double>(values.size());
  // Five standard errors: 1, sqrt(2), sqrt(96) over sqrt(count).
  CHECK(std::fabs(sum / count) < 5 / std::sqrt(count));
  CHECK(std::fabs(squares / count - 1) < 5 * std::sqrt(2 / count));
  CHECK(std::fabs(fourth / count - 3) < 5 * std::sqrt(96 / count));

  const std::vector<float> whole = draw(Purpose::latent, 3, 7, 10, 0), other = draw(Purpose::latent, 4, 7, 10, 0);
  CHECK(whole != other);
  for (const std::uint32_t cut : {1u, 3u, 9u}) {
    const int n = 10 - static_cast<int>(cut);
    const std::vector<float> rest = draw(Purpose::latent, 3, 7, n, cut);
    for (int j = 0; j < 7; ++j) {
      for (int i = 0; i < n; ++i) {
        CHECK(rest[static_cast<std::size_t>(j * n + i)] ==
              whole[static_cast<std::size_t>(j * 10 + i + static_cast<int>(cut))]);
      }
    }
  }
  // The pictures' draws do not change from step to step, and are not those of a step.
  CHECK(draw(Purpose::sample, 1, 7, 10, 0) == draw(Purpose::sample, 2, 7, 10, 0));
  CHECK(draw(Purpose::sample, 0, 7, 10, 0) != draw(Purpose::latent, 0, 7, 10, 0));
}

TEST_CASE("labels as planes") {
  const auto backend = make_cpu_backend(cpu::kernels());
  const auto context = backend->context(nullptr);
  const std::int32_t labels[] = {2, 0, 1, 2};
  Guarded<float> y(3 * 2 * 4);
  OneHotCall call;
  call.classes = 3;
  call.plane = 2;
  call.n = 4;
  call.labels = {labels, 0};
  call.y = {y.data(), 0};
  backend->ops().one_hot(*context, call);
  y.check("y");
  const float wanted[] = {0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 1};
  for (std::size_t i = 0; i < y.size(); ++i) CHECK(y[i] == wanted[i]);
}
