// Matrix products, linear and convolution kernels against plain loops in double, and to the bit against each other.
#include <utility>

#include "kernels_check.h"

using namespace convsweep::cpu;
using namespace convsweep::cpu::check;

namespace {

std::size_t size(std::int64_t a, std::int64_t b = 1, std::int64_t c = 1, std::int64_t d = 1) {
  return static_cast<std::size_t>(a * b * c * d);
}

void check_gemm(bool ta, bool tb, int m, int n, int k) {
  INFO("gemm " << ta << tb << " " << m << "x" << n << "x" << k);
  const int lda = (ta ? m : k) + 3, ldb = (tb ? k : n) + 1, ldc = n + 2;
  const auto a = random_floats(size(ta ? k : m, lda), 1), b = random_floats(size(tb ? n : k, ldb), 2);
  const auto bias = random_floats(size(m), 3);
  const std::vector<float> c = same_everywhere([&](const KernelTable& t, Parallel& p) {
    Scratch scratch(t.gemm_scratch_bytes(ta, tb, m, n, k, p.width()));
    Guarded<float> out(size(m, ldc));
    t.gemm(p, ta, tb, m, n, k, a.data(), lda, b.data(), ldb, bias.data(), out.data(), ldc, scratch.data());
    CHECK(out.intact());
    std::vector<float> dense;
    const std::vector<float> all = out.values();
    for (int i = 0; i < m; ++i) {
      for (int j = 0; j < n; ++j) dense.push_back(all[size(i, ldc) + size(j)]);
      for (int j = n; j < ldc; ++j) CHECK(all[size(i, ldc) + size(j)] == 77.0F);
    }
    return dense;
  });
  std::vector<double> want;
  for (int i = 0; i < m; ++i) {
    for (int j = 0; j < n; ++j) {
      double sum = 0;
      for (int q = 0; q < k; ++q) {
        sum += static_cast<double>(a[size(ta ? q : i, lda) + size(ta ? i : q)]) *
               static_cast<double>(b[size(tb ? j : q, ldb) + size(tb ? q : j)]);
      }
      want.push_back(sum + static_cast<double>(bias[size(i)]));
    }
  }
  check_close(c, want, 2e-6 * std::sqrt(k) + 1e-6);
}

struct Case {
  const char* name;
  ConvShape shape;
};

ConvShape conv(int n, int groups, int cin, int h, int w, int cout, int kh, int kw, int sh, int sw, int top, int left,
               int bottom, int right) {
  ConvShape s;
  s.batch = n;
  s.groups = groups;
  s.in_channels = cin;
  s.in_height = h;
  s.in_width = w;
  s.out_channels = cout;
  s.kernel_h = kh;
  s.kernel_w = kw;
  s.stride_h = sh;
  s.stride_w = sw;
  s.pad_top = top;
  s.pad_left = left;
  s.out_height = (h + top + bottom - kh) / sh + 1;
  s.out_width = (w + left + right - kw) / sw + 1;
  return s;
}

// All three directions at once, in double, one visit of every (output, tap).
struct Naive {
  std::vector<double> y, dx, dw;
  Naive(const ConvShape& s, const std::vector<float>& x, const std::vector<float>& w, const std::vector<float>& bias,
        const std::vector<float>& dy) {
    const int ci = s.in_channels / s.groups, co = s.out_channels / s.groups;
    y.resize(dy.size());
    dx.resize(x.size());
    dw.resize(w.size());
    for (int o = 0; o < s.out_channels; ++o) {
      for (int oy = 0; oy < s.out_height; ++oy) {
        for (int ox = 0; ox < s.out_width; ++ox) {
          for (int n = 0; n < s.batch; ++n) {
            const std::size_t out = size(((std::int64_t{o} * s.out_height + oy) * s.out_width + ox) * s.batch + n);
            y[out] = static_cast<double>(bias[size(o)]);
            for (int i = 0; i < ci; ++i) {
              for (int r = 0; r < s.kernel_h; ++r) {
                for (int c = 0; c < s.kernel_w; ++c) {
                  const int iy = oy * s.stride_h + r - s.pad_top, ix = ox * s.stride_w + c - s.pad_left;
                  if (iy < 0 || iy >= s.in_height || ix < 0 || ix >= s.in_width) continue;
                  const int channel = o / co * ci + i;
                  const std::size_t in =
                      size(((std::int64_t{channel} * s.in_height + iy) * s.in_width + ix) * s.batch + n);
                  const std::size_t at = size(((std::int64_t{o} * ci + i) * s.kernel_h + r) * s.kernel_w + c);
                  y[out] += static_cast<double>(x[in]) * static_cast<double>(w[at]);
                  dx[in] += static_cast<double>(dy[out]) * static_cast<double>(w[at]);
                  dw[at] += static_cast<double>(dy[out]) * static_cast<double>(x[in]);
                }
              }
            }
          }
        }
      }
    }
  }
};

// `loss`: how many times the plain sum's tolerance; 4 for shapes done by transforms of 6 x 6 tiles, 8 for 8 x 8,
// 24 for those of them with 7 x 7 outputs (docs/decisions/0007).
void check_conv(const Case& c, double loss = 1) {
  const ConvShape& s = c.shape;
  INFO(std::string(c.name) << ", batch " << s.batch);
  const auto x = random_floats(size(s.in_channels, s.in_height, s.in_width, s.batch), 11);
  const auto w = random_floats(size(s.out_channels, s.in_channels / s.groups, s.kernel_h, s.kernel_w), 12);
  const auto bias = random_floats(size(s.out_channels), 13);
  const auto dy = random_floats(size(s.out_channels, s.out_height, s.out_width, s.batch), 14);
  const Naive want(s, x, w, bias, dy);
  const auto run = [&](std::size_t count, const auto& call) {
    return same_everywhere([&](const KernelTable& t, Parallel& p) {
      Scratch scratch(t.conv2d_scratch_bytes(s, p.width()));
      Guarded<float> out(count);
      call(t, p, out.data(), scratch.data());
      CHECK(out.intact());
      return out.values();
    });
  };
  check_close(
      run(dy.size(), [&](const KernelTable& t, Parallel& p, float* y,
                         void* scratch) { t.conv2d_forward(p, s, x.data(), w.data(), bias.data(), y, scratch); }),
      want.y, loss * (1e-6 * std::sqrt(s.in_channels / s.groups * s.kernel_h * s.kernel_w) + 1e-6));
  check_close(run(x.size(), [&](const KernelTable& t, Parallel& p, float* dx,
                                void* scratch) { t.conv2d_backward_data(p, s, dy.data(), w.data(), dx, scratch); }),
              want.dx, loss * (1e-6 * std::sqrt(s.out_channels / s.groups * s.kernel_h * s.kernel_w) + 1e-6));
  check_close(run(w.size(), [&](const KernelTable& t, Parallel& p, float* dw,
                                void* scratch) { t.conv2d_backward_weights(p, s, x.data(), dy.data(), dw, scratch); }),
              want.dw, loss * (1e-6 * std::sqrt(s.out_height * s.out_width * s.batch) + 1e-6));
}

}  // namespace

