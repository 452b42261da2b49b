// The matrix product under linear, convolutions, recurrent cells and matmul: C = A B, many at once.
//
// A is [rows][depth], B is [depth][columns]. Neither need lie in memory: an operand says how to read an element, so a
// convolution's columns are gathered from the image as they are loaded (implicit GEMM) and never written.
//
// Guarantees: an element of C is one chain of fused multiply-adds over ascending depth, begun at 0, whatever the tile,
// the number of lanes and a lane's place among them. Where a product has few tiles and great depth, the depth is cut
// into splits, each a chain of its own, which sum_splits adds in ascending order; their number follows from the shape
// alone.
//
// A block computes a tile of C. Both operands' slices of 16 along the depth go through shared memory, twice buffered:
// the next slice is read from global memory while the present one is multiplied, so one barrier a slice is enough.
#pragma once

#include "backend/cuda/activate.h"
#include "backend/cuda/launch.h"
#include "backend/cuda/operands.h"

namespace convsweep::CONVSWEEP_CUDA_NAMESPACE {

// Threads of a block along C's rows and along its columns.
inline constexpr int threads_down = 8, threads_across = 16, product_threads = threads_down * threads_across;
inline constexpr int product_slice = 16;

// What a thread computes: tm neighbouring rows, and tn columns in groups of up to four neighbours. A block's tile is
// 8 tm x 16 tn.
template <int tm_, int tn_>
struct Tile {
  static constexpr int tm = tm_, tn = tn_;
  static constexpr int rows = threads_down * tm, columns = threads_across * tn;
  static constexpr int neighbours = tn < 4 ? tn : 4;
};

// The extents of one product, and how many there are for each lane.
struct ProductShape {
  int rows = 0, columns = 0, depth = 0;
  // Products side by side, as of a convolution's groups.
  int groups = 1;
  // Parts of the depth, each of split_depth, the last perhaps shorter.
  int splits = 1, split_depth = 0;
};

// Where C goes: base + split * split_stride + group * group_stride + row * row_stride + column, with a bias for each
// row of each group where there is one.
struct Store {
  Lanes<float> base;
  std::int64_t row_stride = 0, group_stride = 0, split_stride = 0;
  Lanes<const float> bias;
  int rows = 0;
  // A relu behind.
  bool relu = false;
  // Four neighbours in a row, the first of them at a multiple of four, can be written as one.
  bool fours = false;

  // `count` rows of `width` neighbouring columns; rows below `rows` and columns below `columns` exist.
  template <int count, int width>
  __device__ void write(int lane, int group, int split, int row, int column, int columns,
                        const float (&values)[count][width]) const {
    float* to = base[lane] + split * split_stride + group * group_stride + row * row_stride + column;
#pragma unroll
    for (int i = 0; i < count; ++i, to += row_stride) {
      if (row + i >= rows) break;
      const float offset = bias.base != nullptr ? bias[lane][group * rows + row + i] : 0.0F;
      float out[width];
#pragma unroll
      for (int k = 0; k < width; ++k) {
        out[k] = bias.base != nullptr ? values[i][k] + offset : values[i][k];
        if (relu) out[k] = Relu{}.forward(out[k]);
      }
      if constexpr (width == 4) {
        if (fours) {
          *reinterpret_cast<float4*>(to) = {out[0], out[1], out[2], out[3]};
          continue;
        }
      }
#pragma unroll
      for (int k = 0; k < width; ++k) {
        if (column + k < columns) to[k] = out[k];
      }
    }
  }
};

// A result that takes columns one by one, as a method take(lane, row, column, values of `count` rows).
template <class Each>
struct EachColumn {
  Each each;
  template <int count, int width>
  __device__ void write(int lane, int, int, int row, int column, int columns,
                        const float (&values)[count][width]) const {
#pragma unroll
    for (int k = 0; k < width; ++k) {
      if (column + k >= columns) break;
      float of_column[count];
#pragma unroll
      for (int i = 0; i < count; ++i) of_column[i] = values[i][k];
      each.take(lane, row, column + k, of_column);
    }
  }
};

// A thread's share of an operand's slices: it holds pieces of one slice, each of Operand::width neighbours, in
// registers, then puts them into shared memory. There `together` lines stand side by side, in room for a multiple of
// four where they are more than two, so that a thread reads its lines in fours.
template <class Operand, int lines, int together>
class SliceLoader {
  static constexpr bool along = Operand::along_depth;
  static constexpr int width = Operand::width;
  static constexpr int room = together <= 2 ? together : (together + 3) / 4 * 4;
  // A thread holds pieces of one place along the depth, of lines `step` apart, where pieces are four lines or lie along
  // the depth: what belongs to the place is then worked out once a slice. Otherwise the pieces of one line, places
  // `step` apart.
  static constexpr bool one_place = along || width == 4;
  // Threads whose pieces follow one another in memory.
  static constexpr int run = along ? product_slice / width : one_place ? product_threads / product_slice : lines;
  static constexpr int step = along || !one_place ? product_threads / run : run * width;
  static constexpr int held = one_place ? (lines + step - 1) / step : product_slice / step;
  static constexpr int lines_held = one_place ? held : 1;
  static_assert(product_threads % run == 0 && lines % together == 0);
  static_assert(along || (one_place ? lines % step == 0 : product_slice % step == 0));

