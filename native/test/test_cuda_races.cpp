// Every CUDA kernel under the emulator's race detector: no race; and planted ones, which must be found and named.
#if defined(CONVSWEEP_WITH_RACED)
#include <limits>

#include "backend/cuda/launch.h"
#include "emulator/raced/kernels.h"
#include "op_cases.h"

using namespace convsweep;
using namespace convsweep::test;

namespace {

template <class F>
std::string error_of(F f) {
  try {
    f();
  } catch (const emulator::EmulatorError& error) {
    return error.what();
  }
  return "no error";
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

const LayerCase& case_of(const std::string& name) {
  for (const LayerCase& which : layer_cases()) {
    if (which.name == name) return which;
  }
  FAIL("no case " << name);
  return layer_cases().front();
}

template <class T>
Lanes<T> two_lanes(std::vector<T>& all) {
  return {all.data(), static_cast<std::ptrdiff_t>(all.size() / 2)};
}

// Numbers of two lanes that ask for everything a batch can ask for.
std::vector<LaneScalars> scalars() {
  std::vector<LaneScalars> all(2);
  for (std::size_t i = 0; i < 2; ++i) {
    all[i].key = 5 + i;
    all[i].dropout = std::numeric_limits<float>::quiet_NaN();
    all[i].label_smoothing = 0.1F;
    all[i].augment = AugmentScalars{0.5F, 2, 3, 0.2F, 0.2F, 0.2F};
    all[i].update.learning_rate = 0.1F;
  }
  return all;
}

}  // namespace

TEST_CASE("races: a barrier orders what comes before and after it, of the block or of the warp") {
  using namespace raced_probe;
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    emulator::set_seed(seed);
    CHECK(error_of([] { hand_over('b', false); }) == "no error");
    CHECK(error_of([] { hand_over('b', true); }) == "no error");
    CHECK(error_of([] { hand_over('w', false); }) == "no error");
    const std::string across = error_of([] { hand_over('w', true); }), alone = error_of([] { hand_over('n', false); });
    CAPTURE(across);
    CAPTURE(alone);
    for (const std::string& text : {across, alone}) {
      CHECK(text.starts_with("hand_over_kernel, block (0, 0, 0): race: thread ("));
      CHECK(has(text, "byte 12 of shared memory at 0x"));
      CHECK(has(text, "with no barrier between"));
      CHECK(has(text, "(0, 0, 0)"));
    }
    CHECK(has(across, "(32, 0, 0)"));
    CHECK(has(alone, "(1, 0, 0)"));
  }
}

TEST_CASE("races: writing the same value is one, writing next to each other is none, blocks are never ordered") {
  using namespace raced_probe;
  CHECK(has(error_of([] { same_value(); }), "which thread ("));
  CHECK(error_of([] { neighbours(); }) == "no error");
  CHECK(error_of([] { blocks(false); }) == "no error");
  CHECK(has(error_of([] { blocks(true); }), " of block ("));
}

TEST_CASE("races: no layer has one") {
  for (const LayerCase& which : layer_cases()) {
    CAPTURE(which.name);
    emulator::set_seed(1);
    LayerRun<float> run(which);
    const LayerKernels& kernels = raced::op_table().layer(run.shape.op);
    std::vector<std::byte> scratch(kernels.scratch_bytes(run.shape, run.n, 1) + 64);
    const auto address = reinterpret_cast<std::uintptr_t>(scratch.data());
    emulator::CudaContext context(nullptr);
    for (const bool training : {false, true}) {
      LayerCall call = run.call(training);
      call.scratch = {scratch.data() + (64 - address % 64) % 64, 0};
      CHECK(error_of([&] { kernels.forward(context, call); }) == "no error");
      if (training) CHECK(error_of([&] { kernels.backward(context, call); }) == "no error");
    }
  }
}

