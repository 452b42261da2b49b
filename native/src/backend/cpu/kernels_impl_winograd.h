// Convolutions of stride 1 with 3 x 3 and 5 x 5 kernels by Winograd's transforms: three passes of one shape.
//
// Guarantees: whether a convolution is done so depends on its shape alone (winograd_fits), never on the batch, the
// processor or the threads. A transformed element is a sum over channels in ascending order, a kernel's gradient one
// over (block of 32 images, tile, image) in ascending order within each of a fixed number of parts, which are added in
// order; neither chunks nor tasks change a byte.
//
// Work goes by chunks of tiles and images: transform the chunk's inputs into scratch that stays in the second-level
// cache, do the 36 matrix products, transform back. A chunk is cut into units: one tile of one block of images. Units go
// block by block, so that only those of a last, smaller block lie on columns that are no multiple of 16.
#pragma once

#include "kernels_impl_gemm.h"
#include "kernels_impl_kernel_view.h"
#include "kernels_impl_winograd_tiles.h"

namespace convsweep::cpu::CONVSWEEP_ISA {

inline constexpr int kUnitImages = 32;
// What the transformed inputs and outputs of a chunk may take of the second-level cache, and the columns that a chunk
// has at least however many channels there are.
inline constexpr Index kChunkBytes = 448 * 1024;
inline constexpr int kChunkColumns = 64;
// Sums of a weight gradient that are kept apart, for threads to work on: as many as fit into this, at least two.
inline constexpr Index kPartBytes = 4 * 1024 * 1024;
inline constexpr int kMostParts = 4;

// Output size at which transforms pay: they must save at least half of the multiplications.
inline bool winograd_fits(const ConvShape& s) {
  const int r = s.kernel_h;
  if (s.groups != 1 || s.stride_h != 1 || s.stride_w != 1 || s.kernel_w != r || (r != 3 && r != 5)) return false;
  if (s.in_channels < 16 || s.out_channels < 16) return false;
  const int m = kTile + 1 - r;
  const Index tiles = Index{ceil_div(s.out_height, m)} * ceil_div(s.out_width, m);
  return 2 * tiles * kTileElements <= Index{r} * r * s.out_height * s.out_width;
}

// The planes on both sides of a pass, forward: the outputs are cut into tiles of M x M without overlap, and the inputs
// of a tile begin at (tile row * M - pad_top, tile column * M - pad_left).
struct TileGrid {
  int m = 1, batch = 1;
  int in_h = 1, in_w = 1, out_h = 1, out_w = 1;
  int pad_top = 0, pad_left = 0;

  int across() const { return ceil_div(out_w, m); }
  int tiles() const { return ceil_div(out_h, m) * across(); }
  int blocks() const { return ceil_div(batch, kUnitImages); }
  int images(int block) const { return smaller(kUnitImages, batch - block * kUnitImages); }
  int units() const { return tiles() * blocks(); }
  Index columns() const { return Index{tiles()} * batch; }
  // The column where a unit begins among those of all units.
  Index column(int unit) const {
    const int block = unit / tiles(), tile = unit % tiles();
    if (block == blocks()) return columns();
    return Index{block} * tiles() * kUnitImages + Index{tile} * images(block);
  }
  // The first unit that begins at this column or behind it.
  int unit_from(Index column) const {
    const Index of_block = Index{tiles()} * kUnitImages;
    const int block = static_cast<int>(smaller<Index>(column / of_block, blocks() - 1));
    const Index rest = column - block * of_block;
    return block * tiles() + static_cast<int>(smaller<Index>(ceil_div<Index>(rest, images(block)), tiles()));
  }
  Index in_plane() const { return Index{in_h} * in_w * batch; }
  Index out_plane() const { return Index{out_h} * out_w * batch; }
};

inline TileGrid tile_grid(const ConvShape& s) {
  return {kTile + 1 - s.kernel_h, s.batch, s.in_height, s.in_width, s.out_height, s.out_width, s.pad_top, s.pad_left};
}

// Where the elements of a tile lie in a plane; -1 outside of it.
template <int N>
struct TilePlaces {
  Index at[N][N];
  bool inside = true;

