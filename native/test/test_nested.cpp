// Networks of residuals and branches in sessions: names, messages, invariance, and the CPU against the reference.
#include <algorithm>

#include "layer_text.h"
#include "model/graph.h"
#include "session_support.h"
#include "support.h"

using namespace convsweep;
using namespace convsweep::test;

namespace {

std::vector<std::uint8_t> trained(const RecipeText& text, std::uint64_t seed, const std::string& isa, int threads) {
  const auto session = open_session(text, 1, threads, "cpu", isa);
  session->add_lane(seed, default_values, std::nullopt);
  run_to_end(*session);
  return session->save_lane(0);
}

std::string message(const std::string& layers) {
  RecipeText text;
  text.layers = layers;
  return thrown_by([&] { build_graphs(text.recipe()); }).what();
}

}  // namespace

TEST_CASE("a lane of a nested network gives the same bytes alone, among others, on any threads and instructions") {
  for (const NestedNetwork& network : nested_networks()) {
    CAPTURE(network.name);
    RecipeText text;
    text.layers = network.layers;
    text.epochs = 2;
    const std::vector<std::uint8_t> alone = trained(text, 5, "scalar", 1);
    CHECK(trained(text, 5, "auto", 2) == alone);
    CHECK(trained(text, 6, "auto", 1) != alone);
    const auto cohort = open_session(text, 4, 2);
    for (std::uint64_t seed = 2; seed < 6; ++seed) cohort->add_lane(seed, default_values, std::nullopt);
    run_to_end(*cohort, 3);
    CHECK(cohort->save_lane(3) == alone);
    // From a checkpoint in the middle of an epoch.
    const auto first = open_session(text, 1), second = open_session(text, 1);
    first->add_lane(5, default_values, std::nullopt);
    first->run_slice({1000.0, 3});
    second->add_lane(5, default_values, first->save_lane(0));
    run_to_end(*second);
    CHECK(second->save_lane(0) == alone);
  }
}

TEST_CASE("the CPU trains nested networks as the reference does") {
  for (const NestedNetwork& network : nested_networks()) {
    CAPTURE(network.name);
    RecipeText text;
    text.layers = network.layers;
    text.optimizer = "momentum";
    text.epochs = 2;
    const auto found = open_session(text, 1), wanted = open_session(text, 1, 1, "reference");
    for (Session* session : {found.get(), wanted.get()}) session->add_lane(3, default_values, std::nullopt);
    const std::vector<LaneReport> a = run_to_end(*found), b = run_to_end(*wanted);
    REQUIRE(a.size() == 2);
    for (std::size_t i = 0; i < 2; ++i) {
      CHECK(a[i].metric("train_loss") == doctest::Approx(b[i].metric("train_loss")).epsilon(1e-4));
      CHECK(a[i].metric("val_loss") == doctest::Approx(b[i].metric("val_loss")).epsilon(1e-4));
      CHECK(a[1].metric("test_loss") == doctest::Approx(b[1].metric("test_loss")).epsilon(1e-4));
    }
    CHECK(distance(found->weights(0), wanted->weights(0)) < 1e-4);
  }
}

TEST_CASE("tensors within lists are named by their place") {
  RecipeText text;
  text.layers = nested_networks()[0].layers;
  std::vector<std::string> names;
  const Graph graph = build_graphs(text.recipe())[0];
  for (const Tensor& tensor : graph.tensors) names.push_back(tensor.name);
  CHECK(names[0] == "0.conv2d.weight");
  CHECK(names[5] == "3.residual.body.0.conv2d.weight");
  CHECK(std::find(names.begin(), names.end(), "5.residual.shortcut.1.batch_norm.running_var") != names.end());
  text.layers = nested_networks()[4].layers;
  names.clear();
  const Graph other = build_graphs(text.recipe())[0];
  for (const Tensor& tensor : other.tensors) names.push_back(tensor.name);
  CHECK(std::find(names.begin(), names.end(), "3.residual.body.0.branches.1.0.branches.0.0.conv2d.weight") !=
        names.end());
}

TEST_CASE("what is wrong in nested lists is named by its place") {
  const std::string end = plain_text("flatten") + "," + linear4_text;
  const auto with = [&](const std::string& layer) { return "[" + relu_text + "," + layer + "," + end + "]"; };
  CHECK(message(with(residual_text({conv_text(3, 3)}))) ==
        "network.layers[1].residual: expected a body that yields 2x6x6, as its shortcut does, found 3x6x6");
  CHECK(message(with(branches_text({{}, {conv_text(3, 3, 2)}}))) ==
        "network.layers[1].branches[1]: expected planes of 6x6, as the first branch's, found 3x3");
  CHECK(message(with(residual_text({relu_text, linear4_text}))) ==
        "network.layers[1].residual.body[1]: linear needs a flat input, found 2x6x6; put flatten before it");
  CHECK(message(with(branches_text({{residual_text({}, {relu_text})}}))) ==
        "network.layers[1].branches[0][0].residual.body: expected at least one layer, found none");
  CHECK(message(with(R"({"op":"branches","branches":[]})")) ==
        "network.layers[1].branches: expected at least one branch, found none");
  CHECK(message(with(R"({"op":"branches","branches":[[],{}]})")) ==
        "network.layers[1].branches[1]: expected a list, found an object");
  CHECK(message(with(R"({"op":"residual","body":[{"op":"relu"}]})")) ==
        "network.layers[1].shortcut: expected a value, found nothing");
  CHECK(message(with(R"({"op":"branches","branches":[[]],"x":1})")) ==
        "network.layers[1].x: unknown field; this engine does not know it");
  std::string deep = relu_text;
  for (int i = 0; i < 9; ++i) deep = branches_text({{deep}});
  CHECK(message(with(deep)).find("expected at most 8 lists within lists, found 9") != std::string::npos);
  std::vector<std::string> many(500, relu_text);
  CHECK(message(with(residual_text(many, many))) == "network.layers: expected 1 to 1000 layers, found more");
  // 200 times as many channels each: 2 x 6 x 6 values, 14,400, 2,880,000; then 94 of those are too many.
  const std::string wide = branches_text(std::vector<std::vector<std::string>>(200));
  CHECK(message(joined({wide, wide, wide, plain_text("flatten"), linear4_text})) ==
        "network.layers[2]: expected at most 268435456 values an image, found 270720000");
}
