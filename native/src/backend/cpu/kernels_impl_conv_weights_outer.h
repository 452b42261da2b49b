// The weight gradient of a convolution as sums of outer products: for each element of the output the channels of x under a
// tap against all channels of dy.
//
// Guarantees: an output row is cut into chunks of neighbouring columns, by the shape alone. Within a chunk acc = 0, then
// acc = fma(x, dy, acc) over (column, image) in ascending order; chunks are added in ascending order, rows first. A tap
// on padding takes no part. Tiles, panels and tasks change no byte.
//
// dy is transposed first, so that vectors lie along its channels; x is read where it lies, one channel a row of the tile. Used
// where both sides have enough channels to fill a tile (outer_fits); otherwise kernels_impl_conv_weights.h.
#pragma once

#include "kernels_impl_conv_weights.h"
#include "kernels_impl_gemm.h"

namespace convsweep::cpu::CONVSWEEP_ISA {

// Columns times images of a chunk, about: short sums lose little precision, and a chunk's panel of dy stays in the
// first-level cache.
inline constexpr int kOuterDepth = 256;
// What a task's sums may take of the second-level cache, so that they stay there from chunk to chunk.
inline constexpr Index kOuterSumBytes = 256 * 1024;

inline bool outer_fits(const ConvShape& s) { return s.in_channels / s.groups >= 4 && s.out_channels / s.groups >= 16; }

struct OuterArgs {
  // a[row * a_stride + segment * a_step + i], i < length; b[(segment * length + i) * vectors * kLanes + column].
  const float* a;
  Index a_stride, a_step;
  const float* b;
  int segments, length;
  // Added to.
  float* c;
  Index c_stride;
};
using OuterFn = void (*)(const OuterArgs&);

template <int MR, int NV>
void outer_tile(const OuterArgs& args) {
  Vec acc[MR][NV];
#pragma GCC unroll 16
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 16
    for (int j = 0; j < NV; ++j) acc[i][j] = Vec::zero();
  }
  const float* b = args.b;
  const Index length = args.length;
  for (int segment = 0; segment < args.segments; ++segment) {
    const float* a[MR];
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) a[i] = args.a + i * args.a_stride + segment * args.a_step;
    add_products<MR, NV>(acc, a, length, b, NV * kLanes);
    b += length * NV * kLanes;
  }
  float* const c = args.c;
#pragma GCC unroll 16
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 16
    for (int j = 0; j < NV; ++j) {
      float* const to = c + i * args.c_stride + j * kLanes;
      store(to, load(to) + acc[i][j]);
    }
  }
}

inline constexpr int kOuterRows = kMaxRowMajorRows < kLargestRows ? kMaxRowMajorRows : kLargestRows;

struct OuterTable {
  OuterFn fn[kOuterRows][kMaxVectors];

  template <int MR, int NV>
  static constexpr OuterFn pick() {
    if constexpr (MR <= max_tile_rows(TileKind::rows, NV)) {
      return &outer_tile<MR, NV>;
    } else {
      return nullptr;
    }
  }
  template <int MR, int... NV>
  static constexpr void fill_row(OuterTable& t, std::integer_sequence<int, NV...>) {
    ((t.fn[MR][NV] = pick<MR + 1, NV + 1>()), ...);
  }
  template <int... MR>
  static constexpr OuterTable make(std::integer_sequence<int, MR...>) {
    OuterTable t{};
    (fill_row<MR>(t, std::make_integer_sequence<int, kMaxVectors>{}), ...);
    return t;
  }
};
inline constexpr OuterTable kOuters = OuterTable::make(std::make_integer_sequence<int, kOuterRows>{});

// Sizes for one group. Tiles of product are of channels of x, its vectors of channels of dy.
struct OuterPlan {
  int m, channels, kernel;
  Index depth;
  int pixels, chunks;
  ProductPlan product;
  Index pitch;
  int tasks;

