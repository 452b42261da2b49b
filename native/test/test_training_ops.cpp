// The loss, the updates and the gather: against definitions worked out here, and the CPU against the reference.
#include <algorithm>
#include <array>
#include <memory>

#include "backend/cpu/cpu_backend.h"
#include "backend/reference/reference_backend.h"
#include "model/schedule.h"
#include "support.h"

using namespace convsweep;
using namespace convsweep::test;

namespace {

struct LossRun {
  LossRun(int classes_, int n_, float smoothing) : classes(classes_), n(n_), logits(size()), dlogits(size()) {
    logits.fill(11, 4.0);
    scalars.label_smoothing = smoothing;
    for (int i = 0; i < n; ++i) labels.push_back((i * 7 + 3) % classes);
  }
  std::size_t size() const { return static_cast<std::size_t>(classes) * static_cast<std::size_t>(n); }

  template <class Real>
  BasicLossCall<Real> call(Guarded<Real>& from, Guarded<Real>& to) {
    BasicLossCall<Real> c;
    c.n = n;
    c.classes = classes;
    c.scalars = &scalars;
    c.logits = {from.data(), 0};
    c.labels = {labels.data(), 0};
    c.dlogits = {to.data(), 0};
    c.metrics = &metrics;
    return c;
  }

  int classes, n;
  LaneScalars scalars;
  LaneMetrics metrics;
  std::vector<std::int32_t> labels;
  Guarded<double> logits, dlogits;
};

std::vector<std::unique_ptr<Backend>> float_backends() {
  std::vector<std::unique_ptr<Backend>> all;
  all.push_back(make_reference_backend());
  for (const cpu::Isa isa : {cpu::Isa::scalar, cpu::Isa::avx2, cpu::Isa::avx512}) {
    if (const cpu::KernelTable* table = cpu::kernels_for(isa)) all.push_back(make_cpu_backend(*table));
  }
  return all;
}

}  // namespace

TEST_CASE("softmax_cross_entropy: a case worked out by hand") {
  // Two images of two classes, logits (0, ln 3) and (0, 0): p = (1/4, 3/4) and (1/2, 1/2).
  LossRun run(2, 2, 0);
  run.labels = {1, 0};
  const double values[] = {0, 0, std::log(3.0), 0};
  for (std::size_t i = 0; i < 4; ++i) run.logits[i] = values[i];
  reference::softmax_cross_entropy(run.call(run.logits, run.dlogits));
  CHECK(run.metrics.loss_sum == doctest::Approx(std::log(4.0 / 3.0) + std::log(2.0)).epsilon(1e-14));
  CHECK(run.metrics.correct == 2);
  const double gradient[] = {0.125, -0.25, -0.125, 0.25};
  for (std::size_t i = 0; i < 4; ++i) CHECK(run.dlogits[i] == doctest::Approx(gradient[i]).epsilon(1e-14));
}

TEST_CASE("softmax_cross_entropy: dlogits is the gradient of the mean loss") {
  for (const float smoothing : {0.0F, 0.1F}) {
    LossRun run(5, 7, smoothing);
    reference::softmax_cross_entropy(run.call(run.logits, run.dlogits));
    const Guarded<double> gradient = run.dlogits;
    for (std::size_t i = 0; i < run.size(); ++i) {
      const double step = 1e-5, old = run.logits[i];
      double sums[2];
      for (int side = 0; side < 2; ++side) {
        run.logits[i] = old + (side == 0 ? step : -step);
        reference::softmax_cross_entropy(run.call(run.logits, run.dlogits));
        sums[side] = run.metrics.loss_sum / run.n;
      }
      run.logits[i] = old;
      CHECK(gradient[i] == doctest::Approx((sums[0] - sums[1]) / (2 * step)).epsilon(1e-6));
    }
  }
}

