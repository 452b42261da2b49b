// Winograd's passes where there are few columns: all of them at once.
//
// A transformed kernel is many times as large as its taps. With few tiles and images, writing all of them to memory for one
// reading takes as long as the products. Here they are made a row of the tile's elements and a tile of the product's rows
// at a time, just before their products, and stay in the second-level cache.
//
// Guarantees: the bytes that kernels_impl_winograd.h has for many columns.
#pragma once

#include "kernels_impl_gemm.h"
#include "kernels_impl_winograd_tiles.h"

namespace convsweep::cpu::CONVSWEEP_ISA {

inline constexpr int kFewColumns = 64;
inline bool few_columns(const TileGrid& grid) { return grid.columns() <= kFewColumns; }

// Tasks for rows of elements; each is cut further where there are more threads.
inline int few_parts(Parallel& parallel, int tile, int product_tiles) {
  return parallel.width() <= 1 ? 1 : smaller(product_tiles, ceil_div(2 * parallel.width(), tile));
}

struct FewPlan {
  TransformedKernels kernels;
  ProductPlan product;
  Transformed source, result;
  int tile;
  // From one element of a row to the next in a slot's transformed kernels.
  Index element;
  std::size_t taps_bytes;

  FewPlan(const TileGrid& grid, int tile_side, int taps, const TransformedKernels& form) : kernels(form), tile(tile_side) {
    const Runs runs{grid.columns(), 1};
    product = plan_product(Layout::packed, form.rows, form.planes(), &runs, 1);
    source = Transformed(tile * tile, form.planes(), grid.columns());
    result = Transformed(tile * tile, form.apart ? form.rows * form.phases : form.rows, grid.columns());
    element = element_step(Index{ceil_div(form.rows, product.tiles)} * form.planes());
    taps_bytes = aligned_bytes(static_cast<std::size_t>(Index{form.rows} * form.channels * taps * taps * form.phases) *
                               sizeof(float));
  }
  std::size_t shared_bytes() const { return taps_bytes + source.bytes() + result.bytes(); }
  std::size_t slot_bytes() const { return static_cast<std::size_t>(tile * element) * sizeof(float); }
  std::size_t bytes(int width) const { return shared_bytes() + slot_bytes() * static_cast<std::size_t>(width); }
};

// Row `i` of the elements of a tile of rows, for the phases [phase0, phase1) of all channels: to[element][plane][row].
// `taps` are packed as pack_kernels does.
template <class Tiles>
void transform_kernel_row(const FewPlan& plan, int stride, bool turned, int i, const float* taps, int row, int rows,
                          int phase0, int phase1, float* to) {
  constexpr int N = Tiles::tile, R = Tiles::taps;
  const TransformedKernels& form = plan.kernels;
  const int kernel = R * stride, count = kernel * kernel;
  const Mask mask = first_lanes(rows);
  const Index tap_step = Index{form.channels} * rows;
  for (int channel = 0; channel < form.channels; ++channel) {
    const float* const from = taps + Index{row} * form.channels * count + Index{channel} * rows;
    for (int phase = phase0; phase < phase1; ++phase, to += rows) {
      const int first = phase / stride * kernel + phase % stride;
      transform_row<KernelTransform<N, R>>(
          i,
          [&](int r, int q) {
            const int tap = first + (r * kernel + q) * stride;
            return load(from + (turned ? count - 1 - tap : tap) * tap_step, mask);
          },
          [&](int q, Vec value) { store(to + q * plan.element, value, mask); });
    }
  }
}

// All columns: planes through `In`, times the kernels; then back(chunk, result of the chunk) block by block.
template <class Tiles, class In, class Back>
void few_pass(Parallel& parallel, const TileGrid& grid, const FewPlan& plan, const KernelView& view, bool turned,
              const TiledPlanes& planes, const float* from, const Back& back, void* scratch) {
  constexpr int N = Tiles::tile;
  char* const memory = static_cast<char*>(scratch);
  float* const taps = reinterpret_cast<float*>(memory);
  float* const source = reinterpret_cast<float*>(memory + plan.taps_bytes);
  float* const result = reinterpret_cast<float*>(memory + plan.taps_bytes + plan.source.bytes());
  pack_kernels(parallel, view, plan.product, taps);
  const auto chunk_of = [&](int block) { return Chunk{grid, block * grid.tiles(), (block + 1) * grid.tiles()}; };
  auto forth = [&](int block, int) {
    const Chunk chunk = chunk_of(block);
    transform_planes<In>(chunk, planes, from, plan.source, source + grid.column(chunk.begin));
  };
  for_each_task(parallel, grid.blocks(), forth);

  const TransformedKernels& form = plan.kernels;
  const int parts = few_parts(parallel, N, plan.product.tiles);
  const int groups = form.apart ? form.phases : 1;
  ProductPlan one = plan.product;
  one.tiles = 1;
  auto multiply = [&](int task, int slot) {
    const int i = task / parts, part = task % parts;
    float* const kernels = reinterpret_cast<float*>(memory + plan.shared_bytes() + static_cast<std::size_t>(slot) * plan.slot_bytes());
    const int tile1 = static_cast<int>(part_begin(plan.product.tiles, parts, part + 1));
    for (int tile = static_cast<int>(part_begin(plan.product.tiles, parts, part)); tile < tile1; ++tile) {
      const int row = static_cast<int>(part_begin(form.rows, plan.product.tiles, tile));
      const int rows = static_cast<int>(part_begin(form.rows, plan.product.tiles, tile + 1)) - row;
      for (int group = 0; group < groups; ++group) {
        transform_kernel_row<Tiles>(plan, grid.stride, turned, i, taps, row, rows, group,
                                    form.apart ? group + 1 : form.phases, kernels);
        for (int j = 0; j < N; ++j) {
          Product p;
          p.m = rows;
          p.k = form.planes();
          p.a = kernels + j * plan.element;
          p.c = result + (i * N + j) * plan.result.element + (Index{row} * groups + group) * plan.result.row;
          p.c_stride = groups * plan.result.row;
          // Whole vectors: rows of both sides have room for them, and nothing reads what lies past the columns.
          const MatrixSource b{source + (i * N + j) * plan.source.element, plan.source.row, false, true, p.k,
                               round_up16(grid.columns()), Index{plan.product.vectors} * kLanes};
          product_block(p, one, b, 0, b.panels(), 0, 1, nullptr);
        }
      }
    }
  };
  for_each_task(parallel, N * parts, multiply);

  auto finish = [&](int block, int) {
    const Chunk chunk = chunk_of(block);
    back(chunk, result + grid.column(chunk.begin));
  };
  for_each_task(parallel, grid.blocks(), finish);
}

}  // namespace convsweep::cpu::CONVSWEEP_ISA
