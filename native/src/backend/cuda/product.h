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

#include "backend/cuda/launch.h"
#include "backend/cuda/operands.h"

namespace convsweep::CONVSWEEP_CUDA_NAMESPACE {

inline constexpr int product_threads = 256, product_slice = 16;
// Threads of a block along C's rows and along its columns.
inline constexpr int product_side = 16;

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

  // `count` rows of a column, of which those below `rows` exist.
  template <int count>
  __device__ void write(int lane, int group, int split, int row, int column, const float (&values)[count]) const {
    float* const to = base[lane] + split * split_stride + group * group_stride + column;
#pragma unroll
    for (int i = 0; i < count; ++i) {
      if (row + i >= rows) break;
      const float offset = bias.base != nullptr ? bias[lane][group * rows + row + i] : 0.0F;
      to[(row + i) * row_stride] = bias.base != nullptr ? values[i] + offset : values[i];
    }
  }
};

// A thread's share of an operand's slices: it holds the elements of one slice in registers, then puts them into shared
// memory.
template <class Operand, int lines>
class SliceLoader {
 public:
  // A line's neighbours along the depth lie `pitch` apart; the four beyond `lines` spread them over the banks.
  static constexpr int pitch = lines + 4;
  using Slice = float[product_slice][pitch];

  __device__ SliceLoader(const Operand& operand, int lane, int group, int first, int extent, int begin, int end)
      : operand_(operand), end_(end) {
    const int thread = static_cast<int>(threadIdx.x);
    line_of_thread_ = Operand::along_depth ? thread / product_slice : thread % lines;
    k_of_thread_ = Operand::along_depth ? thread % product_slice : thread / lines;
#pragma unroll
    for (int i = 0; i < lines_held; ++i) {
      const int line = first + line_of_thread_ + i * (product_threads / product_slice);
      exists_[i] = line < extent;
      line_[i] = operand.line(lane, group, line);
    }
    k_ = begin + k_of_thread_;
    depth_ = operand.depth(k_);
    stride_ = operand.stride(depth_step);
  }

  // Reads the next slice; zeros beyond the operand's edges.
  __device__ void fetch() {
#pragma unroll
    for (int i = 0; i < held; ++i) {
      const int line = Operand::along_depth ? i : 0;
      held_[i] = exists_[line] && k_ < end_ ? operand_.value(line_[line], depth_) : 0.0F;
      if (!Operand::along_depth) step();
    }
    if (Operand::along_depth) step();
  }

  __device__ void put(Slice& to) const {
#pragma unroll
    for (int i = 0; i < held; ++i) {
      if constexpr (Operand::along_depth) {
        to[k_of_thread_][line_of_thread_ + i * (product_threads / product_slice)] = held_[i];
      } else {
        to[k_of_thread_ + i * depth_step][line_of_thread_] = held_[i];
      }
    }
  }

 private:
  // Elements a thread holds: all of one line's neighbours in a slice, or of one place along the depth.
  static constexpr int held = lines * product_slice / product_threads;
  static constexpr int lines_held = Operand::along_depth ? held : 1;
  static constexpr int depth_step = Operand::along_depth ? product_slice : product_threads / lines;
  static_assert(held * product_threads == lines * product_slice);

  __device__ void step() {
    k_ += depth_step;
    operand_.advance(depth_, stride_);
  }

  const Operand& operand_;
  int line_of_thread_, k_of_thread_, k_, end_;
  bool exists_[lines_held];
  typename Operand::Line line_[lines_held];
  typename Operand::Depth depth_;
  typename Operand::Stride stride_;
  float held_[held];
};

