// C = A B by cache blocks: the loops around the register tile, for every source of B.
//
// The columns of C are `runs` runs of `run` contiguous floats; a panel is at most `vectors` vectors within one run. For a
// block of k, a panel of B is either read where it lies or packed into a small buffer, then all tiles of rows go over it.
// Blocks and panels are chosen for the caches; no choice changes a byte of the result.
//
// A source of B has
//   bool direct(run, column, columns, Direct&)   whether these columns can be read in place, full vectors only
//   void pack(k0, k1, run, column, columns, to, width)   rows k0..k1-1, `width` floats each, zeros after `columns`.
#pragma once

#include "kernels_impl_tile.h"

namespace convsweep::cpu::CONVSWEEP_ISA {

enum class Layout {
  // A[row * a_stride + k]
  rows,
  // A[k * a_stride + row]
  columns,
  // Packed by tiles of rows: a tile that starts at row r lies at r * k, there [k][rows of the tile].
  packed
};

struct Product {
  int m = 0;
  int k = 0;
  Index runs = 1;
  Index run = 0;
  const float* a = nullptr;
  Index a_stride = 0;
  Layout layout = Layout::packed;
  float* c = nullptr;
  Index c_stride = 0;
  const float* bias = nullptr;
};

// B read in place: element (k, column) is at base[k * stride + column], or base[offset[k] + column] with a table.
struct Direct {
  const float* base = nullptr;
  Index stride = 0;
  const Index* offset = nullptr;
};

struct ProductPlan {
  int vectors = 1;
  int tiles = 1;
  int depth = 1;
  Index panels_per_run = 1;
};

// Bytes of B that a panel may take of the first-level cache.
inline constexpr Index kPanelBytes = 32 * 1024;
inline constexpr int kMaxDepth = 512;

inline TileKind tile_kind(Layout layout) { return layout == Layout::rows ? TileKind::rows : TileKind::columns; }

// An estimate in cycles: two multiply-adds and two loads a cycle, four cycles from one multiply-add to the next on the
// same accumulator.
inline double tile_cost(int rows, int vectors, int k) {
  const double multiplies = rows * vectors * kRegistersPerVec / 2.0;
  const double loads = (rows + vectors * kRegistersPerVec) / 2.0;
  const double each = larger(larger(multiplies, loads), 4.0);
  return each + (20.0 + rows * vectors) / k;
}

inline ProductPlan plan_product(Layout layout, int m, int k, Index run) {
  const TileKind kind = tile_kind(layout);
  const Index vectors_in_run = ceil_div<Index>(run, kLanes);
  ProductPlan best;
  double best_cost = -1.0;
  for (int vectors = 1; vectors <= kMaxVectors; ++vectors) {
    if (vectors > vectors_in_run && vectors > 1) break;
    const int tiles = ceil_div(m, max_tile_rows(kind, vectors));
    const int low = m / tiles, extra = m % tiles;
    const auto column_cost = [&](int v) {
      return (tiles - extra) * tile_cost(low, v, k) + extra * tile_cost(low + 1, v, k);
    };
    const Index whole = vectors_in_run / vectors;
    const int rest = static_cast<int>(vectors_in_run % vectors);
    double cost = static_cast<double>(whole) * column_cost(vectors);
    if (rest > 0) cost += column_cost(rest);
    if (best_cost < 0.0 || cost < best_cost) {
      best_cost = cost;
      best.vectors = vectors;
      best.tiles = tiles;
    }
  }
  const Index deepest = smaller<Index>(kMaxDepth, kPanelBytes / (best.vectors * kLanes * Index{sizeof(float)}));
  const int blocks = static_cast<int>(larger<Index>(ceil_div<Index>(k, deepest), 1));
  best.depth = larger(ceil_div(k, blocks), 1);
  best.panels_per_run = ceil_div<Index>(run, Index{best.vectors} * kLanes);
  return best;
}

// Floats of the buffer that a slot packs into.
inline Index panel_floats(const ProductPlan& plan) { return Index{plan.depth} * plan.vectors * kLanes; }

inline std::size_t panel_bytes(const ProductPlan& plan) {
  return aligned_bytes(static_cast<std::size_t>(panel_floats(plan)) * sizeof(float));
}

// Panels [panel0, panel1) by tiles of rows [tile0, tile1).
template <class Source>
void product_block(const Product& p, const ProductPlan& plan, const Source& source, Index panel0, Index panel1,
                   int tile0, int tile1, float* buffer) {
  const Index width = Index{plan.vectors} * kLanes;
  const TileKind kind = tile_kind(p.layout);
  // So many panels at a time that their part of C stays in the second-level cache from one block of k to the next.
  const Index chunk = larger<Index>((Index{512} * 1024) / (larger(p.m, 1) * width * Index{sizeof(float)}), 1);
  for (Index from = panel0; from < panel1; from += chunk) {
    const Index to = smaller(from + chunk, panel1);
    for (int k0 = 0; k0 < p.k; k0 += plan.depth) {
      const int k1 = smaller(k0 + plan.depth, p.k);
      for (Index panel = from; panel < to; ++panel) {
        const Index run = panel / plan.panels_per_run;
        const Index column = (panel % plan.panels_per_run) * width;
        const int columns = static_cast<int>(smaller(width, p.run - column));
        const int vectors = ceil_div(columns, kLanes);
        Direct direct;
        const bool in_place = source.direct(run, column, columns, direct);
        TileArgs args;
        args.depth = k1 - k0;
        args.b_offset = nullptr;
        if (in_place) {
          args.b_stride = direct.stride;
          if (direct.offset != nullptr) {
            args.b = direct.base;
            args.b_offset = direct.offset + k0;
          } else {
            args.b = direct.base + k0 * direct.stride;
          }
        } else {
          source.pack(k0, k1, run, column, columns, buffer, vectors * kLanes);
          args.b = buffer;
          args.b_stride = Index{vectors} * kLanes;
        }
        args.c_stride = p.c_stride;
        args.first = k0 == 0;
        args.last_lanes = columns - (vectors - 1) * kLanes;
        const bool last_block = k1 == p.k;
        for (int t = tile0; t < tile1; ++t) {
          const int row = static_cast<int>(part_begin(p.m, plan.tiles, t));
          const int rows = static_cast<int>(part_begin(p.m, plan.tiles, t + 1)) - row;
          switch (p.layout) {
            case Layout::rows:
              args.a = p.a + row * p.a_stride + k0;
              args.a_stride = p.a_stride;
              break;
            case Layout::columns:
              args.a = p.a + row + k0 * p.a_stride;
              args.a_stride = p.a_stride;
              break;
            case Layout::packed:
              args.a = p.a + Index{row} * p.k + Index{k0} * rows;
              args.a_stride = rows;
              break;
          }
          args.c = p.c + row * p.c_stride + run * p.run + column;
          args.bias = last_block && p.bias != nullptr ? p.bias + row : nullptr;
          tile_function(args.b_offset != nullptr ? TileKind::table : kind, rows, vectors)(args);
        }
      }
    }
  }
}

// Splits the panels over tasks, and the rows too where there are few panels. `buffers`: one panel a slot.
template <class Source>
void product(Parallel& parallel, const Product& p, const ProductPlan& plan, const Source& source, float* buffers) {
  const Index panels = p.runs * plan.panels_per_run;
  const int width = parallel.width();
  int column_tasks = 1, row_tasks = 1;
  const double multiply_adds = static_cast<double>(p.m) * static_cast<double>(p.runs * p.run) * p.k;
  if (width > 1 && multiply_adds > kSerialMultiplyAdds) {
    column_tasks = static_cast<int>(smaller<Index>(panels, Index{4} * width));
    if (column_tasks < 2 * width) row_tasks = smaller(plan.tiles, ceil_div(4 * width, column_tasks));
  }
  const Index buffer_stride = static_cast<Index>(panel_bytes(plan) / sizeof(float));
  auto body = [&](int task, int slot) {
    const int column_task = task / row_tasks, row_task = task % row_tasks;
    product_block(p, plan, source, part_begin(panels, column_tasks, column_task),
                  part_begin(panels, column_tasks, column_task + 1),
                  static_cast<int>(part_begin(plan.tiles, row_tasks, row_task)),
                  static_cast<int>(part_begin(plan.tiles, row_tasks, row_task + 1)), buffers + slot * buffer_stride);
  };
  for_each_task(parallel, column_tasks * row_tasks, body);
}

// Packs A for Layout::packed: at(row, k) yields the element.
template <class At>
void pack_rows(Parallel& parallel, int m, int k, const ProductPlan& plan, float* to, const At& at) {
  const int tasks = static_cast<double>(m) * k > 65536.0 ? plan.tiles : 1;
  auto body = [&](int task, int) {
    const int t0 = tasks == 1 ? 0 : task, t1 = tasks == 1 ? plan.tiles : task + 1;
    for (int t = t0; t < t1; ++t) {
      const int row = static_cast<int>(part_begin(m, plan.tiles, t));
      const int rows = static_cast<int>(part_begin(m, plan.tiles, t + 1)) - row;
      float* out = to + Index{row} * k;
      for (int i = 0; i < k; ++i) {
        for (int r = 0; r < rows; ++r) *out++ = at(row + r, i);
      }
    }
  };
  for_each_task(parallel, tasks, body);
}

}  // namespace convsweep::cpu::CONVSWEEP_ISA
