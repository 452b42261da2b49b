// The CUDA kernels of every layer on the host emulator: against the reference, in several orders of threads; against
// the CPU's bytes where kernels.h promises them; lanes together in any place against each lane alone.
#if defined(CONVSWEEP_WITH_EMULATED)
#include <algorithm>
#include <array>
#include <memory>
#include <set>

#include "backend/cpu/cpu_backend.h"
#include "backend/cuda/kernels.h"
#include "backend/reference/reference_backend.h"
#include "op_cases.h"

using namespace convsweep;
using namespace convsweep::test;

namespace {

bool same_bytes(const LayerRun<float>& a, const LayerRun<float>& b) {
  const auto same = [](const auto& p, const auto& q) {
    return p.size() == 0 || std::memcmp(p.data(), q.data(), p.size() * sizeof p[0]) == 0;
  };
  return same(a.y, b.y) && same(a.dx, b.dx) && same(a.dweight, b.dweight) && same(a.dbias, b.dbias) &&
         same(a.mean, b.mean) && same(a.var, b.var);
}

void compare(LayerRun<float>& found, LayerRun<double>& wanted, double tolerance) {
  CHECK(distance(found.y, wanted.y) <= tolerance);
  CHECK(distance(found.dx, wanted.dx) <= tolerance);
  CHECK(distance(found.dweight, wanted.dweight) <= tolerance);
  CHECK(distance(found.dbias, wanted.dbias) <= tolerance);
  CHECK(distance(found.mean, wanted.mean) <= tolerance);
  CHECK(distance(found.var, wanted.var) <= tolerance);
}

// Scratch memory of exactly the size asked for, 64-byte aligned as a session's is, full of NaN.
struct Scratch {
  Scratch(const LayerKernels& kernels, const LayerShape& shape, int n, int lanes)
      : stride((kernels.scratch_bytes(shape, n, 1) + 63) / 64 * 64),
        memory(stride * static_cast<std::size_t>(lanes) + 64) {
    std::memset(memory.data(), 0xFF, memory.size());
  }
  Lanes<std::byte> lanes() {
    const auto address = reinterpret_cast<std::uintptr_t>(memory.data());
    return {memory.data() + (64 - address % 64) % 64, static_cast<std::ptrdiff_t>(stride)};
  }
  std::size_t stride;
  Guarded<std::byte> memory;
};

// Forward, and backward when training, of one lane.
void run_on(const OpTable& ops, ExecutionContext& context, LayerRun<float>& run, const LayerCall& call, bool training) {
  const LayerKernels& kernels = ops.layer(run.shape.op);
  Scratch scratch(kernels, run.shape, run.n, 1);
  LayerCall with = call;
  with.scratch = scratch.lanes();
  kernels.forward(context, with);
  if (training) kernels.backward(context, with);
  scratch.memory.check("scratch");
  run.check_guards();
}

void run_emulated(LayerRun<float>& run, const LayerCall& call, bool training, std::uint64_t seed) {
  emulator::set_seed(seed);
  emulator::CudaContext context(nullptr);
  run_on(emulated::op_table(), context, run, call, training);
}

// kernels.h, Bytes.
bool gives_cpu_bytes(Op op) {
  static const std::set<Op> all = {Op::relu,       Op::leaky_relu,        Op::tanh,
                                   Op::sigmoid,    Op::dropout,           Op::max_pool2d,
                                   Op::avg_pool2d, Op::adaptive_max_pool2d, Op::adaptive_avg_pool2d, Op::global_avg_pool2d, Op::global_max_pool2d,
                                   Op::flatten,    Op::reshape,           Op::rows_as_sequence,
                                   Op::embedding};
  return all.contains(op);
}

// The tensors of several lanes of a case, each lane with values of its own.
class Cohort {
 public:
  Cohort(const LayerCase& which, std::size_t lanes) : run(which), count(lanes), scalars(lanes) {
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      const Guarded<float>& one = run.*members[i];
      Guarded<float>& all = tensors[i];
      all = Guarded<float>(lanes * one.size());
      all.fill(100 + i);
    }
    saved = Guarded<std::byte>(lanes * run.saved.size());
    for (std::size_t i = 0; i < lanes * run.x.size() && run.shape.op == Op::embedding; ++i) {
      tensors[0][i] = static_cast<float>((i * 7 + i / 5) % static_cast<std::size_t>(run.shape.vocabulary));
    }
    for (float* v = tensors[9].data(); v < tensors[9].data() + tensors[9].size(); ++v) *v += 1.5F;
    // What is written begins as zeros, so that untouched lanes show.
    for (const std::size_t i : {1U, 3U, 6U, 7U}) std::fill_n(tensors[i].data(), tensors[i].size(), 0.0F);
    for (std::size_t lane = 0; lane < lanes; ++lane) {
      scalars[lane] = run.scalars;
      scalars[lane].key += 977 * lane;
      if (lane % 2 == 1) scalars[lane].dropout = 0.1F * static_cast<float>(lane);
    }
  }

