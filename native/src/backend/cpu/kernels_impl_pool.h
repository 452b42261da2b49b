// Max and average pooling over any window, stride and padding.
//
// Guarantees: forward goes over a window's pixels row by row; backward gathers, for each input pixel, from the windows
// that hold it in ascending order, so overlapping windows add up in one order and each task writes its own rows.
#pragma once

#include "kernels_impl_common.h"

namespace convsweep::cpu::CONVSWEEP_ISA {

// The part of [0, size) that lies inside [0, extent) once moved to `start`.
struct Window {
  int start, low, high;
};
inline Window window_at(int out, int stride, int pad, int size, int extent) {
  const int start = out * stride - pad;
  return {start, larger(0, -start), smaller(size, extent - start)};
}

// Windows [low, high) that hold input position `in`.
struct Holders {
  int low, high;
};
inline Holders holders_of(int in, int stride, int pad, int size, int out_extent) {
  const int shifted = in + pad;
  const int low = shifted < size ? 0 : (shifted - size) / stride + 1;
  return {low, smaller(shifted / stride + 1, out_extent)};
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
    const Window rows = window_at(row, s.stride_h, s.pad_top, s.size_h, s.in_height);
    for (int column = 0; column < s.out_width; ++column) {
      const Window columns = window_at(column, s.stride_w, s.pad_left, s.size_w, s.in_width);
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

// f(sum so far, offset of the window's output, index of the pixel in the window, mask) for each window that holds a
// pixel; finish(sum) goes to dx.
template <class F, class G>
void pool_backward(Parallel& parallel, const PoolShape& s, float* dx, F&& f, G&& finish) {
  const Index batch = s.batch, in_row = s.in_width * batch;
  const Index out_row = s.out_width * batch;
  for_each_row(parallel, s.channels, s.in_height, in_row, [&](int channel, int row) {
    const Holders rows = holders_of(row, s.stride_h, s.pad_top, s.size_h, s.out_height);
    for (int column = 0; column < s.in_width; ++column) {
      const Holders columns = holders_of(column, s.stride_w, s.pad_left, s.size_w, s.out_width);
      float* to = dx + (Index{channel} * s.in_height + row) * in_row + column * batch;
      for_each_vector(0, batch, [&](Index n, Mask m) {
        Vec sum = Vec::zero();
        for (int r = rows.low; r < rows.high; ++r) {
          for (int c = columns.low; c < columns.high; ++c) {
            const Index out = (Index{channel} * s.out_height + r) * out_row + c * batch + n;
            const int at = (row - (r * s.stride_h - s.pad_top)) * s.size_w + (column - (c * s.stride_w - s.pad_left));
            sum = f(sum, out, at, m);
          }
        }
        store(to + n, finish(sum), m);
      });
    }
  });
}

// Windows side by side, without padding: each input pixel belongs to one window or to none.
inline bool tiled(const PoolShape& s) {
  return s.stride_h == s.size_h && s.stride_w == s.size_w && s.pad_top == 0 && s.pad_left == 0;
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
      [=](Vec sum, Index out, int at, Mask m) {
        return sum + select(equal(load_u16(argmax + out, m), Int::of(at)), load(dy + out, m), zero);
      },
      [](Vec sum) { return sum; });
}

inline void avg_pool2d_forward(Parallel& parallel, const PoolShape& s, const float* x, float* y) {
  const Index batch = s.batch, in_row = s.in_width * batch, in_plane = s.in_height * in_row;
  const Index out_row = s.out_width * batch;
  const Vec size = Vec::of(static_cast<float>(s.size_h * s.size_w));
  for_each_row(parallel, s.channels, s.out_height, out_row * s.size_h * s.size_w, [&](int channel, int row) {
    const Window rows = window_at(row, s.stride_h, s.pad_top, s.size_h, s.in_height);
    for (int column = 0; column < s.out_width; ++column) {
      const Window columns = window_at(column, s.stride_w, s.pad_left, s.size_w, s.in_width);
      const float* corner = x + channel * in_plane + rows.start * in_row + columns.start * batch;
      const Index out = (Index{channel} * s.out_height + row) * out_row + column * batch;
      for_each_vector(0, batch, [&](Index n, Mask m) {
        Vec sum = Vec::zero();
        for (int r = rows.low; r < rows.high; ++r) {
          for (int c = columns.low; c < columns.high; ++c) sum = sum + load(corner + r * in_row + c * batch + n, m);
        }
        store(y + out + n, sum / size, m);
      });
    }
  });
}

inline void avg_pool2d_backward(Parallel& parallel, const PoolShape& s, const float* dy, float* dx) {
  const Vec size = Vec::of(static_cast<float>(s.size_h * s.size_w));
  pool_backward(
      parallel, s, dx, [=](Vec sum, Index out, int, Mask m) { return sum + load(dy + out, m); },
      [=](Vec sum) { return sum / size; });
}

}  // namespace convsweep::cpu::CONVSWEEP_ISA