 public:
  // A line's neighbours along the depth lie `pitch` apart; the four beyond the lines spread them over the banks.
  static constexpr int pitch = lines / together * room + 4;
  using Slice = float[product_slice][pitch];

  __device__ SliceLoader(const Operand& operand, int lane, int group, int first, int extent, int begin, int end)
      : operand_(operand), end_(end) {
    const int thread = static_cast<int>(threadIdx.x);
    line_of_thread_ = along ? thread / run : thread % run * width;
    k_of_thread_ = along ? thread % run * width : thread / run;
#pragma unroll
    for (int i = 0; i < lines_held; ++i) {
      const int of_tile = line_of_thread_ + i * step;
      exists_[i] = of_tile < lines && first + of_tile < extent;
      line_[i] = operand.line(lane, group, first + of_tile);
    }
    k_ = begin + k_of_thread_;
    depth_ = operand.depth(k_);
    stride_ = operand.stride(depth_step);
  }

  // Reads the next slice; zeros beyond the operand's edges. Whether there is more than zeros in this thread's share,
  // where the operand tells.
  __device__ bool fetch() {
    bool any = false;
#pragma unroll
    for (int i = 0; i < held; ++i) {
      const int line = one_place ? i : 0;
      const bool exists = exists_[line] && k_ < end_;
      if constexpr (Operand::sparse) any = any || (exists && operand_.sees(line_[line], depth_));
      held_[i] = exists ? operand_.value(line_[line], depth_) : Piece{};
      if (!one_place) go_on();
    }
    if (one_place) go_on();
    return any;
  }

  __device__ void put(Slice& to) const {
#pragma unroll
    for (int i = 0; i < held; ++i) {
      const int line = line_of_thread_ + (one_place ? i * step : 0), k = k_of_thread_ + (one_place ? 0 : i * step);
      if (along && lines % step != 0 && line >= lines) continue;
      const int place = line / together * room + line % together;
      if constexpr (width == 1) {
        to[k][place] = held_[i];
      } else if constexpr (along) {
        to[k][place] = held_[i].x;
        to[k + 1][place] = held_[i].y;
        to[k + 2][place] = held_[i].z;
        to[k + 3][place] = held_[i].w;
      } else {
        static_assert(together % 4 == 0);
        *reinterpret_cast<float4*>(&to[k][place]) = held_[i];
      }
    }
  }

 private:
  using Piece = typename Operand::Piece;
  static constexpr int depth_step = one_place ? product_slice : step;

  __device__ void go_on() {
    k_ += depth_step;
    operand_.advance(depth_, stride_);
  }

  const Operand& operand_;
  int line_of_thread_, k_of_thread_, k_, end_;
  bool exists_[lines_held];
  typename Operand::Line line_[lines_held];
  typename Operand::Depth depth_;
  typename Operand::Stride stride_;
  Piece held_[held];
};

// `count` neighbours from shared memory, in fours where their number allows.
template <int count>
__device__ inline void read_lines(const float* from, float (&to)[count]) {
  constexpr int room = count <= 2 ? count : (count + 3) / 4 * 4;
  if constexpr (room % 4 == 0) {
#pragma unroll
    for (int i = 0; i < room; i += 4) {
      const float4 four = *reinterpret_cast<const float4*>(from + i);
      const float values[4] = {four.x, four.y, four.z, four.w};
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        if (i + k < count) to[i + k] = values[k];
      }
    }
  } else {
#pragma unroll
    for (int i = 0; i < count; ++i) to[i] = from[i];
  }
}