// A thread computes tm neighbouring rows and tn columns, which lie 16 apart so that stores are coalesced.
template <class A, class B, class Out, int tm, int tn>
__global__ void __launch_bounds__(product_threads) product_kernel(LaneSet lanes, ProductShape p, A a, B b, Out out) {
  constexpr int tile_rows = product_side * tm, tile_columns = product_side * tn;
  using LoaderA = SliceLoader<A, tile_rows>;
  using LoaderB = SliceLoader<B, tile_columns>;
  struct alignas(16) Slices {
    typename LoaderA::Slice a[2];
    typename LoaderB::Slice b[2];
  };
  CONVSWEEP_SHARED(Slices, slices);

  const int across = (p.columns + tile_columns - 1) / tile_columns, down = (p.rows + tile_rows - 1) / tile_rows;
  unsigned place = blockIdx.x;
  const auto next = [&place](int extent) {
    const unsigned digit = place % static_cast<unsigned>(extent);
    place /= static_cast<unsigned>(extent);
    return static_cast<int>(digit);
  };
  const int first_column = next(across) * tile_columns, first_row = next(down) * tile_rows;
  const int group = next(p.groups), split = next(p.splits), lane = lanes[static_cast<int>(place)];
  const int begin = split * p.split_depth;
  const int end = p.depth - begin < p.split_depth ? p.depth : begin + p.split_depth;
  const int tx = static_cast<int>(threadIdx.x) % product_side, ty = static_cast<int>(threadIdx.x) / product_side;
  if constexpr (planted == Fault::early_return) {
    if (first_row + ty * tm >= p.rows || first_column + tx >= p.columns) return;
  }

  float sums[tm][tn] = {};
  LoaderA load_a(a, lane, group, first_row, p.rows, begin, end);
  LoaderB load_b(b, lane, group, first_column, p.columns, begin, end);
  load_a.fetch();
  load_b.fetch();
  load_a.put(slices.a[0]);
  load_b.put(slices.b[0]);
  __syncthreads();
  for (int k = begin, now = 0; k < end; k += product_slice, now ^= 1) {
    const bool more = end - k > product_slice;
    if (more) {
      load_a.fetch();
      load_b.fetch();
    }
#pragma unroll
    for (int j = 0; j < product_slice; ++j) {
      float left[tm], right[tn];
#pragma unroll
      for (int i = 0; i < tm; ++i) left[i] = slices.a[now][j][ty * tm + i];
#pragma unroll
      for (int i = 0; i < tn; ++i) right[i] = slices.b[now][j][tx + i * product_side];
#pragma unroll
      for (int r = 0; r < tm; ++r) {
#pragma unroll
        for (int c = 0; c < tn; ++c) sums[r][c] = ::fmaf(left[r], right[c], sums[r][c]);
      }
    }
    if (more) {
      // The other buffer was last read before the barrier that ended the slice before this one.
      load_a.put(slices.a[now ^ 1]);
      load_b.put(slices.b[now ^ 1]);
    }
    if constexpr (planted != Fault::missing_barrier) __syncthreads();
  }
#pragma unroll
  for (int c = 0; c < tn; ++c) {
    const int column = first_column + tx + c * product_side;
    if (column >= p.columns || first_row + ty * tm >= p.rows) continue;
    float values[tm];
#pragma unroll
    for (int r = 0; r < tm; ++r) values[r] = sums[r][c];
    out.write(lane, group, split, first_row + ty * tm, column, values);
  }
}

inline int tiles_along(int extent, int tile) { return (extent + tile - 1) / tile; }

// Blocks of a launch; throws where the device's limit does not hold them, which takes more memory than devices have.
unsigned product_blocks(const ProductShape& p, int lanes, int tile_rows, int tile_columns);

template <int tm, int tn, class A, class B, class Out>
void launch_product(ExecutionContext& context, const LaneSet& lanes, const ProductShape& p, const A& a, const B& b,
                    const Out& out) {
  CONVSWEEP_LAUNCH((product_kernel<A, B, Out, tm, tn>),
                   dim3(product_blocks(p, lanes.count, product_side * tm, product_side * tn)), dim3(product_threads), 0,
                   cast(context).stream, lanes, p, a, b, out);
}

// Tiles change no byte. Large ones read less, small ones fill a device where C is small or lanes are few: below this
// many blocks a large device has processors without one.
inline constexpr unsigned blocks_to_fill = 128;

inline bool large_tiles(const ProductShape& p, const LaneSet& lanes) {
  return p.rows > 32 && p.columns > 32 && product_blocks(p, lanes.count, 64, 64) >= blocks_to_fill;
}

template <class A, class B, class Out>
void product(ExecutionContext& context, const LaneSet& lanes, ProductShape p, const A& a, const B& b, const Out& out) {
  if (p.splits == 1) p.split_depth = p.depth;
  if (p.rows <= product_side) {
    launch_product<1, 4>(context, lanes, p, a, b, out);
  } else if (large_tiles(p, lanes)) {
    launch_product<4, 4>(context, lanes, p, a, b, out);
  } else {
    launch_product<2, 2>(context, lanes, p, a, b, out);
  }
}

// For an Out whose write() takes four rows, no more and no fewer.
template <class A, class B, class Out>
void four_row_product(ExecutionContext& context, const LaneSet& lanes, ProductShape p, const A& a, const B& b,
                      const Out& out) {
  p.split_depth = p.depth;
  if (large_tiles(p, lanes)) {
    launch_product<4, 4>(context, lanes, p, a, b, out);
  } else {
    launch_product<4, 2>(context, lanes, p, a, b, out);
  }
}

// A product of great depth: its splits go to scratch memory, then their sums to `to`, [groups][rows][columns] as a run.
// The splits of one lane need split_bytes of scratch.
ProductShape with_splits(ProductShape p);
std::size_t split_bytes(const ProductShape& p);
void sum_splits(ExecutionContext& context, const LaneSet& lanes, const ProductShape& p, Lanes<const float> splits,
                Lanes<float> to);

template <class A, class B>
void deep_product(ExecutionContext& context, const LaneSet& lanes, const ProductShape& shape, const A& a, const B& b,
                  Lanes<float> to, Lanes<std::byte> scratch) {
  const ProductShape p = with_splits(shape);
  const std::int64_t size = std::int64_t{p.rows} * p.columns;
  Store out;
  out.base = to;
  out.row_stride = p.columns;
  out.group_stride = size;
  out.rows = p.rows;
  if (p.splits == 1) return product(context, lanes, p, a, b, out);
  out.base = as_floats(scratch);
  out.split_stride = size * p.groups;
  product(context, lanes, p, a, b, out);
  sum_splits(context, lanes, p, out.base, to);
}

}  // namespace convsweep::CONVSWEEP_CUDA_NAMESPACE
