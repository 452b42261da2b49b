// First values of parameters: He et al. 2015 (he_*), Glorot and Bengio 2010 (glorot_uniform), PyTorch's default for
// linear and conv2d weights (torch_uniform), and Radford, Metz, Chintala 2016 (dcgan_normal, a deviation of 0.02). Each
// element is a function of (seed, layer, tensor, element) alone.
#include <cmath>

#include "convsweep/rng.h"
#include "model/graph.h"
#include "model/portable_math.h"

namespace convsweep {
namespace {

// Strictly between 0 and 1.
double unit(std::uint32_t word) { return (word + 0.5) / 4294967296.0; }

double uniform_limit(const Tensor& t) {
  switch (t.init) {
    case Init::he_uniform:
      return std::sqrt(6.0 / static_cast<double>(t.fan_in));
    case Init::glorot_uniform:
      return std::sqrt(6.0 / static_cast<double>(t.fan_in + t.fan_out));
    default:
      return std::sqrt(1.0 / static_cast<double>(t.fan_in));
  }
}

// Box and Muller 1958: two words to two normal deviates.
void normals(std::uint32_t a, std::uint32_t b, double* out) {
  const double radius = std::sqrt(-2 * portable_log(unit(a)));
  const double turns = 2 * unit(b);
  out[0] = radius * cos_pi(turns);
  out[1] = radius * sin_pi(turns);
}

void fill_weights(const Tensor& t, std::uint64_t seed, std::uint32_t draw, float* out) {
  const double deviation = t.init == Init::dcgan_normal ? 0.02 : std::sqrt(2.0 / static_cast<double>(t.fan_in));
  const double limit = uniform_limit(t);
  for (std::int64_t element = 0; element < t.size; element += 4) {
    const PhiloxBlock block = draw_block(seed, Purpose::init, static_cast<std::uint32_t>(t.layer), draw,
                                         static_cast<std::uint32_t>(element / 4));
    double values[4];
    if (t.init == Init::he_normal || t.init == Init::dcgan_normal) {
      normals(block.word[0], block.word[1], values);
      normals(block.word[2], block.word[3], values + 2);
      for (double& v : values) v *= deviation;
    } else {
      for (int i = 0; i < 4; ++i) values[i] = (2 * unit(block.word[i]) - 1) * limit;
    }
    for (std::int64_t i = 0; i < 4 && element + i < t.size; ++i) out[element + i] = static_cast<float>(values[i]);
  }
}

}  // namespace

std::vector<float> initial_parameters(const Graph& graph, std::uint64_t seed, std::uint32_t network) {
  std::vector<float> run(static_cast<std::size_t>(graph.parameters), 0.0F);
  for (const Tensor& t : graph.tensors) {
    if (t.statistic) continue;
    float* out = run.data() + t.offset;
    if (t.fan_in >= 0) {
      fill_weights(t, seed, t.draw + 2 * network, out);
    } else {
      for (std::int64_t i = 0; i < t.size; ++i) out[i] = t.fill;
    }
  }
  return run;
}

std::vector<float> initial_statistics(const Graph& graph) {
  std::vector<float> run(static_cast<std::size_t>(graph.statistics), 0.0F);
  for (const GraphLayer& layer : graph.layers) {
    if (layer.running_var < 0) continue;
    for (int c = 0; c < layer.shape.in.channels; ++c) run[static_cast<std::size_t>(layer.running_var + c)] = 1.0F;
  }
  return run;
}

}  // namespace convsweep
