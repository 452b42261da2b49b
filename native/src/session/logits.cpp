// What a network says of images: one number a class, before the softmax.
//
// Guarantees: the same numbers as the measuring of an epoch has, to the bit, whatever the batch; touches only memory
// that carries nothing from batch to batch.
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "convsweep/error.h"
#include "session/impl.h"

namespace convsweep {
namespace {

// Of images that are labelled at once.
constexpr int most_at_once = 64;
constexpr std::size_t most_images = 65536;

}  // namespace

std::vector<float> Session::Impl::logits(int lane, MeasuredPart part, int batch) {
  LaneState state = slot(lane).state;
  const Recipe& recipe = config.recipe;
  if (recipe.procedure.kind != ProcedureKind::classification || recipe.dataset.text) {
    throw Error(ErrorCode::ENGINE_BAD_ARGUMENT, "lane", "only a network that classifies images labels them");
  }
  const Phase phase = part == MeasuredPart::test ? Phase::test : Phase::validation;
  const int batches = procedure_->batches(phase);
  if (batch < 0 || batch >= batches) {
    throw unexpected(ErrorCode::ENGINE_BAD_ARGUMENT, "batch",
                     batches == 0 ? "a part with images" : "integer from 0 to " + std::to_string(batches - 1),
                     std::to_string(batch));
  }
  state.phase = phase;
  state.batch = static_cast<std::uint32_t>(batch);
  const Network& network = plan.networks[0];
  const Step step(config.backend->ops(), recipe, network.graph, measured(lane, network), memory_);
  const LaneSet lanes{lane, 1, nullptr};
  const int n = procedure_->images(state);
  procedure_->prepare(state, lane, 0);
  procedure_->send(1);
  step.gather(*together_, lanes, procedure_->part(phase), n, false);
  step.forward(*together_, lanes, n, false);
  const auto images = static_cast<std::size_t>(n), classes = static_cast<std::size_t>(network.graph.classes);
  std::vector<float> by_class(images * classes), by_image(images * classes);
  config.backend->copy_out(by_class.data(), step.output(n)[lane], by_class.size() * sizeof(float));
  for (std::size_t image = 0; image < images; ++image) {
    for (std::size_t c = 0; c < classes; ++c) by_image[image * classes + c] = by_class[c * images + image];
  }
  return by_image;
}

// A session whose validation images are the ones given.
std::vector<float> classify(ClassifyRequest request) {
  Recipe& recipe = request.recipe;
  const auto size = static_cast<std::size_t>(recipe.dataset.shape.size());
  const auto channels = static_cast<std::size_t>(recipe.dataset.shape.channels);
  if (request.images.empty() || request.images.size() % size != 0 || request.images.size() / size > most_images) {
    throw unexpected(ErrorCode::ENGINE_BAD_ARGUMENT, "images",
                     "1 to " + std::to_string(most_images) + " images of " + std::to_string(size) + " bytes",
                     std::to_string(request.images.size()) + " bytes");
  }
  const Normalisation& norm = request.normalisation;
  if (norm.scale.size() != channels || norm.shift.size() != channels) {
    throw unexpected(ErrorCode::ENGINE_BAD_ARGUMENT, "scale, shift", std::to_string(channels) + " values each",
                     std::to_string(norm.scale.size()) + " and " + std::to_string(norm.shift.size()));
  }
  const auto finite = [](float value) { return std::isfinite(value); };
  if (!std::ranges::all_of(norm.scale, finite) || !std::ranges::all_of(norm.shift, finite)) {
    throw Error(ErrorCode::ENGINE_BAD_ARGUMENT, "scale, shift", "expected finite numbers");
  }
  const auto count = static_cast<int>(request.images.size() / size);
  auto set = std::make_shared<Dataset>();
  set->shape = recipe.dataset.shape;
  set->classes = recipe.dataset.classes;
  // A recipe must have a batch to train on: black images, never looked at.
  recipe.batch_size = std::min(count, most_at_once);
  set->train = recipe.batch_size + count;
  set->images.assign(static_cast<std::size_t>(recipe.batch_size) * size, 0);
  set->images.insert(set->images.end(), request.images.begin(), request.images.end());
  set->labels.assign(static_cast<std::size_t>(set->train), 0);
  recipe.dataset.train_images = set->train;
  recipe.dataset.validation = count;
  recipe.dataset.test_images = 0;
  // No epoch ends here, and the weights are the average's already.
  recipe.test_at_end = false;
  recipe.averaging.reset();
  SessionConfig config;
  config.recipe = std::move(recipe);
  config.dataset = std::move(set);
  config.backend = std::move(request.backend);
  config.threads = request.threads;
  config.normalisation = std::move(request.normalisation);
  Session session(std::move(config));
  // Nothing is trained: any values in range will do.
  Hyperparameters idle;
  idle.fill(std::numeric_limits<double>::quiet_NaN());
  for (int i = 0; i <= static_cast<int>(Hyper::label_smoothing); ++i) idle[static_cast<std::size_t>(i)] = 0;
  idle[static_cast<std::size_t>(Hyper::epsilon)] = 1e-8;
  const int lane = session.add_lane(0, idle, std::nullopt);
  session.load_weights(lane, request.weights);
  std::vector<float> logits;
  for (int batch = 0; batch * most_at_once < count; ++batch) {
    const std::vector<float> some = session.logits(lane, MeasuredPart::validation, batch);
    logits.insert(logits.end(), some.begin(), some.end());
  }
  return logits;
}

}  // namespace convsweep