  void step(LaneSet lanes) {
    const LayerKernels& kernels = emulated::op_table().layer(run.shape.op);
    Scratch scratch(kernels, run.shape, run.n, static_cast<int>(count));
    emulator::CudaContext context(nullptr);
    LayerCall call = run.call(true);
    call.lanes = lanes;
    call.scalars = scalars.data();
    call.x = lanes_of(tensors[0]);
    call.y = lanes_of(tensors[1]);
    call.dy = lanes_of(tensors[2]);
    call.dx = lanes_of(tensors[3]);
    call.weight = lanes_of(tensors[4]);
    call.bias = lanes_of(tensors[5]);
    call.dweight = lanes_of(tensors[6]);
    call.dbias = lanes_of(tensors[7]);
    call.running_mean = lanes_of(tensors[8]);
    call.running_var = lanes_of(tensors[9]);
    call.saved = lanes_of(saved);
    call.scratch = scratch.lanes();
    kernels.forward(context, call);
    kernels.backward(context, call);
    scratch.memory.check("scratch");
    for (const Guarded<float>& tensor : tensors) tensor.check("a tensor");
  }

  // A lane's part of all that is written.
  bool same_lane(const Cohort& other, std::size_t lane) const {
    for (const std::size_t i : written) {
      const std::size_t stride = tensors[i].size() / count;
      if (stride == 0) continue;
      if (std::memcmp(tensors[i].data() + lane * stride, other.tensors[i].data() + lane * stride,
                      stride * sizeof(float)) != 0) {
        return false;
      }
    }
    return true;
  }

 private:
  template <class T>
  Lanes<T> lanes_of(Guarded<T>& all) const {
    return all.size() == 0 ? Lanes<T>{} : Lanes<T>{all.data(), static_cast<std::ptrdiff_t>(all.size() / count)};
  }

  static constexpr std::array<Guarded<float> LayerRun<float>::*, 10> members = {
      &LayerRun<float>::x,      &LayerRun<float>::y,    &LayerRun<float>::dy,      &LayerRun<float>::dx,
      &LayerRun<float>::weight, &LayerRun<float>::bias, &LayerRun<float>::dweight, &LayerRun<float>::dbias,
      &LayerRun<float>::mean,   &LayerRun<float>::var};
  static constexpr std::array<std::size_t, 6> written = {1, 3, 6, 7, 8, 9};
  LayerRun<float> run;
  std::size_t count;
  std::vector<LaneScalars> scalars;
  std::array<Guarded<float>, 10> tensors = {Guarded<float>(0), Guarded<float>(0), Guarded<float>(0), Guarded<float>(0),
                                            Guarded<float>(0), Guarded<float>(0), Guarded<float>(0), Guarded<float>(0),
                                            Guarded<float>(0), Guarded<float>(0)};
  Guarded<std::byte> saved{0};
};

}  // namespace

TEST_CASE("cuda: every case of every layer agrees with the reference, in any order of threads") {
  for (const LayerCase& which : layer_cases()) {
    for (const bool training : {true, false}) {
      CAPTURE(which.name);
      CAPTURE(training);
      LayerRun<double> wanted(which);
      reference::layer_forward(wanted.call(training));
      if (training) reference::layer_backward(wanted.call(true));
      LayerRun<float> first(which);
      run_emulated(first, first.call(training), training, 1);
      compare(first, wanted, which.tolerance);
      LayerRun<float> again(which);
      run_emulated(again, again.call(training), training, 2);
      CHECK(same_bytes(again, first));
    }
  }
}

TEST_CASE("cuda: layers that promise the CPU's bytes give them") {
  const auto backend = make_cpu_backend(cpu::kernels());
  const auto context = backend->context(nullptr);
  for (const LayerCase& which : layer_cases()) {
    CAPTURE(which.name);
    LayerRun<float> found(which), wanted(which);
    run_emulated(found, found.call(true), true, 3);
    run_on(backend->ops(), *context, wanted, wanted.call(true), true);
    if (gives_cpu_bytes(which.spec.op)) CHECK(same_bytes(found, wanted));
    if (which.spec.op == Op::linear) {
      CHECK(std::memcmp(found.y.data(), wanted.y.data(), found.y.size() * sizeof(float)) == 0);
    }
  }
}

TEST_CASE("cuda: a lane alone and among others, in any place: the same bytes; other lanes are not touched") {
  constexpr std::size_t lanes = 4;
  const std::int32_t chosen[] = {3, 0, 2};
  int changed = 0;
  for (const LayerCase& which : layer_cases()) {
    CAPTURE(which.name);
    const Cohort before(which, lanes);
    Cohort together(which, lanes), alone(which, lanes);
    emulator::set_seed(4);
    together.step({0, 3, chosen});
    emulator::set_seed(5);
    for (const std::int32_t lane : chosen) alone.step({lane, 1, nullptr});
    for (std::size_t lane = 0; lane < lanes; ++lane) CHECK(together.same_lane(alone, lane));
    CHECK(together.same_lane(before, 1));
    changed += together.same_lane(before, 2) ? 0 : 1;
  }
  // A single element that dropout drops or relu cuts stays 0.
  CHECK(changed >= static_cast<int>(layer_cases().size()) - 5);
}