template <class A, class B, class Out, class T>
__global__ void __launch_bounds__(product_threads) product_kernel(LaneSet lanes, ProductShape p, A a, B b, Out out) {
  constexpr int tm = T::tm, tn = T::tn, near = T::neighbours;
  constexpr int row_room = tm <= 2 ? tm : (tm + 3) / 4 * 4;
  using LoaderA = SliceLoader<A, T::rows, tm>;
  using LoaderB = SliceLoader<B, T::columns, T::columns>;
  struct alignas(16) Slices {
    typename LoaderA::Slice a[2];
    typename LoaderB::Slice b[2];
  };
  CONVSWEEP_SHARED(Slices, slices);

  const int across = (p.columns + T::columns - 1) / T::columns, down = (p.rows + T::rows - 1) / T::rows;
  unsigned place = blockIdx.x;
  const auto next = [&place](int extent) {
    const unsigned digit = place % static_cast<unsigned>(extent);
    place /= static_cast<unsigned>(extent);
    return static_cast<int>(digit);
  };
  const int first_column = next(across) * T::columns, first_row = next(down) * T::rows;
  const int group = next(p.groups), split = next(p.splits), lane = lanes[static_cast<int>(place)];
  const int begin = split * p.split_depth;
  const int end = p.depth - begin < p.split_depth ? p.depth : begin + p.split_depth;
  const int tx = static_cast<int>(threadIdx.x) % threads_across, ty = static_cast<int>(threadIdx.x) / threads_across;
  const int row = first_row + ty * tm, column = first_column + tx * near;
  if constexpr (planted == Fault::early_return) {
    if (row >= p.rows || column >= p.columns) return;
  }

  float sums[tm][tn] = {};
  LoaderA load_a(a, lane, group, first_row, p.rows, begin, end);
  LoaderB load_b(b, lane, group, first_column, p.columns, begin, end);
  load_a.fetch();
  bool any = load_b.fetch();
  load_a.put(slices.a[0]);
  load_b.put(slices.b[0]);
  // Answers whether any thread says so.
  const auto meet = [](bool says) {
    if constexpr (B::sparse) return __syncthreads_or(says ? 1 : 0) != 0;
    __syncthreads();
    return true;
  };
  any = meet(any);
  for (int k = begin, now = 0; k < end; k += product_slice, now ^= 1) {
    const bool more = end - k > product_slice;
    bool any_next = false;
    if (more) {
      load_a.fetch();
      any_next = load_b.fetch();
    }
    // Adding zeros to a sum changes nothing.
    if (any) {
#pragma unroll
      for (int j = 0; j < product_slice; ++j) {
        float left[tm], right[tn / near][near];
        read_lines<tm>(&slices.a[now][j][ty * row_room], left);
#pragma unroll
        for (int g = 0; g < tn / near; ++g) {
          read_lines<near>(&slices.b[now][j][(g * threads_across + tx) * near], right[g]);
        }
#pragma unroll
        for (int r = 0; r < tm; ++r) {
#pragma unroll
          for (int c = 0; c < tn; ++c) sums[r][c] = ::fmaf(left[r], right[c / near][c % near], sums[r][c]);
        }
      }
    }
    if (more) {
      // The other buffer was last read before the barrier that ended the slice before this one.
      load_a.put(slices.a[now ^ 1]);
      load_b.put(slices.b[now ^ 1]);
    }
    if constexpr (planted != Fault::missing_barrier) any = meet(any_next);
  }
  if (row >= p.rows) return;
#pragma unroll
  for (int g = 0; g < tn / near; ++g) {
    const int at = column + g * threads_across * near;
    if (at >= p.columns) break;
    float values[tm][near];
#pragma unroll
    for (int r = 0; r < tm; ++r) {
#pragma unroll
      for (int c = 0; c < near; ++c) values[r][c] = sums[r][g * near + c];
    }
    out.write(lane, group, split, row, at, p.columns, values);
  }
}

inline int tiles_along(int extent, int tile) { return (extent + tile - 1) / tile; }

// Blocks of a launch; throws where the device's limit does not hold them, which takes more memory than devices have.
unsigned product_blocks(const ProductShape& p, int lanes, int tile_rows, int tile_columns);

template <class T, class A, class B, class Out>
void launch_product(ExecutionContext& context, const LaneSet& lanes, const ProductShape& p, const A& a, const B& b,
                    const Out& out) {
  CONVSWEEP_LAUNCH((product_kernel<A, B, Out, T>), dim3(product_blocks(p, lanes.count, T::rows, T::columns)),
                   dim3(product_threads), 0, cast(context).stream, lanes, p, a, b, out);
}