  OuterPlan(const ConvShape& s, const Taps& taps, int width)
      : m(s.out_channels / s.groups),
        channels(s.in_channels / s.groups),
        kernel(s.kernel_h * s.kernel_w),
        depth(taps.grid_h * taps.run()),
        chunks(ceil_div(taps.grid_w, larger(kOuterDepth / s.batch, 1))) {
    const Runs runs{m, 1};
    product = plan_product(Layout::rows, channels, ceil_div(taps.grid_w, chunks) * s.batch, &runs, 1);
    // An odd number of cache lines: rows of a tile, kernel * pitch apart, then fall on more sets of the cache.
    pitch = round_up16<Index>(m);
    if (pitch / kLanes % 2 == 0) pitch += kLanes;
    const Index units = Index{product.tiles} * kernel;
    Index parts = ceil_div(sum_rows() * pitch * Index{sizeof(float)}, kOuterSumBytes);
    if (!weights_serial(s, width)) parts = larger<Index>(parts, Index{4} * width);
    tasks = static_cast<int>(smaller(parts, units));
  }

  Index width() const { return Index{product.vectors} * kLanes; }
  Index panels() const { return ceil_div<Index>(m, width()); }
  Index sum_rows() const { return Index{channels} * kernel; }
  std::size_t transposed_bytes() const { return static_cast<std::size_t>(depth * round_up16<Index>(m)) * sizeof(float); }
  std::size_t bytes() const {
    return transposed_bytes() + static_cast<std::size_t>(round_up16(sum_rows()) * pitch) * sizeof(float);
  }
};

inline Taps outer_taps(const ConvShape& s, const float* x) { return flattened(forward_taps(s, x)); }

// One group's dy, [m][depth], to panels of [depth][vectors].
inline void transpose_gradient(Parallel& parallel, const OuterPlan& plan, const float* dy, float* to) {
  const MatrixSource source{dy, plan.depth, true, false, static_cast<int>(plan.depth), plan.m, plan.width()};
  const int panels = static_cast<int>(source.panels());
  const int parts = task_count(parallel, plan.depth, kSerialElements / plan.m + 1);
  auto body = [&](int task, int) {
    const MatrixSource::Panel panel = source.panel(task / parts);
    const Index width = round_up16<Index>(panel.columns);
    const Index vectors = ceil_div<Index>(plan.depth, kLanes);
    const Index low = part_begin(vectors, parts, task % parts) * kLanes;
    const Index high = smaller(part_begin(vectors, parts, task % parts + 1) * kLanes, plan.depth);
    if (low >= high) return;
    source.pieces(panel, static_cast<int>(low), static_cast<int>(high), [&](int k0, int k1, const Operand& operand) {
      source.pack(panel, operand, k0, k1, to + panel.column * plan.depth + k0 * width, static_cast<int>(width));
    });
  };
  for_each_task(parallel, panels * parts, body);
}

