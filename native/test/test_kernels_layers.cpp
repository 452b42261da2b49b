// Pools, batch normalisation, bias gradients and the loss against plain loops in double.
#include <algorithm>
#include <array>
#include <limits>

#include "kernels_check.h"

using namespace convsweep::cpu;
using namespace convsweep::cpu::check;

namespace {

std::size_t size(std::int64_t a) { return static_cast<std::size_t>(a); }

PoolShape pool(int n, int channels, int h, int w, int kh, int kw, int sh, int sw, int top, int left) {
  PoolShape s;
  s.batch = n;
  s.channels = channels;
  s.in_height = h;
  s.in_width = w;
  s.size_h = kh;
  s.size_w = kw;
  s.stride_h = sh;
  s.stride_w = sw;
  s.pad_top = top;
  s.pad_left = left;
  s.out_height = (h + 2 * top - kh) / sh + 1;
  s.out_width = (w + 2 * left - kw) / sw + 1;
  return s;
}

void check_pools(const PoolShape& s) {
  INFO("pool " << s.size_h << "x" << s.size_w << " stride " << s.stride_h << "x" << s.stride_w << " of " << s.in_height
               << "x" << s.in_width << " batch " << s.batch);
  const std::size_t in_size = size(std::int64_t{s.channels} * s.in_height * s.in_width * s.batch);
  const std::size_t out_size = size(std::int64_t{s.channels} * s.out_height * s.out_width * s.batch);
  auto x = random_floats(in_size, 21);
  // Ties, also between zeros, and a NaN.
  for (std::size_t i = 0; i < x.size(); i += 3) x[i] = 0.5F;
  if (x.size() > 40) x[37] = std::numeric_limits<float>::quiet_NaN();
  const auto dy = random_floats(out_size, 22);
  std::vector<float> max_y(out_size), max_dx(in_size);
  std::vector<double> avg_y(out_size), avg_dx(in_size), want_dx(in_size);
  std::vector<std::uint16_t> winner(out_size);
  for (int c = 0; c < s.channels; ++c) {
    for (int oy = 0; oy < s.out_height; ++oy) {
      for (int ox = 0; ox < s.out_width; ++ox) {
        for (int n = 0; n < s.batch; ++n) {
          const std::size_t out = size(((std::int64_t{c} * s.out_height + oy) * s.out_width + ox) * s.batch + n);
          bool have = false;
          std::size_t best = 0;
          for (int r = 0; r < s.size_h; ++r) {
            for (int q = 0; q < s.size_w; ++q) {
              const int iy = oy * s.stride_h + r - s.pad_top, ix = ox * s.stride_w + q - s.pad_left;
              if (iy < 0 || iy >= s.in_height || ix < 0 || ix >= s.in_width) continue;
              const std::size_t in = size(((std::int64_t{c} * s.in_height + iy) * s.in_width + ix) * s.batch + n);
              if (!have || x[in] > x[best] || std::isnan(x[in])) {
                best = in;
                winner[out] = static_cast<std::uint16_t>(r * s.size_w + q);
                have = true;
              }
              avg_y[out] += static_cast<double>(x[in]) / (s.size_h * s.size_w);
              avg_dx[in] += static_cast<double>(dy[out]) / (s.size_h * s.size_w);
            }
          }
          max_y[out] = x[best];
          want_dx[best] += static_cast<double>(dy[out]);
        }
      }
    }
  }
  for (const KernelTable* t : tables()) {
    Serial serial;
    Guarded<std::uint16_t> argmax(out_size);
    std::vector<float> y(out_size);
    t->max_pool2d_forward(serial, s, x.data(), y.data(), argmax.data());
    CHECK(argmax.intact());
    CHECK(argmax.values() == winner);
    CHECK(std::memcmp(y.data(), max_y.data(), y.size() * sizeof(float)) == 0);
    t->max_pool2d_forward(serial, s, x.data(), y.data(), nullptr);
  }
  check_close(same_everywhere([&](const KernelTable& t, Parallel& p) {
                Guarded<float> out(in_size);
                t.max_pool2d_backward(p, s, dy.data(), winner.data(), out.data());
                CHECK(out.intact());
                return out.values();
              }),
              want_dx, 1e-6);
  for (float& v : x) v = std::isnan(v) ? 0.0F : v;
  const std::vector<float> y = same_everywhere([&](const KernelTable& t, Parallel& p) {
    Guarded<float> out(out_size);
    t.avg_pool2d_forward(p, s, x.data(), out.data());
    CHECK(out.intact());
    return out.values();
  });
  if (x.size() <= 40) check_close(y, avg_y, 1e-6);
  check_close(same_everywhere([&](const KernelTable& t, Parallel& p) {
                Guarded<float> out(in_size);
                t.avg_pool2d_backward(p, s, dy.data(), out.data());
                CHECK(out.intact());
                return out.values();
              }),
              avg_dx, 1e-6);
}

}  // namespace