TEST_CASE("cuda: a lane among so many that products take larger tiles has the bytes it has alone") {
  LayerCase conv, lstm;
  conv.name = "conv2d under many lanes";
  conv.spec.op = Op::conv2d;
  conv.spec.filters = 40;
  conv.spec.kernel = {2, 3};
  conv.spec.padding = {PaddingKind::same, {0, 0}};
  conv.spec.bias = true;
  conv.in = {36, 3, 5};
  conv.n = 5;
  lstm.name = "lstm under many lanes";
  lstm.spec.op = Op::lstm;
  lstm.spec.units = 16;
  lstm.spec.return_sequences = true;
  lstm.in = {4, 1, 2};
  lstm.n = 33;
  for (const auto& [which, lanes] : {std::pair(conv, std::size_t{64}), std::pair(lstm, std::size_t{128})}) {
    CAPTURE(which.name);
    Cohort together(which, lanes), alone(which, lanes);
    emulator::set_seed(12);
    together.step({0, static_cast<int>(lanes), nullptr});
    for (const std::size_t lane : {std::size_t{0}, lanes - 1}) {
      alone.step({static_cast<int>(lane), 1, nullptr});
      CHECK(together.same_lane(alone, lane));
    }
  }
}

TEST_CASE("cuda: layers that may work in place give the same in place") {
  for (const LayerCase& which : layer_cases()) {
    if (!layer_traits(which.spec.op).in_place) continue;
    CAPTURE(which.name);
    LayerRun<float> apart(which), in_place(which);
    run_emulated(apart, apart.call(true), true, 6);
    LayerCall call = in_place.call(true);
    call.y = {in_place.x.data(), 0};
    call.dx = {in_place.dy.data(), 0};
    run_emulated(in_place, call, true, 7);
    CHECK(std::memcmp(in_place.x.data(), apart.y.data(), apart.y.size() * sizeof(float)) == 0);
    CHECK(std::memcmp(in_place.dy.data(), apart.dx.data(), apart.dx.size() * sizeof(float)) == 0);
  }
}

TEST_CASE("cuda: gradients that nobody needs are left out, the others stay as they are") {
  for (const LayerCase& which : layer_cases()) {
    CAPTURE(which.name);
    LayerRun<float> all(which), no_dx(which), no_dweight(which);
    run_emulated(all, all.call(true), true, 8);
    LayerCall call = no_dx.call(true);
    call.dx = {};
    run_emulated(no_dx, call, true, 9);
    CHECK(distance(no_dx.dweight, all.dweight) == 0);
    CHECK(distance(no_dx.dbias, all.dbias) == 0);
    const Op op = which.spec.op;
    if (op != Op::linear && op != Op::conv2d && op != Op::conv_transpose2d) continue;
    call = no_dweight.call(true);
    call.dweight = call.dbias = {};
    run_emulated(no_dweight, call, true, 10);
    CHECK(distance(no_dweight.dx, all.dx) == 0);
  }
}

TEST_CASE("cuda: a sum that is cut into splits agrees with the reference") {
  // Few weights under many pixels and images: 2 x 18 of them over 5 x 6 x n positions.
  LayerCase conv, linear;
  conv.name = "conv2d of great depth";
  conv.spec.op = Op::conv2d;
  conv.spec.filters = 2;
  conv.spec.kernel = {3, 3};
  conv.spec.padding = {PaddingKind::same, {0, 0}};
  conv.spec.bias = true;
  conv.in = {2, 5, 6};
  linear.name = "linear of great depth";
  linear.spec.op = Op::linear;
  linear.spec.units = 5;
  linear.spec.bias = true;
  linear.in = {700, 1, 1};
  // Images in fours or not. At least 128 of the depth a split, of a linear layer's outputs 256.
  for (const auto& [which, n, floats] : {std::tuple(conv, 130, 31 * 2 * 18), std::tuple(conv, 128, 30 * 2 * 18),
                                         std::tuple(linear, 9, 3 * 5 * 9), std::tuple(linear, 12, 3 * 5 * 12)}) {
    CAPTURE(which.name);
    CAPTURE(n);
    LayerCase sized = which;
    sized.n = n;
    LayerRun<float> found(sized);
    LayerRun<double> wanted(sized);
    REQUIRE(emulated::op_table().layer(sized.spec.op).scratch_bytes(found.shape, n, 1) ==
            static_cast<std::size_t>(floats) * sizeof(float));
    reference::layer_forward(wanted.call(true));
    reference::layer_backward(wanted.call(true));
    run_emulated(found, found.call(true), true, 11);
    compare(found, wanted, 1e-5);
  }
}
#endif