TEST_CASE("gemm agrees with a plain loop for odd sizes") {
  for (const bool ta : {false, true}) {
    for (const bool tb : {false, true}) {
      check_gemm(ta, tb, 1, 1, 1);
      check_gemm(ta, tb, 4, 33, 7);
      check_gemm(ta, tb, 10, 100, 50);
      check_gemm(ta, tb, 29, 96, 131);
      check_gemm(ta, tb, 50, 17, 600);
      check_gemm(ta, tb, 37, 250, 64);
      check_gemm(ta, tb, 3, 128, 1200);
    }
  }
}

TEST_CASE("every height of tile yields the plain loop's numbers") {
  for (int m = 1; m <= 31; ++m) check_gemm(false, false, m, 7 * m + 1, 9);
  for (int m = 1; m <= 31; ++m) check_gemm(true, false, m, 97, 5);
}

TEST_CASE("linear layers agree with plain products") {
  for (const int n : {1, 3, 17, 32, 100}) {
    const LinearShape s{n, 70, 23};
    const auto x = random_floats(size(70, n), 1), w = random_floats(size(23, 70), 2), b = random_floats(size(23), 3);
    const auto dy = random_floats(size(23, n), 4);
    std::vector<double> y(size(23, n)), dx(size(70, n)), dw(size(23, 70));
    for (int o = 0; o < 23; ++o) {
      for (int j = 0; j < n; ++j) {
        y[size(o, n) + size(j)] = static_cast<double>(b[size(o)]);
        for (int i = 0; i < 70; ++i) {
          const double wv = static_cast<double>(w[size(o, 70) + size(i)]);
          const double xv = static_cast<double>(x[size(i, n) + size(j)]);
          const double g = static_cast<double>(dy[size(o, n) + size(j)]);
          y[size(o, n) + size(j)] += wv * xv;
          dx[size(i, n) + size(j)] += wv * g;
          dw[size(o, 70) + size(i)] += g * xv;
        }
      }
    }
    const auto run = [&](std::size_t count, const auto& call) {
      return same_everywhere([&](const KernelTable& t, Parallel& p) {
        Scratch scratch(t.linear_scratch_bytes(s, p.width()));
        Guarded<float> out(count);
        call(t, p, out.data(), scratch.data());
        CHECK(out.intact());
        return out.values();
      });
    };
    check_close(
        run(y.size(), [&](const KernelTable& t, Parallel& p, float* out,
                          void* scratch) { t.linear_forward(p, s, x.data(), w.data(), b.data(), out, scratch); }),
        y, 3e-6);
    check_close(run(dx.size(), [&](const KernelTable& t, Parallel& p, float* out,
                                   void* scratch) { t.linear_backward_data(p, s, dy.data(), w.data(), out, scratch); }),
                dx, 3e-6);
    check_close(
        run(dw.size(), [&](const KernelTable& t, Parallel& p, float* out,
                           void* scratch) { t.linear_backward_weights(p, s, x.data(), dy.data(), out, scratch); }),
        dw, 3e-6);
  }
}

