// The gradient of a convolution's weights by Winograd's transforms.
//
// Guarantees: a transformed kernel's gradient is a sum over (block of 32 images, tile, image) in ascending order within
// each of a number of parts that the shape decides; parts are added in order. Neither chunks nor tasks change a byte.
#pragma once

#include "kernels_impl_winograd.h"

namespace convsweep::cpu::CONVSWEEP_ISA {

// Sums of a weight gradient that are kept apart, for threads to work on: as many as fit into this, at least two.
inline constexpr Index kPartBytes = 4 * 1024 * 1024;
inline constexpr int kMostParts = 4;

// Sizes: a product [rows][columns of the chunk] [columns][width] for each element of a tile, where rows and width are
// output channels and phases of input channels, the way round that fills vectors better.
struct WinogradWeightPlan {
  int tile, taps;
  bool rows_are_outputs;
  int rows, width;
  ProductPlan product;
  int parts;
  Index columns;
  Transformed of_rows, of_width;
  Index element, part_floats;

  WinogradWeightPlan(const ConvShape& s, const WinogradForm& form) {
    const TileGrid grid = tile_grid(s, form);
    const int inputs = s.in_channels * form.phases(), outputs = s.out_channels;
    tile = form.tile;
    taps = form.taps;
    rows_are_outputs = round_up16(inputs) * Index{outputs} <= round_up16(outputs) * Index{inputs};
    rows = rows_are_outputs ? outputs : inputs;
    width = rows_are_outputs ? inputs : outputs;
    element = element_step(Index{rows} * width);
    part_floats = form.elements() * element;
    const Index fit = kPartBytes / (part_floats * Index{sizeof(float)});
    parts = static_cast<int>(smaller<Index>(larger<Index>(smaller<Index>(fit, kMostParts), 2), grid.units()));
    columns = chunk_columns(form.elements(), rows + width);
    const Index most = smaller(columns + kUnitImages, grid.columns());
    const Runs runs{width, 1};
    product = plan_product(Layout::rows, rows, static_cast<int>(most), &runs, 1);
    of_rows = Transformed(form.elements(), rows, most);
    of_width = Transformed(form.elements(), width, most);
  }
  // Few columns.
  std::size_t few_shared_bytes() const {
    return of_rows.bytes() + of_width.bytes() + static_cast<std::size_t>(tile * taps * element) * sizeof(float);
  }
  std::size_t few_slot_bytes() const { return static_cast<std::size_t>(tile * element) * sizeof(float) + panel_bytes(product); }
  std::size_t few_bytes(int threads) const { return few_shared_bytes() + few_slot_bytes() * static_cast<std::size_t>(threads); }
  std::size_t slot_bytes() const { return of_rows.bytes() + of_width.bytes() + panel_bytes(product); }
  std::size_t bytes(int threads) const {
    return static_cast<std::size_t>(parts * part_floats) * sizeof(float) +
           slot_bytes() * static_cast<std::size_t>(threads);
  }
};

// sums[rows][width] of one element for the columns of a chunk, or added to what they hold; for tiles of rows [tile0, tile1).
inline void winograd_outer_product(const WinogradWeightPlan& plan, int element, Index columns, const float* of_rows,
                                   const float* of_width, bool accumulate, int tile0, int tile1, float* sums,
                                   float* buffer) {
  Product p;
  p.m = plan.rows;
  p.k = static_cast<int>(columns);
  p.a = of_rows + element * plan.of_rows.element;
  p.a_stride = plan.of_rows.row;
  p.layout = Layout::rows;
  p.c = sums;
  p.c_stride = plan.width;
  p.accumulate = accumulate;
  const MatrixSource b{of_width + element * plan.of_width.element, plan.of_width.row, true, false, p.k, plan.width,
                       Index{plan.product.vectors} * kLanes};
  product_block(p, plan.product, b, 0, b.panels(), tile0, tile1, buffer);
}

// The taps of sixteen transformed kernels from (row, column) on to their places.
inline void put_taps(const WinogradWeightPlan& plan, const ConvShape& s, const WinogradForm& form, Index row, Index column,
                     const float (&taps)[kMostTaps][kLanes], float* dweights) {
  const int lanes = static_cast<int>(smaller<Index>(kLanes, plan.width - column));
  const int kernel = s.kernel_h, count = form.taps * form.taps;
  for (int i = 0; i < lanes; ++i) {
    const Index output = plan.rows_are_outputs ? row : column + i, input = plan.rows_are_outputs ? column + i : row;
    const int phase = static_cast<int>(input % form.phases());
    float* const to = dweights + (output * s.in_channels + input / form.phases()) * kernel * kernel +
                      phase / form.stride * kernel + phase % form.stride;
    for (int tap = 0; tap < count; ++tap) to[(tap / form.taps * kernel + tap % form.taps) * form.stride] = taps[tap][i];
  }
}

// f(row, column, mask) for each vector of the sums' rows, by tasks.
template <class F>
void for_each_kernel_vector(Parallel& parallel, const WinogradWeightPlan& plan, const F& f) {
  const int tasks = task_count(parallel, plan.rows, kSerialElements / (Index{plan.width} * plan.of_rows.elements) + 1);
  auto body = [&](int task, int) {
    for (Index row = part_begin(plan.rows, tasks, task); row < part_begin(plan.rows, tasks, task + 1); ++row) {
      for_each_vector(0, plan.width, [&](Index column, Mask mask) { f(row, column, mask); });
    }
  };
  for_each_task(parallel, tasks, body);
}

// The parts of the sums added up and taken back to taps.
template <class Tiles>
void winograd_weights_back(Parallel& parallel, const WinogradWeightPlan& plan, const ConvShape& s,
                           const WinogradForm& form, const float* sums, float* dweights) {
  constexpr int N = Tiles::tile, R = Tiles::taps;
  for_each_kernel_vector(parallel, plan, [&](Index row, Index column, Mask mask) {
    float taps[kMostTaps][kLanes];
    transform<KernelGradient<N, R>>(
        [&](int r, int q) {
          const float* const from = sums + (r * N + q) * plan.element + row * plan.width + column;
          Vec sum = load(from, mask);
          for (int part = 1; part < plan.parts; ++part) sum = sum + load(from + part * plan.part_floats, mask);
          return sum;
        },
        [&](int r, int q, Vec value) { store(taps[r * R + q], value); });
    put_taps(plan, s, form, row, column, taps, dweights);
  });
}

// Few columns: all at once, in one part. The sums of a row of the tile's elements stay in the second-level cache and go
// back along that row right away, so that R of N elements are written to memory.
template <class Tiles>
void few_weights(Parallel& parallel, const WinogradForm& form, const ConvShape& s, const float* x, const float* dy,
                 float* dweights, void* scratch) {
  constexpr int N = Tiles::tile, R = Tiles::taps;
  const TileGrid grid = tile_grid(s, form);
  const WinogradWeightPlan plan(s, form);
  char* const memory = static_cast<char*>(scratch);
  float* const of_rows = reinterpret_cast<float*>(memory);
  float* const of_width = reinterpret_cast<float*>(memory + plan.of_rows.bytes());
  float* const half = reinterpret_cast<float*>(memory + plan.of_rows.bytes() + plan.of_width.bytes());
  char* const slots = memory + plan.few_shared_bytes();
  const TiledPlanes inputs = TiledPlanes::inputs(grid, s.in_channels);
  const TiledPlanes outputs = TiledPlanes::outputs(grid, s.out_channels);
  const bool out = plan.rows_are_outputs;
  auto forth = [&](int block, int) {
    const Chunk chunk{grid, block * grid.tiles(), (block + 1) * grid.tiles()};
    const Index column = grid.column(chunk.begin);
    transform_planes<InputTransform<N>>(chunk, inputs, x, out ? plan.of_width : plan.of_rows,
                                        (out ? of_width : of_rows) + column);
    transform_planes<OutputGradient<N, R>>(chunk, outputs, dy, out ? plan.of_rows : plan.of_width,
                                           (out ? of_rows : of_width) + column);
  };
  for_each_task(parallel, grid.blocks(), forth);

  const int parts = few_parts(parallel, N, plan.product.tiles);
  auto multiply = [&](int task, int slot) {
    const int i = task / parts, part = task % parts;
    const int tile0 = static_cast<int>(part_begin(plan.product.tiles, parts, part));
    const int tile1 = static_cast<int>(part_begin(plan.product.tiles, parts, part + 1));
    float* const sums = reinterpret_cast<float*>(slots + static_cast<std::size_t>(slot) * plan.few_slot_bytes());
    float* const buffer = sums + N * plan.element;
    for (int j = 0; j < N; ++j) {
      winograd_outer_product(plan, i * N + j, grid.columns(), of_rows, of_width, false, tile0, tile1,
                             sums + j * plan.element, buffer);
    }
    const Index row1 = part_begin(plan.rows, plan.product.tiles, tile1);
    for (Index row = part_begin(plan.rows, plan.product.tiles, tile0); row < row1; ++row) {
      for_each_vector(0, plan.width, [&](Index column, Mask mask) {
        const Index at = row * plan.width + column;
        Vec t[N], g[R];
        for (int j = 0; j < N; ++j) t[j] = load(sums + j * plan.element + at, mask);
        KernelGradient<N, R>::apply(t, g);
        for (int q = 0; q < R; ++q) store(half + (i * R + q) * plan.element + at, g[q], mask);
      });
    }
  };
  for_each_task(parallel, N * parts, multiply);

  for_each_kernel_vector(parallel, plan, [&](Index row, Index column, Mask mask) {
    float taps[kMostTaps][kLanes];
    const Index at = row * plan.width + column;
    for (int q = 0; q < R; ++q) {
      Vec t[N], g[R];
      for (int i = 0; i < N; ++i) t[i] = load(half + (i * R + q) * plan.element + at, mask);
      KernelGradient<N, R>::apply(t, g);
      for (int r = 0; r < R; ++r) store(taps[r * R + q], g[r]);
    }
    put_taps(plan, s, form, row, column, taps, dweights);
  });
}

template <class Tiles>
void winograd_weights(Parallel& parallel, const WinogradForm& form, const ConvShape& s, const float* x,
                      const float* dy, float* dweights, void* scratch) {
  constexpr int N = Tiles::tile, R = Tiles::taps;
  const TileGrid grid = tile_grid(s, form);
  if (few_columns(grid)) return few_weights<Tiles>(parallel, form, s, x, dy, dweights, scratch);
  const WinogradWeightPlan plan(s, form);
  float* const sums = static_cast<float*>(scratch);
  char* const slots = static_cast<char*>(scratch) + static_cast<std::size_t>(plan.parts * plan.part_floats) * sizeof(float);
  const TiledPlanes inputs = TiledPlanes::inputs(grid, s.in_channels);
  const TiledPlanes outputs = TiledPlanes::outputs(grid, s.out_channels);
  auto body = [&](int part, int slot) {
    char* const own = slots + static_cast<std::size_t>(slot) * plan.slot_bytes();
    float* const of_rows = reinterpret_cast<float*>(own);
    float* const of_width = reinterpret_cast<float*>(own + plan.of_rows.bytes());
    float* const buffer = reinterpret_cast<float*>(own + plan.of_rows.bytes() + plan.of_width.bytes());
    const Chunk whole = part_of(grid, 0, grid.units(), plan.parts, part);
    const int chunks = chunks_of(grid, whole.begin, whole.end, plan.columns);
    float* const own_sums = sums + part * plan.part_floats;
    bool started = false;
    for (int i = 0; i < chunks; ++i) {
      const Chunk chunk = part_of(grid, whole.begin, whole.end, chunks, i);
      if (chunk.begin == chunk.end) continue;
      const bool out = plan.rows_are_outputs;
      transform_planes<InputTransform<N>>(chunk, inputs, x, out ? plan.of_width : plan.of_rows, out ? of_width : of_rows);
      transform_planes<OutputGradient<N, R>>(chunk, outputs, dy, out ? plan.of_rows : plan.of_width,
                                             out ? of_rows : of_width);
      for (int e = 0; e < Tiles::elements; ++e) {
        winograd_outer_product(plan, e, chunk.columns(), of_rows, of_width, started, 0, plan.product.tiles,
                               own_sums + e * plan.element, buffer);
      }
      started = true;
    }
    if (!started) fill_floats(own_sums, 0.0F, plan.part_floats);
  };
  for_each_task(parallel, plan.parts, body);
  winograd_weights_back<Tiles>(parallel, plan, s, form, sums, dweights);
}

inline void winograd_backward_weights(Parallel& parallel, const WinogradForm& form, const ConvShape& s, const float* x,
                                      const float* dy, float* dweights, void* scratch) {
  with_tiling(form, [&](auto tiles) {
    winograd_weights<decltype(tiles)>(parallel, form, s, x, dy, dweights, scratch);
  });
}

inline std::size_t winograd_scratch_bytes(const WinogradForm& form, const ConvShape& s, int width) {
  const WinogradWeightPlan weights(s, form);
  const bool few = few_columns(tile_grid(s, form));
  return larger(winograd_product_bytes(form, s, width), few ? weights.few_bytes(width) : weights.bytes(width));
}

}  // namespace convsweep::cpu::CONVSWEEP_ISA