  TilePlaces(int row, int column, int height, int width, Index batch) {
    for (int i = 0; i < N; ++i) {
      for (int j = 0; j < N; ++j) {
        const int r = row + i, c = column + j;
        const bool here = r >= 0 && r < height && c >= 0 && c < width;
        at[i][j] = here ? (Index{r} * width + c) * batch : -1;
        inside = inside && here;
      }
    }
  }
};

// Transformed planes of a chunk, [36][channels][columns]. The distance between elements is an odd number of cache
// lines, so that the 36 of a tile do not all fall on the same few sets of the cache.
struct Transformed {
  Index row = 0, element = 0;

  Transformed() = default;
  Transformed(int channels, Index columns) : row(round_up16(columns) + kLanes), element(channels * row) {
    if (element / kLanes % 2 == 0) element += kLanes;
  }
  std::size_t bytes() const { return static_cast<std::size_t>(kTileElements * element) * sizeof(float); }
};

// One unit's place: its tile, its images, and its first column within the chunk.
struct Unit {
  int tile_row, tile_column;
  Index first;
  int images;
  Index column;
};

// Units [begin, end) of a grid.
struct Chunk {
  const TileGrid& grid;
  int begin, end;

  Unit unit(int u) const {
    const int block = u / grid.tiles(), tile = u % grid.tiles();
    return {tile / grid.across(), tile % grid.across(), Index{block} * kUnitImages, grid.images(block),
            grid.column(u) - grid.column(begin)};
  }
  Index columns() const { return grid.column(end) - grid.column(begin); }
};

// Part `i` of `parts` of the units [begin, end), cut by columns.
inline Chunk part_of(const TileGrid& grid, int begin, int end, int parts, int i) {
  const Index from = grid.column(begin), count = grid.column(end) - from;
  const auto cut = [&](int k) { return grid.unit_from(from + part_begin(count, parts, k)); };
  return {grid, i == 0 ? begin : cut(i), i + 1 == parts ? end : cut(i + 1)};
}

// Each plane's tiles through `T` into `to`; tiles lie `step` apart from (top, left) on, N x N each.
template <class T>
void transform_planes(const Chunk& chunk, int step, int top, int left, int height, int width, int channels,
                      const float* from, const Transformed& form, float* to) {
  constexpr int N = T::in;
  const Index batch = chunk.grid.batch, plane = Index{height} * width * batch;
  for (int u = chunk.begin; u < chunk.end; ++u) {
    const Unit unit = chunk.unit(u);
    const TilePlaces<N> places(unit.tile_row * step + top, unit.tile_column * step + left, height, width, batch);
    for (int c = 0; c < channels; ++c) {
      const float* in = from + c * plane + unit.first;
      float* out = to + c * form.row + unit.column;
      for (int i = 0; i < unit.images; i += kLanes, in += kLanes, out += kLanes) {
        const Mask mask = first_lanes(smaller(kLanes, unit.images - i));
        Vec d[N][N], t[kTile][kTile];
        if (places.inside) {
        CONVSWEEP_TILE_UNROLL
          for (int r = 0; r < N; ++r) {
        CONVSWEEP_TILE_UNROLL
            for (int q = 0; q < N; ++q) d[r][q] = load(in + places.at[r][q], mask);
          }
        } else {
          for (int r = 0; r < N; ++r) {
            for (int q = 0; q < N; ++q) {
              d[r][q] = places.at[r][q] >= 0 ? load(in + places.at[r][q], mask) : Vec::zero();
            }
          }
        }
        transform<T>(d, t);
        // Lanes past the images are written too: the next unit's go over them, or nothing reads them.
        CONVSWEEP_TILE_UNROLL
        for (int r = 0; r < kTile; ++r) {
        CONVSWEEP_TILE_UNROLL
          for (int q = 0; q < kTile; ++q) store(out + (r * kTile + q) * form.element, t[r][q]);
        }
      }
    }
  }
}

// The reverse: each plane's tiles out of `from`, put into place by put(channel, place, images' mask, value).
template <class T, class Put>
void transform_back(const Chunk& chunk, int step, int top, int left, int height, int width, int channels,
                    const float* from, const Transformed& form, Put&& put) {
  constexpr int N = T::out;
  const Index batch = chunk.grid.batch;
  for (int u = chunk.begin; u < chunk.end; ++u) {
    const Unit unit = chunk.unit(u);
    const TilePlaces<N> places(unit.tile_row * step + top, unit.tile_column * step + left, height, width, batch);
    for (int c = 0; c < channels; ++c) {
      const float* in = from + c * form.row + unit.column;
      for (int i = 0; i < unit.images; i += kLanes, in += kLanes) {
        const Mask mask = first_lanes(smaller(kLanes, unit.images - i));
        Vec t[kTile][kTile], y[N][N];
        CONVSWEEP_TILE_UNROLL
        for (int r = 0; r < kTile; ++r) {
        CONVSWEEP_TILE_UNROLL
          for (int q = 0; q < kTile; ++q) t[r][q] = load(in + (r * kTile + q) * form.element);
        }
        transform<T>(t, y);
        for (int r = 0; r < N; ++r) {
          for (int q = 0; q < N; ++q) {
            if (places.at[r][q] >= 0) put(c, places.at[r][q] + unit.first + i, mask, y[r][q]);
          }
        }
      }
    }
  }
}

// Transformed kernels as the left factor of the products, packed by tiles of rows, one after another for the 36
// elements. `turned`: taps from the last to the first.
template <int R>
void transform_kernels(Parallel& parallel, const KernelView& view, bool turned, const ProductPlan& plan, float* to) {
  static_assert(R * R <= 2 * kLanes);
  const int m = view.rows, k = view.channels;
  const Index element = Index{m} * k;
  auto body = [&](int t, int) {
    const int row = static_cast<int>(part_begin(m, plan.tiles, t));
    const int rows = static_cast<int>(part_begin(m, plan.tiles, t + 1)) - row;
    const Mask mask = first_lanes(rows);
    float taps[2 * kLanes * kLanes] = {};
    for (int i = 0; i < k; ++i) {
      const Index at = row * view.row_step + i * view.channel_step;
      transpose_rows(view.weights + at, view.row_step, rows, R * R, view.count() - at, taps);
      Vec g[R][R], u[kTile][kTile];
      for (int r = 0; r < R; ++r) {
        for (int q = 0; q < R; ++q) g[r][q] = load(taps + (turned ? R * R - 1 - (r * R + q) : r * R + q) * kLanes);
      }
      transform<KernelTransform<R>>(g, u);
      float* out = to + Index{row} * k + Index{i} * rows;
      for (int r = 0; r < kTile; ++r) {
        for (int q = 0; q < kTile; ++q) store(out + (r * kTile + q) * element, u[r][q], mask);
      }
    }
  };
  for_each_task(parallel, plan.tiles, body);
}

// Columns of a chunk where one takes `channels` transformed planes; cut by units it may have a block's images more.
inline Index chunk_columns(int channels) {
  const Index column = Index{kTileElements} * channels * Index{sizeof(float)};
  return larger<Index>(kChunkBytes / column / kLanes * kLanes, kChunkColumns);
}
inline int chunks_of(const TileGrid& grid, int begin, int end, Index columns) {
  return static_cast<int>(larger<Index>(ceil_div(grid.column(end) - grid.column(begin), columns), 1));
}

// Sizes of a pass that multiplies kernels [m][k] with transformed planes of k channels.
struct WinogradPlan {
  ProductPlan product;
  Index columns;
  Transformed source, result;
  std::size_t packed_bytes;

