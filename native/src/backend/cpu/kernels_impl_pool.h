// Max and average pooling over any window, stride and padding.
//
// Guarantees: forward goes over a window's pixels row by row; backward gathers, for each input pixel, from the windows
// that hold it in ascending order, so overlapping windows add up in one order and each task writes its own rows.
#pragma once

#include "kernels_impl_common.h"

namespace convsweep::cpu::CONVSWEEP_ISA {

// A window along an axis: input position of its first element, which padding may put outside, and the part [low, high)
// of its elements that lies inside.
struct Window {
  int start, low, high;
};
inline Window window_at(int out, int stride, int pad, int size, int extent) {
  const int start = out * stride - pad;
  return {start, larger(0, -start), smaller(size, extent - start)};
}

// Positions [low, high).
struct Range {
  int low, high;
};
// adaptive_span() of ops/index.h, which code of an instruction set of its own cannot call.
inline Range adaptive_range(int at, int from, int to) {
  return {static_cast<int>(Index{at} * from / to), static_cast<int>(((Index{at} + 1) * from + to - 1) / to)};
}
inline Window adaptive_window(int out, int out_extent, int extent) {
  const Range range = adaptive_range(out, extent, out_extent);
  return {range.low, 0, range.high - range.low};
}
inline Window rows_of(const PoolShape& s, int row) {
  return s.adaptive ? adaptive_window(row, s.out_height, s.in_height)
                    : window_at(row, s.stride_h, s.pad_top, s.size_h, s.in_height);
}
inline Window columns_of(const PoolShape& s, int column) {
  return s.adaptive ? adaptive_window(column, s.out_width, s.in_width)
                    : window_at(column, s.stride_w, s.pad_left, s.size_w, s.in_width);
}

// Windows [low, high) that hold input position `in`.
inline Range holders_of(int in, int stride, int pad, int size, int out_extent) {
  const int shifted = in + pad;
  const int low = shifted < size ? 0 : (shifted - size) / stride + 1;
  return {low, smaller(shifted / stride + 1, out_extent)};
}
inline Range row_holders(const PoolShape& s, int row) {
  return s.adaptive ? adaptive_range(row, s.out_height, s.in_height)
                    : holders_of(row, s.stride_h, s.pad_top, s.size_h, s.out_height);
}
inline Range column_holders(const PoolShape& s, int column) {
  return s.adaptive ? adaptive_range(column, s.out_width, s.in_width)
                    : holders_of(column, s.stride_w, s.pad_left, s.size_w, s.out_width);
}

// What the sum over a window is divided by: padding counts as zeros.
inline float area_of(const PoolShape& s, const Window& rows, const Window& columns) {
  return static_cast<float>(s.adaptive ? rows.high * columns.high : s.size_h * s.size_w);
}

// f(channel, row) for all rows of all channels.
template <class F>
void for_each_row(Parallel& parallel, int channels, int rows, Index row_size, F&& f) {
  const Index units = Index{channels} * rows;
  const int tasks = task_count(parallel, units, kSerialElements / larger<Index>(row_size, 1) + 1);
  auto body = [&](int task, int) {
    for (Index u = part_begin(units, tasks, task); u < part_begin(units, tasks, task + 1); ++u) {
      f(static_cast<int>(u / rows), static_cast<int>(u % rows));
    }
  };
  for_each_task(parallel, tasks, body);
}

inline void max_pool2d_forward(Parallel& parallel, const PoolShape& s, const float* x, float* y,
                               std::uint16_t* argmax) {
  const Index batch = s.batch, in_row = s.in_width * batch, in_plane = s.in_height * in_row;
  const Index out_row = s.out_width * batch;
  for_each_row(parallel, s.channels, s.out_height, out_row * s.size_h * s.size_w, [&](int channel, int row) {
    const Window rows = rows_of(s, row);
    for (int column = 0; column < s.out_width; ++column) {
      const Window columns = columns_of(s, column);
      const float* corner = x + channel * in_plane + rows.start * in_row + columns.start * batch;
      const Index out = (Index{channel} * s.out_height + row) * out_row + column * batch;
      for_each_vector(0, batch, [&](Index n, Mask m) {
        Int winner = Int::of(rows.low * s.size_w + columns.low);
        Vec best = load(corner + rows.low * in_row + columns.low * batch + n, m);
        for (int r = rows.low; r < rows.high; ++r) {
          for (int c = columns.low; c < columns.high; ++c) {
            const Vec v = load(corner + r * in_row + c * batch + n, m);
            const Mask better = less(best, v) | is_nan(v);
            best = select(better, v, best);
            winner = select(better, Int::of(r * s.size_w + c), winner);
          }
        }
        store(y + out + n, best, m);
        if (argmax != nullptr) store_u16(argmax + out + n, winner, m);
      });
    }
  });
}

// f(sum so far, offset of the window's output, index of the pixel in the window, what area_of() says of the window, mask)
// for each window that holds a pixel; finish(sum) goes to dx.
template <class F, class G>
void pool_backward(Parallel& parallel, const PoolShape& s, float* dx, F&& f, G&& finish) {
  const Index batch = s.batch, in_row = s.in_width * batch;
  const Index out_row = s.out_width * batch;
  for_each_row(parallel, s.channels, s.in_height, in_row, [&](int channel, int row) {
    const Range rows = row_holders(s, row);
    for (int column = 0; column < s.in_width; ++column) {
      const Range columns = column_holders(s, column);
      float* to = dx + (Index{channel} * s.in_height + row) * in_row + column * batch;
      for_each_vector(0, batch, [&](Index n, Mask m) {
        Vec sum = Vec::zero();
        for (int r = rows.low; r < rows.high; ++r) {
          const Window below = rows_of(s, r);
          for (int c = columns.low; c < columns.high; ++c) {
            const Window beside = columns_of(s, c);
            const Index out = (Index{channel} * s.out_height + r) * out_row + c * batch + n;
            const int at = (row - below.start) * s.size_w + column - beside.start;
            sum = f(sum, out, at, area_of(s, below, beside), m);
          }
        }
        store(to + n, finish(sum), m);
      });
    }
  });
}

// Windows side by side, without padding, not even behind the last one: each input pixel belongs to one window or to none.
inline bool tiled(const PoolShape& s) {
  return !s.adaptive && s.stride_h == s.size_h && s.stride_w == s.size_w && s.pad_top == 0 && s.pad_left == 0 &&
         s.out_height * s.size_h <= s.in_height && s.out_width * s.size_w <= s.in_width;
}

// Writes every pixel of a window from the window's one gradient, which is through(place, mask, 0 + dy): the sum of one
// term.
template <class F>
void max_pool2d_backward_tiled(Parallel& parallel, const PoolShape& s, const float* dy, const std::uint16_t* argmax,
                               float* dx, F&& through) {
  const Index batch = s.batch, in_row = s.in_width * batch, out_row = s.out_width * batch;
  const Vec zero = Vec::zero();
  const int covered_w = s.out_width * s.size_w;
  // Rows below the last window go with the last row of windows.
  for_each_row(parallel, s.channels, s.out_height, in_row * s.size_h, [&](int channel, int row) {
    float* const plane = dx + Index{channel} * s.in_height * in_row;
    const Index out = (Index{channel} * s.out_height + row) * out_row;
    for (int column = 0; column < s.out_width; ++column) {
      float* const corner = plane + row * s.size_h * in_row + column * s.size_w * batch;
      for_each_vector(0, batch, [&](Index n, Mask m) {
        const Index place = out + column * batch + n;
        const Vec g = through(place, m, zero + load(dy + place, m));
        const Int winner = load_u16(argmax + place, m);
        int at = 0;
        for (int r = 0; r < s.size_h; ++r) {
          for (int c = 0; c < s.size_w; ++c, ++at) {
            store(corner + r * in_row + c * batch + n, select(equal(winner, Int::of(at)), g, zero), m);
          }
        }
      });
    }
    const int next = row + 1 == s.out_height ? s.in_height : (row + 1) * s.size_h;
    for (int r = row * s.size_h; r < next; ++r) {
      const int from = r < (row + 1) * s.size_h ? covered_w : 0;
      fill_floats(plane + r * in_row + from * batch, 0.0F, (s.in_width - from) * batch);
    }
  });
}

inline void max_pool2d_backward(Parallel& parallel, const PoolShape& s, const float* dy, const std::uint16_t* argmax,
                                float* dx) {
  if (tiled(s)) {
    max_pool2d_backward_tiled(parallel, s, dy, argmax, dx, [](Index, Mask, Vec g) { return g; });
    return;
  }
  const Vec zero = Vec::zero();
  pool_backward(
      parallel, s, dx,
      [=](Vec sum, Index out, int at, float, Mask m) {
        return sum + select(equal(load_u16(argmax + out, m), Int::of(at)), load(dy + out, m), zero);
      },
      [](Vec sum) { return sum; });
}

inline void avg_pool2d_forward(Parallel& parallel, const PoolShape& s, const float* x, float* y) {
  const Index batch = s.batch, in_row = s.in_width * batch, in_plane = s.in_height * in_row;
  const Index out_row = s.out_width * batch;
  for_each_row(parallel, s.channels, s.out_height, out_row * s.size_h * s.size_w, [&](int channel, int row) {
    const Window rows = rows_of(s, row);
    for (int column = 0; column < s.out_width; ++column) {
      const Window columns = columns_of(s, column);
      const Vec area = Vec::of(area_of(s, rows, columns));
      const float* corner = x + channel * in_plane + rows.start * in_row + columns.start * batch;
      const Index out = (Index{channel} * s.out_height + row) * out_row + column * batch;
      for_each_vector(0, batch, [&](Index n, Mask m) {
        Vec sum = Vec::zero();
        for (int r = rows.low; r < rows.high; ++r) {
          for (int c = columns.low; c < columns.high; ++c) sum = sum + load(corner + r * in_row + c * batch + n, m);
        }
        store(y + out + n, sum / area, m);
      });
    }
  });
}

// Windows of one size: what they give back is divided once, after the sum.
inline void avg_pool2d_backward(Parallel& parallel, const PoolShape& s, const float* dy, float* dx) {
  if (s.adaptive) {
    pool_backward(
        parallel, s, dx,
        [=](Vec sum, Index out, int, float area, Mask m) { return sum + load(dy + out, m) / Vec::of(area); },
        [](Vec sum) { return sum; });
    return;
  }
  const Vec size = Vec::of(static_cast<float>(s.size_h * s.size_w));
  pool_backward(
      parallel, s, dx, [=](Vec sum, Index out, int, float, Mask m) { return sum + load(dy + out, m); },
      [=](Vec sum) { return sum / size; });
}

}  // namespace convsweep::cpu::CONVSWEEP_ISA
