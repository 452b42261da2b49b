// Pools and batch_norm by their definitions. batch_norm: Ioffe and Szegedy 2015, with PyTorch's running statistics.
#include <cmath>
#include <cstdint>
#include <vector>

#include "backend/reference/reference_backend.h"
#include "ops/index.h"

namespace convsweep::reference {
namespace {

// f(row, column, index in the window) for each element of an output's window that is not padding.
template <class F>
void each_in_window(const LayerShape& s, int r, int q, F f) {
  const Span rows = window_rows(s, r), columns = window_columns(s, q);
  for (int row = rows.begin; row < rows.end; ++row) {
    for (int column = columns.begin; column < columns.end; ++column) {
      if (inside(s.in, row, column)) f(row, column, (row - rows.begin) * s.kernel_columns + column - columns.begin);
    }
  }
}

// What an average divides by: padding counts as zeros.
double window_area(const LayerShape& s, int r, int q) {
  const Span rows = window_rows(s, r), columns = window_columns(s, q);
  return static_cast<double>(rows.end - rows.begin) * (columns.end - columns.begin);
}

// visit(offset in y, row of y, column of y) for every output; the offset is that of image 0.
template <class Visit>
void each_output(const LayerShape& s, int n, Visit visit) {
  for (int c = 0; c < s.out.channels; ++c) {
    for (int r = 0; r < s.out.rows; ++r) {
      for (int q = 0; q < s.out.columns; ++q) visit(pixel_offset(s.out, c, r, q, n), c, r, q);
    }
  }
}

// The largest element, the first of equals; a NaN beats all. Returns its index in the window.
template <class Real>
int window_winner(const LayerShape& s, const Real* x, int n, int c, int r, int q, Real* largest) {
  int winner = -1;
  each_in_window(s, r, q, [&](int row, int column, int i) {
    const Real value = x[pixel_offset(s.in, c, row, column, n)];
    if (winner >= 0 && !(value > *largest) && !(std::isnan(value) && !std::isnan(*largest))) return;
    winner = i;
    *largest = value;
  });
  return winner;
}

template <class Real>
void max_forward(const BasicLayerCall<Real>& call) {
  const LayerShape& s = call.shape;
  for (int k = 0; k < call.lanes.count; ++k) {
    const int lane = call.lanes[k];
    auto* winners = reinterpret_cast<std::uint16_t*>(call.saved[lane]);
    each_output(s, call.n, [&](std::int64_t first, int c, int r, int q) {
      for (int n = 0; n < call.n; ++n) {
        const std::int64_t to = first + n;
        const int winner = window_winner(s, call.x[lane] + n, call.n, c, r, q, &call.y[lane][to]);
        if (call.training) winners[to] = static_cast<std::uint16_t>(winner);
      }
    });
  }
}

template <class Real>
void max_backward(const BasicLayerCall<Real>& call) {
  if (!call.dx) return;
  const LayerShape& s = call.shape;
  for (int k = 0; k < call.lanes.count; ++k) {
    const int lane = call.lanes[k];
    const auto* winner = reinterpret_cast<const std::uint16_t*>(call.saved[lane]);
    for (std::int64_t i = 0; i < call.shape.in.size() * call.n; ++i) call.dx[lane][i] = 0;
    each_output(s, call.n, [&](std::int64_t to, int c, int r, int q) {
      each_in_window(s, r, q, [&](int row, int column, int i) {
        const std::int64_t from = pixel_offset(s.in, c, row, column, call.n);
        for (int n = 0; n < call.n; ++n) {
          if (winner[to + n] == i) call.dx[lane][from + n] += call.dy[lane][to + n];
        }
      });
    });
  }
}

template <class Real>
void average_forward(const BasicLayerCall<Real>& call) {
  const LayerShape& s = call.shape;
  for (int k = 0; k < call.lanes.count; ++k) {
    const int lane = call.lanes[k];
    each_output(s, call.n, [&](std::int64_t to, int c, int r, int q) {
      for (int n = 0; n < call.n; ++n) {
        double sum = 0;
        each_in_window(s, r, q, [&](int row, int column, int) {
          sum += static_cast<double>(call.x[lane][pixel_offset(s.in, c, row, column, call.n) + n]);
        });
        call.y[lane][to + n] = static_cast<Real>(sum / window_area(s, r, q));
      }
    });
  }
}

template <class Real>
void average_backward(const BasicLayerCall<Real>& call) {
  if (!call.dx) return;
  const LayerShape& s = call.shape;
  for (int k = 0; k < call.lanes.count; ++k) {
    const int lane = call.lanes[k];
    std::vector<double> sum(static_cast<std::size_t>(s.in.size() * call.n), 0.0);
    each_output(s, call.n, [&](std::int64_t to, int c, int r, int q) {
      const double area = window_area(s, r, q);
      each_in_window(s, r, q, [&](int row, int column, int) {
        const std::int64_t from = pixel_offset(s.in, c, row, column, call.n);
        for (int n = 0; n < call.n; ++n) {
          sum[static_cast<std::size_t>(from + n)] += static_cast<double>(call.dy[lane][to + n]) / area;
        }
      });
    });
    for (std::size_t i = 0; i < sum.size(); ++i) call.dx[lane][i] = static_cast<Real>(sum[i]);
  }
}

}  // namespace

#define CONVSWEEP_POOL(name, kind)                         \
  template <class Real>                                    \
  void name##_forward(const BasicLayerCall<Real>& call) {  \
    kind##_forward(call);                                  \
  }                                                        \
  template <class Real>                                    \
  void name##_backward(const BasicLayerCall<Real>& call) { \
    kind##_backward(call);                                 \
  }
