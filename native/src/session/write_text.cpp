// Text out of a lane of a character network, one character at a time.
//
// Each character is drawn from the softmax of logits / temperature after the characters before it, as many of them as a
// training window holds; the hidden state starts from zero at the window's beginning. Temperature 0 takes the
// likeliest.
//
// Guarantees: depends on the lane's weights and seed, the start, the temperature and the backend; touches only memory
// that carries nothing from batch to batch.
#include <algorithm>
#include <cmath>

#include "convsweep/error.h"
#include "convsweep/rng.h"
#include "ops/math.h"
#include "session/impl.h"

namespace convsweep {
namespace {

constexpr int max_length = 100000;

std::uint8_t draw_character(const std::vector<float>& logits, double temperature, std::uint64_t seed,
                            std::uint32_t position) {
  const auto likeliest = std::max_element(logits.begin(), logits.end());
  if (temperature == 0) return static_cast<std::uint8_t>(likeliest - logits.begin());
  std::vector<double> share;
  double total = 0;
  for (const float logit : logits) {
    total += static_cast<double>(math::exp(static_cast<float>(static_cast<double>(logit - *likeliest) / temperature)));
    share.push_back(total);
  }
  const PhiloxBlock block = draw_block(seed, Purpose::write, 0, 0, position);
  const double point = (block.word[0] + 0.5) / 4294967296.0 * total;
  const auto chosen = std::upper_bound(share.begin(), share.end() - 1, point);
  return static_cast<std::uint8_t>(chosen - share.begin());
}

}  // namespace

std::vector<std::uint8_t> Session::Impl::write_text(int lane, std::span<const std::uint8_t> start, int length,
                                                    double temperature) {
  const LaneState& state = slot(lane).state;
  const Recipe& recipe = config.recipe;
  if (!recipe.dataset.text) {
    throw Error(ErrorCode::ENGINE_BAD_ARGUMENT, "lane", "only a network trained on a text writes");
  }
  if (length < 1 || length > max_length) {
    throw unexpected(ErrorCode::ENGINE_BAD_ARGUMENT, "length", "integer from 1 to " + std::to_string(max_length),
                     std::to_string(length));
  }
  if (!(temperature >= 0 && temperature <= 100)) {
    throw unexpected(ErrorCode::ENGINE_BAD_ARGUMENT, "temperature", "number from 0 to 100",
                     std::to_string(temperature));
  }
  if (start.empty()) throw Error(ErrorCode::ENGINE_BAD_ARGUMENT, "start", "expected at least one character");
  for (std::size_t i = 0; i < start.size(); ++i) {
    if (start[i] >= recipe.dataset.classes) {
      throw unexpected(ErrorCode::ENGINE_BAD_ARGUMENT, "start[" + std::to_string(i) + "]",
                       "a character below " + std::to_string(recipe.dataset.classes), std::to_string(start[i]));
    }
  }
  const Network& network = plan.networks[0];
  const Graph& graph = network.graph;
  const Step step(config.backend->ops(), recipe, graph, measured(lane, network), memory_);
  const auto window = static_cast<std::size_t>(graph.positions), classes = static_cast<std::size_t>(graph.classes);
  std::vector<std::uint8_t> text(start.begin(), start.end());
  std::vector<float> input(window), logits(classes * window), last(classes);
  for (int i = 0; i < length; ++i) {
    const std::size_t used = std::min(window, text.size());
    std::fill(input.begin(), input.end(), 0.0F);
    std::copy(text.end() - static_cast<std::ptrdiff_t>(used), text.end(), input.begin());
    config.backend->copy_in(step.input(1)[lane], input.data(), input.size() * sizeof(float));
    step.forward(*together_, LaneSet{lane, 1, nullptr}, 1, false);
    config.backend->copy_out(logits.data(), step.output(1)[lane], logits.size() * sizeof(float));
    for (std::size_t c = 0; c < classes; ++c) last[c] = logits[c * window + used - 1];
    text.push_back(draw_character(last, temperature, state.seed, static_cast<std::uint32_t>(i)));
  }
  text.erase(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(start.size()));
  return text;
}

}  // namespace convsweep