TEST_CASE("pools agree with a plain loop") {
  for (const int n : {1, 3, 16, 33}) {
    check_pools(pool(n, 2, 8, 8, 2, 2, 2, 2, 0, 0));
    check_pools(pool(n, 2, 9, 7, 3, 2, 2, 1, 1, 0));
    check_pools(pool(n, 1, 5, 5, 3, 3, 1, 1, 1, 1));
    check_pools(pool(n, 1, 10, 9, 2, 3, 4, 4, 0, 1));
    check_pools(global_pool_shape(n, 3, 4, 6));
  }
  check_pools(pool(1, 1, 4, 4, 2, 2, 2, 2, 0, 0));
  check_pools(pool(100, 8, 24, 24, 2, 2, 2, 2, 0, 0));
}

TEST_CASE("batch normalisation agrees with double precision") {
  for (const std::int64_t run : {1, 5, 32, 100, 1023, 5000, 16385}) {
    const BatchNormShape s{5, run};
    INFO("run " << run);
    auto x = random_floats(size(5 * run), 31, 2.0F);
    for (float& v : x) v += 3.0F;
    const auto dy = random_floats(size(5 * run), 32), gamma = random_floats(5, 33), beta = random_floats(5, 34);
    const auto running = random_floats(10, 35);
    const float epsilon = 1e-3F, momentum = 0.1F;
    std::vector<double> want;
    std::vector<double> y(x.size()), dx(x.size()), dgamma(5), dbeta(5);
    for (std::int64_t c = 0; c < 5; ++c) {
      double mean = 0, var = 0;
      const double count = static_cast<double>(run), g = static_cast<double>(gamma[size(c)]);
      for (std::int64_t i = 0; i < run; ++i) mean += static_cast<double>(x[size(c * run + i)]) / count;
      for (std::int64_t i = 0; i < run; ++i)
        var += std::pow(static_cast<double>(x[size(c * run + i)]) - mean, 2) / count;
      const double inv = 1 / std::sqrt(var + static_cast<double>(epsilon));
      for (std::int64_t i = c * run; i < (c + 1) * run; ++i) {
        const double hat = (static_cast<double>(x[size(i)]) - mean) * inv;
        y[size(i)] = hat * g + static_cast<double>(beta[size(c)]);
        dgamma[size(c)] += hat * static_cast<double>(dy[size(i)]);
        dbeta[size(c)] += static_cast<double>(dy[size(i)]);
      }
      for (std::int64_t i = c * run; i < (c + 1) * run; ++i) {
        const double hat = (static_cast<double>(x[size(i)]) - mean) * inv;
        dx[size(i)] =
            g * inv * (static_cast<double>(dy[size(i)]) - dbeta[size(c)] / count - hat * dgamma[size(c)] / count);
      }
      want.push_back(mean);
      want.push_back(inv);
      want.push_back(0.9 * static_cast<double>(running[size(c)]) + 0.1 * mean);
      want.push_back(0.9 * static_cast<double>(running[size(5 + c)]) +
                     0.1 * (run > 1 ? var * count / (count - 1) : var));
    }
    std::vector<float> saved(10);
    const std::vector<float> found = same_everywhere([&](const KernelTable& t, Parallel& p) {
      Guarded<float> out(x.size());
      std::vector<float> mean(5), inv(5), rm(running.begin(), running.begin() + 5),
          rv(running.begin() + 5, running.end());
      t.batch_norm_train(p, s, momentum, epsilon, x.data(), gamma.data(), beta.data(), out.data(), mean.data(),
                         inv.data(), rm.data(), rv.data());
      CHECK(out.intact());
      std::vector<float> all = out.values();
      for (std::size_t c = 0; c < 5; ++c) {
        saved[c] = mean[c];
        saved[5 + c] = inv[c];
        all.insert(all.end(), {mean[c], inv[c], rm[c], rv[c]});
      }
      return all;
    });
    std::vector<double> everything = y;
    everything.insert(everything.end(), want.begin(), want.end());
    check_close(found, everything, 2e-5);
    const std::vector<float> back = same_everywhere([&](const KernelTable& t, Parallel& p) {
      Guarded<float> out(x.size());
      std::vector<float> dg(5), db(5), dg2(5), db2(5);
      t.batch_norm_backward(p, s, x.data(), dy.data(), gamma.data(), beta.data(), saved.data(), saved.data() + 5, out.data(),
                            dg.data(), db.data());
      t.batch_norm_backward(p, s, x.data(), dy.data(), gamma.data(), beta.data(), saved.data(), saved.data() + 5, nullptr,
                            dg2.data(), db2.data());
      CHECK(out.intact());
      CHECK(dg == dg2);
      CHECK(db == db2);
      std::vector<float> all = out.values();
      all.insert(all.end(), dg.begin(), dg.end());
      all.insert(all.end(), db.begin(), db.end());
      return all;
    });
    std::vector<double> want_back = dx;
    want_back.insert(want_back.end(), dgamma.begin(), dgamma.end());
    want_back.insert(want_back.end(), dbeta.begin(), dbeta.end());
    check_close(back, want_back, 5e-5);
    // Evaluation with the running statistics; the second half of `running` made positive.
    std::vector<float> rv;
    for (std::size_t c = 5; c < 10; ++c) rv.push_back(std::fabs(running[c]) + 0.1F);
    const std::vector<float> eval = same_everywhere([&](const KernelTable& t, Parallel& p) {
      Guarded<float> out(x.size());
      t.batch_norm_eval(p, s, epsilon, x.data(), gamma.data(), beta.data(), running.data(), rv.data(), out.data());
      CHECK(out.intact());
      return out.values();
    });
    std::vector<double> want_eval(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
      const std::size_t c = i / size(run);
      want_eval[i] = (static_cast<double>(x[i]) - static_cast<double>(running[c])) /
                         std::sqrt(static_cast<double>(rv[c]) + static_cast<double>(epsilon)) *
                         static_cast<double>(gamma[c]) +
                     static_cast<double>(beta[c]);
    }
    check_close(eval, want_eval, 5e-6);
  }
}

