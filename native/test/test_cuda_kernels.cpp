// The CUDA kernels of relu and softmax cross entropy on the host emulator, at their edges; and copies of kernels with a
// planted fault, which must be caught. All layers: test_cuda_layers.cpp.
#if defined(CONVSWEEP_WITH_EMULATED)
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "backend/cpu/cpu_backend.h"
#include "backend/cuda/kernels.h"
#include "backend/reference/reference_backend.h"
#include "emulator/planted.h"
#include "op_cases.h"

using namespace convsweep;
using namespace convsweep::test;

namespace {

constexpr std::uint64_t seeds[] = {1, 2, 3};

struct Emulated {
  emulator::CudaContext context{nullptr};
};

struct OnCpu {
  std::unique_ptr<Backend> backend = make_cpu_backend(cpu::kernels());
  std::unique_ptr<ExecutionContext> context = backend->context(nullptr);
};

template <class T>
bool same_bytes(const Guarded<T>& a, const Guarded<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

template <class T>
Lanes<T> lanes_of(Guarded<T>& buffer, std::size_t lanes) {
  return {buffer.data(), static_cast<std::ptrdiff_t>(buffer.size() / lanes)};
}

// Logits, labels and what the loss writes, for some lanes.
template <class Real>
struct LossRun {
  LossRun(int lanes, int classes_, int n_, float smoothing)
      : count(static_cast<std::size_t>(lanes)),
        classes(classes_),
        n(n_),
        scalars(count),
        metrics(count, LaneMetrics{-7, -7}),
        logits(count * static_cast<std::size_t>(classes * n)),
        dlogits(logits.size()),
        labels(count * static_cast<std::size_t>(n)) {
    logits.fill(11, 4.0);
    for (std::size_t i = 0; i < labels.size(); ++i) {
      labels[i] = static_cast<std::int32_t>((value_at(12, i) + 1) / 2 * classes);
    }
    for (std::size_t i = 0; i < count; ++i) scalars[i].label_smoothing = smoothing * static_cast<float>(i + 1);
  }
  BasicLossCall<Real> call(LaneSet set, bool gradient = true) {
    BasicLossCall<Real> c;
    c.n = n;
    c.classes = classes;
    c.lanes = set;
    c.scalars = scalars.data();
    c.logits = lanes_of(logits, count);
    c.labels = lanes_of(labels, count);
    if (gradient) c.dlogits = lanes_of(dlogits, count);
    c.metrics = metrics.data();
    return c;
  }

  std::size_t count;
  int classes, n;
  std::vector<LaneScalars> scalars;
  std::vector<LaneMetrics> metrics;
  Guarded<Real> logits, dlogits;
  Guarded<std::int32_t> labels;
};

const LayerCase& case_of(const std::string& name) {
  for (const LayerCase& which : layer_cases()) {
    if (which.name == name) return which;
  }
  FAIL("no case " << name);
  return layer_cases().front();
}

template <class Call>
std::string error_of(Call call) {
  try {
    call();
  } catch (const emulator::EmulatorError& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace

TEST_CASE("cuda: relu keeps NaN, drops what is below zero, may work in place") {
  const LayerCase& which = case_of("relu odd sizes");
  Emulated emulated;
  LayerRun<float> run(which);
  run.x[0] = NAN;
  run.x[1] = -INFINITY;
  run.x[2] = INFINITY;
  run.x[3] = -0.0F;
  LayerCall call = run.call(true);
  call.y = {run.x.data(), 0};
  const float fourth = run.x[4];
  emulated::relu_forward(emulated.context, call);
  CHECK(std::isnan(run.x[0]));
  CHECK(run.x[1] == 0.0F);
  CHECK(run.x[2] == INFINITY);
  CHECK(run.x[3] == 0.0F);
  CHECK(run.x[4] == std::max(fourth, 0.0F));
  call.dx = {};
  emulated::relu_backward(emulated.context, call);
  for (std::size_t i = 0; i < run.dx.size(); ++i) REQUIRE(run.dx[i] == 0.0F);
}

#if !defined(__SANITIZE_ADDRESS__)
// Slow under a sanitizer, and nothing of it is new there.
TEST_CASE("cuda: more lanes than a launch has blocks along y") {
  constexpr int lanes = 65536 + 5;
  std::vector<float> x(lanes, 1.5F), y(lanes, 0.0F);
  x.back() = -1;
  LayerRun<float> run(case_of("relu one image"));
  LayerCall call = run.call(true);
  call.lanes = {0, lanes, nullptr};
  call.x = {x.data(), 1};
  call.y = {y.data(), 1};
  Emulated emulated;
  emulated::relu_forward(emulated.context, call);
  CHECK(std::count(y.begin(), y.end(), 1.5F) == lanes - 1);
  CHECK(y.back() == 0);
}
#endif

TEST_CASE("cuda: softmax cross entropy agrees with the reference, and its gradient with the CPU's bytes") {
  for (const int n : {1, 3, 17, 100, 128, 129, 300}) {
    for (const int classes : {2, 10, 100}) {
      for (const float smoothing : {0.0F, 0.1F}) {
        CAPTURE(n);
        CAPTURE(classes);
        CAPTURE(smoothing);
        constexpr int lanes = 3;
        LossRun<float> found(lanes, classes, n, smoothing), on_cpu(lanes, classes, n, smoothing);
        LossRun<double> wanted(lanes, classes, n, smoothing);
        reference::softmax_cross_entropy(wanted.call({0, lanes, nullptr}));
        OnCpu cpu;
        cpu.backend->ops().softmax_cross_entropy(*cpu.context, on_cpu.call({0, lanes, nullptr}));
        emulator::set_seed(static_cast<std::uint64_t>(n * classes));
        Emulated emulated;
        emulated::softmax_cross_entropy(emulated.context, found.call({0, lanes, nullptr}));
        CHECK(distance(found.dlogits, wanted.dlogits) <= 1e-6);
        CHECK(same_bytes(found.dlogits, on_cpu.dlogits));
        for (std::size_t lane = 0; lane < lanes; ++lane) {
          const LaneMetrics &a = found.metrics[lane], &b = wanted.metrics[lane], &c = on_cpu.metrics[lane];
          CHECK(std::fabs(a.loss_sum - b.loss_sum) <= 2e-6 * n * std::fmax(1.0, b.loss_sum / n));
          // The same terms in another order of additions in double.
          CHECK(std::fabs(a.loss_sum - c.loss_sum) <= 1e-13 * n * std::fmax(1.0, c.loss_sum));
          CHECK(a.correct == b.correct);
        }
        found.logits.check("logits");
        found.dlogits.check("dlogits");
        found.labels.check("labels");
      }
    }
  }
}

TEST_CASE(
    "cuda: the loss of a lane depends neither on its neighbours nor on the order of threads, nor on the gradient") {
  constexpr int lanes = 5;
  const std::int32_t chosen[] = {4, 1};
  Emulated emulated;
  LossRun<float> first(lanes, 10, 200, 0.05F);
  emulator::set_seed(1);
  emulated::softmax_cross_entropy(emulated.context, first.call({0, lanes, nullptr}));
  for (const std::uint64_t seed : seeds) {
    emulator::set_seed(seed);
    LossRun<float> again(lanes, 10, 200, 0.05F);
    emulated::softmax_cross_entropy(emulated.context, again.call({0, 2, chosen}));
    emulated::softmax_cross_entropy(emulated.context, again.call({2, 1, nullptr}, false));
    for (const std::size_t lane : {std::size_t{1}, std::size_t{2}, std::size_t{4}}) {
      CHECK(again.metrics[lane].loss_sum == first.metrics[lane].loss_sum);
      CHECK(again.metrics[lane].correct == first.metrics[lane].correct);
    }
    for (const std::size_t lane : {std::size_t{0}, std::size_t{3}}) CHECK(again.metrics[lane].correct == -7);
    CHECK(std::memcmp(&again.dlogits[4 * 2000], &first.dlogits[4 * 2000], 2000 * sizeof(float)) == 0);
    CHECK(again.dlogits[2 * 2000] == 0.0F);
  }
}

TEST_CASE("cuda: a NaN logit is never a hit and makes the loss NaN; huge logits do not overflow") {
  Emulated emulated;
  LossRun<float> run(1, 3, 2, 0);
  const float logits[] = {NAN, 1e30F, 1, -1e30F, 2, 0};
  std::copy(std::begin(logits), std::end(logits), run.logits.data());
  run.labels[0] = 2;
  run.labels[1] = 0;
  emulated::softmax_cross_entropy(emulated.context, run.call({0, 1, nullptr}));
  CHECK(run.metrics[0].correct == 1);
  CHECK(std::isnan(run.metrics[0].loss_sum));
  CHECK(std::isnan(run.dlogits[0]));
  CHECK(run.dlogits[1] == 0.0F);
}

TEST_CASE("cuda: a missing barrier is caught: wrong numbers for nearly every order of threads") {
  const LayerCase& which = case_of("linear no bias");
  LayerRun<double> wanted(which);
  reference::layer_forward(wanted.call(true));
  LossRun<double> wanted_loss(1, 10, 128, 0);
  reference::softmax_cross_entropy(wanted_loss.call({0, 1, nullptr}));
  int linear_caught = 0, loss_caught = 0;
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    emulator::set_seed(seed);
    Emulated emulated;
    LayerRun<float> run(which);
    emulated_missing_barrier::linear_forward(emulated.context, run.call(true));
    linear_caught += distance(run.y, wanted.y) > which.tolerance ? 1 : 0;
    LossRun<float> loss(1, 10, 128, 0);
    emulated_missing_barrier::softmax_cross_entropy(emulated.context, loss.call({0, 1, nullptr}));
    const bool right = std::fabs(loss.metrics[0].loss_sum - wanted_loss.metrics[0].loss_sum) < 1e-3 &&
                       loss.metrics[0].correct == wanted_loss.metrics[0].correct;
    loss_caught += right ? 0 : 1;
  }
  CHECK(linear_caught == 10);
  CHECK(loss_caught >= 8);
}

TEST_CASE("cuda: a return before a barrier is caught and named") {
  Emulated emulated;
  LayerRun<float> run(case_of("linear odd sizes"));
  const std::string text = error_of([&] { emulated_early_return::linear_forward(emulated.context, run.call(true)); });
  CAPTURE(text);
  CHECK(text.starts_with("(product_kernel<A, B, Out, T>), block ("));
  CHECK(text.find("barrier divergence: ") != std::string::npos);
  CHECK(text.find(" threads wait at product.h:") != std::string::npos);
  CHECK(text.find(" have returned") != std::string::npos);
}

TEST_CASE("cuda: a tail without a guard is caught by the zones around each buffer") {
  Emulated emulated;
  LayerRun<float> run(case_of("relu odd sizes"));
  // Zones as long as a block, so that the fault stays within this test.
  const std::size_t count = run.y.size(), zone = 256;
  std::vector<float> x(count + zone, 1.0F), y(count + zone, 77.0F);
  LayerCall call = run.call(true);
  call.x = {x.data(), 0};
  call.y = {y.data(), 0};
  const auto damaged = [&] {
    return std::count_if(y.begin() + static_cast<std::ptrdiff_t>(count), y.end(), [](float v) { return v != 77.0F; });
  };
  emulated::relu_forward(emulated.context, call);
  CHECK(damaged() == 0);
  emulated_unguarded_tail::relu_forward(emulated.context, call);
  CHECK(damaged() == static_cast<std::ptrdiff_t>((256 - count % 256) % 256));
}

#if defined(__SANITIZE_ADDRESS__)
TEST_CASE("cuda: under AddressSanitizer a tail without a guard ends the program and names the kernel's line") {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    dup2(ends[1], STDERR_FILENO);
    Emulated emulated;
    LayerRun<float> run(case_of("relu odd sizes"));
    // Nothing behind the last element.
    std::vector<float> x(run.x.size(), 1.0F), y(run.y.size());
    LayerCall call = run.call(true);
    call.x = {x.data(), 0};
    call.y = {y.data(), 0};
    emulated_unguarded_tail::relu_forward(emulated.context, call);
    _exit(0);
  }
  close(ends[1]);
  std::string text;
  char part[4096];
  for (ssize_t n = read(ends[0], part, sizeof part); n > 0; n = read(ends[0], part, sizeof part)) {
    text.append(part, static_cast<std::size_t>(n));
  }
  close(ends[0]);
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CAPTURE(text);
  CHECK(!(WIFEXITED(status) && WEXITSTATUS(status) == 0));
  CHECK(text.find("heap-buffer-overflow") != std::string::npos);
  CHECK(text.find("activations.cu:") != std::string::npos);
}
#endif
#endif
