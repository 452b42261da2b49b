// Activations, dropout, updates, small helpers and batch gathering against plain loops in double.
#include <algorithm>
#include <limits>

#include "convsweep/rng.h"
#include "kernels_check.h"

using namespace convsweep;
using namespace convsweep::cpu;
using namespace convsweep::cpu::check;

namespace {

std::size_t size(std::int64_t a) { return static_cast<std::size_t>(a); }

// One elementwise kernel over odd counts, and over one large enough to be split.
template <class Call, class Want>
void check_elementwise(const char* name, Call call, Want want, double tolerance) {
  for (const std::int64_t count : {1, 15, 16, 17, 100, 200003}) {
    INFO(std::string(name) << " over " << count);
    const auto a = random_floats(size(count), 5, 3.0F), b = random_floats(size(count), 6);
    const std::vector<float> found = same_everywhere([&](const KernelTable& t, Parallel& p) {
      Guarded<float> out(size(count));
      call(t, p, count, a.data(), b.data(), out.data());
      CHECK(out.intact());
      return out.values();
    });
    std::vector<double> expected(size(count));
    for (std::size_t i = 0; i < expected.size(); ++i) {
      expected[i] = want(static_cast<double>(a[i]), static_cast<double>(b[i]));
    }
    check_close(found, expected, tolerance);
  }
}

}  // namespace

TEST_CASE("activations") {
  check_elementwise(
      "relu", [](auto& t, auto& p, auto n, auto a, auto, auto out) { t.relu_forward(p, n, a, out); },
      [](double x, double) { return std::max(x, 0.0); }, 0);
  check_elementwise(
      "relu backward", [](auto& t, auto& p, auto n, auto a, auto b, auto out) { t.relu_backward(p, n, a, b, out); },
      [](double y, double g) { return y > 0 ? g : 0; }, 0);
  check_elementwise(
      "leaky relu", [](auto& t, auto& p, auto n, auto a, auto, auto out) { t.leaky_relu_forward(p, n, 0.25F, a, out); },
      [](double x, double) { return x > 0 ? x : 0.25 * x; }, 0);
  check_elementwise(
      "leaky relu backward",
      [](auto& t, auto& p, auto n, auto a, auto b, auto out) { t.leaky_relu_backward(p, n, 0.25F, a, b, out); },
      [](double y, double g) { return y > 0 ? g : 0.25 * g; }, 0);
  check_elementwise(
      "tanh", [](auto& t, auto& p, auto n, auto a, auto, auto out) { t.tanh_forward(p, n, a, out); },
      [](double x, double) { return std::tanh(x); }, 1e-7);
  check_elementwise(
      "tanh backward", [](auto& t, auto& p, auto n, auto a, auto b, auto out) { t.tanh_backward(p, n, a, b, out); },
      [](double y, double g) { return g * (1 - y * y); }, 1e-6);
  check_elementwise(
      "sigmoid", [](auto& t, auto& p, auto n, auto a, auto, auto out) { t.sigmoid_forward(p, n, a, out); },
      [](double x, double) { return 1 / (1 + std::exp(-x)); }, 1e-7);
  check_elementwise(
      "sigmoid backward",
      [](auto& t, auto& p, auto n, auto a, auto b, auto out) { t.sigmoid_backward(p, n, a, b, out); },
      [](double y, double g) { return g * y * (1 - y); }, 1e-6);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const KernelTable* t : tables()) {
    Serial serial;
    float y = 0;
    t->relu_forward(serial, 1, &nan, &y);
    CHECK(std::isnan(y));
  }
}