TEST_CASE("bias gradient is the sum of a channel") {
  for (const std::int64_t run : {1, 17, 100, 1024, 9000}) {
    const auto dy = random_floats(size(7 * run), 41);
    std::vector<double> want(7);
    for (std::size_t i = 0; i < dy.size(); ++i) want[i / size(run)] += static_cast<double>(dy[i]);
    check_close(same_everywhere([&](const KernelTable& t, Parallel& p) {
                  std::vector<float> db(7);
                  t.bias_gradient(p, 7, run, dy.data(), db.data());
                  return db;
                }),
                want, 2e-5);
  }
}

TEST_CASE("softmax cross entropy: loss, count, gradient, padding columns, smoothing") {
  for (const int batch : {1, 3, 16, 100}) {
    for (const int classes : {2, 10, 100}) {
      for (const float smoothing : {0.0F, 0.1F}) {
        const int valid = batch == 1 ? 1 : batch - 1;
        INFO("batch " << batch << " classes " << classes << " smoothing " << smoothing);
        auto z = random_floats(size(std::int64_t{classes} * batch), 51, 8.0F);
        z[0] = 90.0F;  // e^90 is infinite in single precision
        std::vector<std::int32_t> label(size(batch), -1);
        Draw draw(52);
        for (int n = 0; n < valid; ++n) label[size(n)] = n % 3 == 0 ? 0 : draw.below(classes);
        double loss = 0;
        int correct = 0;
        std::vector<double> want(z.size());
        for (int n = 0; n < valid; ++n) {
          double most = -1e30, sum = 0, own = 0;
          int best = 0;
          for (int c = 0; c < classes; ++c) {
            const double v = static_cast<double>(z[size(std::int64_t{c} * batch + n)]);
            if (v > most) {
              most = v;
              best = c;
            }
          }
          for (int c = 0; c < classes; ++c)
            sum += std::exp(static_cast<double>(z[size(std::int64_t{c} * batch + n)]) - most);
          for (int c = 0; c < classes; ++c) {
            const double logp = static_cast<double>(z[size(std::int64_t{c} * batch + n)]) - most - std::log(sum);
            const double s = static_cast<double>(smoothing);
            const double target = (c == label[size(n)] ? 1 - s : 0) + s / classes;
            own -= target * logp;
            want[size(std::int64_t{c} * batch + n)] = (std::exp(logp) - target) / valid;
          }
          loss += own;
          correct += best == label[size(n)] ? 1 : 0;
        }
        const SoftmaxLossArgs args{classes, batch, valid, smoothing};
        double first_loss = 0;
        const std::vector<float> found = same_everywhere([&](const KernelTable& t, Parallel&) {
          Guarded<float> out(z.size());
          const LossResult r = t.softmax_cross_entropy(args, z.data(), label.data(), out.data());
          const LossResult evaluation = t.softmax_cross_entropy(args, z.data(), label.data(), nullptr);
          CHECK(out.intact());
          CHECK(r.correct == correct);
          CHECK(r.loss_sum == doctest::Approx(loss).epsilon(1e-5));
          CHECK(evaluation.loss_sum == r.loss_sum);
          CHECK(evaluation.correct == r.correct);
          if (first_loss == 0) first_loss = r.loss_sum;
          CHECK(r.loss_sum == first_loss);
          return out.values();
        });
        check_close(found, want, 1e-6);
      }
    }
  }
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const KernelTable* t : tables()) {
    const float z[4] = {nan, 1.0F, 1.0F, 1.0F};
    const std::int32_t labels[2] = {0, 0};
    const LossResult r = t->softmax_cross_entropy({2, 2, 2, 0.0F}, z, labels, nullptr);
    CHECK(std::isnan(r.loss_sum));
    CHECK(r.correct == 1);  // the column of two equal logits: the first wins
  }
}

