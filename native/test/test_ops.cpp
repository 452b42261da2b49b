// Every operation: gradients of the reference against central differences in double; the CPU backend, on every
// instruction set, alone and with threads, against the reference.
#include <memory>
#include <set>

#include "backend/cpu/cpu_backend.h"
#include "backend/reference/reference_backend.h"
#include "convsweep/thread_pool.h"
#include "op_cases.h"

using namespace convsweep;
using namespace convsweep::test;

namespace {

// Sum of y * dy after a training forward: the scalar whose gradient backward computes.
double objective(LayerRun<double>& run) {
  const Guarded<double> mean = run.mean, var = run.var;
  reference::layer_forward(run.call(true));
  // The running statistics are not part of the function.
  run.mean = mean;
  run.var = var;
  double sum = 0;
  for (std::size_t i = 0; i < run.y.size(); ++i) sum += run.y[i] * run.dy[i];
  return sum;
}

double slope_at(LayerRun<double>& run, double& place) {
  const double step = 1e-5, old = place;
  place = old + step;
  const double above = objective(run);
  place = old - step;
  const double below = objective(run);
  place = old;
  return (above - below) / (2 * step);
}

// All elements of small tensors, every few of large ones.
void check_gradient(LayerRun<double>& run, Guarded<double>& values, const Guarded<double>& gradient, const char* what) {
  const std::size_t stride = values.size() / 200 + 1;
  for (std::size_t i = 0; i < values.size(); i += stride) {
    const double expected = slope_at(run, values[i]);
    CHECK_MESSAGE(std::fabs(gradient[i] - expected) <= 1e-6 * std::fmax(1.0, std::fabs(expected)),
                  what << "[" << i << "]: backward says " << gradient[i] << ", differences say " << expected);
  }
}

void compare(LayerRun<float>& found, LayerRun<double>& wanted, double tolerance) {
  CHECK(distance(found.y, wanted.y) <= tolerance);
  CHECK(distance(found.dx, wanted.dx) <= tolerance);
  CHECK(distance(found.dweight, wanted.dweight) <= tolerance);
  CHECK(distance(found.dbias, wanted.dbias) <= tolerance);
  CHECK(distance(found.mean, wanted.mean) <= tolerance);
  CHECK(distance(found.var, wanted.var) <= tolerance);
}

void run_on(Backend& backend, ThreadPool* pool, LayerRun<float>& run, bool training) {
  const auto context = backend.context(pool);
  const LayerKernels& kernels = backend.ops().layer(run.shape.op);
  Guarded<std::byte> scratch(kernels.scratch_bytes(run.shape, run.n, pool == nullptr ? 1 : pool->width()) + 64);
  LayerCall call = run.call(training);
  // 64-byte aligned, as the session's are.
  const auto address = reinterpret_cast<std::uintptr_t>(scratch.data());
  call.scratch = {scratch.data() + (64 - address % 64) % 64, 0};
  kernels.forward(*context, call);
  if (training) kernels.backward(*context, call);
  scratch.check("scratch");
  run.check_guards();
}

// The tensors of a double run, rounded to what the float run holds, so that only the arithmetic differs.
void round_inputs(LayerRun<double>& run, const LayerRun<float>& from) {
  const auto copy = [](Guarded<double>& to, const Guarded<float>& values) {
    for (std::size_t i = 0; i < to.size(); ++i) to[i] = static_cast<double>(values[i]);
  };
  copy(run.x, from.x);
  copy(run.dy, from.dy);
  copy(run.weight, from.weight);
  copy(run.bias, from.bias);
  copy(run.mean, from.mean);
  copy(run.var, from.var);
}

// Recurrent layers keep their steps in blocks of images, as many as there are threads for: the same floats in other places.
bool same_bytes(const LayerRun<float>& a, const LayerRun<float>& b) {
  const bool blocks = a.shape.op == Op::rnn || a.shape.op == Op::lstm;
  const auto same = [](const auto& p, const auto& q) {
    return p.size() == 0 || std::memcmp(p.data(), q.data(), p.size() * sizeof p[0]) == 0;
  };
  return same(a.y, b.y) && same(a.dx, b.dx) && same(a.dweight, b.dweight) && same(a.dbias, b.dbias) &&
         same(a.mean, b.mean) && same(a.var, b.var) && (blocks || same(a.saved, b.saved));
}

std::vector<std::unique_ptr<Backend>> cpu_backends() {
  std::vector<std::unique_ptr<Backend>> all;
  for (const cpu::Isa isa : {cpu::Isa::scalar, cpu::Isa::avx2, cpu::Isa::avx512}) {
    if (const cpu::KernelTable* table = cpu::kernels_for(isa)) all.push_back(make_cpu_backend(*table));
  }
  return all;
}

}  // namespace

