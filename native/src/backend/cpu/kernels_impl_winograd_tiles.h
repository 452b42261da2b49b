// Tiles of planes for Winograd's transforms: where they lie, and their way into and out of transformed form.
//
// A convolution of stride S is a sum of S x S convolutions of stride 1: phase (a, b) takes the taps (a + i S, b + j S) and
// the inputs whose row and column are a and b modulo S, padding counted. So a tile of N x N inputs of a phase lies S apart
// in its plane, and a transformed plane of the products is one phase of one channel.
//
// A chunk of tiles and images is cut into units: one tile of one block of images. Units go block by block, so that only
// those of a last, smaller block lie on columns that are no multiple of 16.
#pragma once

#include "kernels_impl_kernel_view.h"
#include "kernels_impl_winograd_points.h"

namespace convsweep::cpu::CONVSWEEP_ISA {

inline constexpr int kUnitImages = 32;
// Of a kernel that is transformed, rounded up to whole squares of sixteen.
inline constexpr int kMostTaps = 2 * kLanes;

// Tiles of N x N inputs for R x R taps of a phase.
template <int N, int R>
struct Tiling {
  static constexpr int tile = N, taps = R, outputs = N + 1 - R, elements = N * N;
};

// The planes on both sides of a pass, forward: the outputs are cut into tiles of m x m without overlap, and the inputs
// of a tile's phase (a, b) begin at (tile row * m * stride + a - pad_top, tile column * m * stride + b - pad_left).
struct TileGrid {
  int m = 1, batch = 1;
  int in_h = 1, in_w = 1, out_h = 1, out_w = 1;
  int pad_top = 0, pad_left = 0;
  int stride = 1;

  int across() const { return ceil_div(out_w, m); }
  int tiles() const { return ceil_div(out_h, m) * across(); }
  int phases() const { return stride * stride; }
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

// One side's planes as tiles: element (i, j) of phase (a, b) of tile (r, c) is the plane's element
// ((r * step + i) * stride + a + top, (c * step + j) * stride + b + left).
struct TiledPlanes {
  int channels, height, width;
  int step, stride, top, left;

  static TiledPlanes inputs(const TileGrid& g, int channels) {
    return {channels, g.in_h, g.in_w, g.m, g.stride, -g.pad_top, -g.pad_left};
  }
  static TiledPlanes outputs(const TileGrid& g, int channels) { return {channels, g.out_h, g.out_w, g.m, 1, 0, 0}; }
  int phases() const { return stride * stride; }
};

// One unit's place: its tile, its images, and its first column within the chunk.
struct Unit {
  int tile_row, tile_column;
  Index first;
  int images;
  Index column;
};

// Where the elements of a unit's tile lie in a plane; -1 outside of it.
template <int N>
struct TilePlaces {
  Index at[N][N];

  TilePlaces(const TiledPlanes& planes, const Unit& unit, int phase, Index batch) {
    const int row = unit.tile_row * planes.step * planes.stride + phase / planes.stride + planes.top;
    const int column = unit.tile_column * planes.step * planes.stride + phase % planes.stride + planes.left;
    for (int i = 0; i < N; ++i) {
      for (int j = 0; j < N; ++j) {
        const int r = row + i * planes.stride, c = column + j * planes.stride;
        const bool here = r >= 0 && r < planes.height && c >= 0 && c < planes.width;
        at[i][j] = here ? (Index{r} * planes.width + c) * batch : -1;
      }
    }
  }
};

// Floats from one element of all tiles to the next: an odd number of cache lines, so that the elements of a tile do not
// all fall on the same few sets of the cache.
inline Index element_step(Index floats) {
  const Index lines = ceil_div<Index>(floats, kLanes);
  return (lines + 1 - lines % 2) * kLanes;
}

// Transformed planes of a chunk, [element of the tile][plane][column].
struct Transformed {
  Index row = 0, element = 0;
  int elements = 0;