  WinogradPlan(int m, int k) {
    columns = chunk_columns(m + k);
    const Index most = columns + kUnitImages;
    const Runs runs{columns, 1};
    product = plan_product(Layout::packed, m, k, &runs, 1);
    source = Transformed(k, most);
    result = Transformed(m, most);
    packed_bytes = aligned_bytes(static_cast<std::size_t>(kTileElements) * static_cast<std::size_t>(m) *
                                 static_cast<std::size_t>(k) * sizeof(float));
  }
  std::size_t slot_bytes() const { return source.bytes() + result.bytes() + panel_bytes(product); }
  std::size_t bytes(int width) const { return packed_bytes + slot_bytes() * static_cast<std::size_t>(width); }
};

// result[36][m] = kernels[36][m][k] source[36][k], for the columns of a chunk.
inline void winograd_products(const WinogradPlan& plan, int m, int k, Index columns, const float* kernels,
                              const float* source, float* result, float* buffer) {
  for (int e = 0; e < kTileElements; ++e) {
    Product p;
    p.m = m;
    p.k = k;
    p.a = kernels + Index{e} * m * k;
    p.c = result + e * plan.result.element;
    p.c_stride = plan.result.row;
    const MatrixSource b{source + e * plan.source.element, plan.source.row,  false, plan.product.tiles <= 3, k, columns,
                         Index{plan.product.vectors} * kLanes};
    product_block(p, plan.product, b, 0, b.panels(), 0, plan.product.tiles, buffer);
  }
}

// y[m] = kernels convolved with x[k], bias added where there is one.
template <int R>
void winograd_convolve(Parallel& parallel, const TileGrid& grid, const KernelView& view, bool turned, const float* x,
                       const float* bias, bool relu, float* y, void* scratch) {
  constexpr int M = kTile + 1 - R;
  const int m = view.rows, k = view.channels;
  const WinogradPlan plan(m, k);
  char* const memory = static_cast<char*>(scratch);
  float* const kernels = reinterpret_cast<float*>(memory);
  transform_kernels<R>(parallel, view, turned, plan.product, kernels);
  const int tasks = chunks_of(grid, 0, grid.units(), plan.columns);
  const Index plane = grid.out_plane();
  const Vec zero = Vec::zero();
  auto body = [&](int task, int slot) {
    char* const own = memory + plan.packed_bytes + static_cast<std::size_t>(slot) * plan.slot_bytes();
    float* const source = reinterpret_cast<float*>(own);
    float* const result = reinterpret_cast<float*>(own + plan.source.bytes());
    float* const buffer = reinterpret_cast<float*>(own + plan.source.bytes() + plan.result.bytes());
    const Chunk chunk = part_of(grid, 0, grid.units(), tasks, task);
    transform_planes<InputTransform>(chunk, M, -grid.pad_top, -grid.pad_left, grid.in_h, grid.in_w, k, x, plan.source,
                                     source);
    winograd_products(plan, m, k, chunk.columns(), kernels, source, result, buffer);
    transform_back<OutputTransform<M>>(chunk, M, 0, 0, grid.out_h, grid.out_w, m, result, plan.result,
                                       [&](int channel, Index place, Mask mask, Vec value) {
                                         if (bias != nullptr) value = value + Vec::of(bias[channel]);
                                         if (relu) value = select(less(value, zero), zero, value);
                                         store(y + channel * plane + place, value, mask);
                                       });
  };
  for_each_task(parallel, tasks, body);
}

// The gradient of the inputs as a convolution of dy with turned kernels, which pays where tiles are large.
inline TileGrid turned(const ConvShape& s) {
  const int r = s.kernel_h;
  return {kTile + 1 - r,  s.batch,    s.out_height,        s.out_width,
          s.in_height,    s.in_width, r - 1 - s.pad_top,   r - 1 - s.pad_left};
}

// The gradient of the inputs by the transposed algorithm: the gradient of each transformed tile, taken back to the 6 x 6
// inputs and added up where tiles overlap, in the order of tiles. Images are what tasks split.
template <int R>
void winograd_scatter(Parallel& parallel, const ConvShape& s, const float* dy, const float* weights, float* dx,
                      void* scratch) {
  constexpr int M = kTile + 1 - R;
  const TileGrid grid = tile_grid(s);
  const int m = s.in_channels, k = s.out_channels, tiles = grid.tiles();
  const WinogradPlan plan(m, k);
  char* const memory = static_cast<char*>(scratch);
  float* const kernels = reinterpret_cast<float*>(memory);
  transform_kernels<R>(parallel, KernelView::of_inputs(weights, m, k, R * R), false, plan.product, kernels);
  const Index plane = grid.in_plane();
  auto body = [&](int block, int slot) {
    char* const own = memory + plan.packed_bytes + static_cast<std::size_t>(slot) * plan.slot_bytes();
    float* const source = reinterpret_cast<float*>(own);
    float* const result = reinterpret_cast<float*>(own + plan.source.bytes());
    float* const buffer = reinterpret_cast<float*>(own + plan.source.bytes() + plan.result.bytes());
    const Index first = Index{block} * kUnitImages, images = grid.images(block);
    for (Index i = 0; i < Index{m} * grid.in_h * grid.in_w; ++i) {
      fill_floats(dx + i * grid.batch + first, 0.0F, images);
    }
    const int begin = block * tiles, end = begin + tiles, chunks = chunks_of(grid, begin, end, plan.columns);
    for (int i = 0; i < chunks; ++i) {
      const Chunk chunk = part_of(grid, begin, end, chunks, i);
      transform_planes<OutputGradient<M>>(chunk, M, 0, 0, grid.out_h, grid.out_w, k, dy, plan.source, source);
      winograd_products(plan, m, k, chunk.columns(), kernels, source, result, buffer);
      transform_back<InputGradient>(chunk, M, -grid.pad_top, -grid.pad_left, grid.in_h, grid.in_w, m, result,
                                    plan.result, [&](int channel, Index place, Mask mask, Vec value) {
                                      float* const to = dx + channel * plane + place;
                                      store(to, load(to, mask) + value, mask);
                                    });
    }
  };
  for_each_task(parallel, grid.blocks(), body);
}

// Sizes of the weight gradient: 36 products [rows][columns of the chunk] [columns][vectors], where rows and vectors are
// output and input channels, the way round that fills vectors better.
struct WinogradWeightPlan {
  bool rows_are_outputs;
  int rows, width;
  ProductPlan product;
  int parts;
  Index columns;
  Transformed of_rows, of_width;
  Index part_floats;