TEST_CASE("a fused pool and a fused batch norm have the bytes of the layers one after another") {
  for (const int n : {3, 16, 100}) {
    for (const auto& [size_h, size_w, h, w] : {std::array{2, 2, 8, 8}, std::array{4, 3, 9, 7}}) {
      const PoolShape s = pool(n, 3, h, w, size_h, size_w, size_h, size_w, 0, 0);
      const std::size_t in_size = size(std::int64_t{3} * h * w * n);
      const std::size_t out_size = size(std::int64_t{3} * s.out_height * s.out_width * n);
      const auto x = random_floats(in_size, 61), dy = random_floats(out_size, 62);
      for (const Activation activation : {Activation::relu, Activation::tanh}) {
        for (const bool dropout : {false, true}) {
          if (dropout && activation != Activation::relu) continue;
          INFO("batch " << n << " window " << size_h << "x" << size_w << " dropout " << dropout);
          PoolPrologue before;
          before.activation = activation;
          before.dropout = dropout;
          before.drop = {{77, 5, 2, 1}, 1U << 30, 4.0F / 3};
          const KernelTable& t = *tables().front();
          Serial serial;
          std::vector<float> active(in_size), dropped(in_size), y(out_size), d(in_size);
          std::vector<std::uint16_t> winner(out_size);
          const auto count = static_cast<std::int64_t>(in_size);
          const bool relu = activation == Activation::relu;
          (relu ? t.relu_forward : t.tanh_forward)(serial, count, x.data(), active.data());
          dropped = active;
          if (dropout) t.dropout(serial, count, before.drop, active.data(), dropped.data());
          t.max_pool2d_forward(serial, s, dropped.data(), y.data(), winner.data());
          t.max_pool2d_backward(serial, s, dy.data(), winner.data(), d.data());
          if (dropout) t.dropout(serial, count, before.drop, d.data(), d.data());
          (relu ? t.relu_backward : t.tanh_backward)(serial, count, active.data(), d.data(), d.data());

          const std::vector<float> fused = same_everywhere([&](const KernelTable& table, Parallel& p) {
            Scratch scratch(table.max_pool2d_fused_scratch_bytes(s, p.width()));
            Guarded<float> out(out_size), dx(in_size);
            Guarded<std::uint16_t> argmax(out_size);
            table.max_pool2d_fused_forward(p, s, before, x.data(), out.data(), argmax.data(), scratch.data());
            CHECK(argmax.values() == winner);
            table.max_pool2d_fused_backward(p, s, before, out.data(), dy.data(), argmax.data(), dx.data());
            CHECK(out.intact());
            CHECK(argmax.intact());
            CHECK(dx.intact());
            std::vector<float> both = out.values();
            for (const float v : dx.values()) both.push_back(v);
            return both;
          });
          y.insert(y.end(), d.begin(), d.end());
          CHECK(std::memcmp(fused.data(), y.data(), y.size() * sizeof(float)) == 0);
        }
      }
    }
  }
  for (const std::int64_t run : {5, 100, 5000}) {
    const BatchNormShape plain{3, run}, cut{3, run, true};
    const std::size_t count = size(3 * run);
    const auto x = random_floats(count, 63), dy = random_floats(count, 64), gamma = random_floats(3, 65),
               beta = random_floats(3, 66);
    const auto step = [&](const KernelTable& t, Parallel& p, const BatchNormShape& s) {
      std::vector<float> y(count), dx(count), rest(6 * 3, 0.0F);
      t.batch_norm_train(p, s, 0.1F, 1e-3F, x.data(), gamma.data(), beta.data(), y.data(), &rest[0], &rest[3], &rest[6],
                         &rest[9]);
      std::vector<float> d = dy;
      if (!s.relu) {
        t.relu_forward(p, static_cast<std::int64_t>(count), y.data(), y.data());
        t.relu_backward(p, static_cast<std::int64_t>(count), y.data(), d.data(), d.data());
      }
      t.batch_norm_backward(p, s, x.data(), d.data(), gamma.data(), beta.data(), &rest[0], &rest[3], dx.data(), &rest[12],
                            &rest[15]);
      y.insert(y.end(), dx.begin(), dx.end());
      y.insert(y.end(), rest.begin(), rest.end());
      return y;
    };
    const std::vector<float> fused =
        same_everywhere([&](const KernelTable& t, Parallel& p) { return step(t, p, cut); });
    Serial serial;
    CHECK(step(*tables().front(), serial, plain) == fused);
  }
}