TEST_CASE("softmax_cross_entropy: the CPU agrees with the reference") {
  for (const int n : {1, 3, 17, 100}) {
    for (const float smoothing : {0.0F, 0.2F}) {
      LossRun wanted(10, n, smoothing);
      reference::softmax_cross_entropy(wanted.call(wanted.logits, wanted.dlogits));
      for (const auto& backend : float_backends()) {
        LossRun run(10, n, smoothing);
        Guarded<float> logits(run.size()), dlogits(run.size());
        logits.fill(11, 4.0);
        const auto context = backend->context(nullptr);
        backend->ops().softmax_cross_entropy(*context, run.call(logits, dlogits));
        CHECK(run.metrics.loss_sum == doctest::Approx(wanted.metrics.loss_sum).epsilon(1e-6));
        CHECK(run.metrics.correct == wanted.metrics.correct);
        CHECK(distance(dlogits, wanted.dlogits) <= 1e-6);
        dlogits.check("dlogits");
        const double loss = run.metrics.loss_sum;
        LossCall forward_only = run.call(logits, dlogits);
        forward_only.dlogits = {};
        backend->ops().softmax_cross_entropy(*context, forward_only);
        CHECK(run.metrics.loss_sum == loss);
      }
    }
  }
}

TEST_CASE("binary_cross_entropy: a case worked out by hand") {
  // Logits 0, ln 3 and -ln 3 against 1, 1, 1: p = 1/2, 3/4, 1/4.
  LossRun run(1, 3, 0);
  const double values[] = {0, std::log(3.0), -std::log(3.0)};
  for (std::size_t i = 0; i < 3; ++i) run.logits[i] = values[i];
  auto call = run.call(run.logits, run.dlogits);
  call.target = BinaryTarget::one;
  reference::binary_cross_entropy(call);
  CHECK(run.metrics.loss_sum == doctest::Approx(std::log(2.0) + std::log(4.0 / 3.0) + std::log(4.0)).epsilon(1e-14));
  CHECK(run.metrics.correct == 1);
  const double gradient[] = {-0.5 / 3, -0.25 / 3, -0.75 / 3};
  for (std::size_t i = 0; i < 3; ++i) CHECK(run.dlogits[i] == doctest::Approx(gradient[i]).epsilon(1e-14));
  // Against 0 the losses of z and -z change places.
  call.target = BinaryTarget::zero;
  reference::binary_cross_entropy(call);
  CHECK(run.metrics.loss_sum == doctest::Approx(std::log(2.0) + std::log(4.0) + std::log(4.0 / 3.0)).epsilon(1e-14));
  CHECK(run.metrics.correct == 2);
  // One-sided smoothing: 0.9 times the loss against 1 and 0.1 times that against 0, which are equal in sum here.
  run.scalars.label_smoothing = 0.1F;
  call.target = BinaryTarget::smoothed_one;
  reference::binary_cross_entropy(call);
  CHECK(run.dlogits[0] == doctest::Approx((0.5 - 0.9) / 3).epsilon(1e-7));
  CHECK(run.metrics.correct == 1);
}

TEST_CASE("binary_cross_entropy: dlogits is the gradient of the mean loss; the CPU agrees with the reference") {
  for (const BinaryTarget target :
       {BinaryTarget::labels, BinaryTarget::one, BinaryTarget::smoothed_one, BinaryTarget::zero}) {
    for (const int n : {1, 7, 16, 60, 100}) {
      CAPTURE(n);
      LossRun wanted(1, n, 0.2F);
      for (int i = 0; i < n; ++i) wanted.labels[static_cast<std::size_t>(i)] = i % 3 == 0 ? 1 : 0;
      auto call = wanted.call(wanted.logits, wanted.dlogits);
      call.target = target;
      reference::binary_cross_entropy(call);
      const Guarded<double> gradient = wanted.dlogits;
      const LaneMetrics metrics = wanted.metrics;
      for (std::size_t i = 0; i < wanted.size(); ++i) {
        const double step = 1e-5, old = wanted.logits[i];
        double sums[2];
        for (int side = 0; side < 2; ++side) {
          wanted.logits[i] = old + (side == 0 ? step : -step);
          reference::binary_cross_entropy(call);
          sums[side] = wanted.metrics.loss_sum / n;
        }
        wanted.logits[i] = old;
        CHECK(gradient[i] == doctest::Approx((sums[0] - sums[1]) / (2 * step)).epsilon(1e-6));
      }
      for (const auto& backend : float_backends()) {
        LossRun run(1, n, 0.2F);
        run.labels = wanted.labels;
        Guarded<float> logits(run.size()), dlogits(run.size());
        logits.fill(11, 4.0);
        const auto context = backend->context(nullptr);
        LossCall found = run.call(logits, dlogits);
        found.target = target;
        backend->ops().binary_cross_entropy(*context, found);
        CHECK(run.metrics.loss_sum == doctest::Approx(metrics.loss_sum).epsilon(1e-6));
        CHECK(run.metrics.correct == metrics.correct);
        CHECK(distance(dlogits, gradient) <= 1e-6);
        dlogits.check("dlogits");
      }
    }
  }
}

