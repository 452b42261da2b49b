// The CUDA kernels of the updates, the gather, the joins, the inputs and binary cross entropy on the host emulator: the
// CPU's bytes, for lanes together in any place, any order of threads; other lanes are not touched.
#if defined(CONVSWEEP_WITH_EMULATED)
#include <cmath>
#include <functional>
#include <limits>
#include <memory>

#include "backend/cpu/cpu_backend.h"
#include "backend/cuda/kernels.h"
#include "emulator/planted.h"
#include "model/schedule.h"
#include "support.h"

using namespace convsweep;
using namespace convsweep::test;

namespace {

constexpr std::size_t lanes = 5;
constexpr std::int32_t chosen[] = {4, 1, 2};

template <class T>
Lanes<T> lanes_of(Guarded<T>& buffer) {
  return {buffer.data(), static_cast<std::ptrdiff_t>(buffer.size() / lanes)};
}

template <class T>
bool same_bytes(const Guarded<T>& a, const Guarded<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

// Runs `on(set)` as the emulated backend does, all chosen lanes in one call, and as the CPU does, one by one.
struct Both {
  emulator::CudaContext emulated{nullptr};
  std::unique_ptr<Backend> backend = make_cpu_backend(cpu::kernels());
  std::unique_ptr<ExecutionContext> cpu = backend->context(nullptr);
  static LaneSet together() { return {0, 3, chosen}; }
  static void apart(const std::function<void(LaneSet)>& call) {
    for (const std::int32_t lane : chosen) call({lane, 1, nullptr});
  }
};

std::vector<LaneScalars> some_scalars() {
  std::vector<LaneScalars> all(lanes);
  for (std::size_t i = 0; i < lanes; ++i) {
    all[i].key = 77 + i * 1000003;
    all[i].epoch = static_cast<std::uint32_t>(i);
    all[i].step = static_cast<std::uint32_t>(3 * i);
    all[i].position = static_cast<std::uint32_t>(i);
    all[i].label_smoothing = 0.1F * static_cast<float>(i);
  }
  return all;
}

// At most 200 images.
void check_binary(BinaryTarget target, int n) {
  CAPTURE(n);
  Both both;
  constexpr std::size_t size = lanes * 200;
  std::vector<LaneScalars> scalars = some_scalars();
  Guarded<float> logits(size), found(size), wanted(size);
  Guarded<std::int32_t> labels(size);
  logits.fill(11, 30.0);
  logits[200] = n == 33 ? NAN : 0.0F;
  for (std::size_t i = 0; i < size; ++i) labels[i] = i % 3 == 0 ? 1 : 0;
  std::vector<LaneMetrics> metrics(lanes, LaneMetrics{-7, -7}), on_cpu = metrics;
  const auto call = [&](Guarded<float>& to, std::vector<LaneMetrics>& m, LaneSet set) {
    LossCall c;
    c.n = n;
    c.classes = 1;
    c.lanes = set;
    c.scalars = scalars.data();
    c.logits = lanes_of(logits);
    c.labels = lanes_of(labels);
    c.target = target;
    c.dlogits = lanes_of(to);
    c.metrics = m.data();
    return c;
  };
  emulator::set_seed(static_cast<std::uint64_t>(n));
  emulated::binary_cross_entropy(both.emulated, call(found, metrics, Both::together()));
  Both::apart([&](LaneSet set) { both.backend->ops().binary_cross_entropy(*both.cpu, call(wanted, on_cpu, set)); });
  for (std::size_t i = 0; i < size; ++i) {
    CHECK((found[i] == wanted[i] || (std::isnan(found[i]) && std::isnan(wanted[i]))));
  }
  for (std::size_t lane = 0; lane < lanes; ++lane) {
    const double a = metrics[lane].loss_sum, b = on_cpu[lane].loss_sum;
    CHECK((std::fabs(a - b) <= 1e-12 * n * 30 || (std::isnan(a) && std::isnan(b))));
    CHECK(metrics[lane].correct == on_cpu[lane].correct);
  }
  found.check("dlogits");
}

}  // namespace

TEST_CASE("cuda updates: the CPU's bytes over three steps, each lane with numbers of its own") {
  constexpr std::size_t count = 700, decayed = 333;
  using Kernel = void (*)(ExecutionContext&, const UpdateCall&);
  const std::pair<Op, Kernel> kernels[] = {
#define CONVSWEEP_UPDATE_OP(name, state) {Op::name, emulated::update_##name},
#include "ops/ops.def"
  };
  for (const auto& [op, kernel] : kernels) {
    for (const bool nesterov : {false, true}) {
      for (const bool decoupled : {false, true}) {
        CAPTURE(op_name(op));
        Both both;
        std::vector<LaneScalars> scalars = some_scalars();
        Guarded<float> found[4] = {Guarded<float>(lanes * count), Guarded<float>(lanes * count),
                                   Guarded<float>(lanes * count), Guarded<float>(lanes * count)};
        found[0].fill(21);
        found[1].fill(22);
        Guarded<float> wanted[4] = {found[0], found[1], found[2], found[3]};
        const auto call = [&](Guarded<float>* in, LaneSet set) {
          UpdateCall c;
          c.count = count;
          c.decayed = decayed;
          c.nesterov = nesterov;
          c.lanes = set;
          c.scalars = scalars.data();
          c.weight = lanes_of(in[0]);
          c.gradient = lanes_of(in[1]);
          c.state0 = lanes_of(in[2]);
          c.state1 = lanes_of(in[3]);
          return c;
        };
        for (std::uint32_t step = 0; step < 3; ++step) {
          for (std::size_t i = 0; i < lanes; ++i) {
            const double share = static_cast<double>(i + 1) / 10;
            const Hyperparameters values = {share, share, 0.9, 0.99, 0.9, 0.999, 1e-8, std::nan(""), 0};
            scalars[i].update = update_scalars(values, decoupled, share, step);
          }
          emulator::set_seed(step + 1);
          kernel(both.emulated, call(found, Both::together()));
          Both::apart([&](LaneSet set) { both.backend->ops().update(op)(*both.cpu, call(wanted, set)); });
        }
        for (int i = 0; i < 4; ++i) {
          CHECK(same_bytes(found[i], wanted[i]));
          found[i].check("a tensor of the update");
        }
      }
    }
  }
}

TEST_CASE("cuda gather: the CPU's bytes, shuffled, flipped, cropped, recoloured and cut, for images and texts") {
  constexpr int images = 40, n = 35;
  const float scale[] = {0.016F, 0.02F, 0.012F}, shift[] = {-1.0F, 0.5F, 0.25F};
  const AugmentScalars augments[] = {{},
                                     {0.5F, 2, 0, 0, 0, 0},
                                     {0, 0, 4, 0, 0, 0},
                                     {0, 0, 0, 0.4F, 0, 0},
                                     {0, 0, 0, 0, 0.9F, 1},
                                     {0.5F, 2, 5, 0.2F, 0.3F, 0.4F}};
  for (const int channels : {1, 2, 3}) {
    const Extent image{channels, 9, 7};
    const auto size = static_cast<std::size_t>(image.size());
    for (const int positions : {1, 3}) {
      std::vector<std::uint8_t> bytes(images * size), labels(static_cast<std::size_t>(images * positions));
      for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i * i * 31 + i / 63);
      for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<std::uint8_t>(i % 10);
      for (std::size_t first = 0; first < std::size(augments); ++first) {
        for (const bool augment : {false, true}) {
          CAPTURE(channels);
          CAPTURE(first);
          Both both;
          std::vector<LaneScalars> scalars = some_scalars();
          // Lanes of one call differ in what is done to their images.
          for (std::size_t i = 0; i < lanes; ++i) scalars[i].augment = augments[(first + i) % std::size(augments)];
          struct To {
            Guarded<float> x;
            Guarded<std::int32_t> labels;
            Guarded<std::byte> scratch;
          };
          const auto make = [&] {
            return To{Guarded<float>(lanes * size * n),
                      Guarded<std::int32_t>(lanes * static_cast<std::size_t>(positions * n)),
                      Guarded<std::byte>(lanes * gather_scratch_bytes(n))};
          };
          To found = make(), wanted = make();
          const auto call = [&](To& to, LaneSet set) {
            GatherCall c;
            c.image = image;
            c.n = n;
            c.lanes = set;
            c.scalars = scalars.data();
            c.images = bytes.data();
            c.labels = labels.data();
            c.positions = positions;
            c.scale = scale;
            c.shift = shift;
            c.size = images - 1;
            c.first_image = 1;
            c.shuffle = augment;
            c.augment = augment;
            c.x = lanes_of(to.x);
            c.out_labels = lanes_of(to.labels);
            c.scratch = lanes_of(to.scratch);
            return c;
          };
          emulator::set_seed(first + 1);
          // Positions reach 4 + 35 - 1 at most, below the images' number.
          emulated::gather(both.emulated, call(found, Both::together()));
          Both::apart([&](LaneSet set) { both.backend->ops().gather(*both.cpu, call(wanted, set)); });
          CHECK(same_bytes(found.x, wanted.x));
          CHECK(same_bytes(found.labels, wanted.labels));
          found.x.check("x");
          found.labels.check("labels");
          found.scratch.check("scratch");
        }
      }
    }
  }
}

