// How fast the CPU kernels run, as a share of the multiply-adds the processor can do.
//
//   bench_kernels [--json] [--isa avx512|avx2|scalar] [--seconds S] [--threads T] [--only TEXT]
//
// Guarantees: the peak is measured in the same run, on the same threads; every figure is the best of many repetitions,
// in the thread's own time with one thread and in real time with more (the machine may be shared). Multiply-adds
// count 2. Taps on padding count. Not here: whole training steps.
#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "backend/cpu/kernels.h"
#include "peak.h"

using namespace convsweep::cpu;

namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// Seconds this thread has run: other programs on the core do not count.
double thread_seconds() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

// Starts threads for each call: fine for work of milliseconds; small shapes are measured with one thread only.
class Threads final : public Parallel {
 public:
  explicit Threads(int width) : width_(width) {}
  int width() const noexcept override { return width_; }
  void for_each(int tasks, Task task, void* context) override {
    std::vector<std::thread> others;
    const auto part = [&](int slot) {
      for (int i = slot; i < tasks; i += width_) task(context, i, slot);
    };
    for (int slot = 1; slot < std::min(width_, tasks); ++slot) others.emplace_back(part, slot);
    part(0);
    for (std::thread& t : others) t.join();
  }

 private:
  int width_;
};

struct Free {
  void operator()(void* p) const { std::free(p); }
};
using Memory = std::unique_ptr<float, Free>;

Memory floats(std::int64_t count) {
  const std::size_t bytes = (static_cast<std::size_t>(count) * sizeof(float) + 127) / 64 * 64;
  Memory m(static_cast<float*>(std::aligned_alloc(64, bytes)));
  std::uint32_t state = 12345;
  for (std::int64_t i = 0; i < count; ++i) {
    state = state * 1664525U + 1013904223U;
    m.get()[i] = static_cast<float>(state >> 8) / 8388608.0F - 1.0F;
  }
  return m;
}

double best_seconds(double budget, int threads, const std::function<void()>& f) {
  const auto clock = threads == 1 ? &thread_seconds : &now;
  f();
  double best = 1e30;
  const double start = now();
  int runs = 0;
  while (runs < 5 || now() - start < budget) {
    const double begin = clock();
    f();
    best = std::min(best, clock() - begin);
    ++runs;
  }
  return best;
}

struct Options {
  bool json = false;
  double seconds = 0.3;
  int threads = 1;
  std::string only;
  Isa isa = best_isa();
};

class Report {
 public:
  Report(const Options& options, double peak) : options_(options), peak_(peak) {}

  void add(const std::string& name, double flops, const std::function<void()>& f) {
    if (!options_.only.empty() && name.find(options_.only) == std::string::npos) return;
    const double seconds = best_seconds(options_.seconds, options_.threads, f);
    const double rate = flops / seconds / 1e9;
    if (options_.json) {
      std::printf("{\"kernel\":\"%s\",\"isa\":\"%s\",\"threads\":%d,\"microseconds\":%.3f", name.c_str(),
                  isa_name(options_.isa), options_.threads, seconds * 1e6);
      if (flops > 0) std::printf(",\"gflops\":%.2f,\"share_of_peak\":%.4f", rate, rate / peak_);
      std::printf("}\n");
    } else if (flops > 0) {
      std::printf("%-44s %10.1f us %8.1f GFLOP/s %6.1f %%\n", name.c_str(), seconds * 1e6, rate, 100 * rate / peak_);
    } else {
      std::printf("%-44s %10.1f us\n", name.c_str(), seconds * 1e6);
    }
    std::fflush(stdout);
  }

 private:
  const Options& options_;
  double peak_;
};

void bench_gemm(Report& report, const KernelTable& k, Parallel& parallel, const char* name, bool ta, bool tb, int m,
                int n, int depth) {
  const Memory a = floats(std::int64_t{m} * depth), b = floats(std::int64_t{depth} * n),
               c = floats(std::int64_t{m} * n);
  const Memory scratch =
      floats(static_cast<std::int64_t>(k.gemm_scratch_bytes(ta, tb, m, n, depth, parallel.width()) / sizeof(float)));
  report.add(name, 2.0 * m * n * depth, [&] {
    k.gemm(parallel, ta, tb, m, n, depth, a.get(), ta ? m : depth, b.get(), tb ? depth : n, nullptr, c.get(), n,
           scratch.get());
  });
}