// Tiles of channels under single taps, one group, [unit0, unit1) of them in the order (tile, tap).
inline void outer_units(const OuterPlan& plan, const Taps& taps, const float* transposed, float* sums, Index unit0,
                        Index unit1) {
  const auto first_channel = [&](Index tile) { return part_begin(plan.channels, plan.product.tiles, static_cast<int>(tile)); };
  for (Index u = unit0; u < unit1; ++u) {
    for (Index channel = first_channel(u / plan.kernel); channel < first_channel(u / plan.kernel + 1); ++channel) {
      fill_floats(sums + (channel * plan.kernel + u % plan.kernel) * plan.pitch, 0.0F, plan.pitch);
    }
  }
  OuterArgs args;
  args.a_stride = taps.source_plane();
  args.a_step = Index{taps.stride_w} * taps.batch;
  args.c_stride = plan.kernel * plan.pitch;
  for (int row = 0; row < taps.grid_h; ++row) {
    const TapRange rows = taps.rows(row);
    for (int chunk = 0; chunk < plan.chunks; ++chunk) {
      const Index begin = part_begin(taps.grid_w, plan.chunks, chunk), end = part_begin(taps.grid_w, plan.chunks, chunk + 1);
      for (Index panel = 0; panel < plan.panels(); ++panel) {
        const Index column = panel * plan.width();
        const Index width = round_up16(smaller(plan.width(), plan.m - column));
        for (Index u = unit0; u < unit1; ++u) {
          const int tap = static_cast<int>(u % plan.kernel), r = tap / taps.kernel_w, c = tap % taps.kernel_w;
          if (r < rows.low || r >= rows.high) continue;
          // Columns whose tap lies inside the image.
          const Index low = larger(begin, ceil_div<Index>(larger(taps.pad_left - c, 0), taps.stride_w));
          const Index high = smaller(end, Index{taps.source_w - 1 + taps.pad_left - c + taps.stride_w} / taps.stride_w);
          if (low >= high) continue;
          const Index channel = first_channel(u / plan.kernel), channels = first_channel(u / plan.kernel + 1) - channel;
          args.a = taps.source + channel * taps.source_plane() + taps.row(row, r) * taps.source_row() +
                   Index{taps.column(static_cast<int>(low), c)} * taps.batch;
          args.b = transposed + column * plan.depth + (row * Index{taps.grid_w} + low) * taps.batch * width;
          args.segments = taps.contiguous() ? 1 : static_cast<int>(high - low);
          args.length = taps.contiguous() ? static_cast<int>(high - low) * taps.batch : taps.batch;
          args.c = sums + (channel * plan.kernel + tap) * plan.pitch + column;
          kOuters.fn[channels - 1][width / kLanes - 1](args);
        }
      }
    }
  }
}

// sums [k][pitch] to dweights [m][k].
inline void transpose_sums(Parallel& parallel, const OuterPlan& plan, const float* sums, float* dweights) {
  const Index k = plan.sum_rows(), blocks = ceil_div<Index>(k, kLanes);
  const int tasks = task_count(parallel, blocks, kSerialElements / (kLanes * plan.m) + 1);
  auto body = [&](int task, int) {
    for (Index block = part_begin(blocks, tasks, task); block < part_begin(blocks, tasks, task + 1); ++block) {
      const Index row = block * kLanes, rows = smaller<Index>(kLanes, k - row);
      for (Index column = 0; column < plan.m; column += kLanes) {
        const Index columns = smaller<Index>(kLanes, plan.m - column);
        const float* const from = sums + row * plan.pitch + column;
        float* const to = dweights + column * k + row;
        if (rows == kLanes && columns == kLanes) {
          transpose16(from, plan.pitch, to, k);
          continue;
        }
        float turned[kLanes * kLanes];
        transpose16(from, plan.pitch, turned, kLanes);
        for (Index i = 0; i < columns; ++i) copy_floats(to + i * k, turned + i * kLanes, rows);
      }
    }
  };
  for_each_task(parallel, tasks, body);
}

inline void outer_backward_weights(Parallel& parallel, const ConvShape& s, const float* x, const float* dy,
                                   float* dweights, void* scratch) {
  Taps taps = outer_taps(s, x);
  const OuterPlan plan(s, taps, parallel.width());
  float* const transposed = static_cast<float*>(scratch);
  float* const sums = transposed + plan.transposed_bytes() / sizeof(float);
  const Index units = Index{plan.product.tiles} * plan.kernel;
  for (int group = 0; group < s.groups; ++group) {
    transpose_gradient(parallel, plan, dy + group * plan.m * plan.depth, transposed);
    auto body = [&](int task, int) {
      outer_units(plan, taps, transposed, sums, part_begin(units, plan.tasks, task), part_begin(units, plan.tasks, task + 1));
    };
    if (weights_serial(s, parallel.width())) {
      for (int task = 0; task < plan.tasks; ++task) body(task, 0);
    } else {
      for_each_task(parallel, plan.tasks, body);
    }
    transpose_sums(parallel, plan, sums, dweights + group * plan.m * plan.sum_rows());
    taps.source += plan.channels * taps.source_plane();
  }
}

}  // namespace convsweep::cpu::CONVSWEEP_ISA
