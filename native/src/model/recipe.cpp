// Parses native/recipe.ts's JSON. Field names are the contract; ranges protect memory and sense.
#include "convsweep/recipe.h"

#include <cmath>

#include "model/fields.h"
#include "model/json.h"
#include "ops/shape.h"

namespace convsweep {
namespace {

// 2^30 columns of a batch times 2^28 values would not fit; batches beyond this are a mistake in any case.
constexpr int max_batch = 65536;
constexpr int max_side = 65535;
constexpr std::size_t max_layers = 1000;
constexpr int max_depth = 8;
constexpr int huge = 2147483647;

Padding parse_padding(Fields& fields) {
  const Json& json = fields.get("padding");
  if (std::holds_alternative<Json::Array>(json.value)) {
    return Padding{PaddingKind::pair, fields.pair("padding", 0, max_side)};
  }
  const std::size_t which = fields.one_of("padding", {"valid", "same"});
  return Padding{which == 0 ? PaddingKind::valid : PaddingKind::same, Pair{0, 0}};
}

Init parse_init(Fields& fields) {
  return static_cast<Init>(
      fields.one_of("init", {"he_normal", "he_uniform", "glorot_uniform", "torch_uniform", "dcgan_normal"}));
}

void parse_window(Fields& fields, const std::string& size, LayerSpec& spec) {
  spec.kernel = fields.pair(size, 1, max_side);
  spec.stride = fields.pair("stride", 1, max_side);
  spec.padding = parse_padding(fields);
}

// Channels, rows, columns.
Extent parse_extent(Fields& fields, const std::string& key, int high) {
  const Json::Array& shape = fields.list(key);
  if (shape.size() != 3) {
    throw unexpected(ErrorCode::ENGINE_BAD_RECIPE, fields.path(key), "channels, rows, columns",
                     std::to_string(shape.size()) + " numbers");
  }
  int sides[3];
  for (std::size_t i = 0; i < 3; ++i) {
    const auto* number = std::get_if<double>(&shape[i].value);
    if (number == nullptr || *number < 1 || *number > high || *number != std::floor(*number)) {
      throw unexpected(ErrorCode::ENGINE_BAD_RECIPE, fields.path(key) + "[" + std::to_string(i) + "]",
                       "integer from 1 to " + std::to_string(high), shape[i].describe());
    }
    sides[i] = static_cast<int>(*number);
  }
  return Extent{sides[0], sides[1], sides[2]};
}

// The layers of a network, with all they are made of; `count` and `depth` bound what a hostile recipe can ask for.
struct Layers {
  std::size_t count = 0;
  std::vector<LayerSpec> parse(const Json::Array& list, const std::string& path, int depth);
  LayerSpec parse_layer(const Json& json, const std::string& path, int depth);
  void parse_parts(Fields& fields, LayerSpec& spec, const std::string& path, int depth);
};

LayerSpec Layers::parse_layer(const Json& json, const std::string& path, int depth) {
  static const std::vector<std::string_view> names = {
#define CONVSWEEP_LAYER_OP(name, backward_needs_x, backward_needs_y, in_place) #name,
#define CONVSWEEP_JOIN_OP(name) #name,
#include "ops/ops.def"
  };
  Fields fields(json, path);
  LayerSpec spec;
  // Layers and joins come first in ops.def, so the index is the enumerator.
  spec.op = static_cast<Op>(fields.one_of("op", names));
  switch (spec.op) {
    case Op::linear:
      spec.units = fields.whole("units", 1, huge);
      spec.bias = fields.boolean("bias");
      spec.init = parse_init(fields);
      break;
    case Op::conv2d:
      spec.filters = fields.whole("filters", 1, huge);
      parse_window(fields, "kernel", spec);
      spec.groups = fields.whole("groups", 1, huge);
      spec.bias = fields.boolean("bias");
      spec.init = parse_init(fields);
      break;
    case Op::conv_transpose2d:
      spec.filters = fields.whole("filters", 1, huge);
      spec.kernel = fields.pair("kernel", 1, max_side);
      spec.stride = fields.pair("stride", 1, max_side);
      spec.padding = Padding{PaddingKind::pair, fields.pair("padding", 0, max_side)};
      spec.output_padding = fields.pair("output_padding", 0, max_side);
      spec.groups = fields.whole("groups", 1, huge);
      spec.bias = fields.boolean("bias");
      spec.init = parse_init(fields);
      break;
    case Op::reshape:
      spec.shape = parse_extent(fields, "shape", max_side);
      break;
    case Op::embedding:
      spec.vocabulary = fields.whole("vocabulary", 1, 65536);
      spec.units = fields.whole("units", 1, huge);
      break;
    case Op::rnn:
    case Op::lstm:
      // Four gates' rows must be countable.
      spec.units = fields.whole("units", 1, 65536);
      spec.return_sequences = fields.boolean("return_sequences");
      spec.init = parse_init(fields);
      break;
    case Op::batch_norm:
      spec.momentum = fields.number("momentum", 0, 1);
      spec.epsilon = fields.number("epsilon", 0, 1, true);
      break;
    case Op::leaky_relu:
      spec.slope = fields.number("slope", 0, 1, false, true);
      break;
    case Op::dropout:
      spec.rate = fields.number("rate", 0, 1, false, true);
      break;
    case Op::max_pool2d:
    case Op::avg_pool2d:
      parse_window(fields, "size", spec);
      break;
    case Op::adaptive_max_pool2d:
    case Op::adaptive_avg_pool2d:
      spec.output = fields.pair("output", 1, max_side);
      break;
    case Op::residual:
    case Op::branches:
      parse_parts(fields, spec, path, depth);
      break;
    default:
      break;
  }
  fields.done();
  return spec;
}

void Layers::parse_parts(Fields& fields, LayerSpec& spec, const std::string& path, int depth) {
  const auto add = [&](const Json::Array& list) {
    const std::string at = path + "." + part_path(spec.op, spec.parts.size());
    if (list.empty() && spec.op == Op::residual && spec.parts.empty()) {
      throw unexpected(ErrorCode::ENGINE_BAD_RECIPE, at, "at least one layer", "none");
    }
    spec.parts.push_back(parse(list, at, depth + 1));
  };
  if (spec.op == Op::residual) {
    add(fields.list("body"));
    add(fields.list("shortcut"));
    return;
  }
  const Json::Array& branches = fields.list("branches");
  if (branches.empty()) {
    throw unexpected(ErrorCode::ENGINE_BAD_RECIPE, fields.path("branches"), "at least one branch", "none");
  }
  for (const Json& branch : branches) {
    const auto* list = std::get_if<Json::Array>(&branch.value);
    if (list == nullptr) {
      throw unexpected(ErrorCode::ENGINE_BAD_RECIPE, path + "." + part_path(spec.op, spec.parts.size()), "a list",
                       branch.describe());
    }
    add(*list);
  }
}

std::vector<LayerSpec> Layers::parse(const Json::Array& list, const std::string& path, int depth) {
  if (depth > max_depth) {
    throw unexpected(ErrorCode::ENGINE_BAD_RECIPE, path, "at most " + std::to_string(max_depth) + " lists within lists",
                     std::to_string(depth));
  }
  std::vector<LayerSpec> layers;
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (++count > max_layers) {
      throw unexpected(ErrorCode::ENGINE_BAD_RECIPE, "network.layers", "1 to " + std::to_string(max_layers) + " layers",
                       "more");
    }
    layers.push_back(parse_layer(list[i], path + "[" + std::to_string(i) + "]", depth));
  }
  return layers;
}

void parse_network(const Json& json, Recipe& recipe) {
  Fields fields(json, "network");
  const Json& name = fields.get("name");
  if (!name.is_null()) recipe.network_name = fields.text("name");
  const Json::Array& layers = fields.list("layers");
  if (layers.empty()) {
    throw unexpected(ErrorCode::ENGINE_BAD_RECIPE, "network.layers", "1 to " + std::to_string(max_layers) + " layers",
                     "0");
  }
  recipe.layers = Layers{}.parse(layers, "network.layers", 0);
  fields.done();
}

ProcedureSpec parse_procedure(const Json& json) {
  Fields fields(json, "procedure");
  ProcedureSpec procedure;
  fields.one_of("kind", {"gan"});
  procedure.kind = ProcedureKind::gan;
  const Json::Array& layers = fields.list("discriminator");
  if (layers.empty()) {
    throw unexpected(ErrorCode::ENGINE_BAD_RECIPE, "procedure.discriminator",
                     "1 to " + std::to_string(max_layers) + " layers", "0");
  }
  procedure.discriminator = Layers{}.parse(layers, "procedure.discriminator", 0);
  procedure.latent = fields.whole("latent", 1, max_side);
  procedure.conditional = fields.boolean("conditional");
  fields.done();
  return procedure;
}

// Where the text comes from is the worker's business; that it is one decides what is computed.
void parse_text(const Json& json, DatasetSpec& dataset) {
  Fields fields(json, "dataset.text");
  for (const char* key : {"path", "sha256", "characters"}) fields.text(key);
  fields.done();
  if (dataset.shape.channels != 1 || dataset.shape.rows != 1) {
    throw unexpected(ErrorCode::ENGINE_BAD_RECIPE, "dataset.shape", "1 channel and 1 row for a text",
                     describe(dataset.shape));
  }
  dataset.text = true;
}

DatasetSpec parse_dataset(const Json& json) {
  Fields fields(json, "dataset");
  DatasetSpec dataset;
  dataset.name = fields.text("name");
  dataset.shape = parse_extent(fields, "shape", 4096);
  dataset.classes = fields.whole("classes", 2, 256);
  dataset.validation = fields.whole("validation", 0, huge);
  dataset.train_images = fields.whole("train_images", 1, huge);
  dataset.test_images = fields.whole("test_images", 0, huge);
  if (dataset.validation >= dataset.train_images) {
    throw unexpected(ErrorCode::ENGINE_BAD_RECIPE, "dataset.validation",
                     "less than the " + std::to_string(dataset.train_images) + " training images",
                     std::to_string(dataset.validation));
  }
  if (!fields.get("seed").is_null()) fields.integer("seed", 0, 4294967295);
  if (fields.has("text")) parse_text(fields.get("text"), dataset);
  // Where images of one's own come from is the worker's business.
  for (const char* key : {"arrays", "records", "folder"}) {
    if (fields.has(key)) fields.get(key);
  }
  fields.done();
  return dataset;
}

Schedule parse_schedule(const Json& json) {
  Fields fields(json, "schedule");
  Schedule schedule;
  schedule.kind = static_cast<ScheduleKind>(
      fields.one_of("kind", {"constant", "step", "exponential", "cosine", "list", "one_cycle"}));
  switch (schedule.kind) {
    case ScheduleKind::constant:
      break;
    case ScheduleKind::step:
      schedule.every = fields.whole("every", 1, huge);
      schedule.factor = fields.number("factor", 0, 1e6);
      break;
    case ScheduleKind::exponential:
      schedule.factor = fields.number("factor", 0, 1e6);
      break;
    case ScheduleKind::cosine:
      schedule.floor = fields.number("floor", 0, 1);
      break;
    case ScheduleKind::list:
      for (const Json& item : fields.list("factors")) {
        const auto* factor = std::get_if<double>(&item.value);
        if (factor == nullptr || *factor < 0 || *factor > 1e6) {
          throw unexpected(ErrorCode::ENGINE_BAD_RECIPE,
                           "schedule.factors[" + std::to_string(schedule.factors.size()) + "]",
                           "number >= 0 and <= 1e+06", item.describe());
        }
        schedule.factors.push_back(*factor);
      }
      schedule.cycle = fields.has("cycle") && fields.boolean("cycle");
      if (schedule.factors.empty()) {
        throw unexpected(ErrorCode::ENGINE_BAD_RECIPE, "schedule.factors", "at least one factor", "none");
      }
      break;
    case ScheduleKind::one_cycle:
      schedule.warmup = fields.number("warmup", 0, 1);
      schedule.div = fields.number("div", 1, 1e9);
      schedule.final_div = fields.number("final_div", 1, 1e9);
      break;
  }
  fields.done();
  return schedule;
}

// Older recipes end with crop_padding.
Augmentation parse_augmentation(const Json& json) {
  Fields fields(json, "augmentation");
  Augmentation augmentation;
  augmentation.flip = fields.boolean("flip") ? 0.5 : 0;
  augmentation.crop_padding = fields.whole("crop_padding", 0, 4096);
  if (fields.has("cutout")) augmentation.cutout = fields.whole("cutout", 0, 4096);
  for (const auto& [name, value] :
       {std::pair{"brightness", &augmentation.brightness}, std::pair{"contrast", &augmentation.contrast},
        std::pair{"saturation", &augmentation.saturation}}) {
    if (fields.has(name)) *value = fields.number(name, 0, 1);
  }
  fields.done();
  return augmentation;
}

Averaging parse_averaging(const Json& json) {
  Fields fields(json, "averaging");
  Averaging averaging;
  averaging.start = fields.whole("start", 0, huge);
  averaging.every = fields.whole("every", 1, huge);
  fields.done();
  return averaging;
}

void parse_hyperparameters(const Json& json, Recipe& recipe) {
  Fields fields(json, "hyperparameters");
  for (int i = 0; i < hyper_count; ++i) {
    // Older recipes lack those that came later, which may all be null.
    if (i > static_cast<int>(Hyper::label_smoothing) && !fields.has(hyper_name(i))) continue;
    const Json& value = fields.get(hyper_name(i));
    if (value.is_null()) continue;
    const double number = fields.number(hyper_name(i), -1e300, 1e300);
    check_hyperparameter(i, number, ErrorCode::ENGINE_BAD_RECIPE, fields.path(hyper_name(i)));
    recipe.hyperparameters[static_cast<std::size_t>(i)] = number;
  }
  fields.done();
}

std::uint64_t digest_of(Json json) {
  auto& root = std::get<Json::Object>(json.value);
  std::get<Json::Object>(root["network"].value).erase("name");
  std::uint64_t hash = 0xCBF29CE484222325u;
  for (const char c : canonical(json)) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
  return hash;
}

}  // namespace