void bench_linear(Report& report, const KernelTable& k, Parallel& parallel, const std::string& name, int batch, int in,
                  int out) {
  const LinearShape s{batch, in, out};
  const Memory x = floats(std::int64_t{in} * batch), w = floats(std::int64_t{in} * out), bias = floats(out);
  const Memory y = floats(std::int64_t{out} * batch), dx = floats(std::int64_t{in} * batch);
  const Memory dw = floats(std::int64_t{in} * out);
  const Memory scratch = floats(static_cast<std::int64_t>(k.linear_scratch_bytes(s, parallel.width()) / sizeof(float)));
  const double flops = 2.0 * batch * in * out;
  report.add(name + " forward", flops,
             [&] { k.linear_forward(parallel, s, x.get(), w.get(), bias.get(), y.get(), scratch.get()); });
  report.add(name + " backward data", flops,
             [&] { k.linear_backward_data(parallel, s, y.get(), w.get(), dx.get(), scratch.get()); });
  report.add(name + " backward weights", flops,
             [&] { k.linear_backward_weights(parallel, s, x.get(), y.get(), dw.get(), scratch.get()); });
}

void bench_conv(Report& report, const KernelTable& k, Parallel& parallel, const std::string& name, int batch, int in,
                int size, int out, int kernel, int pad_low, int pad_high, bool first, int stride = 1) {
  ConvShape s;
  s.batch = batch;
  s.in_channels = in;
  s.in_height = s.in_width = size;
  s.out_channels = out;
  s.out_height = s.out_width = (size + pad_low + pad_high - kernel) / stride + 1;
  s.kernel_h = s.kernel_w = kernel;
  s.stride_h = s.stride_w = stride;
  s.pad_top = s.pad_left = pad_low;
  const std::int64_t in_count = std::int64_t{in} * size * size * batch;
  const std::int64_t out_count = std::int64_t{out} * s.out_height * s.out_width * batch;
  const Memory x = floats(in_count), dx = floats(in_count), y = floats(out_count), bias = floats(out);
  const Memory w = floats(std::int64_t{out} * in * kernel * kernel),
               dw = floats(std::int64_t{out} * in * kernel * kernel);
  const Memory scratch = floats(static_cast<std::int64_t>(k.conv2d_scratch_bytes(s, parallel.width()) / sizeof(float)));
  const double flops = 2.0 * static_cast<double>(out_count) * in * kernel * kernel;
  report.add(name + " forward", flops,
             [&] { k.conv2d_forward(parallel, s, x.get(), w.get(), bias.get(), y.get(), scratch.get()); });
  if (!first) {
    // Of a strided kernel's taps only every stride-th falls on an input.
    report.add(name + " backward data", 2.0 * static_cast<double>(in_count) * out * kernel * kernel / (stride * stride),
               [&] { k.conv2d_backward_data(parallel, s, y.get(), w.get(), dx.get(), scratch.get()); });
  }
  report.add(name + " backward weights", flops,
             [&] { k.conv2d_backward_weights(parallel, s, x.get(), y.get(), dw.get(), scratch.get()); });
}

void bench_lstm(Report& report, const KernelTable& k, Parallel& parallel, const std::string& name, int batch, int steps,
                int in, int units, bool every_step) {
  RecurrentShape s;
  s.cell = RecurrentShape::Cell::lstm;
  s.batch = batch;
  s.steps = steps;
  s.in_features = in;
  s.units = units;
  s.every_step = every_step;
  const std::int64_t run = std::int64_t{steps} * batch, columns = (batch + 15) / 16 * 16;
  const std::int64_t weights = std::int64_t{4} * units * (in + units);
  const Memory x = floats(in * run), y = floats(units * run), dx = floats(in * run), w = floats(weights);
  const Memory dw = floats(weights), bias = floats(8 * units), dbias = floats(8 * units);
  const Memory saved = floats(std::int64_t{7} * units * columns * steps);
  const Memory scratch =
      floats(static_cast<std::int64_t>(k.recurrent_scratch_bytes(s, parallel.width()) / sizeof(float)));
  // Large weights would saturate every gate, which real ones do not.
  for (std::int64_t i = 0; i < weights; ++i) w.get()[i] *= 0.1F;
  const double flops = 2.0 * static_cast<double>(run) * 4 * units * (in + units);
  const auto forward = [&] {
    k.recurrent_forward(parallel, s, x.get(), w.get(), bias.get(), y.get(), saved.get(), scratch.get());
  };
  report.add(name + " forward", flops, forward);
  // Backward writes over what forward kept.
  report.add(name + " forward and backward", 3 * flops, [&] {
    forward();
    k.recurrent_backward(parallel, s, x.get(), y.get(), w.get(), dx.get(), dw.get(), dbias.get(), saved.get(),
                         scratch.get());
  });
}