TEST_CASE("races: nothing else of a step has one") {
  const OpTable& ops = raced::op_table();
  emulator::CudaContext context(nullptr);
  emulator::set_seed(2);
  const std::vector<LaneScalars> numbers = scalars();
  const LaneSet lanes{0, 2, nullptr};
  constexpr int n = 40, classes = 3;

  std::vector<std::uint8_t> images(50 * 3 * 5 * 6, 9), labels(50, 1);
  const std::vector<float> scale(3, 1 / 255.0F), shift(3, -0.5F);
  std::vector<float> x(2 * 3 * 5 * 6 * n), y(x.size()), z(x.size());
  std::vector<std::int32_t> drawn(2 * n);
  std::vector<std::byte> scratch(2 * gather_scratch_bytes(n));
  GatherCall gather;
  gather.image = {3, 5, 6};
  gather.n = n;
  gather.lanes = lanes;
  gather.scalars = numbers.data();
  gather.images = images.data();
  gather.labels = labels.data();
  gather.scale = scale.data();
  gather.shift = shift.data();
  gather.size = 50;
  gather.shuffle = gather.augment = true;
  gather.x = two_lanes(x);
  gather.out_labels = two_lanes(drawn);
  gather.scratch = two_lanes(scratch);
  CHECK(error_of([&] { ops.gather(context, gather); }) == "no error");

  std::vector<LaneMetrics> metrics(2);
  LossCall loss;
  loss.n = n;
  loss.classes = classes;
  loss.lanes = lanes;
  loss.scalars = numbers.data();
  loss.logits = two_lanes(x);
  loss.labels = two_lanes(drawn);
  loss.dlogits = two_lanes(y);
  loss.metrics = metrics.data();
  CHECK(error_of([&] { ops.softmax_cross_entropy(context, loss); }) == "no error");
  loss.classes = 1;
  CHECK(error_of([&] { ops.binary_cross_entropy(context, loss); }) == "no error");

  std::vector<float> state0(x.size()), state1(x.size());
  UpdateCall update;
  update.count = static_cast<std::int64_t>(x.size() / 2);
  update.decayed = 100;
  update.lanes = lanes;
  update.scalars = numbers.data();
  update.weight = two_lanes(x);
  update.gradient = two_lanes(y);
  update.state0 = two_lanes(state0);
  update.state1 = two_lanes(state1);
#define CONVSWEEP_UPDATE_OP(name, state) CHECK(error_of([&] { ops.name(context, update); }) == "no error");
#include "ops/ops.def"

  JoinCall join;
  join.count = update.count;
  join.lanes = lanes;
  join.a = two_lanes(x);
  join.b = two_lanes(y);
  join.y = two_lanes(z);
  CHECK(error_of([&] { ops.add(context, join); }) == "no error");
  CHECK(error_of([&] { ops.copy(context, join); }) == "no error");

  NormalCall normal;
  normal.count = 7;
  normal.n = n;
  normal.lanes = lanes;
  normal.scalars = numbers.data();
  normal.x = two_lanes(x);
  CHECK(error_of([&] { ops.draw_normal(context, normal); }) == "no error");
  OneHotCall one_hot{classes, 6, n, lanes, two_lanes(drawn), two_lanes(y)};
  CHECK(error_of([&] { ops.one_hot(context, one_hot); }) == "no error");
  std::int32_t finite[2];
  CHECK(error_of([&] { ops.check_finite(context, lanes, two_lanes(x), update.count, finite); }) == "no error");
}

TEST_CASE("races: matmul and shortest paths have none") {
  const OpTable& ops = raced::op_table();
  emulator::CudaContext context(nullptr);
  emulator::set_seed(3);
  constexpr int side = 70;
  std::vector<float> a(side * side, 1.0F), b(a), c(a);
  CHECK(error_of([&] {
          ops.matmul(context, MatmulCall{{side, side, side, true, true}, a.data(), b.data(), c.data(), nullptr});
        }) == "no error");
  std::vector<std::int32_t> next(a.size());
  std::int32_t scratch = 0;
  ShortestPathsCall paths{side, a.data(), next.data(), reinterpret_cast<std::byte*>(&scratch), -1};
  CHECK(error_of([&] { ops.shortest_paths(context, paths); }) == "no error");
}

TEST_CASE("races: planted ones are found for every order of threads, with the kernel, both threads and the address") {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    emulator::set_seed(seed);
    emulator::CudaContext context(nullptr);
    LayerRun<float> linear(case_of("linear no bias")), norm(case_of("batch_norm planes"));
    const std::string barrier = error_of([&] { raced_missing_barrier::linear_forward(context, linear.call(true)); });
    const std::string warps = error_of([&] { raced_between_warps::batch_norm_forward(context, norm.call(true)); });
    CAPTURE(barrier);
    CAPTURE(warps);
    CHECK(barrier.starts_with("(product_kernel<A, B, Out, T>), block ("));
    CHECK(warps.starts_with("batch_norm_forward_kernel, block ("));
    for (const std::string& text : {barrier, warps}) {
      CHECK(has(text, "race: thread ("));
      CHECK(has(text, " of shared memory at 0x"));
      CHECK(has(text, ", which thread ("));
    }
  }
}
#endif
