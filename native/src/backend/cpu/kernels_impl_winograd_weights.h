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
  std::size_t slot_bytes() const { return of_rows.bytes() + of_width.bytes() + panel_bytes(product); }
  std::size_t bytes(int threads) const {
    return static_cast<std::size_t>(parts * part_floats) * sizeof(float) +
           slot_bytes() * static_cast<std::size_t>(threads);
  }
};

// sums[element][rows][width] of a chunk, or added to what they hold.
inline void winograd_outer_products(const WinogradWeightPlan& plan, Index columns, const float* of_rows,
                                    const float* of_width, bool accumulate, float* sums, float* buffer) {
  for (int e = 0; e < plan.of_rows.elements; ++e) {
    Product p;
    p.m = plan.rows;
    p.k = static_cast<int>(columns);
    p.a = of_rows + e * plan.of_rows.element;
    p.a_stride = plan.of_rows.row;
    p.layout = Layout::rows;
    p.c = sums + e * plan.element;
    p.c_stride = plan.width;
    p.accumulate = accumulate;
    const MatrixSource b{of_width + e * plan.of_width.element,
                         plan.of_width.row,
                         true,
                         false,
                         p.k,
                         plan.width,
                         Index{plan.product.vectors} * kLanes};
    product_block(p, plan.product, b, 0, b.panels(), 0, plan.product.tiles, buffer);
  }
}

// The parts of the sums added up and taken back to taps.
template <class Tiles>
void winograd_weights_back(Parallel& parallel, const WinogradWeightPlan& plan, const ConvShape& s, int stride,
                           const float* sums, float* dweights) {
  constexpr int N = Tiles::tile, R = Tiles::taps;
  const int phases = stride * stride, kernel = R * stride;
  const int tasks = task_count(parallel, plan.rows, kSerialElements / (Index{plan.width} * Tiles::elements) + 1);
  auto body = [&](int task, int) {
    for (Index row = part_begin(plan.rows, tasks, task); row < part_begin(plan.rows, tasks, task + 1); ++row) {
      for (int c = 0; c < plan.width; c += kLanes) {
        const int lanes = smaller(kLanes, plan.width - c);
        const Mask mask = first_lanes(lanes);
        float taps[kMostTaps][kLanes];
        transform<KernelGradient<N, R>>(
            [&](int r, int q) {
              const float* const from = sums + (r * N + q) * plan.element + row * plan.width + c;
              Vec sum = load(from, mask);
              for (int part = 1; part < plan.parts; ++part) sum = sum + load(from + part * plan.part_floats, mask);
              return sum;
            },
            [&](int r, int q, Vec value) { store(taps[r * R + q], value); });
        for (int i = 0; i < lanes; ++i) {
          const Index output = plan.rows_are_outputs ? row : c + i, input = plan.rows_are_outputs ? c + i : row;
          const int phase = static_cast<int>(input % phases);
          float* const to = dweights + (output * s.in_channels + input / phases) * kernel * kernel +
                            phase / stride * kernel + phase % stride;
          for (int tap = 0; tap < R * R; ++tap) to[(tap / R * kernel + tap % R) * stride] = taps[tap][i];
        }
      }
    }
  };
  for_each_task(parallel, tasks, body);
}

template <class Tiles>
void winograd_weights(Parallel& parallel, const WinogradForm& form, const ConvShape& s, const float* x,
                      const float* dy, float* dweights, void* scratch) {
  constexpr int N = Tiles::tile, R = Tiles::taps;
  const TileGrid grid = tile_grid(s, form);
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
      winograd_outer_products(plan, chunk.columns(), of_rows, of_width, started, own_sums, buffer);
      started = true;
    }
    if (!started) fill_floats(own_sums, 0.0F, plan.part_floats);
  };
  for_each_task(parallel, plan.parts, body);
  winograd_weights_back<Tiles>(parallel, plan, s, form.stride, sums, dweights);
}

inline void winograd_backward_weights(Parallel& parallel, const WinogradForm& form, const ConvShape& s, const float* x,
                                      const float* dy, float* dweights, void* scratch) {
  with_tiling(form, [&](auto tiles) {
    winograd_weights<decltype(tiles)>(parallel, form, s, x, dy, dweights, scratch);
  });
}

inline std::size_t winograd_scratch_bytes(const WinogradForm& form, const ConvShape& s, int width) {
  return larger(winograd_product_bytes(form, s, width), WinogradWeightPlan(s, form).bytes(width));
}

}  // namespace convsweep::cpu::CONVSWEEP_ISA