void bench_pool(Report& report, const KernelTable& k, Parallel& parallel, const std::string& name, int batch,
                int channels, int size, int window) {
  PoolShape s;
  s.batch = batch;
  s.channels = channels;
  s.in_height = s.in_width = size;
  s.out_height = s.out_width = size / window;
  s.size_h = s.size_w = s.stride_h = s.stride_w = window;
  const std::int64_t count = std::int64_t{channels} * size * size * batch;
  const Memory x = floats(count), y = floats(count), dx = floats(count);
  std::vector<std::uint16_t> argmax(static_cast<std::size_t>(count));
  report.add(name + " forward", 0, [&] { k.max_pool2d_forward(parallel, s, x.get(), y.get(), argmax.data()); });
  report.add(name + " backward", 0, [&] { k.max_pool2d_backward(parallel, s, y.get(), argmax.data(), dx.get()); });
}

void bench_elementwise(Report& report, const KernelTable& k, Parallel& parallel) {
  const std::int64_t count = 1 << 20;
  const Memory x = floats(count), y = floats(count), g = floats(count), m = floats(count), v = floats(count);
  for (std::int64_t i = 0; i < count; ++i) v.get()[i] = v.get()[i] * v.get()[i];
  report.add("relu, 1 Mi", 0, [&] { k.relu_forward(parallel, count, x.get(), y.get()); });
  report.add("tanh, 1 Mi", 0, [&] { k.tanh_forward(parallel, count, x.get(), y.get()); });
  DropoutArgs dropout;
  dropout.drop_below = 1U << 31;
  report.add("dropout, 1 Mi", 0, [&] { k.dropout(parallel, count, dropout, x.get(), y.get()); });
  MomentumArgs momentum{1e-9F, 0.0F, 0.9F, false};
  report.add("momentum, 1 Mi", 0, [&] { k.momentum(parallel, count, momentum, g.get(), y.get(), m.get()); });
  AdamArgs adam;
  report.add("adam, 1 Mi", 0, [&] { k.adam(parallel, count, adam, g.get(), y.get(), m.get(), v.get()); });
  const BatchNormShape s{32, 1 << 15};
  std::vector<float> p(32 * 6, 1.0F);
  report.add("batch norm forward, 32 x 32 Ki", 0, [&] {
    k.batch_norm_train(parallel, s, 0.1F, 1e-5F, x.get(), &p[0], &p[32], y.get(), &p[64], &p[96], &p[128], &p[160]);
  });
  report.add("batch norm backward, 32 x 32 Ki", 0, [&] {
    k.batch_norm_backward(parallel, s, x.get(), y.get(), &p[0], &p[32], &p[64], &p[96], g.get(), &p[128], &p[160]);
  });
  std::vector<std::uint8_t> bytes(784 * 1000, 7);
  std::vector<std::int32_t> index;
  for (int i = 0; i < 100; ++i) index.push_back(i * 617 % 1000);
  GatherArgs args;
  args.images = bytes.data();
  args.height = args.width = 28;
  args.index = index.data();
  args.scale = args.shift = p.data();
  args.count = args.batch = 100;
  report.add("gather 1x28x28, batch 100", 0, [&] { k.gather_images(parallel, args, y.get()); });
  args.count = args.batch = 32;
  report.add("gather 1x28x28, batch 32", 0, [&] { k.gather_images(parallel, args, y.get()); });
}