// Tiles change no byte. Large ones read less, small ones fill a device where C is small or lanes are few: below this
// many blocks a large device has processors without one.
inline constexpr unsigned blocks_to_fill = 256;

inline bool fills(const ProductShape& p, const LaneSet& lanes, int tile_rows, int tile_columns) {
  return product_blocks(p, lanes.count, tile_rows, tile_columns) >= blocks_to_fill;
}

// The least rows of a tile of `tile_columns`, of those whose threads compute 1, 2, 3, 4, 7 or 8 rows each, that hold
// the product's rows; the largest, where it has more and they fill it as well as any.
template <class A, class B, class Out>
void wide_product(ExecutionContext& context, const LaneSet& lanes, const ProductShape& p, const A& a, const B& b,
                  const Out& out) {
  const auto launch = [&](auto tile) { launch_product<decltype(tile)>(context, lanes, p, a, b, out); };
  const int rows = p.rows;
  if (rows <= 8) return launch(Tile<1, 8>{});
  if (rows <= 16) return launch(Tile<2, 8>{});
  if constexpr (A::along_depth) {
    if (rows <= 24) return launch(Tile<3, 8>{});
    if (rows > 32 && rows <= 56) return launch(Tile<7, 8>{});
  }
  if (rows <= 32 || !fills(p, lanes, 64, 128)) return launch(Tile<4, 8>{});
  launch(Tile<8, 8>{});
}

template <class A, class B, class Out>
void product(ExecutionContext& context, const LaneSet& lanes, ProductShape p, const A& a, const B& b, const Out& out) {
  if (p.splits == 1) p.split_depth = p.depth;
  const auto launch = [&](auto tile) { launch_product<decltype(tile)>(context, lanes, p, a, b, out); };
  if constexpr (B::width == 4) {
    if (p.columns > 64 && fills(p, lanes, 32, 128)) return wide_product(context, lanes, p, a, b, out);
    if (p.columns <= 32 || !fills(p, lanes, 32, 64)) return launch(Tile<4, 2>{});
    launch(Tile<4, 4>{});
  } else {
    if (p.rows <= 16) return launch(Tile<2, 4>{});
    if (p.columns <= 32 || !fills(p, lanes, 32, 64)) return launch(Tile<4, 2>{});
    if (p.rows <= 32 || !fills(p, lanes, 64, 64)) return launch(Tile<4, 4>{});
    launch(Tile<8, 4>{});
  }
}

// For a result that takes four rows, no more and no fewer.
template <class A, class B, class Out>
void four_row_product(ExecutionContext& context, const LaneSet& lanes, ProductShape p, const A& a, const B& b,
                      const Out& out) {
  p.split_depth = p.depth;
  if (fills(p, lanes, 32, 64)) {
    launch_product<Tile<4, 4>>(context, lanes, p, a, b, out);
  } else {
    launch_product<Tile<4, 2>>(context, lanes, p, a, b, out);
  }
}

// With a great depth cut into splits: each of at least `least_depth`, a whole number of slices, as many as give a
// device about 512 blocks a lane, but no more than 2 MiB of them.
ProductShape with_splits(ProductShape p, int least_depth);
// Scratch memory that the splits of one lane need.
std::size_t split_bytes(const ProductShape& p);
void sum_splits(ExecutionContext& context, const LaneSet& lanes, const ProductShape& p, Lanes<const float> splits,
                const Store& to);

// A product whose splits, where it has any, go to scratch memory; then their sums, with a bias for each row of each
// group where there is one and perhaps a relu, to `to`, [groups][rows][columns] as a run.
template <class A, class B>
void deep_product(ExecutionContext& context, const LaneSet& lanes, const ProductShape& p, const A& a, const B& b,
                  Lanes<float> to, Lanes<std::byte> scratch, Lanes<const float> bias = {}, bool relu = false) {
  const std::int64_t size = std::int64_t{p.rows} * p.columns;
  Store out;
  out.base = to;
  out.row_stride = p.columns;
  out.group_stride = size;
  out.rows = p.rows;
  out.bias = bias;
  out.relu = relu;
  out.fours = p.columns % 4 == 0 && in_fours(to);
  if (p.splits == 1) return product(context, lanes, p, a, b, out);
  Store parts = out;
  parts.base = as_floats(scratch);
  parts.split_stride = size * p.groups;
  parts.bias = {};
  parts.relu = false;
  parts.fours = p.columns % 4 == 0;
  product(context, lanes, p, a, b, parts);
  sum_splits(context, lanes, p, parts.base, out);
}

}  // namespace convsweep::CONVSWEEP_CUDA_NAMESPACE