TEST_CASE("binary_cross_entropy: far from zero the loss keeps its digits, and a NaN shows") {
  for (const auto& backend : float_backends()) {
    const auto context = backend->context(nullptr);
    const auto loss = [&](float z, BinaryTarget target) {
      LossRun run(1, 1, 0);
      Guarded<float> logits(1), dlogits(1);
      logits[0] = z;
      LossCall call = run.call(logits, dlogits);
      call.target = target;
      backend->ops().binary_cross_entropy(*context, call);
      return run.metrics;
    };
    CHECK(loss(20, BinaryTarget::one).loss_sum == doctest::Approx(std::log1p(std::exp(-20.0))).epsilon(1e-6));
    CHECK(loss(5, BinaryTarget::one).loss_sum == doctest::Approx(std::log1p(std::exp(-5.0))).epsilon(1e-6));
    CHECK(loss(20, BinaryTarget::zero).loss_sum == doctest::Approx(20.0).epsilon(1e-6));
    CHECK(loss(-80, BinaryTarget::one).loss_sum == doctest::Approx(80.0).epsilon(1e-6));
    for (const BinaryTarget target : {BinaryTarget::one, BinaryTarget::zero}) {
      const LaneMetrics wrong = loss(std::numeric_limits<float>::quiet_NaN(), target);
      CHECK(std::isnan(wrong.loss_sum));
      CHECK(wrong.correct == 0);
    }
  }
}

TEST_CASE("softmax_cross_entropy: what is not finite shows in the loss") {
  for (const auto& backend : float_backends()) {
    LossRun run(3, 2, 0);
    Guarded<float> logits(run.size()), dlogits(run.size());
    logits[2] = NAN;
    const auto context = backend->context(nullptr);
    backend->ops().softmax_cross_entropy(*context, run.call(logits, dlogits));
    CHECK_FALSE(std::isfinite(run.metrics.loss_sum));
  }
}

namespace {

// One parameter by the formula of PyTorch's documentation, written out again in double.
double by_formula(Op op, bool nesterov, bool decoupled, double w, double gradient, double l2) {
  const double lr = 0.1, mu = 0.9, rho = 0.99, b1 = 0.9, b2 = 0.999, eps = 1e-8;
  double buffer = 0, square = 0;
  for (int t = 1; t <= 3; ++t) {
    const double g = gradient + (decoupled ? 0 : l2) * w;
    if (decoupled) w -= lr * l2 * w;
    if (op == Op::sgd) {
      w -= lr * g;
    } else if (op == Op::momentum) {
      buffer = t == 1 ? g : mu * buffer + g;
      w -= lr * (nesterov ? g + mu * buffer : buffer);
    } else if (op == Op::rmsprop) {
      square = rho * square + (1 - rho) * g * g;
      w -= lr * g / (std::sqrt(square) + eps);
    } else {
      buffer = b1 * buffer + (1 - b1) * g;
      square = b2 * square + (1 - b2) * g * g;
      w -= lr * (buffer / (1 - std::pow(b1, t))) / (std::sqrt(square / (1 - std::pow(b2, t))) + eps);
    }
  }
  return w;
}

}  // namespace

