// The recipe as the engine holds it: native/recipe.ts, parsed and checked.
//
// Guarantees: parse_recipe accepts exactly the documents that recipe.ts describes (every field present, no other
// field) and throws Error ENGINE_BAD_RECIPE with the path of the first thing wrong. `digest` identifies what decides a
// trial's result, so not the network's name.
//
// Not here: whether the layers fit together (src/model/graph.h).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "convsweep/error.h"
#include "convsweep/ops.h"

namespace convsweep {

struct Pair {
  int rows = 1, columns = 1;
  bool operator==(const Pair&) const = default;
};

enum class PaddingKind { valid, same, pair };

struct Padding {
  PaddingKind kind = PaddingKind::valid;
  Pair pair{0, 0};
};

enum class Init { he_normal, he_uniform, glorot_uniform, torch_uniform, dcgan_normal };

struct LayerSpec {
  Op op = Op::flatten;
  int units = 0;    // linear, embedding, rnn, lstm
  int filters = 0;  // conv2d, conv_transpose2d
  Pair kernel;      // of a convolution; the window of a pool
  Pair stride;
  Padding padding;
  Pair output;                // adaptive_max_pool2d, adaptive_avg_pool2d: rows and columns they yield
  Pair output_padding{0, 0};  // conv_transpose2d
  int groups = 1;
  bool bias = false;
  Init init = Init::torch_uniform;
  bool return_sequences = false;     // rnn, lstm
  int vocabulary = 0;                // embedding
  double momentum = 0, epsilon = 0;  // batch_norm
  double slope = 0;                  // leaky_relu
  double rate = 0;                   // dropout
  Extent shape;                      // reshape
  // residual: its body and its shortcut, which may be empty and is then the input itself. branches: each of them.
  std::vector<std::vector<LayerSpec>> parts;
};

// The name of a residual's or branches' list number `part` in paths: `residual.body`, `branches[1]`.
std::string part_path(Op op, std::size_t part);

struct DatasetSpec {
  std::string name;
  Extent shape;
  int classes = 0;
  int validation = 0;
  int train_images = 0, test_images = 0;
  // Characters as numbers: an image is a window of `shape.columns` steps, and what follows each is its label.
  bool text = false;

  // Labels of an image.
  int positions() const { return text ? shape.columns : 1; }
};

enum class ScheduleKind { constant, step, exponential, cosine, list, one_cycle };

struct Schedule {
  ScheduleKind kind = ScheduleKind::constant;
  int every = 1;
  double factor = 1;
  double floor = 0;
  std::vector<double> factors;
  bool cycle = false;
  double warmup = 0, div = 1, final_div = 1;
};

// Order of native/hyperparameters.ts and of LaneOptions.hyperparameters.
enum class Hyper {
  learning_rate,
  l2,
  momentum,
  rho,
  beta1,
  beta2,
  epsilon,
  dropout,
  label_smoothing,
  schedule_factor,
  schedule_floor,
  schedule_warmup,
  flip,
  crop_padding,
  cutout,
  brightness,
  contrast,
  saturation
};
inline constexpr int hyper_count = 18;
const char* hyper_name(int index);

// A lane's values. `dropout` and those after label_smoothing may be NaN: what the layers, the schedule or the
// augmentation say.
using Hyperparameters = std::array<double, hyper_count>;

// Throw Error with `code` when the value, or the first bad one of them, is out of its range.
void check_hyperparameter(int index, double value, ErrorCode code, const std::string& path);
void check_hyperparameters(const Hyperparameters& values, ErrorCode code, const std::string& path);

// native/recipe.ts says what they mean; `flip` is a probability here.
struct Augmentation {
  double flip = 0;
  int crop_padding = 0, cutout = 0;
  double brightness = 0, contrast = 0, saturation = 0;
};

// Stochastic weight averaging; native/recipe.ts says what it means.
struct Averaging {
  int start = 0, every = 1;
  // Whether the weights at the end of epoch `epoch` (from 0) enter the average.
  bool takes(std::uint32_t epoch) const {
    const auto first = static_cast<std::uint32_t>(start);
    return epoch >= first && (epoch - first) % static_cast<std::uint32_t>(every) == 0;
  }
  // How many epochs' weights have entered it when the first `epochs` epochs are trained.
  std::uint32_t taken(std::uint32_t epochs) const {
    const auto first = static_cast<std::uint32_t>(start);
    return epochs <= first ? 0 : (epochs - first - 1) / static_cast<std::uint32_t>(every) + 1;
  }
};

enum class ProcedureKind { classification, gan };

// How the network is trained, and with what beside it.
struct ProcedureSpec {
  ProcedureKind kind = ProcedureKind::classification;
  // gan: Recipe::layers are the generator.
  std::vector<LayerSpec> discriminator;
  int latent = 0;
  bool conditional = false;
};

struct Recipe {
  std::string network_name;
  std::vector<LayerSpec> layers;
  ProcedureSpec procedure;
  DatasetSpec dataset;
  int batch_size = 1;
  int epochs = 1;
  Op optimizer = Op::sgd;
  bool nesterov = false;
  // l2 shrinks the weights apart from the gradient.
  bool decoupled_decay = false;
  Schedule schedule;
  Augmentation augmentation;
  std::optional<Averaging> averaging;
  bool shuffle = true;
  bool test_at_end = false;
  std::array<std::optional<double>, hyper_count> hyperparameters;

  // FNV-1a, 64 bits, of the canonical text (keys sorted, shortest numbers) without network.name.
  std::uint64_t digest = 0;
};

// Rows of pictures that a GAN draws after an epoch; as many columns, or by class one a class.
inline constexpr int picture_rows = 8;
inline int picture_count(const Recipe& recipe) {
  if (recipe.procedure.kind != ProcedureKind::gan) return 0;
  return picture_rows * (recipe.procedure.conditional ? recipe.dataset.classes : picture_rows);
}

Recipe parse_recipe(std::string_view json);

}  // namespace convsweep