TEST_CASE("every operation of ops.def has a case") {
  std::set<Op> covered;
  for (const LayerCase& which : layer_cases()) covered.insert(which.spec.op);
#define CONVSWEEP_LAYER_OP(name, backward_needs_x, backward_needs_y, in_place) \
  CHECK_MESSAGE(covered.contains(Op::name), "no case for " #name);
#include "ops/ops.def"
}

TEST_CASE("gradients of the reference agree with central differences") {
  for (const LayerCase& which : layer_cases()) {
    CAPTURE(which.name);
    LayerRun<double> run(which);
    objective(run);
    reference::layer_backward(run.call(true));
    const Guarded<double> dx = run.dx, dweight = run.dweight, dbias = run.dbias;
    check_gradient(run, run.x, dx, "dx");
    check_gradient(run, run.weight, dweight, "dweight");
    check_gradient(run, run.bias, dbias, "dbias");
  }
}

TEST_CASE("the CPU agrees with the reference, and with itself to the bit") {
  ThreadPool pool(2);
  for (const LayerCase& which : layer_cases()) {
    for (const bool training : {true, false}) {
      CAPTURE(which.name);
      CAPTURE(training);
      LayerRun<double> wanted(which);
      round_inputs(wanted, LayerRun<float>(which));
      reference::layer_forward(wanted.call(training));
      if (training) reference::layer_backward(wanted.call(true));
      std::unique_ptr<LayerRun<float>> first;
      for (const auto& backend : cpu_backends()) {
        for (ThreadPool* threads : {static_cast<ThreadPool*>(nullptr), &pool}) {
          auto found = std::make_unique<LayerRun<float>>(which);
          run_on(*backend, threads, *found, training);
          compare(*found, wanted, which.tolerance);
          if (first != nullptr) CHECK(same_bytes(*found, *first));
          if (first == nullptr) first = std::move(found);
        }
      }
    }
  }
}

TEST_CASE("operations that may work in place give the same in place") {
  for (const LayerCase& which : layer_cases()) {
    if (!layer_traits(which.spec.op).in_place) continue;
    CAPTURE(which.name);
    for (const auto& backend : cpu_backends()) {
      LayerRun<float> apart(which), in_place(which);
      run_on(*backend, nullptr, apart, true);
      const auto context = backend->context(nullptr);
      LayerCall call = in_place.call(true);
      call.y = {in_place.x.data(), 0};
      call.dx = {in_place.dy.data(), 0};
      backend->ops().layer(which.spec.op).forward(*context, call);
      backend->ops().layer(which.spec.op).backward(*context, call);
      CHECK(std::memcmp(in_place.x.data(), apart.y.data(), apart.y.size() * sizeof(float)) == 0);
      CHECK(std::memcmp(in_place.dy.data(), apart.dx.data(), apart.dx.size() * sizeof(float)) == 0);
    }
  }
}

TEST_CASE("conv_transpose2d is the adjoint of the convolution with the same weights") {
  // <transpose(x), v> = <x, conv(v)> for every x and v.
  for (const LayerCase& which : layer_cases()) {
    if (which.spec.op != Op::conv_transpose2d || which.spec.bias) continue;
    CAPTURE(which.name);
    LayerRun<double> up(which);
    reference::layer_forward(up.call(true));
    LayerCase back = which;
    back.spec.op = Op::conv2d;
    back.spec.filters = up.shape.in.channels;
    back.in = up.shape.out;
    LayerRun<double> down(back);
    REQUIRE(down.shape.out == up.shape.in);
    for (std::size_t i = 0; i < down.weight.size(); ++i) down.weight[i] = up.weight[i];
    reference::layer_forward(down.call(true));
    double left = 0, right = 0;
    for (std::size_t i = 0; i < up.y.size(); ++i) left += up.y[i] * down.x[i];
    for (std::size_t i = 0; i < up.x.size(); ++i) right += up.x[i] * down.y[i];
    CHECK(std::fabs(left) > 1e-3);
    CHECK(left == doctest::Approx(right).epsilon(1e-12));
  }
}

TEST_CASE("a layer whose parameters nobody trains still gives dx") {
  for (const LayerCase& which : layer_cases()) {
    const Op op = which.spec.op;
    if (op != Op::linear && op != Op::conv2d && op != Op::conv_transpose2d) continue;
    CAPTURE(which.name);
    std::vector<std::unique_ptr<Backend>> backends = cpu_backends();
    backends.push_back(make_reference_backend());
    for (const auto& backend : backends) {
      LayerRun<float> with(which), without(which);
      run_on(*backend, nullptr, with, true);
      const auto context = backend->context(nullptr);
      const LayerKernels& kernels = backend->ops().layer(op);
      std::vector<std::byte> scratch(kernels.scratch_bytes(without.shape, which.n, 1) + 64);
      LayerCall call = without.call(true);
      call.dweight = call.dbias = {};
      const auto address = reinterpret_cast<std::uintptr_t>(scratch.data());
      call.scratch = {scratch.data() + (64 - address % 64) % 64, 0};
      kernels.forward(*context, call);
      kernels.backward(*context, call);
      CHECK(distance(without.dx, with.dx) == 0);
    }
  }
}

TEST_CASE("a layer that nobody needs dx of still gives the gradients of its parameters") {
  for (const LayerCase& which : layer_cases()) {
    CAPTURE(which.name);
    for (const auto& backend : cpu_backends()) {
      LayerRun<float> with(which), without(which);
      run_on(*backend, nullptr, with, true);
      const auto context = backend->context(nullptr);
      const LayerKernels& kernels = backend->ops().layer(which.spec.op);
      std::vector<std::byte> scratch(kernels.scratch_bytes(without.shape, which.n, 1) + 64);
      LayerCall call = without.call(true);
      call.dx = {};
      const auto address = reinterpret_cast<std::uintptr_t>(scratch.data());
      call.scratch = {scratch.data() + (64 - address % 64) % 64, 0};
      kernels.forward(*context, call);
      kernels.backward(*context, call);
      CHECK(distance(without.dweight, with.dweight) == 0);
      CHECK(distance(without.dbias, with.dbias) == 0);
    }
  }
}

TEST_CASE("sums and copies, apart and in place, on every instruction set and with threads") {
  ThreadPool pool(2);
  for (const std::size_t count : {1U, 15U, 16U, 17U, 1000U, 70001U}) {
    for (const auto& backend : cpu_backends()) {
      for (ThreadPool* threads : {static_cast<ThreadPool*>(nullptr), &pool}) {
        const auto context = backend->context(threads);
        for (const int place : {0, 1, 2}) {
          Guarded<float> a(count), b(count), y(count);
          a.fill(1);
          b.fill(2);
          const Guarded<float> first = a, second = b;
          float* out = place == 0 ? y.data() : place == 1 ? a.data() : b.data();
          JoinCall call;
          call.count = static_cast<std::int64_t>(count);
          call.a = {a.data(), 0};
          call.b = {b.data(), 0};
          call.y = {out, 0};
          backend->ops().add(*context, call);
          bool right = true;
          for (std::size_t i = 0; i < count; ++i) right = right && out[i] == first[i] + second[i];
          CHECK(right);
          call.a = {second.data(), 0};
          backend->ops().copy(*context, call);
          CHECK(std::memcmp(out, second.data(), count * sizeof(float)) == 0);
          for (const Guarded<float>* buffer : {&a, &b, &y}) buffer->check("a join's operand");
        }
      }
    }
  }
}