TEST_CASE("updates: three steps as PyTorch's documentation writes them, on every backend") {
  const Hyperparameters values = {0.1, 0.1, 0.9, 0.99, 0.9, 0.999, 1e-8, std::nan(""), 0};
  constexpr std::size_t count = 37, decayed = 21;
  struct Kind {
    Op op;
    bool nesterov, decoupled;
  };
  for (const auto& [op, nesterov, decoupled] :
       {Kind{Op::sgd, false, false}, Kind{Op::momentum, false, false}, Kind{Op::momentum, true, false},
        Kind{Op::rmsprop, false, false}, Kind{Op::adam, false, false}, Kind{Op::sgd, false, true},
        Kind{Op::momentum, true, true}, Kind{Op::rmsprop, false, true}, Kind{Op::adam, false, true}}) {
    for (const auto& backend : float_backends()) {
      CAPTURE(op_name(op));
      CAPTURE(decoupled);
      CAPTURE(backend->name());
      Guarded<float> weight(count), gradient(count), state0(count), state1(count);
      weight.fill(21);
      gradient.fill(22);
      const Guarded<float> start = weight;
      LaneScalars scalars;
      UpdateCall call;
      call.count = count;
      call.decayed = decayed;
      call.nesterov = nesterov;
      call.scalars = &scalars;
      call.weight = {weight.data(), 0};
      call.gradient = {gradient.data(), 0};
      call.state0 = {state0.data(), 0};
      call.state1 = {state1.data(), 0};
      const auto context = backend->context(nullptr);
      for (std::uint32_t step = 0; step < 3; ++step) {
        scalars.update = update_scalars(values, decoupled, 0.1, step);
        backend->ops().update(op)(*context, call);
      }
      for (std::size_t i = 0; i < count; ++i) {
        const double wanted = by_formula(op, nesterov, decoupled, static_cast<double>(start[i]),
                                         static_cast<double>(gradient[i]), i < decayed ? 0.1 : 0.0);
        CHECK(static_cast<double>(weight[i]) == doctest::Approx(wanted).epsilon(2e-6));
      }
      weight.check("weight");
      state0.check("state 0");
      state1.check("state 1");
    }
  }
}

TEST_CASE("gather: every backend takes the same bytes, flipped and cropped alike") {
  const Extent image{3, 5, 4};
  constexpr int images = 23, n = 17;
  std::vector<std::uint8_t> bytes(images * 60), labels(images);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i * 37 + i / 60);
  for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<std::uint8_t>(i % 10);
  const float scale[] = {0.01F, 0.02F, 0.03F}, shift[] = {-1.0F, 0.5F, 0.25F};
  LaneScalars scalars;
  scalars.key = 77;
  scalars.epoch = 2;
  scalars.position = 4;
  scalars.augment.flip = 0.5F;
  scalars.augment.crop_padding = 2;
  for (const bool augmented : {false, true}) {
    std::vector<Guarded<float>> results;
    for (const auto& backend : float_backends()) {
      Guarded<float> x(60 * n);
      Guarded<std::int32_t> out_labels(n);
      Guarded<std::byte> scratch(gather_scratch_bytes(n));
      GatherCall call;
      call.image = image;
      call.n = n;
      call.scalars = &scalars;
      call.images = bytes.data();
      call.labels = labels.data();
      call.scale = scale;
      call.shift = shift;
      call.size = images - 2;
      call.first_image = 1;
      call.shuffle = true;
      call.augment = augmented;
      call.x = {x.data(), 0};
      call.out_labels = {out_labels.data(), 0};
      call.scratch = {scratch.data(), 0};
      backend->ops().gather(*backend->context(nullptr), call);
      x.check("x");
      out_labels.check("labels");
      scratch.check("scratch");
      const Permutation order(77, 2, images - 2);
      for (std::size_t i = 0; i < n; ++i) {
        const std::size_t source = order(static_cast<std::uint32_t>(4 + i)) + 1;
        CHECK(out_labels[i] == labels[source]);
        if (augmented) continue;
        for (std::size_t p = 0; p < 60; ++p) {
          CHECK(x[p * n + i] == std::fma(static_cast<float>(bytes[source * 60 + p]), scale[p / 20], shift[p / 20]));
        }
      }
      results.push_back(x);
    }
    for (const Guarded<float>& x : results) CHECK(std::memcmp(x.data(), results[0].data(), 60 * n * 4) == 0);
  }
}