std::string part_path(Op op, std::size_t part) {
  if (op == Op::residual) return part == 0 ? "residual.body" : "residual.shortcut";
  return "branches[" + std::to_string(part) + "]";
}

Recipe parse_recipe(std::string_view text) {
  const Json json = parse_json(text);
  Fields fields(json, "");
  // 1: classification. 2: with a procedure.
  const std::int64_t version = fields.integer("version", 1, 2);
  Recipe recipe;
  if (version >= 2) recipe.procedure = parse_procedure(fields.get("procedure"));
  parse_network(fields.get("network"), recipe);
  recipe.dataset = parse_dataset(fields.get("dataset"));
  recipe.batch_size = fields.whole("batch_size", 1, max_batch);
  recipe.epochs = fields.whole("epochs", 1, 1000000);
  static constexpr Op updates[] = {Op::sgd, Op::momentum, Op::rmsprop, Op::adam, Op::adam};
  const std::size_t optimizer = fields.one_of("optimizer", {"sgd", "momentum", "rmsprop", "adam", "adamw"});
  recipe.optimizer = updates[optimizer];
  // A recipe of before there was a choice has its decay in the loss.
  const bool decoupled = fields.has("decay") && fields.one_of("decay", {"loss", "decoupled"}) == 1;
  recipe.decoupled_decay = decoupled || optimizer == 4;
  recipe.nesterov = fields.boolean("nesterov");
  if (recipe.nesterov && recipe.optimizer != Op::momentum) {
    throw Error(ErrorCode::ENGINE_BAD_RECIPE, "nesterov", "only the momentum optimizer has it");
  }
  recipe.schedule = parse_schedule(fields.get("schedule"));
  recipe.augmentation = parse_augmentation(fields.get("augmentation"));
  fields.one_of("precision", {"float32"});
  recipe.shuffle = fields.boolean("shuffle");
  recipe.test_at_end = fields.boolean("test_at_end");
  if (recipe.test_at_end && recipe.procedure.kind == ProcedureKind::gan) {
    throw Error(ErrorCode::ENGINE_BAD_RECIPE, "test_at_end", "a GAN has nothing to test");
  }
  if (fields.has("averaging")) recipe.averaging = parse_averaging(fields.get("averaging"));
  if (recipe.averaging && recipe.procedure.kind == ProcedureKind::gan) {
    throw Error(ErrorCode::ENGINE_BAD_RECIPE, "averaging", "a GAN's weights are not averaged");
  }
  // The worker keeps them, from `weights`.
  if (fields.has("keep_weights")) fields.boolean("keep_weights");
  parse_hyperparameters(fields.get("hyperparameters"), recipe);
  fields.done();
  recipe.digest = digest_of(json);
  return recipe;
}

}  // namespace convsweep
