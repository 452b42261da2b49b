#include "ops/shape.h"

#include <algorithm>
#include <limits>

#include "convsweep/error.h"
#include "ops/index.h"

namespace convsweep {
namespace {

// Elements of one activation of one image; with the batch size limit below it keeps every index within 64 bits and
// every buffer within what an allocation can be asked for.
constexpr std::int64_t max_elements = std::int64_t{1} << 28;

std::string text(const Pair& pair) { return std::to_string(pair.rows) + "x" + std::to_string(pair.columns); }

struct Axis {
  int before = 0, out = 0;
};

// `same`: TensorFlow's rule, which is PyTorch's where that has one (stride 1): as little padding as yields ceil(in /
// stride) windows, the odd one at the end. More than the last window needs never is, so all of them see some input.
Axis window_axis(int in, int kernel, int stride, const Padding& padding, int given) {
  int before = 0, total = 0;
  if (padding.kind == PaddingKind::same) {
    const int windows = in / stride + (in % stride != 0 ? 1 : 0);
    total = std::max((windows - 1) * stride + kernel - in, 0);
    before = total / 2;
  } else if (padding.kind == PaddingKind::pair) {
    before = given;
    total = 2 * given;
  }
  return Axis{before, in + total < kernel ? 0 : (in + total - kernel) / stride + 1};
}

void set_window(LayerShape& s, const LayerSpec& spec, const std::string& path) {
  const bool pool = s.op != Op::conv2d;
  if (pool && spec.padding.kind == PaddingKind::pair &&
      (2 * spec.padding.pair.rows > spec.kernel.rows || 2 * spec.padding.pair.columns > spec.kernel.columns)) {
    throw unexpected(ErrorCode::ENGINE_BAD_RECIPE, path + ".padding", "at most half the window " + text(spec.kernel),
                     text(spec.padding.pair));
  }
  const Axis rows = window_axis(s.in.rows, spec.kernel.rows, spec.stride.rows, spec.padding, spec.padding.pair.rows);
  const Axis columns =
      window_axis(s.in.columns, spec.kernel.columns, spec.stride.columns, spec.padding, spec.padding.pair.columns);
  if (rows.out < 1 || columns.out < 1) {
    throw unexpected(ErrorCode::ENGINE_BAD_RECIPE, path + (pool ? ".size" : ".kernel"),
                     "at most the padded input of " + describe(s.in), text(spec.kernel));
  }
  s.kernel_rows = spec.kernel.rows;
  s.kernel_columns = spec.kernel.columns;
  s.stride_rows = spec.stride.rows;
  s.stride_columns = spec.stride.columns;
  s.pad_top = rows.before;
  s.pad_left = columns.before;
  s.out.rows = rows.out;
  s.out.columns = columns.out;
}

void check_groups(const LayerShape& s, const LayerSpec& spec, const std::string& path) {
  if (s.in.channels % spec.groups != 0 || spec.filters % spec.groups != 0) {
    throw unexpected(
        ErrorCode::ENGINE_BAD_RECIPE, path + ".groups",
        "a divisor of " + std::to_string(s.in.channels) + " channels and " + std::to_string(spec.filters) + " filters",
        std::to_string(spec.groups));
  }
}

void set_conv(LayerShape& s, const LayerSpec& spec, const std::string& path) {
  check_groups(s, spec, path);
  s.groups = spec.groups;
  s.bias = spec.bias;
  s.out.channels = spec.filters;
  set_window(s, spec, path);
}

// (in - 1) * stride - 2 * padding + kernel + output padding, which is what conv2d needs to yield `in` again.
void set_conv_transpose(LayerShape& s, const LayerSpec& spec, const std::string& path) {
  check_groups(s, spec, path);
  if (spec.output_padding.rows >= spec.stride.rows || spec.output_padding.columns >= spec.stride.columns) {
    throw unexpected(ErrorCode::ENGINE_BAD_RECIPE, path + ".output_padding", "less than the stride " + text(spec.stride),
                     text(spec.output_padding));
  }
  const auto along = [](std::int64_t in, int kernel, int stride, int padding, int extra) {
    return (in - 1) * stride - 2 * std::int64_t{padding} + kernel + extra;
  };
  const Pair& padding = spec.padding.pair;
  const std::int64_t rows =
      along(s.in.rows, spec.kernel.rows, spec.stride.rows, padding.rows, spec.output_padding.rows);
  const std::int64_t columns =
      along(s.in.columns, spec.kernel.columns, spec.stride.columns, padding.columns, spec.output_padding.columns);
  if (rows < 1 || columns < 1) {
    throw unexpected(ErrorCode::ENGINE_BAD_RECIPE, path + ".padding",
                     "one that leaves something of the output of " + describe(s.in), text(padding));
  }
  if (rows > max_elements || columns > max_elements) {
    throw unexpected(ErrorCode::ENGINE_BAD_RECIPE, path + ".stride",
                     "at most " + std::to_string(max_elements) + " rows and columns",
                     std::to_string(rows) + "x" + std::to_string(columns));
  }
  s.groups = spec.groups;
  s.bias = spec.bias;
  s.kernel_rows = spec.kernel.rows;
  s.kernel_columns = spec.kernel.columns;
  s.stride_rows = spec.stride.rows;
  s.stride_columns = spec.stride.columns;
  s.pad_top = padding.rows;
  s.pad_left = padding.columns;
  s.out = Extent{spec.filters, static_cast<int>(rows), static_cast<int>(columns)};
}

void set_recurrent(LayerShape& s, const LayerSpec& spec, const std::string& path) {
  if (s.in.rows != 1) {
    throw Error(ErrorCode::ENGINE_BAD_RECIPE, path,
                std::string(op_name(s.op)) + " needs a sequence (features x 1 x steps), found " + describe(s.in) +
                    "; put rows_as_sequence before it");
  }
  s.every_step = spec.return_sequences;
  s.bias = true;
  s.out = Extent{spec.units, 1, s.every_step ? s.in.columns : 1};
}

// The largest part of `in` positions that falls to one of `out` windows.
int widest(int in, int out) {
  int most = 0;
  for (int i = 0; i < out; ++i) {
    const Span span = adaptive_span(i, in, out);
    most = std::max(most, span.end - span.begin);
  }
  return most;
}

void set_adaptive(LayerShape& s, const LayerSpec& spec) {
  s.out.rows = spec.output.rows;
  s.out.columns = spec.output.columns;
  s.kernel_rows = widest(s.in.rows, s.out.rows);
  s.kernel_columns = widest(s.in.columns, s.out.columns);
  if (!divides_evenly(s)) return;
  s.stride_rows = s.kernel_rows;
  s.stride_columns = s.kernel_columns;
}

// The winner of a window is kept in 16 bits.
void check_winner(const LayerShape& s, const std::string& path) {
  if (std::int64_t{s.kernel_rows} * s.kernel_columns > 65536) {
    throw unexpected(ErrorCode::ENGINE_BAD_RECIPE, path, "a window of at most 65536 elements",
                     text(Pair{s.kernel_rows, s.kernel_columns}));
  }
}

void check_size(const Extent& out, const std::string& path) {
  if (out.size() <= max_elements) return;
  throw unexpected(ErrorCode::ENGINE_BAD_RECIPE, path, "at most " + std::to_string(max_elements) + " values an image",
                   describe(out));
}

}  // namespace

std::string describe(const Extent& e) {
  if (e.plane() == 1) return std::to_string(e.channels);
  return std::to_string(e.channels) + "x" + std::to_string(e.rows) + "x" + std::to_string(e.columns);
}

std::int64_t TensorShape::size() const {
  std::int64_t product = 1;
  for (const int d : dims) product *= d;
  return product;
}

LayerShape infer_layer(const LayerSpec& spec, const Extent& in, int index, const std::string& path) {
  LayerShape s;
  s.op = spec.op;
  s.layer = static_cast<std::uint32_t>(index);
  s.in = s.out = in;
  switch (spec.op) {
    case Op::linear:
      if (in.plane() != 1) {
        throw Error(ErrorCode::ENGINE_BAD_RECIPE, path,
                    "linear needs a flat input, found " + describe(in) + "; put flatten before it");
      }
      s.out = Extent{spec.units, 1, 1};
      s.bias = spec.bias;
      break;
    case Op::conv2d:
      set_conv(s, spec, path);
      break;
    case Op::conv_transpose2d:
      set_conv_transpose(s, spec, path);
      break;
    case Op::max_pool2d:
      set_window(s, spec, path);
      check_winner(s, path + ".size");
      break;
    case Op::avg_pool2d:
      set_window(s, spec, path);
      break;
    case Op::adaptive_max_pool2d:
    case Op::adaptive_avg_pool2d:
      set_adaptive(s, spec);
      if (spec.op == Op::adaptive_max_pool2d) check_winner(s, path);
      break;
    case Op::global_avg_pool2d:
    case Op::global_max_pool2d:
      s.kernel_rows = in.rows;
      s.kernel_columns = in.columns;
      s.out = Extent{in.channels, 1, 1};
      if (spec.op == Op::global_max_pool2d) check_winner(s, path);
      break;
    case Op::flatten:
      s.out = Extent{static_cast<int>(in.size()), 1, 1};
      break;
    case Op::reshape:
      if (spec.shape.size() != in.size()) {
        throw unexpected(ErrorCode::ENGINE_BAD_RECIPE, path + ".shape",
                         "as many values as the input of " + describe(in) + " has", describe(spec.shape));
      }
      s.out = spec.shape;
      break;
    case Op::rows_as_sequence:
      s.out = Extent{in.channels * in.columns, 1, in.rows};
      break;
    case Op::embedding:
      if (in.channels != 1) {
        throw Error(ErrorCode::ENGINE_BAD_RECIPE, path,
                    "embedding needs one channel of numbered characters, found " + describe(in));
      }
      s.vocabulary = spec.vocabulary;
      s.out = Extent{spec.units, in.rows, in.columns};
      break;
    case Op::rnn:
    case Op::lstm:
      set_recurrent(s, spec, path);
      break;
    case Op::batch_norm:
      s.momentum = static_cast<float>(spec.momentum);
      s.epsilon = static_cast<float>(spec.epsilon);
      break;
    case Op::leaky_relu:
      s.slope = static_cast<float>(spec.slope);
      break;
    case Op::dropout:
      s.rate = static_cast<float>(spec.rate);
      break;
    default:
      break;
  }
  check_size(s.out, path);
  std::int64_t weights = 0;
  for (const TensorShape& t : layer_parameters(s)) weights += t.size();
  if (weights > max_elements) {
    throw unexpected(ErrorCode::ENGINE_BAD_RECIPE, path, "at most " + std::to_string(max_elements) + " parameters",
                     std::to_string(weights));
  }
  return s;
}

Extent infer_join(Op op, const std::vector<Extent>& parts, const std::string& path) {
  Extent out = parts.front();
  if (op == Op::residual) {
    if (!(parts[0] == parts[1])) {
      throw unexpected(ErrorCode::ENGINE_BAD_RECIPE, path + ".residual",
                       "a body that yields " + describe(parts[1]) + ", as its shortcut does", describe(parts[0]));
    }
    return out;
  }
  for (std::size_t i = 1; i < parts.size(); ++i) {
    if (parts[i].rows != out.rows || parts[i].columns != out.columns) {
      throw unexpected(ErrorCode::ENGINE_BAD_RECIPE, path + ".branches[" + std::to_string(i) + "]",
                       "planes of " + text(Pair{out.rows, out.columns}) + ", as the first branch's",
                       text(Pair{parts[i].rows, parts[i].columns}));
    }
    // Each is within max_elements, so their sum fits 64 bits but perhaps not an int.
    const std::int64_t channels = std::int64_t{out.channels} + parts[i].channels;
    if (channels * out.plane() > max_elements) {
      throw unexpected(ErrorCode::ENGINE_BAD_RECIPE, path,
                       "at most " + std::to_string(max_elements) + " values an image",
                       std::to_string(channels * out.plane()));
    }
    out.channels = static_cast<int>(channels);
  }
  return out;
}

std::vector<TensorShape> layer_parameters(const LayerShape& s) {
  std::vector<TensorShape> tensors;
  if (s.op == Op::linear) {
    tensors.push_back({"weight", {s.out.channels, s.in.channels}});
  } else if (s.op == Op::conv2d) {
    tensors.push_back({"weight", {s.out.channels, s.in.channels / s.groups, s.kernel_rows, s.kernel_columns}});
  } else if (s.op == Op::conv_transpose2d) {
    tensors.push_back({"weight", {s.in.channels, s.out.channels / s.groups, s.kernel_rows, s.kernel_columns}});
  } else if (s.op == Op::embedding) {
    tensors.push_back({"weight", {s.vocabulary, s.out.channels}});
  } else if (s.op == Op::rnn || s.op == Op::lstm) {
    const int rows = recurrent_gates(s.op) * s.out.channels;
    return {{"weight_ih", {rows, s.in.channels}},
            {"weight_hh", {rows, s.out.channels}},
            {"bias_ih", {rows}},
            {"bias_hh", {rows}}};
  } else if (s.op == Op::batch_norm) {
    return {{"weight", {s.in.channels}}, {"bias", {s.in.channels}}};
  }
  if (s.bias) tensors.push_back({"bias", {s.out.channels}});
  return tensors;
}

std::size_t saved_bytes(const LayerShape& s, int n, std::size_t real_bytes) {
  if (s.op == Op::batch_norm) return 2 * static_cast<std::size_t>(s.in.channels) * real_bytes;
  if (s.op == Op::max_pool2d || s.op == Op::adaptive_max_pool2d || s.op == Op::global_max_pool2d) {
    return static_cast<std::size_t>(s.out.size()) * static_cast<std::size_t>(n) * sizeof(std::uint16_t);
  }
  if (s.op == Op::rnn || s.op == Op::lstm) {
    const auto columns = (static_cast<std::size_t>(n) + 15) / 16 * 16;
    return static_cast<std::size_t>(s.in.columns) * static_cast<std::size_t>(recurrent_saved_rows(s.op)) *
           static_cast<std::size_t>(s.out.channels) * columns * real_bytes;
  }
  return 0;
}

std::int64_t multiply_adds(const LayerShape& s) {
  if (s.op == Op::linear) return std::int64_t{s.in.channels} * s.out.channels;
  if (s.op == Op::conv2d) {
    return s.out.size() * (s.in.channels / s.groups) * s.kernel_rows * s.kernel_columns;
  }
  if (s.op == Op::conv_transpose2d) {
    return s.in.size() * (s.out.channels / s.groups) * s.kernel_rows * s.kernel_columns;
  }
  if (s.op == Op::rnn || s.op == Op::lstm) {
    return std::int64_t{s.in.columns} * recurrent_gates(s.op) * s.out.channels *
           (std::int64_t{s.in.channels} + s.out.channels);
  }
  return 0;
}

LayerTraits layer_traits(Op op) {
  switch (op) {
#define CONVSWEEP_LAYER_OP(name, backward_needs_x, backward_needs_y, in_place) \
  case Op::name:                                                               \
    return {backward_needs_x, backward_needs_y, in_place};
#include "ops/ops.def"
    default:
      return {false, false, false};
  }
}

int update_state(Op op) {
  switch (op) {
#define CONVSWEEP_UPDATE_OP(name, state) \
  case Op::name:                         \
    return state;
#include "ops/ops.def"
    default:
      return 0;
  }
}

}  // namespace convsweep