void bench_all(Report& report, const KernelTable& k, Parallel& parallel) {
  bench_gemm(report, k, parallel, "gemm 1024", false, false, 1024, 1024, 1024);
  bench_gemm(report, k, parallel, "gemm 1024 transposed A", true, false, 1024, 1024, 1024);
  bench_gemm(report, k, parallel, "gemm 1024 transposed B", false, true, 1024, 1024, 1024);
  bench_gemm(report, k, parallel, "gemm 2048", false, false, 2048, 2048, 2048);
  bench_gemm(report, k, parallel, "gemm 256", false, false, 256, 256, 256);
  bench_linear(report, k, parallel, "logit 784-10 n100", 100, 784, 10);
  bench_linear(report, k, parallel, "mlp800 784-800 n100", 100, 784, 800);
  bench_linear(report, k, parallel, "lenet 800-500 n100", 100, 800, 500);
  bench_linear(report, k, parallel, "lenet 500-10 n100", 100, 500, 10);
  bench_linear(report, k, parallel, "tinycnn 196-128 n32", 32, 196, 128);
  bench_linear(report, k, parallel, "convnet5 4096-256 n100", 100, 4096, 256);
  bench_conv(report, k, parallel, "tinycnn conv1 1-4 k2 28 n32", 32, 1, 28, 4, 2, 0, 1, true);
  bench_conv(report, k, parallel, "tinycnn conv2 4-4 k2 28 n32", 32, 4, 28, 4, 2, 0, 1, false);
  bench_conv(report, k, parallel, "lenet conv1 1-20 k5 28 n100", 100, 1, 28, 20, 5, 0, 0, true);
  bench_conv(report, k, parallel, "lenet conv2 20-50 k5 12 n100", 100, 20, 12, 50, 5, 0, 0, false);
  bench_conv(report, k, parallel, "convnet5 conv1 3-32 k3 32 n100", 100, 3, 32, 32, 3, 1, 1, true);
  bench_conv(report, k, parallel, "convnet5 conv2 32-32 k3 32 n100", 100, 32, 32, 32, 3, 1, 1, false);
  bench_conv(report, k, parallel, "convnet5 conv3 32-64 k3 16 n100", 100, 32, 16, 64, 3, 1, 1, false);
  bench_conv(report, k, parallel, "resnet 128-128 k3 16 n128", 128, 128, 16, 128, 3, 1, 1, false);
  bench_conv(report, k, parallel, "resnet 512-512 k3 4 n128", 128, 512, 4, 512, 3, 1, 1, false);
  // Forward and backward of its transposed convolutions are backward and forward of these.
  bench_conv(report, k, parallel, "gan conv1 1-64 k4 28 stride 2 n60", 60, 1, 28, 64, 4, 1, 1, false, 2);
  bench_conv(report, k, parallel, "gan conv2 64-128 k4 14 stride 2 n60", 60, 64, 14, 128, 4, 1, 1, false, 2);
  bench_conv(report, k, parallel, "gan conv3 128-256 k3 7 stride 2 n60", 60, 128, 7, 256, 3, 1, 1, false, 2);
  bench_conv(report, k, parallel, "gan conv4 256-1 k4 4 n60", 60, 256, 4, 1, 4, 0, 0, false);
  bench_conv(report, k, parallel, "gan up1 256-100 k4 4 n60", 60, 256, 4, 100, 4, 0, 0, false);
  bench_conv(report, k, parallel, "resnet50 256-64 k1 16 n32", 32, 256, 16, 64, 1, 0, 0, false);
  bench_conv(report, k, parallel, "resnet 128-256 k3 16 stride 2 n128", 128, 128, 16, 256, 3, 1, 1, false, 2);
  bench_conv(report, k, parallel, "resnet 128-256 k1 16 stride 2 n128", 128, 128, 16, 256, 1, 0, 0, false, 2);
  bench_conv(report, k, parallel, "simpnet 66-96 k2 14 n100", 100, 66, 14, 96, 2, 0, 1, false);
  bench_pool(report, k, parallel, "tinycnn pool 4x4 of 28 n32", 32, 4, 28, 4);
  bench_pool(report, k, parallel, "lenet pool1 2x2 of 24 n100", 100, 20, 24, 2);
  bench_pool(report, k, parallel, "lenet pool2 2x2 of 8 n100", 100, 50, 8, 2);
  bench_lstm(report, k, parallel, "lstm-rows lstm 28-128 n60", 60, 28, 28, 128, true);
  bench_lstm(report, k, parallel, "lstm-rows lstm 128-128 n60", 60, 28, 128, 128, false);
  bench_elementwise(report, k, parallel);
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string arg = argv[i];
    const bool more = i + 1 < argc;
    if (arg == "--json") {
      options.json = true;
    } else if (arg == "--seconds" && more) {
      options.seconds = std::atof(argv[++i]);
    } else if (arg == "--threads" && more) {
      options.threads = std::max(1, std::atoi(argv[++i]));
    } else if (arg == "--only" && more) {
      options.only = argv[++i];
    } else if (arg == "--isa" && more) {
      const std::string wanted = argv[++i];
      for (const Isa isa : {Isa::scalar, Isa::avx2, Isa::avx512}) {
        if (wanted == isa_name(isa)) options.isa = isa;
      }
    } else {
      std::fprintf(stderr, "usage: bench_kernels [--json] [--isa NAME] [--seconds S] [--threads T] [--only TEXT]\n");
      return 2;
    }
  }
  const KernelTable* table = kernels_for(options.isa);
  if (table == nullptr) {
    std::fprintf(stderr, "this processor cannot run %s kernels\n", isa_name(options.isa));
    return 2;
  }
  Threads parallel(options.threads);
  const double chained = convsweep::bench::peak_multiply_adds(options.isa);
  const double seconds = best_seconds(options.seconds, options.threads, [&] {
    auto body = [&](int, int) { convsweep::bench::run_multiply_adds(options.isa); };
    parallel.for_each(
        options.threads,
        [](void* context, int task, int slot) { (*static_cast<decltype(body)*>(context))(task, slot); }, &body);
  });
  const double peak = 2.0 * chained * options.threads / seconds / 1e9;
  if (options.json) {
    std::printf("{\"kernel\":\"peak\",\"isa\":\"%s\",\"threads\":%d,\"gflops\":%.2f}\n", table->name, options.threads,
                peak);
  } else {
    std::printf("%s, %d thread(s): peak %.1f GFLOP/s\n", table->name, options.threads, peak);
  }
  Report report(options, peak);
  bench_all(report, *table, parallel);
  return 0;
}