TEST_CASE("convolutions agree with a plain loop: kernels, strides, padding, groups, batches") {
  for (const int n : {1, 3, 17, 32}) {
    check_conv({"2x2 same, 1 to 4", conv(n, 1, 1, 9, 9, 4, 2, 2, 1, 1, 0, 0, 1, 1)});
    check_conv({"2x2 same, 4 to 4", conv(n, 1, 4, 8, 7, 4, 2, 2, 1, 1, 0, 0, 1, 1)});
    check_conv({"5x5, 1 to 20", conv(n, 1, 1, 11, 12, 20, 5, 5, 1, 1, 0, 0, 0, 0)});
    check_conv({"5x5, 3 to 50", conv(n, 1, 3, 8, 8, 50, 5, 5, 1, 1, 0, 0, 0, 0)});
    check_conv({"5x5, 6 to 50", conv(n, 1, 6, 8, 8, 50, 5, 5, 1, 1, 0, 0, 0, 0)});
    check_conv({"3x3 padded, 3 to 16", conv(n, 1, 3, 9, 8, 16, 3, 3, 1, 1, 1, 1, 1, 1)});
    check_conv({"3x3 stride 2", conv(n, 1, 5, 9, 10, 7, 3, 3, 2, 2, 1, 1, 1, 1)});
    check_conv({"4x3 stride 2x1, uneven padding", conv(n, 1, 2, 9, 7, 3, 4, 3, 2, 1, 0, 2, 1, 0)});
    check_conv({"3x2 stride 1x3", conv(n, 1, 2, 7, 11, 3, 3, 2, 1, 3, 1, 0, 1, 0)});
    check_conv({"1x1", conv(n, 1, 7, 5, 5, 90, 1, 1, 1, 1, 0, 0, 0, 0)});
    check_conv({"1x1 stride 2", conv(n, 1, 7, 5, 6, 9, 1, 1, 2, 2, 0, 0, 0, 0)});
    check_conv({"3x3 groups of 2", conv(n, 2, 6, 6, 6, 8, 3, 3, 1, 1, 1, 1, 1, 1)});
    check_conv({"3x3 depthwise", conv(n, 5, 5, 6, 6, 5, 3, 3, 1, 1, 1, 1, 1, 1)});
    check_conv({"kernel as large as the image", conv(n, 1, 3, 5, 5, 6, 5, 5, 1, 1, 0, 0, 0, 0)});
    check_conv({"padding wider than the kernel", conv(n, 1, 1, 3, 3, 2, 2, 2, 1, 1, 3, 3, 3, 3)});
  }
  check_conv({"5x5, 20 to 50, batch 100", conv(100, 1, 3, 12, 12, 50, 5, 5, 1, 1, 0, 0, 0, 0)});
  check_conv({"long rows", conv(128, 1, 2, 4, 20, 6, 3, 3, 1, 1, 1, 1, 1, 1)});
  check_conv({"stride 2, rows of several stretches", conv(130, 1, 2, 7, 19, 5, 3, 3, 2, 2, 1, 1, 1, 1)});
  check_conv(
      {"stride 2, some rows at once, several blocks of them", conv(21, 2, 4, 21, 20, 6, 4, 4, 2, 2, 1, 1, 1, 1)});
  check_conv({"stride 2, several tasks of channels", conv(40, 1, 24, 5, 20, 150, 3, 3, 2, 2, 1, 1, 1, 1)});
  check_conv({"many channels", conv(16, 1, 80, 4, 4, 96, 3, 3, 1, 1, 1, 1, 1, 1)}, 4);
}

