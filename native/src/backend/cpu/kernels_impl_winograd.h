// Convolutions by Winograd's transforms: three passes of one shape, of which this file has the two to the outputs and to
// the inputs.
//
// Guarantees: whether and how a convolution is done so depends on its shape alone (winograd_form), never on the batch, the
// processor or the threads. A transformed element is a sum over channels, and phases of a channel, in ascending order;
// neither chunks nor tasks change a byte.
//
// Work goes by chunks of tiles and images: transform the chunk's inputs into scratch that stays in the second-level
// cache, do a matrix product for each element of a tile, transform back.
#pragma once

#include "kernels_impl_winograd_few.h"

namespace convsweep::cpu::CONVSWEEP_ISA {

// What the transformed inputs and outputs of a chunk may take of the second-level cache, and the columns that a chunk
// has at least however many channels there are.
inline constexpr Index kChunkBytes = 448 * 1024;
inline constexpr int kChunkColumns = 32;
// So few planes stay in the first-level cache while tiles of rows read them, packed or not.
inline constexpr int kInPlacePlanes = 64;

// tile 0: directly. Otherwise tiles of so many inputs a side, taps a side of each phase, phases a side (the stride).
struct WinogradForm {
  int tile = 0, taps = 0, stride = 1;

  explicit operator bool() const { return tile != 0; }
  int outputs() const { return tile + 1 - taps; }
  int elements() const { return tile * tile; }
  int phases() const { return stride * stride; }
};

// What there is. 2 x 2 taps take large tiles only: small ones have more transforms for their products.
inline constexpr WinogradForm kWinogradForms[] = {{6, 3, 1}, {6, 5, 1}, {8, 5, 1}, {8, 2, 1}, {8, 2, 2}};

// f of the Tiling that a form stands for.
template <class F>
auto with_tiling(const WinogradForm& form, const F& f) {
  if (form.taps == 2) return f(Tiling<8, 2>{});
  if (form.taps == 3) return f(Tiling<6, 3>{});
  return form.tile == 6 ? f(Tiling<6, 5>{}) : f(Tiling<8, 5>{});
}

// Multiplications of a plane by the definition, and by transforms.
inline Index direct_multiplications(const ConvShape& s) {
  return Index{s.kernel_h} * s.kernel_w * s.out_height * s.out_width;
}
inline Index transformed_multiplications(const ConvShape& s, const WinogradForm& form) {
  const int m = form.outputs();
  return Index{ceil_div(s.out_height, m)} * ceil_div(s.out_width, m) * form.elements() * form.phases();
}

// Transforms pay where they save at least half of the multiplications, and there are channels to make up for them.
inline WinogradForm winograd_form(const ConvShape& s) {
  if (s.groups != 1 || s.in_channels < 16 || s.out_channels < 16) return {};
  if (s.kernel_w != s.kernel_h || s.stride_w != s.stride_h) return {};
  WinogradForm best;
  Index least = direct_multiplications(s) / 2 + 1;
  for (const WinogradForm& form : kWinogradForms) {
    if (form.stride != s.stride_h || form.taps * form.stride != s.kernel_h) continue;
    if (transformed_multiplications(s, form) >= least) continue;
    least = transformed_multiplications(s, form);
    best = form;
  }
  return best;
}

inline TileGrid tile_grid(const ConvShape& s, const WinogradForm& form) {
  return {form.outputs(), s.batch,   s.in_height,  s.in_width, s.out_height,
          s.out_width,    s.pad_top, s.pad_left, form.stride};
}

// Columns of a chunk where one takes `planes` transformed planes; cut by units it may have a block's images more.
inline Index chunk_columns(int elements, int planes) {
  const Index column = Index{elements} * planes * Index{sizeof(float)};
  return larger<Index>(kChunkBytes / column / kLanes * kLanes, kChunkColumns);
}
inline int chunks_of(const TileGrid& grid, int begin, int end, Index columns) {
  return static_cast<int>(larger<Index>(ceil_div(grid.column(end) - grid.column(begin), columns), 1));
}

// Sizes of a pass that multiplies kernels with transformed planes.
struct WinogradPlan {
  ProductPlan product;
  Index columns;
  Transformed source, result;
  std::size_t packed_bytes;

  WinogradPlan(const TileGrid& grid, int elements, const TransformedKernels& kernels) {
    const int m = kernels.rows, k = kernels.planes();
    columns = chunk_columns(elements, m + k);
    const Index most = smaller(columns + kUnitImages, grid.columns());
    const Runs runs{columns, 1};
    product = plan_product(Layout::packed, m, k, &runs, 1);
    source = Transformed(elements, k, most);
    result = Transformed(elements, m, most);
    packed_bytes = static_cast<std::size_t>(kernels.floats(elements)) * sizeof(float);
  }
  std::size_t slot_bytes() const { return source.bytes() + result.bytes() + panel_bytes(product); }
  std::size_t bytes(int width) const { return packed_bytes + slot_bytes() * static_cast<std::size_t>(width); }
};

// A slot's part of the scratch memory.
struct WinogradSlot {
  float *source, *result, *buffer;