  Transformed() = default;
  Transformed(int tile_elements, int planes, Index columns)
      : row(round_up16(columns) + kLanes), element(element_step(planes * row)), elements(tile_elements) {}
  std::size_t bytes() const { return static_cast<std::size_t>(elements * element) * sizeof(float); }
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

// Tiles of all planes and phases through `T` into `to`; phase p of channel c is transformed plane c * phases + p.
template <class T>
void transform_planes(const Chunk& chunk, const TiledPlanes& planes, const float* from, const Transformed& form,
                      float* to) {
  constexpr int N = T::in;
  const Index batch = chunk.grid.batch, plane = Index{planes.height} * planes.width * batch;
  const float nothing[kLanes] = {};
  for (int u = chunk.begin; u < chunk.end; ++u) {
    const Unit unit = chunk.unit(u);
    for (int phase = 0; phase < planes.phases(); ++phase) {
      const TilePlaces<N> places(planes, unit, phase, batch);
      for (int c = 0; c < planes.channels; ++c) {
        const float* in = from + c * plane + unit.first;
        float* out = to + (c * planes.phases() + phase) * form.row + unit.column;
        for (int i = 0; i < unit.images; i += kLanes, in += kLanes, out += kLanes) {
          const Mask mask = first_lanes(smaller(kLanes, unit.images - i));
          // Lanes past the images are written too: the next unit's go over them, or nothing reads them.
          transform<T>(
              [&](int r, int q) {
                const Index at = places.at[r][q];
                return load(at >= 0 ? in + at : nothing, mask);
              },
              [&](int r, int q, Vec value) { store(out + (r * T::out + q) * form.element, value); });
        }
      }
    }
  }
}

// The reverse for one phase: each plane's tiles are put into place by put(channel, place, images' mask, value). `step`:
// transformed planes from one channel to the next.
template <class T, class Put>
void transform_back(const Chunk& chunk, const TiledPlanes& planes, int phase, int step, const float* from,
                    const Transformed& form, const Put& put) {
  constexpr int N = T::out;
  const Index batch = chunk.grid.batch;
  for (int u = chunk.begin; u < chunk.end; ++u) {
    const Unit unit = chunk.unit(u);
    const TilePlaces<N> places(planes, unit, phase, batch);
    for (int c = 0; c < planes.channels; ++c) {
      const float* in = from + Index{c} * step * form.row + unit.column;
      for (int i = 0; i < unit.images; i += kLanes, in += kLanes) {
        const Mask mask = first_lanes(smaller(kLanes, unit.images - i));
        transform<T>([&](int r, int q) { return load(in + (r * T::in + q) * form.element); },
                     [&](int r, int q, Vec value) {
                       const Index at = places.at[r][q];
                       if (at >= 0) put(c, at + unit.first + i, mask, value);
                     });
      }
    }
  }
}

// Transformed kernels, the left factor of the products: packed by tiles of rows, one after another for the elements of
// a tile.
struct TransformedKernels {
  int rows, channels, phases;
  // Phases are products of their own, one after another; otherwise they are added up, phase p of channel c being plane
  // c * phases + p.
  bool apart;
  Index element;

  TransformedKernels(const KernelView& view, int phase_count, bool phases_apart)
      : TransformedKernels(view.rows, view.channels, phase_count, phases_apart) {}
  TransformedKernels(int row_count, int channel_count, int phase_count, bool phases_apart)
      : rows(row_count), channels(channel_count), phases(phase_count), apart(phases_apart) {
    element = element_step(Index{rows} * planes());
  }
  // What a product adds up.
  int planes() const { return apart ? channels : channels * phases; }
  Index phase_floats(int elements) const { return elements * element; }
  Index floats(int elements) const { return phase_floats(elements) * (apart ? phases : 1); }
};

// `turned`: taps from the last to the first.
template <class Tiles>
void transform_kernels(Parallel& parallel, const KernelView& view, const TransformedKernels& form, int stride,
                       bool turned, const ProductPlan& plan, float* to) {
  constexpr int N = Tiles::tile, R = Tiles::taps;
  const int kernel = R * stride;
  auto body = [&](int t, int) {
    const int row = static_cast<int>(part_begin(form.rows, plan.tiles, t));
    const int rows = static_cast<int>(part_begin(form.rows, plan.tiles, t + 1)) - row;
    const Mask mask = first_lanes(rows);
    float taps[kMostTaps * kLanes] = {};
    for (int channel = 0; channel < form.channels; ++channel) {
      const Index at = row * view.row_step + channel * view.channel_step;
      transpose_rows(view.weights + at, view.row_step, rows, view.taps, view.count() - at, taps);
      for (int phase = 0; phase < form.phases; ++phase) {
        const Index plane = form.apart ? channel : channel * form.phases + phase;
        float* const out =
            to + (form.apart ? phase * form.phase_floats(N * N) : 0) + Index{row} * form.planes() + plane * rows;
        const int first = phase / stride * kernel + phase % stride;
        transform<KernelTransform<N, R>>(
            [&](int r, int q) {
              const int tap = first + (r * kernel + q) * stride;
              return load(taps + (turned ? view.taps - 1 - tap : tap) * kLanes);
            },
            [&](int r, int q, Vec value) { store(out + (r * N + q) * form.element, value, mask); });
      }
    }
  };
  for_each_task(parallel, plan.tiles, body);
}

}  // namespace convsweep::cpu::CONVSWEEP_ISA