  explicit WinogradWeightPlan(const ConvShape& s) {
    const TileGrid grid = tile_grid(s);
    const Index waste_in = round_up16(s.in_channels) * Index{s.out_channels};
    const Index waste_out = round_up16(s.out_channels) * Index{s.in_channels};
    rows_are_outputs = waste_in <= waste_out;
    rows = rows_are_outputs ? s.out_channels : s.in_channels;
    width = rows_are_outputs ? s.in_channels : s.out_channels;
    part_floats = round_up16(Index{kTileElements} * rows * width);
    const Index fit = kPartBytes / (part_floats * Index{sizeof(float)});
    parts = static_cast<int>(smaller<Index>(larger<Index>(smaller<Index>(fit, kMostParts), 2), grid.units()));
    columns = chunk_columns(rows + width);
    const Index most = columns + kUnitImages;
    const Runs runs{width, 1};
    product = plan_product(Layout::rows, rows, static_cast<int>(most), &runs, 1);
    of_rows = Transformed(rows, most);
    of_width = Transformed(width, most);
  }
  std::size_t slot_bytes() const { return of_rows.bytes() + of_width.bytes() + panel_bytes(product); }
  std::size_t bytes(int threads) const {
    return static_cast<std::size_t>(parts * part_floats) * sizeof(float) +
           slot_bytes() * static_cast<std::size_t>(threads);
  }
};

template <int R>
void winograd_weights(Parallel& parallel, const ConvShape& s, const float* x, const float* dy, float* dweights,
                      void* scratch) {
  constexpr int M = kTile + 1 - R;
  const TileGrid grid = tile_grid(s);
  const WinogradWeightPlan plan(s);
  float* const sums = static_cast<float*>(scratch);
  char* const slots = static_cast<char*>(scratch) + static_cast<std::size_t>(plan.parts * plan.part_floats) * sizeof(float);
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
      transform_planes<InputTransform>(chunk, M, -grid.pad_top, -grid.pad_left, grid.in_h, grid.in_w, s.in_channels, x,
                                       out ? plan.of_width : plan.of_rows, out ? of_width : of_rows);
      transform_planes<OutputGradient<M>>(chunk, M, 0, 0, grid.out_h, grid.out_w, s.out_channels, dy,
                                          out ? plan.of_rows : plan.of_width, out ? of_rows : of_width);
      const Index columns = chunk.columns();
      for (int e = 0; e < kTileElements; ++e) {
        Product p;
        p.m = plan.rows;
        p.k = static_cast<int>(columns);
        p.a = of_rows + e * plan.of_rows.element;
        p.a_stride = plan.of_rows.row;
        p.layout = Layout::rows;
        p.c = own_sums + Index{e} * plan.rows * plan.width;
        p.c_stride = plan.width;
        p.accumulate = started;
        const MatrixSource b{of_width + e * plan.of_width.element,
                             plan.of_width.row,
                             true,
                             false,
                             static_cast<int>(columns),
                             plan.width,
                             Index{plan.product.vectors} * kLanes};
        product_block(p, plan.product, b, 0, b.panels(), 0, plan.product.tiles, buffer);
      }
      started = true;
    }
    if (!started) fill_floats(own_sums, 0.0F, plan.part_floats);
  };
  for_each_task(parallel, plan.parts, body);

  const Index element = Index{plan.rows} * plan.width;
  const int tasks = task_count(parallel, plan.rows, kSerialElements / (plan.width * kTileElements) + 1);
  auto finish = [&](int task, int) {
    for (Index row = part_begin(plan.rows, tasks, task); row < part_begin(plan.rows, tasks, task + 1); ++row) {
      for (int c = 0; c < plan.width; c += kLanes) {
        const int lanes = smaller(kLanes, plan.width - c);
        const Mask mask = first_lanes(lanes);
        Vec u[kTile][kTile], g[R][R];
        for (int e = 0; e < kTileElements; ++e) {
          const float* from = sums + e * element + row * plan.width + c;
          Vec sum = load(from, mask);
          for (int part = 1; part < plan.parts; ++part) sum = sum + load(from + part * plan.part_floats, mask);
          u[e / kTile][e % kTile] = sum;
        }
        transform<KernelGradient<R>>(u, g);
        for (int tap = 0; tap < R * R; ++tap) {
          float values[kLanes];
          store(values, g[tap / R][tap % R]);
          for (int i = 0; i < lanes; ++i) {
            const Index outer = plan.rows_are_outputs ? row : c + i, inner = plan.rows_are_outputs ? c + i : row;
            dweights[(outer * s.in_channels + inner) * (R * R) + tap] = values[i];
          }
        }
      }
    }
  };
  for_each_task(parallel, tasks, finish);
}

