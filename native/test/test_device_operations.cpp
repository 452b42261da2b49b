// What no layer's case reaches, through the device backend and beside the CPU: losses, updates, batches, joins, inputs,
// the check for finite weights, matmul, shortest paths. Bytes as on the CPU wherever an operation promises them, sums
// within rounding. On the host emulator always; the cases whose name begins with "gpu" on the first CUDA device that
// there is.
#include <cmath>
#include <cstring>
#include <limits>

#include "backend/cpu/cpu_backend.h"
#include "convsweep/matrix.h"
#include "device_support.h"
#include "model/schedule.h"

using namespace convsweep;
using namespace convsweep::test;

namespace {

template <class T>
Lanes<T> lane(Guarded<T>& buffer) {
  return {buffer.data(), 0};
}

template <class T>
bool same_bytes(const Guarded<T>& a, const Guarded<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

// A device and the CPU, which do the same calls.
struct Both {
  explicit Both(const MakeBackend& make) : device(make()) {}
  std::unique_ptr<Backend> device, cpu = make_cpu_backend(cpu::kernels());

  // `call` has the host's pointers; move(call, moved) replaces them, run(ops, context, call) does it.
  template <class Call, class Move, class Run>
  void on_device(Call call, const Move& move, const Run& run) {
    const auto context = device->context(nullptr);
    Moved moved(*device);
    move(call, moved);
    run(device->ops(), *context, call);
    moved.fetch();
  }
  template <class Call, class Run>
  void on_cpu(const Call& call, const Run& run) {
    const auto context = cpu->context(nullptr);
    run(cpu->ops(), *context, call);
  }
};

// Plain arrays, as lanes.
template <class T>
void move_array(Moved& moved, const T*& array, std::size_t count) {
  Lanes<const T> as_lanes{array, 0};
  moved.move(as_lanes, count);
  array = as_lanes.base;
}

LaneScalars some_scalars() {
  LaneScalars scalars;
  scalars.key = 77001003;
  scalars.epoch = 3;
  scalars.step = 12;
  scalars.position = 2;
  scalars.label_smoothing = 0.1F;
  return scalars;
}

void check_losses(const MakeBackend& make) {
  Both both(make);
  for (const std::size_t images : {1, 33, 128, 300}) {
    for (const std::size_t classes : {1, 10}) {
      CAPTURE(images);
      CAPTURE(classes);
      const std::size_t size = images * classes;
      Guarded<float> logits(size), found(size), wanted(size);
      Guarded<std::int32_t> labels(images);
      logits.fill(11, 8.0);
      for (std::size_t i = 0; i < images; ++i) labels[i] = static_cast<std::int32_t>(i % (classes == 1 ? 2 : classes));
      const LaneScalars scalars = some_scalars();
      LaneMetrics on_device, on_cpu;
      const auto call = [&](Guarded<float>& to, LaneMetrics& metrics) {
        LossCall c;
        c.n = static_cast<int>(images);
        c.classes = static_cast<int>(classes);
        c.scalars = &scalars;
        c.logits = lane(logits);
        c.labels = lane(labels);
        c.dlogits = lane(to);
        c.metrics = &metrics;
        return c;
      };
      const auto run = [&](const OpTable& ops, ExecutionContext& context, const LossCall& c) {
        (classes == 1 ? ops.binary_cross_entropy : ops.softmax_cross_entropy)(context, c);
      };
      both.on_device(
          call(found, on_device),
          [&](LossCall& c, Moved& moved) {
            moved.move(c.logits, size);
            moved.move(c.labels, images);
            moved.move(c.dlogits, size);
            move_array(moved, c.scalars, 1);
            Lanes<LaneMetrics> metrics{c.metrics, 0};
            moved.move(metrics, 1);
            c.metrics = metrics.base;
          },
          run);
      both.on_cpu(call(wanted, on_cpu), run);
      CHECK(same_bytes(found, wanted));
      CHECK(on_device.loss_sum == doctest::Approx(on_cpu.loss_sum).epsilon(1e-12));
      CHECK(on_device.correct == on_cpu.correct);
    }
  }
}

void check_updates(const MakeBackend& make) {
  constexpr std::size_t count = 70'003, decayed = 333;
  Both both(make);
  for (const Op op : {
#define CONVSWEEP_UPDATE_OP(name, state) Op::name,
#include "ops/ops.def"
       }) {
    CAPTURE(op_name(op));
    LaneScalars scalars = some_scalars();
    scalars.update = update_scalars({0.1, 0.1, 0.9, 0.99, 0.9, 0.999, 1e-8, std::nan(""), 0}, true, 0.1, 2);
    scalars.update.l2 = 0.01F;
    Guarded<float> found[4] = {Guarded<float>(count), Guarded<float>(count), Guarded<float>(count),
                               Guarded<float>(count)};
    for (std::uint64_t i = 0; i < 4; ++i) found[i].fill(21 + i);
    // Sums of squares.
    for (std::size_t i = 0; i < count; ++i) {
      for (const int state : {2, 3}) found[state][i] = std::fabs(found[state][i]);
    }
    Guarded<float> wanted[4] = {found[0], found[1], found[2], found[3]};
    const auto call = [&](Guarded<float>* in) {
      UpdateCall c;
      c.count = count;
      c.decayed = decayed;
      c.scalars = &scalars;
      c.weight = lane(in[0]);
      c.gradient = lane(in[1]);
      c.state0 = lane(in[2]);
      c.state1 = lane(in[3]);
      return c;
    };
    const auto run = [&](const OpTable& ops, ExecutionContext& context, const UpdateCall& c) {
      ops.update(op)(context, c);
    };
    both.on_device(
        call(found),
        [&](UpdateCall& c, Moved& moved) {
          moved.move(c.weight, count);
          moved.move(c.gradient, count);
          moved.move(c.state0, count);
          moved.move(c.state1, count);
          move_array(moved, c.scalars, 1);
        },
        run);
    both.on_cpu(call(wanted), run);
    for (int i = 0; i < 4; ++i) CHECK(same_bytes(found[i], wanted[i]));
  }
}

void check_gather(const MakeBackend& make) {
  Both both(make);
  constexpr int images = 200, n = 132;
  const float scale[] = {0.016F, 0.02F, 0.012F}, shift[] = {-1.0F, 0.5F, 0.25F};
  for (const int channels : {1, 3}) {
    for (const AugmentScalars& augment :
         {AugmentScalars{}, AugmentScalars{0.5F, 2, 0, 0, 0, 0}, AugmentScalars{0.5F, 2, 5, 0.2F, 0.3F, 0.4F}}) {
      CAPTURE(channels);
      const Extent image{channels, 9, 7};
      const auto pixels = static_cast<std::size_t>(image.size());
      std::vector<std::uint8_t> bytes(images * pixels), labels(images);
      for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i * i * 31 + i / 63);
      for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<std::uint8_t>(i % 10);
      LaneScalars scalars = some_scalars();
      scalars.augment = augment;
      Guarded<float> found(pixels * n), wanted(pixels * n);
      Guarded<std::int32_t> found_labels(n), wanted_labels(n);
      Guarded<std::byte> scratch(gather_scratch_bytes(n));
      const auto call = [&](Guarded<float>& x, Guarded<std::int32_t>& to) {
        GatherCall c;
        c.image = image;
        c.n = n;
        c.scalars = &scalars;
        c.images = bytes.data();
        c.labels = labels.data();
        c.scale = scale;
        c.shift = shift;
        c.size = images - 1;
        c.first_image = 1;
        c.shuffle = c.augment = true;
        c.x = lane(x);
        c.out_labels = lane(to);
        c.scratch = lane(scratch);
        return c;
      };
      const auto run = [](const OpTable& ops, ExecutionContext& context, const GatherCall& c) {
        ops.gather(context, c);
      };
      both.on_device(
          call(found, found_labels),
          [&](GatherCall& c, Moved& moved) {
            move_array(moved, c.scalars, 1);
            move_array(moved, c.images, bytes.size());
            move_array(moved, c.labels, labels.size());
            move_array(moved, c.scale, static_cast<std::size_t>(channels));
            move_array(moved, c.shift, static_cast<std::size_t>(channels));
            moved.move(c.x, found.size());
            moved.move(c.out_labels, n);
            moved.move(c.scratch, scratch.size());
          },
          run);
      both.on_cpu(call(wanted, wanted_labels), run);
      CHECK(same_bytes(found, wanted));
      CHECK(same_bytes(found_labels, wanted_labels));
    }
  }
}

void check_inputs(const MakeBackend& make) {
  Both both(make);
  constexpr int n = 37, per_image = 9;
  constexpr std::size_t count = n * per_image;
  Guarded<float> a(count), b(count), found(count), wanted(count);
  a.fill(1);
  b.fill(2);
  const LaneScalars scalars = some_scalars();
  for (const bool add : {true, false}) {
    const auto call = [&](Guarded<float>& y) {
      JoinCall c;
      c.count = count;
      c.a = lane(a);
      c.b = lane(b);
      c.y = lane(y);
      return c;
    };
    const auto run = [&](const OpTable& ops, ExecutionContext& context, const JoinCall& c) {
      (add ? ops.add : ops.copy)(context, c);
    };
    both.on_device(
        call(found),
        [&](JoinCall& c, Moved& moved) {
          moved.move(c.a, count);
          moved.move(c.b, count);
          moved.move(c.y, count);
        },
        run);
    both.on_cpu(call(wanted), run);
    CHECK(same_bytes(found, wanted));
  }
  for (const Purpose purpose : {Purpose::latent, Purpose::sample}) {
    const auto call = [&](Guarded<float>& x) {
      NormalCall c;
      c.count = per_image;
      c.n = n;
      c.purpose = purpose;
      c.first = 5;
      c.scalars = &scalars;
      c.x = lane(x);
      return c;
    };
    const auto run = [](const OpTable& ops, ExecutionContext& context, const NormalCall& c) {
      ops.draw_normal(context, c);
    };
    both.on_device(
        call(found),
        [&](NormalCall& c, Moved& moved) {
          move_array(moved, c.scalars, 1);
          moved.move(c.x, count);
        },
        run);
    both.on_cpu(call(wanted), run);
    CHECK(same_bytes(found, wanted));
  }
  Guarded<std::int32_t> labels(n);
  for (std::size_t i = 0; i < n; ++i) labels[i] = static_cast<std::int32_t>(i % 3);
  const auto planes = [&](Guarded<float>& y) {
    OneHotCall c;
    c.classes = 3;
    c.plane = 3;
    c.n = n;
    c.labels = lane(labels);
    c.y = lane(y);
    return c;
  };
  const auto run = [](const OpTable& ops, ExecutionContext& context, const OneHotCall& c) { ops.one_hot(context, c); };
  both.on_device(
      planes(found),
      [&](OneHotCall& c, Moved& moved) {
        moved.move(c.labels, n);
        moved.move(c.y, count);
      },
      run);
  both.on_cpu(planes(wanted), run);
  CHECK(same_bytes(found, wanted));
}

void check_finite(const MakeBackend& make) {
  Both both(make);
  constexpr std::size_t count = 70'003;
  Guarded<float> values(count);
  values[7] = std::numeric_limits<float>::max();
  values[8] = std::numeric_limits<float>::denorm_min();
  const auto finite = [&] {
    const auto context = both.device->context(nullptr);
    Moved moved(*both.device);
    Lanes<float> there = lane(values);
    moved.move(there, count);
    auto* const answer = static_cast<std::int32_t*>(moved.fresh(sizeof(std::int32_t)));
    both.device->ops().check_finite(*context, {}, there, count, answer);
    std::int32_t result = -7;
    both.device->copy_out(&result, answer, sizeof result);
    return result;
  };
  CHECK(finite() == 1);
  for (const float bad : {INFINITY, -INFINITY, static_cast<float>(NAN)}) {
    for (const std::size_t at : {std::size_t{0}, std::size_t{1024}, count - 1}) {
      values[at] = bad;
      CHECK(finite() == 0);
      values[at] = 1;
    }
  }
}

std::vector<float> filled(std::size_t count, std::uint64_t seed) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<float>(value_at(seed, i));
  return values;
}