// Enough channels on both sides for weights' gradients as outer products.
TEST_CASE("convolutions of many channels agree with a plain loop: chunks, tiles of channels, panels, parts of vectors") {
  for (const int n : {1, 17, 60}) {
    check_conv({"4x4 stride 2", conv(n, 1, 12, 10, 10, 33, 4, 4, 2, 2, 1, 1, 1, 1)});
    check_conv({"3x3 stride 2, last row and column on padding", conv(n, 1, 9, 7, 7, 48, 3, 3, 2, 2, 1, 1, 1, 1)});
    check_conv({"4x4 to one element", conv(n, 1, 30, 4, 4, 20, 4, 4, 1, 1, 0, 0, 0, 0)});
    check_conv({"2x2, padding on one side", conv(n, 1, 5, 6, 7, 17, 2, 2, 1, 1, 0, 0, 1, 1)});
    check_conv({"1x1", conv(n, 1, 20, 6, 5, 18, 1, 1, 1, 1, 0, 0, 0, 0)});
    check_conv({"1x1 stride 2", conv(n, 1, 18, 7, 6, 20, 1, 1, 2, 2, 0, 0, 0, 0)});
    check_conv({"4x3 stride 3x2, groups", conv(n, 2, 10, 9, 9, 40, 4, 3, 3, 2, 2, 0, 1, 2)});
    check_conv({"padding wider than the kernel", conv(n, 1, 4, 3, 3, 16, 2, 2, 2, 2, 3, 3, 3, 3)});
  }
  check_conv({"one channel of x, stride 2", conv(60, 1, 1, 12, 12, 24, 4, 4, 2, 2, 1, 1, 1, 1)});
  check_conv({"two channels of x in groups, uneven padding", conv(19, 2, 4, 7, 8, 34, 3, 3, 2, 1, 2, 0, 0, 1)});
  check_conv({"chunks in a row", conv(70, 1, 8, 3, 21, 16, 3, 3, 2, 2, 1, 1, 1, 1)});
  check_conv({"an image deeper than a chunk", conv(300, 1, 4, 5, 5, 16, 3, 3, 2, 2, 1, 1, 1, 1)});
}

