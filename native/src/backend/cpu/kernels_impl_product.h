// C = A B by cache blocks: the loops around the register tile, for every source of B.
//
// The columns of C are cut into panels by the source of B; k is cut into blocks of plan.depth. For a panel and a block,
// B is read where it lies or packed into a small buffer, then all tiles of rows go over it. Neither panels nor blocks
// change a byte of the result.
//
// A source of B has
//   Panel                                      with at least { Index column; int columns; }
//   Index panels(); Panel panel(Index)         column: where the panel's columns begin in a row of C
//   pieces(panel, low, high, f)                f(k0, k1, Operand) for the ranges of k in [low, high) that take part,
//   ascending int first(panel), last(panel)              where the first range begins and the last one ends; equal when
//   there is none bool in_place(panel)                       whether whole vectors may be read where they lie
//   pack(panel, Operand, k0, k1, to, width)    rows k0..k1-1, `width` floats each, zeros after panel.columns
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
  const float* a = nullptr;
  Index a_stride = 0;
  Layout layout = Layout::packed;
  float* c = nullptr;
  Index c_stride = 0;
  const float* bias = nullptr;
  // Cut C off at 0.
  bool relu = false;
  // Go on from what C holds instead of from 0.
  bool accumulate = false;
};

struct ProductPlan {
  int vectors = 1;
  int tiles = 1;
  int depth = 1;
};

// Runs of columns that panels may not cross.
struct Runs {
  Index length;
  Index count;
};

// Bytes of B that a panel may take of the first-level cache, and of A or C that may stay in the second-level cache.
inline constexpr Index kPanelBytes = 32 * 1024;
inline constexpr Index kBlockBytes = 512 * 1024;
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

inline ProductPlan plan_product(Layout layout, int m, int k, const Runs* runs, int kinds) {
  const TileKind kind = tile_kind(layout);
  ProductPlan best;
  double best_cost = -1.0;
  for (int vectors = 1; vectors <= kMaxVectors; ++vectors) {
    const int tiles = ceil_div(m, max_tile_rows(kind, vectors));
    const int low = m / tiles, extra = m % tiles;
    const auto panel_cost = [&](int v) {
      return (tiles - extra) * tile_cost(low, v, k) + extra * tile_cost(low + 1, v, k);
    };
    double cost = 0.0;
    for (int i = 0; i < kinds; ++i) {
      const Index in_run = ceil_div<Index>(runs[i].length, kLanes);
      const int rest = static_cast<int>(in_run % vectors);
      const double one =
          static_cast<double>(in_run / vectors) * panel_cost(vectors) + (rest > 0 ? panel_cost(rest) : 0.0);
      cost += static_cast<double>(runs[i].count) * one;
    }
    if (best_cost < 0.0 || cost < best_cost) {
      best_cost = cost;
      best.vectors = vectors;
      best.tiles = tiles;
    }
  }
  const Index deepest = smaller<Index>(kMaxDepth, kPanelBytes / (best.vectors * kLanes * Index{sizeof(float)}));
  const int blocks = static_cast<int>(larger<Index>(ceil_div<Index>(k, deepest), 1));
  best.depth = larger(ceil_div(k, blocks), 1);
  return best;
}

// The buffer that a slot packs a panel into.
inline std::size_t panel_bytes(const ProductPlan& plan) {
  return aligned_bytes(static_cast<std::size_t>(plan.depth) * static_cast<std::size_t>(plan.vectors) * kLanes *
                       sizeof(float));
}

// Asks for the C of a tile before its turn comes.
CONVSWEEP_INLINE void prefetch_tile(const float* c, Index c_stride, int rows, int vectors) {
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < vectors; ++j) __builtin_prefetch(c + i * c_stride + j * kLanes, 1);
  }
}

// All tiles of rows [tile0, tile1) for one panel and a range of k.
inline void product_tiles(const Product& p, const ProductPlan& plan, TileArgs& args, TileKind kind, int vectors, int k0,
                          Index column, bool bias, int tile0, int tile1) {
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
    args.c = p.c + row * p.c_stride + column;
    args.bias = bias ? p.bias + row : nullptr;
    if (t + 1 < tile1) prefetch_tile(args.c + rows * p.c_stride, p.c_stride, rows, vectors);
    tile_function(kind, rows, vectors)(args);
  }
}