inline std::size_t winograd_scratch_bytes(const ConvShape& s, int width) {
  const std::size_t forward = WinogradPlan(s.out_channels, s.in_channels).bytes(width);
  const std::size_t data = WinogradPlan(s.in_channels, s.out_channels).bytes(width);
  return larger(larger(forward, data), WinogradWeightPlan(s).bytes(width));
}

inline void winograd_forward(Parallel& parallel, const ConvShape& s, const float* x, const float* weights,
                             const float* bias, float* y, void* scratch) {
  const TileGrid grid = tile_grid(s);
  const KernelView view = KernelView::of_outputs(weights, s.out_channels, s.in_channels, s.kernel_h * s.kernel_w);
  if (s.kernel_h == 3) return winograd_convolve<3>(parallel, grid, view, false, x, bias, s.relu, y, scratch);
  winograd_convolve<5>(parallel, grid, view, false, x, bias, s.relu, y, scratch);
}

inline void winograd_backward_data(Parallel& parallel, const ConvShape& s, const float* dy, const float* weights,
                                   float* dx, void* scratch) {
  if (s.kernel_h == 5) return winograd_scatter<5>(parallel, s, dy, weights, dx, scratch);
  const KernelView view = KernelView::of_inputs(weights, s.in_channels, s.out_channels, 9);
  winograd_convolve<3>(parallel, turned(s), view, true, dy, nullptr, false, dx, scratch);
}

inline void winograd_backward_weights(Parallel& parallel, const ConvShape& s, const float* x, const float* dy,
                                      float* dweights, void* scratch) {
  if (s.kernel_h == 3) return winograd_weights<3>(parallel, s, x, dy, dweights, scratch);
  winograd_weights<5>(parallel, s, x, dy, dweights, scratch);
}

}  // namespace convsweep::cpu::CONVSWEEP_ISA