// Shapes that are done by Winograd's transforms: enough channels; 2 x 2, 3 x 3 or 5 x 5, or 4 x 4 of stride 2.
TEST_CASE("transformed convolutions agree with a plain loop: borders, part tiles, tails of the batch") {
  for (const int n : {1, 17, 33}) {
    check_conv({"3x3 same, part tiles", conv(n, 1, 16, 10, 9, 19, 3, 3, 1, 1, 1, 1, 1, 1)}, 4);
    check_conv({"3x3 valid", conv(n, 1, 18, 6, 10, 16, 3, 3, 1, 1, 0, 0, 0, 0)}, 4);
    check_conv({"3x3, padding on one side", conv(n, 1, 16, 7, 7, 16, 3, 3, 1, 1, 2, 0, 0, 1)}, 4);
    check_conv({"5x5 to 2 x 2, 6 x 6 tiles", conv(n, 1, 20, 6, 6, 17, 5, 5, 1, 1, 0, 0, 0, 0)}, 4);
    check_conv({"5x5 valid", conv(n, 1, 20, 8, 9, 17, 5, 5, 1, 1, 0, 0, 0, 0)}, 8);
    check_conv({"5x5 same", conv(n, 1, 16, 6, 7, 20, 5, 5, 1, 1, 2, 2, 2, 2)}, 8);
    check_conv({"5x5, padding on one side", conv(n, 1, 17, 9, 12, 18, 5, 5, 1, 1, 3, 0, 0, 4)}, 8);
    check_conv({"2x2, padding on one side", conv(n, 1, 18, 14, 13, 16, 2, 2, 1, 1, 0, 0, 1, 1)}, 24);
    check_conv({"4x4 stride 2, one tile", conv(n, 1, 16, 14, 14, 19, 4, 4, 2, 2, 1, 1, 1, 1)}, 24);
    check_conv({"4x4 stride 2, part tiles, uneven padding", conv(n, 1, 17, 26, 27, 16, 4, 4, 2, 2, 2, 0, 1, 1)}, 24);
    check_conv({"4x4 stride 2, a row that no window sees", conv(n, 1, 20, 15, 15, 18, 4, 4, 2, 2, 0, 0, 0, 0)}, 24);
  }
  check_conv({"4x4 stride 2, more chunks than one", conv(100, 1, 16, 14, 14, 33, 4, 4, 2, 2, 1, 1, 1, 1)}, 24);
  check_conv({"3x3, more chunks than one", conv(100, 1, 16, 12, 12, 33, 3, 3, 1, 1, 1, 1, 1, 1)}, 4);
  check_conv({"5x5, second of lenet", conv(100, 1, 20, 12, 12, 50, 5, 5, 1, 1, 0, 0, 0, 0)}, 8);
  check_conv({"3x3, one tile", conv(64, 1, 130, 4, 4, 70, 3, 3, 1, 1, 1, 1, 1, 1)}, 4);
  check_conv({"5x5, one tile, more planes than stay in the cache", conv(40, 1, 70, 8, 8, 66, 5, 5, 1, 1, 0, 0, 0, 0)}, 8);
}

// Few columns go another way than many.
TEST_CASE("transformed convolutions: an image's bytes do not depend on the other images of the batch") {
  constexpr int many = 90, few = 37;
  const auto first_images = [&](const std::vector<float>& all) {
    std::vector<float> some;
    for (std::size_t row = 0; row < all.size(); row += many) some.insert(some.end(), &all[row], &all[row] + few);
    return some;
  };
  Serial serial;
  for (const auto& shape_of : {+[](int n) { return conv(n, 1, 16, 14, 14, 29, 4, 4, 2, 2, 1, 1, 1, 1); },
                               +[](int n) { return conv(n, 1, 40, 8, 8, 16, 5, 5, 1, 1, 0, 0, 0, 0); },
                               +[](int n) { return conv(n, 1, 33, 4, 4, 31, 3, 3, 1, 1, 1, 1, 1, 1); }}) {
    const ConvShape whole = shape_of(many), part = shape_of(few);
    const std::size_t weights = size(whole.in_channels, whole.out_channels, whole.kernel_h, whole.kernel_w);
    const auto x = random_floats(size(whole.in_channels, whole.in_height, whole.in_width, many), 81);
    const auto dy = random_floats(size(whole.out_channels, whole.out_height, whole.out_width, many), 82);
    const auto w = random_floats(weights, 83);
    const KernelTable& table = *tables().front();
    const auto run = [&](const ConvShape& s, const std::vector<float>& in, const std::vector<float>& out) {
      Scratch scratch(table.conv2d_scratch_bytes(s, 1));
      std::vector<float> y(out.size()), dx(in.size());
      table.conv2d_forward(serial, s, in.data(), w.data(), nullptr, y.data(), scratch.data());
      table.conv2d_backward_data(serial, s, out.data(), w.data(), dx.data(), scratch.data());
      return std::pair(y, dx);
    };
    const auto [y, dx] = run(whole, x, dy);
    const auto [some_y, some_dx] = run(part, first_images(x), first_images(dy));
    CHECK(first_images(y) == some_y);
    CHECK(first_images(dx) == some_dx);
  }
}