CONVSWEEP_POOL(max_pool2d, max)
CONVSWEEP_POOL(adaptive_max_pool2d, max)
CONVSWEEP_POOL(global_max_pool2d, max)
CONVSWEEP_POOL(avg_pool2d, average)
CONVSWEEP_POOL(adaptive_avg_pool2d, average)
CONVSWEEP_POOL(global_avg_pool2d, average)
#undef CONVSWEEP_POOL

template <class Real>
void batch_norm_forward(const BasicLayerCall<Real>& call) {
  const LayerShape& s = call.shape;
  const std::int64_t run = s.in.plane() * call.n;
  for (int k = 0; k < call.lanes.count; ++k) {
    const int lane = call.lanes[k];
    for (std::int64_t c = 0; c < s.in.channels; ++c) {
      const Real* x = call.x[lane] + c * run;
      double mean = static_cast<double>(call.running_mean[lane][c]);
      double variance = static_cast<double>(call.running_var[lane][c]);
      if (call.training) {
        mean = variance = 0;
        for (std::int64_t i = 0; i < run; ++i) mean += static_cast<double>(x[i]);
        mean /= static_cast<double>(run);
        for (std::int64_t i = 0; i < run; ++i) {
          const double d = static_cast<double>(x[i]) - mean;
          variance += d * d;
        }
        variance /= static_cast<double>(run);
        const double unbiased = run > 1 ? variance * static_cast<double>(run) / static_cast<double>(run - 1) : variance;
        const auto m = static_cast<double>(s.momentum);
        Real& running_mean = call.running_mean[lane][c];
        Real& running_var = call.running_var[lane][c];
        running_mean = static_cast<Real>((1 - m) * static_cast<double>(running_mean) + m * mean);
        running_var = static_cast<Real>((1 - m) * static_cast<double>(running_var) + m * unbiased);
      }
      const double inverse = 1 / std::sqrt(variance + static_cast<double>(s.epsilon));
      if (call.training) {
        auto* saved = reinterpret_cast<Real*>(call.saved[lane]);
        saved[c] = static_cast<Real>(mean);
        saved[s.in.channels + c] = static_cast<Real>(inverse);
      }
      const auto gamma = static_cast<double>(call.weight[lane][c]), beta = static_cast<double>(call.bias[lane][c]);
      for (std::int64_t i = 0; i < run; ++i) {
        call.y[lane][c * run + i] = static_cast<Real>((static_cast<double>(x[i]) - mean) * inverse * gamma + beta);
      }
    }
  }
}

template <class Real>
void batch_norm_backward(const BasicLayerCall<Real>& call) {
  const LayerShape& s = call.shape;
  const std::int64_t run = s.in.plane() * call.n;
  for (int k = 0; k < call.lanes.count; ++k) {
    const int lane = call.lanes[k];
    const auto* saved = reinterpret_cast<const Real*>(call.saved[lane]);
    for (std::int64_t c = 0; c < s.in.channels; ++c) {
      const Real* x = call.x[lane] + c * run;
      const Real* dy = call.dy[lane] + c * run;
      const auto mean = static_cast<double>(saved[c]), inverse = static_cast<double>(saved[s.in.channels + c]);
      double sum = 0, product = 0;
      for (std::int64_t i = 0; i < run; ++i) {
        sum += static_cast<double>(dy[i]);
        product += static_cast<double>(dy[i]) * (static_cast<double>(x[i]) - mean) * inverse;
      }
      call.dbias[lane][c] = static_cast<Real>(sum);
      call.dweight[lane][c] = static_cast<Real>(product);
      if (!call.dx) continue;
      const double scale = static_cast<double>(call.weight[lane][c]) * inverse;
      for (std::int64_t i = 0; i < run; ++i) {
        const double normal = (static_cast<double>(x[i]) - mean) * inverse;
        call.dx[lane][c * run + i] = static_cast<Real>(
            scale * (static_cast<double>(dy[i]) - (sum + normal * product) / static_cast<double>(run)));
      }
    }
  }
}

#define CONVSWEEP_BOTH(name, Real)                           \
  template void name##_forward(const BasicLayerCall<Real>&); \
  template void name##_backward(const BasicLayerCall<Real>&);
#define CONVSWEEP_INSTANTIATE(Real)       \
  CONVSWEEP_BOTH(max_pool2d, Real)        \
  CONVSWEEP_BOTH(adaptive_max_pool2d, Real) \
  CONVSWEEP_BOTH(global_max_pool2d, Real) \
  CONVSWEEP_BOTH(avg_pool2d, Real)        \
  CONVSWEEP_BOTH(adaptive_avg_pool2d, Real) \
  CONVSWEEP_BOTH(global_avg_pool2d, Real) \
  CONVSWEEP_BOTH(batch_norm, Real)
CONVSWEEP_INSTANTIATE(float)
CONVSWEEP_INSTANTIATE(double)

}  // namespace convsweep::reference