TEST_CASE("cuda gather: a wrong index is caught: every flipped image differs from the CPU's, the others do not") {
  constexpr int n = 16;
  constexpr std::size_t size = 4 * 6;
  std::vector<std::uint8_t> bytes(n * size), labels(n);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i * 37 + i / size);
  const float scale[] = {1}, shift[] = {0.5F};
  LaneScalars scalars;
  scalars.augment.flip = 0.5F;
  Guarded<float> found(size * n), wanted(size * n);
  Guarded<std::int32_t> out_labels(n);
  Guarded<std::byte> scratch(gather_scratch_bytes(n));
  const auto call = [&](Guarded<float>& x) {
    GatherCall c;
    c.image = {1, 4, 6};
    c.n = n;
    c.scalars = &scalars;
    c.images = bytes.data();
    c.labels = labels.data();
    c.scale = scale;
    c.shift = shift;
    c.size = n;
    c.augment = true;
    c.x = {x.data(), 0};
    c.out_labels = {out_labels.data(), 0};
    c.scratch = {scratch.data(), 0};
    return c;
  };
  Both both;
  emulator::set_seed(1);
  both.backend->ops().gather(*both.cpu, call(wanted));
  emulated_wrong_index::gather(both.emulated, call(found));
  int flipped = 0;
  for (std::uint32_t i = 0; i < n; ++i) {
    bool differs = false;
    for (std::size_t p = 0; p < size; ++p) differs = differs || found[p * n + i] != wanted[p * n + i];
    const bool flip = augment_draw(scalars.key, 0, i, 0.5F, 0).flip;
    CHECK(differs == flip);
    flipped += flip ? 1 : 0;
  }
  CHECK(flipped > 0);
  CHECK(flipped < n);
}

