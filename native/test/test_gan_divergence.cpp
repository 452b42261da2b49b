// A GAN's lane diverges by whichever of its networks is no longer finite: cases in which one alone shows it.
#include "session_support.h"
#include "support.h"

using namespace convsweep;
using namespace convsweep::test;

namespace {

// 360 weights of the generator, then the discriminator's: 72 weights and a bias of each layer, but one of a second.
RecipeText gan_of(const std::string& discriminator) {
  RecipeText text;
  text.layers =
      R"([{"op":"conv_transpose2d","filters":2,"kernel":[6,6],"stride":[1,1],"padding":[0,0],"output_padding":[0,0],)"
      R"("groups":1,"bias":false,"init":"dcgan_normal"},{"op":"tanh"}])";
  text.procedure =
      R"({"kind":"gan","latent":5,"conditional":false,"discriminator":[{"op":"flatten"},)" + discriminator + "]}";
  text.optimizer = "sgd";
  text.schedule = R"({"kind":"constant"})";
  text.test_at_end = text.flip = false;
  text.crop = 0;
  // An epoch is one batch of all 60 images that are trained.
  text.batch = 60;
  return text;
}

const std::string linear1 = R"({"op":"linear","units":1,"bias":true,"init":"torch_uniform"})";

// What the first step of networks with these weights ends in.
std::vector<LaneDivergence> first_step(const std::string& discriminator, const std::vector<float>& weights, double rate,
                                       double l2) {
  const auto session = open_session(gan_of(discriminator), 1);
  Hyperparameters values = default_values;
  values[static_cast<std::size_t>(Hyper::learning_rate)] = rate;
  values[static_cast<std::size_t>(Hyper::l2)] = l2;
  session->add_lane(7, values, std::nullopt);
  session->load_weights(0, weights);
  return session->run_slice({1000, 1}).diverged;
}

std::vector<float> alike(float generator, float discriminator) {
  std::vector<float> weights(360, generator);
  weights.resize(432, discriminator);
  weights.push_back(0);
  return weights;
}

}  // namespace

TEST_CASE("a GAN whose loss of real images alone is not finite has diverged") {
  // Images are mostly brighter than the middle, so their sum of 72 products overflows; drawn ones are all 0, and nothing
  // learns.
  const std::vector<LaneDivergence> diverged = first_step(linear1, alike(0, 1e38F), 0, 0);
  REQUIRE(diverged.size() == 1);
  CHECK(diverged[0].step == 1);
  CHECK(!diverged[0].weights);
  CHECK(first_step(linear1, alike(0, 1e36F), 0, 0).empty());
}

TEST_CASE("a GAN whose generator alone has overflowed has diverged") {
  // Drawn images are 1 and -1 whatever the generator's weights, which decay multiplies by -1e12.
  const std::vector<LaneDivergence> diverged = first_step(linear1, alike(1e37F, 0), 1e6, 1e6);
  REQUIRE(diverged.size() == 1);
  CHECK(diverged[0].step == 1);
  CHECK(diverged[0].weights);
  CHECK(first_step(linear1, alike(1e20F, 0), 1e6, 1e6).empty());
}

TEST_CASE("a GAN whose discriminator alone has overflowed has diverged") {
  // Of real images, whose target is 0.95, the gradient of the first bias is 0.95 times -v, of its weights less, as their
  // pixels' means are; the bias goes to minus infinity, relu hides it, and drawn images, all 0, are judged by the last bias.
  const std::string hidden = linear1 + R"(,{"op":"relu"},)" + linear1;
  const auto with = [](float v) {
    std::vector<float> weights(432, 0.0F);
    weights.insert(weights.end(), {1, v, 0});
    return weights;
  };
  const std::vector<LaneDivergence> diverged = first_step(hidden, with(-1e33F), 5e5, 0);
  REQUIRE(diverged.size() == 1);
  CHECK(diverged[0].step == 1);
  CHECK(diverged[0].weights);
  CHECK(first_step(hidden, with(-1e32F), 5e5, 0).empty());
}