// Panels [panel0, panel1) by tiles of rows [tile0, tile1).
template <class Source>
void product_block(const Product& p, const ProductPlan& plan, const Source& source, Index panel0, Index panel1,
                   int tile0, int tile1, float* buffer) {
  const Index width = Index{plan.vectors} * kLanes;
  // One panel after another where all of A stays in the cache; otherwise a few together, so that a block of A is used
  // by all of them before the next one is fetched, while their part of C stays.
  Index together = 1;
  if (Index{p.m} * p.k * Index{sizeof(float)} > kBlockBytes) {
    together = larger<Index>(kBlockBytes / (p.m * width * Index{sizeof(float)}), 8);
  }
  for (Index from = panel0; from < panel1; from += together) {
    const Index to = smaller(from + together, panel1);
    for (int low = 0; low < p.k; low += plan.depth) {
      const int high = smaller(low + plan.depth, p.k);
      for (Index i = from; i < to; ++i) {
        const typename Source::Panel panel = source.panel(i);
        const int first = source.first(panel), last = source.last(panel);
        const int vectors = ceil_div(panel.columns, kLanes);
        TileArgs args;
        args.c_stride = p.c_stride;
        args.last_lanes = panel.columns - (vectors - 1) * kLanes;
        if (first == last) {
          if (low > 0) continue;
          // Nothing falls on these columns: zeros, or the bias.
          args.depth = 0;
          args.b = buffer;
          args.b_stride = 0;
          args.first = !p.accumulate;
          args.relu = p.relu;
          product_tiles(p, plan, args, tile_kind(p.layout), vectors, 0, panel.column, p.bias != nullptr, tile0, tile1);
          continue;
        }
        const bool in_place = source.in_place(panel);
        source.pieces(panel, low, high, [&](int k0, int k1, const Operand& operand) {
          TileKind kind = tile_kind(p.layout);
          args.depth = k1 - k0;
          if (in_place) {
            args.b = operand.b;
            args.b_stride = operand.stride;
            args.b_offset = operand.offset;
            args.b_shift = operand.shift;
            if (operand.offset != nullptr) kind = TileKind::table;
          } else {
            source.pack(panel, operand, k0, k1, buffer, vectors * kLanes);
            args.b = buffer;
            args.b_stride = Index{vectors} * kLanes;
          }
          args.first = k0 == first && !p.accumulate;
          args.relu = p.relu && k1 == last;
          product_tiles(p, plan, args, kind, vectors, k0, panel.column, p.bias != nullptr && k1 == last, tile0, tile1);
        });
      }
    }
  }
}

// Splits the panels over tasks, and the rows too where there are few panels. `buffers`: one panel a slot.
template <class Source>
void product(Parallel& parallel, const Product& p, const ProductPlan& plan, const Source& source, double multiply_adds,
             float* buffers) {
  const Index panels = source.panels();
  const int width = parallel.width();
  int column_tasks = 1, row_tasks = 1;
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

// Packs A for Layout::packed: tile(row, rows, out) writes the `rows` rows of a tile from `row` on to out[k][rows].
template <class Tile>
void pack_tiles(Parallel& parallel, int m, int k, const ProductPlan& plan, float* to, const Tile& tile) {
  const int tasks = Index{m} * k > kSerialElements ? plan.tiles : 1;
  auto body = [&](int task, int) {
    const int t0 = tasks == 1 ? 0 : task, t1 = tasks == 1 ? plan.tiles : task + 1;
    for (int t = t0; t < t1; ++t) {
      const int row = static_cast<int>(part_begin(m, plan.tiles, t));
      const int rows = static_cast<int>(part_begin(m, plan.tiles, t + 1)) - row;
      tile(row, rows, to + Index{row} * k);
    }
  };
  for_each_task(parallel, tasks, body);
}

// A tile's rows from a matrix that lies by rows: to[i][row] = from[row * stride + i]. `rows_there`: how many rows may be read.
inline void pack_transposed(const float* from, Index stride, int rows, int rows_there, int k, float* to) {
  alignas(64) float square[kLanes * kLanes];
  int i = 0;
  for (; rows_there >= kLanes && i + kLanes <= k; i += kLanes) {
    transpose16(from + i, stride, square, kLanes);
    for (int j = 0; j < kLanes; ++j) {
      for (int row = 0; row < rows; ++row) to[Index{i + j} * rows + row] = square[j * kLanes + row];
    }
  }
  for (; i < k; ++i) {
    for (int row = 0; row < rows; ++row) to[Index{i} * rows + row] = from[row * stride + i];
  }
}

// The same, element by element: at(row, k) yields one.
template <class At>
void pack_rows(Parallel& parallel, int m, int k, const ProductPlan& plan, float* to, const At& at) {
  pack_tiles(parallel, m, k, plan, to, [&](int row, int rows, float* out) {
    for (int i = 0; i < k; ++i) {
      for (int r = 0; r < rows; ++r) *out++ = at(row + r, i);
    }
  });
}

}  // namespace convsweep::cpu::CONVSWEEP_ISA