TEST_CASE("cuda joins and inputs: the CPU's bytes") {
  constexpr int n = 37, per_image = 9;
  constexpr std::size_t count = n * per_image;
  Both both;
  emulator::set_seed(3);
  std::vector<LaneScalars> scalars = some_scalars();
  Guarded<float> a(lanes * count), b(lanes * count), found(lanes * count), wanted(lanes * count);
  a.fill(1);
  b.fill(2);
  const OpTable& cpu = both.backend->ops();

  const auto join = [&](Guarded<float>& y, LaneSet set) {
    JoinCall c;
    c.count = count;
    c.lanes = set;
    c.a = lanes_of(a);
    c.b = lanes_of(b);
    c.y = lanes_of(y);
    return c;
  };
  emulated::add(both.emulated, join(found, Both::together()));
  Both::apart([&](LaneSet set) { cpu.add(*both.cpu, join(wanted, set)); });
  CHECK(same_bytes(found, wanted));
  emulated::copy(both.emulated, join(found, Both::together()));
  Both::apart([&](LaneSet set) { cpu.copy(*both.cpu, join(wanted, set)); });
  CHECK(same_bytes(found, wanted));

  for (const Purpose purpose : {Purpose::latent, Purpose::sample}) {
    const auto normal = [&](Guarded<float>& x, LaneSet set) {
      NormalCall c;
      c.count = per_image;
      c.n = n;
      c.purpose = purpose;
      c.first = 5;
      c.lanes = set;
      c.scalars = scalars.data();
      c.x = lanes_of(x);
      return c;
    };
    emulated::draw_normal(both.emulated, normal(found, Both::together()));
    Both::apart([&](LaneSet set) { cpu.draw_normal(*both.cpu, normal(wanted, set)); });
    CHECK(same_bytes(found, wanted));
  }

  Guarded<std::int32_t> labels(lanes * n);
  for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<std::int32_t>(i % 3);
  const auto planes = [&](Guarded<float>& y, LaneSet set) {
    OneHotCall c;
    c.classes = 3;
    c.plane = 3;
    c.n = n;
    c.lanes = set;
    c.labels = lanes_of(labels);
    c.y = lanes_of(y);
    return c;
  };
  emulated::one_hot(both.emulated, planes(found, Both::together()));
  Both::apart([&](LaneSet set) { cpu.one_hot(*both.cpu, planes(wanted, set)); });
  CHECK(same_bytes(found, wanted));
  found.check("y");
}

TEST_CASE("cuda check_finite: infinity and NaN anywhere, denormal and huge numbers are finite") {
  constexpr std::size_t count = 2500;
  Both both;
  emulator::set_seed(8);
  Guarded<float> values(lanes * count);
  const auto run = [&] {
    std::vector<std::int32_t> finite(lanes, -7);
    emulated::check_finite(both.emulated, Both::together(), lanes_of(values), count, finite.data());
    CHECK(finite[0] == -7);
    CHECK(finite[3] == -7);
    CHECK(finite[4] == 1);
    CHECK(finite[2] == 1);
    return finite[1];
  };
  values[count + 7] = std::numeric_limits<float>::max();
  values[count + 8] = std::numeric_limits<float>::denorm_min();
  CHECK(run() == 1);
  for (const float bad : {INFINITY, -INFINITY, static_cast<float>(NAN)}) {
    for (const std::size_t at : {std::size_t{0}, std::size_t{1023}, std::size_t{1024}, count - 1}) {
      values[count + at] = bad;
      CHECK(run() == 0);
      values[count + at] = 1;
    }
  }
}

TEST_CASE("cuda binary cross entropy: gradients have the CPU's bytes, sums differ in the order of additions alone") {
  for (const BinaryTarget target :
       {BinaryTarget::labels, BinaryTarget::one, BinaryTarget::smoothed_one, BinaryTarget::zero}) {
    for (const int n : {1, 33, 128, 200}) {
      check_binary(target, n);
    }
  }
}
#endif