TEST_CASE("axpy, fill and the finite check") {
  check_elementwise(
      "axpy",
      [](auto& t, auto& p, auto n, auto a, auto b, auto out) {
        std::copy(b, b + n, out);
        t.axpy(p, n, 0.5F, a, out);
      },
      [](double x, double y) { return 0.5 * x + y; }, 1e-7);
  check_elementwise(
      "fill", [](auto& t, auto& p, auto n, auto, auto, auto out) { t.fill(p, n, 1.5F, out); },
      [](double, double) { return 1.5; }, 0);
  for (const KernelTable* t : tables()) {
    for (const std::size_t count : {1U, 16U, 35U}) {
      auto x = random_floats(count, 3);
      x[0] = -std::numeric_limits<float>::max();
      CHECK(t->all_finite(static_cast<std::int64_t>(count), x.data()));
      for (std::size_t i = 0; i < count; ++i) {
        for (const float bad : {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
                                std::numeric_limits<float>::quiet_NaN()}) {
          auto spoiled = x;
          spoiled[i] = bad;
          CHECK_FALSE(t->all_finite(static_cast<std::int64_t>(count), spoiled.data()));
        }
      }
    }
  }
}

TEST_CASE("dropout draws what rng.h says, element by element") {
  for (const std::int64_t count : {1, 63, 64, 65, 300, 70001}) {
    const auto x = random_floats(size(count), 8);
    const std::uint64_t key = 0x0123456789ABCDEF;
    const std::uint32_t layer = 5, step = 1234, threshold = dropout_threshold(0.3F);
    DropoutArgs args;
    args.stream = {key, step, layer, static_cast<std::uint32_t>(Purpose::dropout)};
    args.drop_below = threshold;
    args.scale = 1.0F / 0.7F;
    const std::vector<float> found = same_everywhere([&](const KernelTable& t, Parallel& p) {
      Guarded<float> out(size(count));
      t.dropout(p, count, args, x.data(), out.data());
      CHECK(out.intact());
      return out.values();
    });
    int wrong = 0;
    for (std::int64_t i = 0; i < count; ++i) {
      const bool keep = dropout_keeps(key, layer, step, static_cast<std::uint64_t>(i), threshold);
      wrong += found[size(i)] == (keep ? x[size(i)] * args.scale : 0.0F) ? 0 : 1;
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("updates follow PyTorch's forms") {
  const std::int64_t count = 1003;
  const auto g = random_floats(size(count), 61), w0 = random_floats(size(count), 62),
             s0 = random_floats(size(count), 63);
  std::vector<float> square = s0;
  for (float& v : square) v = std::fabs(v);
  const auto run = [&](const auto& call, const auto& want) {
    const std::vector<float> found = same_everywhere([&](const KernelTable& t, Parallel& p) {
      Guarded<float> w(size(count)), a(size(count)), b(size(count));
      w.fill_from(w0);
      a.fill_from(s0);
      b.fill_from(square);
      call(t, p, w.data(), a.data(), b.data());
      CHECK(w.intact());
      CHECK(a.intact());
      CHECK(b.intact());
      std::vector<float> all = w.values();
      for (const auto& v : {a.values(), b.values()}) all.insert(all.end(), v.begin(), v.end());
      return all;
    });
    std::vector<double> ws, as, bs;
    for (std::size_t i = 0; i < size(count); ++i) {
      double w = static_cast<double>(w0[i]), a = static_cast<double>(s0[i]), b = static_cast<double>(square[i]);
      want(static_cast<double>(g[i]), w, a, b);
      ws.push_back(w);
      as.push_back(a);
      bs.push_back(b);
    }
    ws.insert(ws.end(), as.begin(), as.end());
    ws.insert(ws.end(), bs.begin(), bs.end());
    check_close(found, ws, 1e-6);
  };
  run(
      [&](auto& t, auto& p, float* w, float*, float*) {
        t.sgd(p, count, SgdArgs{0.1F, 0.01F}, g.data(), w);
      },
      [](double grad, double& w, double&, double&) { w -= 0.1 * (grad + 0.01 * w); });
  for (const bool nesterov : {false, true}) {
    run(
        [&](auto& t, auto& p, float* w, float* v, float*) {
          t.momentum(p, count, MomentumArgs{0.1F, 0.01F, 0.9F, nesterov}, g.data(), w, v);
        },
        [&](double grad, double& w, double& v, double&) {
          grad += 0.01 * w;
          v = 0.9 * v + grad;
          w -= 0.1 * (nesterov ? grad + 0.9 * v : v);
        });
  }
  run(
      [&](auto& t, auto& p, float* w, float*, float* s) {
        t.rmsprop(p, count, RmspropArgs{0.01F, 0.01F, 0.75F, 1e-3F}, g.data(), w, s);
      },
      [](double grad, double& w, double&, double& s) {
        grad += 0.01 * w;
        s = 0.75 * s + 0.25 * grad * grad;
        w -= 0.01 * grad / (std::sqrt(s) + 1e-3);
      });
  run(
      [&](auto& t, auto& p, float* w, float* m, float* v) {
        AdamArgs args{0.01F, 0.01F, 0.75F, 0.875F, 1e-3F, 1.5F};
        t.adam(p, count, args, g.data(), w, m, v);
      },
      [](double grad, double& w, double& m, double& v) {
        grad += 0.01 * w;
        m = 0.75 * m + 0.25 * grad;
        v = 0.875 * v + 0.125 * grad * grad;
        w -= 0.01 * m / (std::sqrt(v) * 1.5 + 1e-3);
      });
}

TEST_CASE("a batch is gathered, normalised, flipped and cropped") {
  Draw draw(71);
  for (const int batch : {1, 5, 16, 35}) {
    for (const bool moved : {false, true}) {
      const int channels = 3, h = 7, w = 21, images = 40, count = batch > 1 ? batch - 1 : 1;
      std::vector<std::uint8_t> bytes(size(std::int64_t{images} * channels * h * w));
      for (auto& b : bytes) b = static_cast<std::uint8_t>(draw.below(256));
      std::vector<std::int32_t> index, dy, dx;
      std::vector<std::uint8_t> flip;
      for (int n = 0; n < count; ++n) {
        index.push_back(draw.below(images));
        dy.push_back(n == 0 ? -h : draw.below(5) - 2);
        dx.push_back(draw.below(7) - 3);
        flip.push_back(static_cast<std::uint8_t>(draw.below(2)));
      }
      const float scale[3] = {0.01F, 0.02F, 0.03F}, shift[3] = {-1.0F, 0.5F, -2.0F};
      GatherArgs args;
      args.images = bytes.data();
      args.channels = channels;
      args.height = h;
      args.width = w;
      args.index = index.data();
      args.count = count;
      args.batch = batch;
      args.scale = scale;
      args.shift = shift;
      if (moved) {
        args.flip = flip.data();
        args.offset_y = dy.data();
        args.offset_x = dx.data();
      }
      const std::size_t out_size = size(std::int64_t{channels} * h * w * batch);
      const std::vector<float> found = same_everywhere([&](const KernelTable& t, Parallel& p) {
        Guarded<float> out(out_size);
        t.gather_images(p, args, out.data());
        CHECK(out.intact());
        return out.values();
      });
      std::vector<double> want(out_size);
      for (int n = 0; n < count; ++n) {
        for (int c = 0; c < channels; ++c) {
          for (int y = 0; y < h; ++y) {
            for (int x = 0; x < w; ++x) {
              const int iy = y + (moved ? dy[size(n)] : 0);
              const int ix = (moved && flip[size(n)] != 0 ? w - 1 - x : x) + (moved ? dx[size(n)] : 0);
              if (iy < 0 || iy >= h || ix < 0 || ix >= w) continue;
              const double byte = bytes[size(((std::int64_t{index[size(n)]} * channels + c) * h + iy) * w + ix)];
              want[size(((std::int64_t{c} * h + y) * w + x) * batch + n)] =
                  byte * static_cast<double>(scale[c]) + static_cast<double>(shift[c]);
            }
          }
        }
      }
      check_close(found, want, 1e-6);
    }
  }
}