void check_matrices(const MakeBackend& make) {
  Both both(make);
  const auto area = [](int a, int b) { return static_cast<std::size_t>(a) * static_cast<std::size_t>(b); };
  for (int flags = 0; flags < 4; ++flags) {
    const MatmulShape shape{130, 50, 72, (flags & 1) != 0, (flags & 2) != 0};
    const std::vector<float> a = filled(area(130, 50), 1), b = filled(area(50, 72), 2);
    CHECK(matmul(*both.device, 1, shape, a, b) == matmul(*both.cpu, 1, shape, a, b));
  }
  constexpr int n = 100;
  std::vector<float> weights = filled(area(n, n), 3);
  for (std::size_t i = 0; i < weights.size(); ++i) {
    // Whole numbers, so that every order of additions gives the same.
    weights[i] = i % 3 == 0 ? std::floor(100 * std::fabs(weights[i])) : std::numeric_limits<float>::infinity();
  }
  CHECK(shortest_paths(*both.device, 1, n, weights, true).distance ==
        shortest_paths(*both.cpu, 1, n, weights, true).distance);
}

}  // namespace

#if defined(CONVSWEEP_WITH_EMULATED)
#define CONVSWEEP_ON_DEVICES(name, check)             \
  TEST_CASE("emulated: " name) { check(emulated()); } \
  TEST_CASE("gpu: " name) {                           \
    if (const MakeBackend make = gpu()) check(make);  \
  }
#else
#define CONVSWEEP_ON_DEVICES(name, check)            \
  TEST_CASE("gpu: " name) {                          \
    if (const MakeBackend make = gpu()) check(make); \
  }
#endif

CONVSWEEP_ON_DEVICES("losses, beside the CPU", check_losses)
CONVSWEEP_ON_DEVICES("updates give the CPU's bytes", check_updates)
CONVSWEEP_ON_DEVICES("batches give the CPU's bytes", check_gather)
CONVSWEEP_ON_DEVICES("joins and inputs give the CPU's bytes", check_inputs)
CONVSWEEP_ON_DEVICES("the check for finite weights", check_finite)
CONVSWEEP_ON_DEVICES("matmul and shortest paths give the CPU's bytes", check_matrices)
