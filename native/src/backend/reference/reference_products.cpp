// linear, conv2d and conv_transpose2d by their definitions.
#include <vector>

#include "backend/reference/reference_backend.h"
#include "ops/index.h"

namespace convsweep::reference {

// y[o][n] = sum_i weight[o][i] x[i][n] + bias[o]
template <class Real>
void linear_forward(const BasicLayerCall<Real>& call) {
  const std::int64_t in = call.shape.in.channels, out = call.shape.out.channels;
  for (int k = 0; k < call.lanes.count; ++k) {
    const int lane = call.lanes[k];
    for (std::int64_t o = 0; o < out; ++o) {
      for (int n = 0; n < call.n; ++n) {
        double sum = call.bias ? static_cast<double>(call.bias[lane][o]) : 0.0;
        for (std::int64_t i = 0; i < in; ++i) {
          sum += static_cast<double>(call.weight[lane][o * in + i]) * static_cast<double>(call.x[lane][i * call.n + n]);
        }
        call.y[lane][o * call.n + n] = static_cast<Real>(sum);
      }
    }
  }
}

template <class Real>
void linear_backward(const BasicLayerCall<Real>& call) {
  const std::int64_t in = call.shape.in.channels, out = call.shape.out.channels;
  for (int k = 0; k < call.lanes.count; ++k) {
    const int lane = call.lanes[k];
    const Real* dy = call.dy[lane];
    for (std::int64_t o = 0; o < out; ++o) {
      for (std::int64_t i = 0; i < in; ++i) {
        double sum = 0;
        for (int n = 0; n < call.n; ++n) {
          sum += static_cast<double>(dy[o * call.n + n]) * static_cast<double>(call.x[lane][i * call.n + n]);
        }
        if (call.dweight) call.dweight[lane][o * in + i] = static_cast<Real>(sum);
      }
      double sum = 0;
      for (int n = 0; n < call.n; ++n) sum += static_cast<double>(dy[o * call.n + n]);
      if (call.dbias) call.dbias[lane][o] = static_cast<Real>(sum);
    }
    if (!call.dx) continue;
    for (std::int64_t i = 0; i < in; ++i) {
      for (int n = 0; n < call.n; ++n) {
        double sum = 0;
        for (std::int64_t o = 0; o < out; ++o) {
          sum += static_cast<double>(call.weight[lane][o * in + i]) * static_cast<double>(dy[o * call.n + n]);
        }
        call.dx[lane][i * call.n + n] = static_cast<Real>(sum);
      }
    }
  }
}

namespace {

// Calls visit(out_channel, in_channel, in_channel of the group, kernel row, kernel column, out row, out column, in row,
// in column) for every product of the convolution that does not fall on padding.
template <class Visit>
void each_tap(const LayerShape& s, Visit visit) {
  const int in_per_group = s.in.channels / s.groups, out_per_group = s.out.channels / s.groups;
  for (int o = 0; o < s.out.channels; ++o) {
    for (int c = 0; c < in_per_group; ++c) {
      const int channel = o / out_per_group * in_per_group + c;
      for (int kr = 0; kr < s.kernel_rows; ++kr) {
        for (int kc = 0; kc < s.kernel_columns; ++kc) {
          for (int r = 0; r < s.out.rows; ++r) {
            for (int q = 0; q < s.out.columns; ++q) {
              const int row = input_row(s, r, kr), column = input_column(s, q, kc);
              if (!inside(s.in, row, column)) continue;
              visit(weight_offset(s, o, c, kr, kc), o, r, q, channel, row, column);
            }
          }
        }
      }
    }
  }
}

std::vector<double> sums(std::int64_t count) { return std::vector<double>(static_cast<std::size_t>(count), 0.0); }

template <class Real>
void store(const std::vector<double>& from, Real* to) {
  for (std::size_t i = 0; i < from.size(); ++i) to[i] = static_cast<Real>(from[i]);
}

// `run`: elements of a channel.
template <class Real>
void add_bias(std::vector<double>& y, std::int64_t run, const Real* bias) {
  for (std::size_t i = 0; i < y.size(); ++i) y[i] += static_cast<double>(bias[static_cast<std::int64_t>(i) / run]);
}

// The sum of dy of each channel.
template <class Real>
std::vector<double> bias_sums(const BasicLayerCall<Real>& call, int lane) {
  const std::int64_t run = call.shape.out.plane() * call.n;
  std::vector<double> sum = sums(call.shape.out.channels);
  for (std::int64_t i = 0; i < call.shape.out.size() * call.n; ++i) {
    sum[static_cast<std::size_t>(i / run)] += static_cast<double>(call.dy[lane][i]);
  }
  return sum;
}

}  // namespace

template <class Real>
void conv2d_forward(const BasicLayerCall<Real>& call) {
  const LayerShape& s = call.shape;
  for (int k = 0; k < call.lanes.count; ++k) {
    const int lane = call.lanes[k];
    std::vector<double> y = sums(s.out.size() * call.n);
    each_tap(s, [&](std::int64_t w, int o, int r, int q, int channel, int row, int column) {
      const auto to = static_cast<std::size_t>(pixel_offset(s.out, o, r, q, call.n));
      const Real* x = call.x[lane] + pixel_offset(s.in, channel, row, column, call.n);
      const auto weight = static_cast<double>(call.weight[lane][w]);
      for (int n = 0; n < call.n; ++n) y[to + static_cast<std::size_t>(n)] += weight * static_cast<double>(x[n]);
    });
    if (call.bias) add_bias(y, s.out.plane() * call.n, call.bias[lane]);
    store(y, call.y[lane]);
  }
}

template <class Real>
void conv2d_backward(const BasicLayerCall<Real>& call) {
  const LayerShape& s = call.shape;
  const std::int64_t weights =
      std::int64_t{s.out.channels} * (s.in.channels / s.groups) * s.kernel_rows * s.kernel_columns;
  for (int k = 0; k < call.lanes.count; ++k) {
    const int lane = call.lanes[k];
    std::vector<double> dweight = sums(weights), dx = sums(s.in.size() * call.n);
    each_tap(s, [&](std::int64_t w, int o, int r, int q, int channel, int row, int column) {
      const Real* dy = call.dy[lane] + pixel_offset(s.out, o, r, q, call.n);
      const std::int64_t at = pixel_offset(s.in, channel, row, column, call.n);
      const auto weight = static_cast<double>(call.weight[lane][w]);
      for (int n = 0; n < call.n; ++n) {
        dweight[static_cast<std::size_t>(w)] += static_cast<double>(dy[n]) * static_cast<double>(call.x[lane][at + n]);
        dx[static_cast<std::size_t>(at + n)] += static_cast<double>(dy[n]) * weight;
      }
    });
    if (call.dweight) store(dweight, call.dweight[lane]);
    if (call.dbias) store(bias_sums(call, lane), call.dbias[lane]);
    if (call.dx) store(dx, call.dx[lane]);
  }
}

// Every input element, times the kernel, is laid into the output where the transposed convolution would have read it.
template <class Real>
void conv_transpose2d_forward(const BasicLayerCall<Real>& call) {
  const LayerShape s = transposed(call.shape);
  for (int k = 0; k < call.lanes.count; ++k) {
    const int lane = call.lanes[k];
    std::vector<double> y = sums(s.in.size() * call.n);
    each_tap(s, [&](std::int64_t w, int o, int r, int q, int channel, int row, int column) {
      const Real* x = call.x[lane] + pixel_offset(s.out, o, r, q, call.n);
      const auto to = static_cast<std::size_t>(pixel_offset(s.in, channel, row, column, call.n));
      const auto weight = static_cast<double>(call.weight[lane][w]);
      for (int n = 0; n < call.n; ++n) y[to + static_cast<std::size_t>(n)] += weight * static_cast<double>(x[n]);
    });
    if (call.bias) add_bias(y, s.in.plane() * call.n, call.bias[lane]);
    store(y, call.y[lane]);
  }
}

template <class Real>
void conv_transpose2d_backward(const BasicLayerCall<Real>& call) {
  const LayerShape s = transposed(call.shape);
  const std::int64_t weights =
      std::int64_t{s.out.channels} * (s.in.channels / s.groups) * s.kernel_rows * s.kernel_columns;
  for (int k = 0; k < call.lanes.count; ++k) {
    const int lane = call.lanes[k];
    std::vector<double> dweight = sums(weights), dx = sums(s.out.size() * call.n);
    each_tap(s, [&](std::int64_t w, int o, int r, int q, int channel, int row, int column) {
      const Real* dy = call.dy[lane] + pixel_offset(s.in, channel, row, column, call.n);
      const std::int64_t at = pixel_offset(s.out, o, r, q, call.n);
      const auto weight = static_cast<double>(call.weight[lane][w]);
      for (int n = 0; n < call.n; ++n) {
        dweight[static_cast<std::size_t>(w)] += static_cast<double>(dy[n]) * static_cast<double>(call.x[lane][at + n]);
        dx[static_cast<std::size_t>(at + n)] += static_cast<double>(dy[n]) * weight;
      }
    });
    if (call.dweight) store(dweight, call.dweight[lane]);
    if (call.dbias) store(bias_sums(call, lane), call.dbias[lane]);
    if (call.dx) store(dx, call.dx[lane]);
  }
}

#define CONVSWEEP_INSTANTIATE(Real)                                     \
  template void linear_forward(const BasicLayerCall<Real>&);            \
  template void linear_backward(const BasicLayerCall<Real>&);           \
  template void conv2d_forward(const BasicLayerCall<Real>&);            \
  template void conv2d_backward(const BasicLayerCall<Real>&);           \
  template void conv_transpose2d_forward(const BasicLayerCall<Real>&);  \
  template void conv_transpose2d_backward(const BasicLayerCall<Real>&);
CONVSWEEP_INSTANTIATE(float)
CONVSWEEP_INSTANTIATE(double)

}  // namespace convsweep::reference