TEST_CASE("relu behind a product has the bytes of the layers one after another") {
  for (const bool transformed : {false, true}) {
    ConvShape s;
    s.batch = 19;
    s.in_channels = transformed ? 16 : 3;
    s.out_channels = 18;
    s.in_height = s.in_width = s.out_height = s.out_width = 9;
    s.kernel_h = s.kernel_w = 3;
    s.pad_top = s.pad_left = 1;
    const std::size_t out = size(std::int64_t{18} * 81 * 19);
    const auto x = random_floats(size(std::int64_t{s.in_channels} * 81 * 19), 71), bias = random_floats(18, 72);
    const auto w = random_floats(size(std::int64_t{18} * s.in_channels * 9), 73), dy = random_floats(out, 74);
    const auto step = [&](const KernelTable& t, Parallel& p, bool relu) {
      ConvShape shape = s;
      shape.relu = relu;
      Scratch scratch(t.conv2d_scratch_bytes(s, p.width()));
      std::vector<float> y(out), d = dy, sums(18);
      t.conv2d_forward(p, shape, x.data(), w.data(), bias.data(), y.data(), scratch.data());
      const auto count = static_cast<std::int64_t>(out);
      if (relu) {
        t.relu_bias_gradient(p, 18, 81 * 19, y.data(), d.data(), d.data(), sums.data());
      } else {
        t.relu_forward(p, count, y.data(), y.data());
        t.relu_backward(p, count, y.data(), d.data(), d.data());
        t.bias_gradient(p, 18, 81 * 19, d.data(), sums.data());
      }
      y.insert(y.end(), d.begin(), d.end());
      y.insert(y.end(), sums.begin(), sums.end());
      return y;
    };
    const std::vector<float> fused = same_everywhere([&](const KernelTable& t, Parallel& p) { return step(t, p, true); });
    Serial serial;
    CHECK(step(*tables().front(), serial, false) == fused);
  }
  LinearShape s{21, 300, 40};
  const auto x = random_floats(300 * 21, 75), w = random_floats(300 * 40, 76), bias = random_floats(40, 77);
  const auto run = [&](const KernelTable& t, Parallel& p, bool relu) {
    LinearShape shape = s;
    shape.relu = relu;
    Scratch scratch(t.linear_scratch_bytes(s, p.width()));
    std::vector<float> y(40 * 21);
    t.linear_forward(p, shape, x.data(), w.data(), bias.data(), y.data(), scratch.data());
    if (!relu) t.relu_forward(p, 40 * 21, y.data(), y.data());
    return y;
  };
  const std::vector<float> fused = same_everywhere([&](const KernelTable& t, Parallel& p) { return run(t, p, true); });
  Serial serial;
  CHECK(run(*tables().front(), serial, false) == fused);
}