  WinogradSlot(const WinogradPlan& plan, char* memory, int slot) {
    char* const own = memory + plan.packed_bytes + static_cast<std::size_t>(slot) * plan.slot_bytes();
    source = reinterpret_cast<float*>(own);
    result = reinterpret_cast<float*>(own + plan.source.bytes());
    buffer = reinterpret_cast<float*>(own + plan.source.bytes() + plan.result.bytes());
  }
};

// result[element][m] = kernels[element][m][k] source[element][k], for the columns of a chunk.
inline void winograd_products(const WinogradPlan& plan, const TransformedKernels& form, Index columns,
                              const float* kernels, const WinogradSlot& slot) {
  const bool in_place = plan.product.tiles <= 3 || form.planes() <= kInPlacePlanes;
  for (int e = 0; e < plan.source.elements; ++e) {
    Product p;
    p.m = form.rows;
    p.k = form.planes();
    p.a = kernels + e * form.element;
    p.c = slot.result + e * plan.result.element;
    p.c_stride = plan.result.row;
    const MatrixSource b{slot.source + e * plan.source.element, plan.source.row, false, in_place, p.k,
                         columns, Index{plan.product.vectors} * kLanes};
    product_block(p, plan.product, b, 0, b.panels(), 0, plan.product.tiles, slot.buffer);
  }
}

// y[m] = kernels convolved with x[k], bias added where there is one.
template <class Tiles>
void winograd_convolve(Parallel& parallel, const TileGrid& grid, const KernelView& view, bool turned, const float* x,
                       const float* bias, bool relu, float* y, void* scratch) {
  constexpr int N = Tiles::tile, R = Tiles::taps;
  const TransformedKernels kernels(view, grid.phases(), false);
  const TiledPlanes inputs = TiledPlanes::inputs(grid, view.channels), outputs = TiledPlanes::outputs(grid, view.rows);
  const Index plane = grid.out_plane();
  const Vec zero = Vec::zero();
  const auto put = [&](int channel, Index place, Mask mask, Vec value) {
    if (bias != nullptr) value = value + Vec::of(bias[channel]);
    if (relu) value = select(less(value, zero), zero, value);
    store(y + channel * plane + place, value, mask);
  };
  if (few_columns(grid)) {
    const FewPlan few(grid, N, R, kernels);
    const auto back = [&](const Chunk& chunk, const float* result) {
      transform_back<OutputTransform<N, R>>(chunk, outputs, 0, 1, result, few.result, put);
    };
    return few_pass<Tiles, InputTransform<N>>(parallel, grid, few, view, turned, inputs, x, back, scratch);
  }
  const WinogradPlan plan(grid, Tiles::elements, kernels);
  char* const memory = static_cast<char*>(scratch);
  float* const packed = reinterpret_cast<float*>(memory);
  transform_kernels<Tiles>(parallel, view, kernels, grid.stride, turned, plan.product, packed);
  const int tasks = chunks_of(grid, 0, grid.units(), plan.columns);
  auto body = [&](int task, int index) {
    const WinogradSlot slot(plan, memory, index);
    const Chunk chunk = part_of(grid, 0, grid.units(), tasks, task);
    transform_planes<InputTransform<N>>(chunk, inputs, x, plan.source, slot.source);
    winograd_products(plan, kernels, chunk.columns(), packed, slot);
    transform_back<OutputTransform<N, R>>(chunk, outputs, 0, 1, slot.result, plan.result, put);
  };
  for_each_task(parallel, tasks, body);
}

// The gradient of the inputs as a convolution of dy with turned kernels, which pays where 6 x 6 tiles have many outputs.
inline TileGrid turned(const ConvShape& s, const WinogradForm& form) {
  const int r = s.kernel_h;
  return {form.outputs(), s.batch,    s.out_height,      s.out_width,
          s.in_height,    s.in_width, r - 1 - s.pad_top, r - 1 - s.pad_left};
}

// The gradient of the inputs by the transposed algorithm: the gradient of each transformed tile, taken back to the tile's
// inputs and added up where tiles overlap, in the order of tiles. Blocks of images are what tasks split.
template <class Tiles>
void winograd_scatter(Parallel& parallel, const TileGrid& grid, const KernelView& view, const float* dy, float* dx,
                      void* scratch) {
  constexpr int N = Tiles::tile, R = Tiles::taps;
  const TransformedKernels kernels(view, grid.phases(), true);
  const TiledPlanes inputs = TiledPlanes::inputs(grid, view.rows), outputs = TiledPlanes::outputs(grid, view.channels);
  const Index plane = grid.in_plane();
  // Zeros for the blocks whose first tile a chunk has.
  const auto clear = [&](const Chunk& chunk) {
    for (int block = ceil_div(chunk.begin, grid.tiles()); block * grid.tiles() < chunk.end; ++block) {
      float* const first = dx + Index{block} * kUnitImages;
      for (Index pixel = 0; pixel < Index{view.rows} * grid.in_h * grid.in_w; ++pixel) {
        fill_floats(first + pixel * grid.batch, 0.0F, grid.images(block));
      }
    }
  };
  const auto put = [&](int channel, Index place, Mask mask, Vec value) {
    float* const to = dx + channel * plane + place;
    store(to, load(to, mask) + value, mask);
  };
  if (few_columns(grid)) {
    const FewPlan few(grid, N, R, kernels);
    const auto back = [&](const Chunk& chunk, const float* result) {
      clear(chunk);
      for (int phase = 0; phase < grid.phases(); ++phase) {
        transform_back<InputGradient<N>>(chunk, inputs, phase, grid.phases(), result + phase * few.result.row, few.result,
                                         put);
      }
    };
    return few_pass<Tiles, OutputGradient<N, R>>(parallel, grid, few, view, false, outputs, dy, back, scratch);
  }
  const WinogradPlan plan(grid, Tiles::elements, kernels);
  char* const memory = static_cast<char*>(scratch);
  float* const packed = reinterpret_cast<float*>(memory);
  transform_kernels<Tiles>(parallel, view, kernels, grid.stride, false, plan.product, packed);
  const int tasks = parallel.width() <= 1 ? 1 : grid.blocks();
  auto body = [&](int task, int index) {
    const WinogradSlot slot(plan, memory, index);
    const int begin = static_cast<int>(part_begin(grid.blocks(), tasks, task)) * grid.tiles();
    const int end = static_cast<int>(part_begin(grid.blocks(), tasks, task + 1)) * grid.tiles();
    const int chunks = chunks_of(grid, begin, end, plan.columns);
    for (int i = 0; i < chunks; ++i) {
      const Chunk chunk = part_of(grid, begin, end, chunks, i);
      clear(chunk);
      transform_planes<OutputGradient<N, R>>(chunk, outputs, dy, plan.source, slot.source);
      for (int phase = 0; phase < grid.phases(); ++phase) {
        winograd_products(plan, kernels, chunk.columns(), packed + phase * kernels.phase_floats(Tiles::elements), slot);
        transform_back<InputGradient<N>>(chunk, inputs, phase, 1, slot.result, plan.result, put);
      }
    }
  };
  for_each_task(parallel, tasks, body);
}

inline void winograd_forward(Parallel& parallel, const WinogradForm& form, const ConvShape& s, const float* x,
                             const float* weights, const float* bias, float* y, void* scratch) {
  const KernelView view = KernelView::of_outputs(weights, s.out_channels, s.in_channels, s.kernel_h * s.kernel_w);
  with_tiling(form, [&](auto tiles) {
    winograd_convolve<decltype(tiles)>(parallel, tile_grid(s, form), view, false, x, bias, s.relu, y, scratch);
  });
}

inline void winograd_backward_data(Parallel& parallel, const WinogradForm& form, const ConvShape& s, const float* dy,
                                   const float* weights, float* dx, void* scratch) {
  const KernelView view = KernelView::of_inputs(weights, s.in_channels, s.out_channels, s.kernel_h * s.kernel_w);
  with_tiling(form, [&](auto tiles) {
    if constexpr (tiles.taps == 3) {
      winograd_convolve<decltype(tiles)>(parallel, turned(s, form), view, true, dy, nullptr, false, dx, scratch);
    } else {
      winograd_scatter<decltype(tiles)>(parallel, tile_grid(s, form), view, dy, dx, scratch);
    }
  });
}

// Of the passes to the outputs and to the inputs.
inline std::size_t winograd_product_bytes(const WinogradForm& form, const ConvShape& s, int width) {
  const TileGrid grid = tile_grid(s, form);
  const TileGrid back = form.taps == 3 ? turned(s, form) : grid;
  const TransformedKernels forward(s.out_channels, s.in_channels, form.phases(), false);
  const TransformedKernels data(s.in_channels, s.out_channels, form.phases(), true);
  const auto bytes = [&](const TileGrid& of, const TransformedKernels& kernels) {
    return few_columns(of) ? FewPlan(of, form.tile, form.taps, kernels).bytes(width)
                           : WinogradPlan(of, form.elements(), kernels).bytes(width);
  };
  return larger(bytes(grid, forward), bytes(back, data));
}

}  // namespace convsweep::cpu::CONVSWEEP_ISA