TEST_CASE("gather: colours and squares, against the definition in double") {
  constexpr int images = 40, n = 35;
  for (const int channels : {1, 2, 3}) {
    const Extent image{channels, 9, 7};
    const auto size = static_cast<std::size_t>(image.size());
    std::vector<std::uint8_t> bytes(images * size), labels(images);
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i * i * 31 + i / 63);
    const float scale[] = {0.016F, 0.02F, 0.012F}, shift[] = {-1.0F, 0.5F, 0.25F};
    for (const AugmentScalars augment :
         {AugmentScalars{0, 0, 0, 0.4F, 0, 0}, AugmentScalars{0, 0, 0, 0, 0.9F, 0}, AugmentScalars{0, 0, 0, 0, 0, 1},
          AugmentScalars{0, 0, 4, 0, 0, 0}, AugmentScalars{0.5F, 2, 5, 0.2F, 0.3F, 0.4F}}) {
      LaneScalars scalars;
      scalars.key = 12;
      scalars.epoch = 3;
      scalars.augment = augment;
      std::vector<Guarded<float>> results;
      for (const auto& backend : float_backends()) {
        Guarded<float> x(size * n);
        Guarded<std::int32_t> out_labels(n);
        Guarded<std::byte> scratch(gather_scratch_bytes(n));
        GatherCall call;
        call.image = image;
        call.n = n;
        call.scalars = &scalars;
        call.images = bytes.data();
        call.labels = labels.data();
        call.scale = scale;
        call.shift = shift;
        call.size = images;
        call.augment = true;
        call.x = {x.data(), 0};
        call.out_labels = {out_labels.data(), 0};
        call.scratch = {scratch.data(), 0};
        backend->ops().gather(*backend->context(nullptr), call);
        x.check("x");
        scratch.check("scratch");
        results.push_back(x);
      }
      for (const Guarded<float>& x : results) {
        for (std::size_t i = 0; i < size * n; ++i) CHECK(std::fabs(x[i] - results[0][i]) <= 1e-5F);
      }
      // A square of four reaches outside for at most two rows and columns, so it covers 4 to 16 pixels of each image.
      if (augment.cutout != 4) continue;
      for (std::size_t i = 0; i < n; ++i) {
        int zeros = 0;
        for (std::size_t p = 0; p < 63; ++p) zeros += results[0][p * n + i] == 0 ? 1 : 0;
        CHECK(zeros >= 4);
        CHECK(zeros <= 16);
      }
    }
  }
}

TEST_CASE("colour factors are uniform around one, squares' centres over the image") {
  double sum = 0, most = 0, least = 2;
  std::array<int, 7> columns{};
  for (std::uint32_t p = 0; p < 7000; ++p) {
    const float factor = colour_draw(9, 1, p, 0.3F, 0, 1).brightness;
    sum += static_cast<double>(factor);
    most = std::max(most, static_cast<double>(factor));
    least = std::min(least, static_cast<double>(factor));
    CHECK(colour_draw(9, 1, p, 0.3F, 0, 1).contrast == 1.0F);
    ++columns[cutout_draw(9, 1, p, 9, 7).column];
  }
  // The mean of 7,000 draws from [0.7, 1.3) has a standard deviation of 0.6 / sqrt(12 * 7000) = 0.002.
  CHECK(std::fabs(sum / 7000 - 1) < 0.01);
  CHECK(least >= 0.7 - 1e-6);
  CHECK(least < 0.705);
  CHECK(most < 1.3);
  CHECK(most > 1.295);
  for (const int count : columns) CHECK(std::abs(count - 1000) < 150);
}
