// Recipes: the JSON reader, fields and their paths, shapes and their messages, the digest.
#include "convsweep/recipe.h"

#include "model/graph.h"
#include "model/json.h"
#include "session_support.h"
#include "support.h"

using namespace convsweep;
using namespace convsweep::test;

namespace {

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

std::string message(const std::string& json) {
  return thrown_by([&] { build_graphs(parse_recipe(json)); }).what();
}

std::string with_layers(const std::string& layers) {
  RecipeText text;
  text.layers = "[" + layers + "]";
  return text.json();
}

const std::string linear4 = R"({"op":"linear","units":4,"bias":true,"init":"he_normal"})";

}  // namespace

TEST_CASE("the JSON reader takes JSON") {
  CHECK(canonical(parse_json(R"( {"b" : [1, -2.5e-1, true, false, null, "x\"\\\n\u00e9\ud83d\ude00"], "a": {} } )")) ==
        "{\"a\":{},\"b\":[1,-0.25,true,false,null,\"x\\\"\\\\\\u000a\xC3\xA9\xF0\x9F\x98\x80\"]}");
  CHECK(canonical(parse_json("1e-5")) == "1e-05");
  CHECK(canonical(parse_json("-0")) == "0");
  CHECK(canonical(parse_json("0.1")) == "0.1");
}

TEST_CASE("the JSON reader takes nothing else") {
  for (const std::string text : {"",
                                 " ",
                                 "{",
                                 "[1,]",
                                 "{\"a\":1,}",
                                 "{a:1}",
                                 "'a'",
                                 "01",
                                 "+1",
                                 "1.",
                                 ".5",
                                 "1e",
                                 "NaN",
                                 "Infinity",
                                 "1e999",
                                 "nul",
                                 "\"",
                                 "\"\\x\"",
                                 "\"\\ud800\"",
                                 "\"\\udc00\"",
                                 "\"\n\"",
                                 "[1] 2",
                                 "{\"a\":1,\"a\":2}",
                                 "// x\n1",
                                 "[1 2]",
                                 "{\"a\" 1}",
                                 "\x01"}) {
    CAPTURE(text);
    CHECK(thrown_by([&] { parse_json(text); }).code() == ErrorCode::ENGINE_BAD_RECIPE);
  }
  CHECK(thrown_by([] { parse_json(std::string(100000, '[')); }).code() == ErrorCode::ENGINE_BAD_RECIPE);
  CHECK(thrown_by([] { parse_json(std::string(max_json_bytes + 1, ' ')); }).code() == ErrorCode::ENGINE_BAD_RECIPE);
  CHECK(std::string(thrown_by([] { parse_json("{\n  \"a\": tru}"); }).what()).find("line 2, column 8") !=
        std::string::npos);
}

TEST_CASE("a recipe is read whole") {
  const Recipe recipe = RecipeText{}.recipe();
  CHECK(recipe.layers.size() == 7);
  CHECK(recipe.dataset.shape == Extent{2, 6, 6});
  CHECK(recipe.optimizer == Op::adam);
  CHECK(recipe.schedule.kind == ScheduleKind::cosine);
  CHECK(recipe.schedule.floor == 0.1);
  CHECK_FALSE(recipe.hyperparameters[7].has_value());
  CHECK(recipe.hyperparameters[0] == 0.01);
  const Graph graph = build_graphs(recipe)[0];
  CHECK(graph.parameters == 54 + 3 + 6 + 108 + 4);
  CHECK(graph.decayed == 54 + 108);
  CHECK(graph.statistics == 6);
}

TEST_CASE("decay is in the loss unless the recipe, or adamw, says otherwise") {
  const std::string good = RecipeText{}.json();
  const std::string adamw = replaced(good, "\"adam\"", "\"adamw\"");
  const auto with = [](const std::string& text, const std::string& decay) {
    return parse_recipe(replaced(text, "\"epochs\"", "\"decay\":\"" + decay + "\",\"epochs\"")).decoupled_decay;
  };
  CHECK_FALSE(parse_recipe(good).decoupled_decay);
  CHECK_FALSE(with(good, "loss"));
  CHECK(with(good, "decoupled"));
  CHECK(parse_recipe(adamw).decoupled_decay);
  CHECK(with(adamw, "decoupled"));
}

TEST_CASE("what is wrong is named") {
  const std::string good = RecipeText{}.json();
  CHECK(message(replaced(good, "\"epochs\":3", "\"epochs\":0")) ==
        "epochs: expected integer from 1 to 1000000, found 0");
  CHECK(message(replaced(good, "\"epochs\":3", "\"epochs\":1.5")) ==
        "epochs: expected integer from 1 to 1000000, found 1.5");
  CHECK(message(replaced(good, "\"epochs\":3", "\"epoch\":3")) == "epochs: expected a value, found nothing");
  CHECK(message(replaced(good, "\"epochs\":3", "\"epochs\":3,\"x\":1")) ==
        "x: unknown field; this engine does not know it");
  CHECK(message(replaced(good, "\"adam\"", "\"adagrad\"")) ==
        "optimizer: expected one of sgd momentum rmsprop adam adamw, found \"adagrad\"");
  CHECK(message(replaced(good, "\"filters\":3", "\"filters\":0")) ==
        "network.layers[0].filters: expected integer >= 1, found 0");
  CHECK(message(replaced(good, "\"kernel\":[3,3]", "\"kernel\":[3,0]")) ==
        "network.layers[0].kernel: expected integer from 1 to 65535, found 0");
  CHECK(message(replaced(good, "\"rate\":0.25", "\"rate\":1")) ==
        "network.layers[4].rate: expected number >= 0 and < 1, found 1");
  CHECK(message(replaced(good, "\"momentum\":0.9", "\"momentum\":1")) ==
        "hyperparameters.momentum: expected number >= 0 and < 1, found 1");
  CHECK(message(replaced(good, "\"batch_size\":8", "\"batch_size\":61")) ==
        "batch_size: expected at most the 60 images trained on, found 61");
  CHECK(message(replaced(good, "\"nesterov\":false", "\"nesterov\":true")) ==
        "nesterov: only the momentum optimizer has it");
}

TEST_CASE("layers that do not fit are named") {
  CHECK(message(with_layers(linear4)) ==
        "network.layers[0]: linear needs a flat input, found 2x6x6; put flatten before it");
  CHECK(message(with_layers(R"({"op":"flatten"},{"op":"linear","units":5,"bias":true,"init":"he_normal"})")) ==
        "network.layers: expected the last layer to yield 4 values, one a class, found 5");
  CHECK(message(with_layers(R"({"op":"max_pool2d","size":[7,2],"stride":[2,2],"padding":"valid"})")) ==
        "network.layers[0].size: expected at most the padded input of 2x6x6, found 7x2");
  CHECK(message(with_layers(R"({"op":"adaptive_max_pool2d","output":[2,0]})")) ==
        "network.layers[0].output: expected integer from 1 to 65535, found 0");
  CHECK(message(with_layers(R"({"op":"adaptive_avg_pool2d","output":[65535,65535]})")) ==
        "network.layers[0]: expected at most 268435456 values an image, found 2x65535x65535");
  CHECK(message(with_layers(R"({"op":"avg_pool2d","size":[2,2],"stride":[2,2],"padding":[2,0]})")) ==
        "network.layers[0].padding: expected at most half the window 2x2, found 2x0");
  CHECK(message(with_layers(R"({"op":"conv2d","filters":4,"kernel":[1,1],"stride":[1,1],"padding":"valid",)"
                            R"("groups":3,"bias":true,"init":"he_normal"})")) ==
        "network.layers[0].groups: expected a divisor of 2 channels and 4 filters, found 3");
  CHECK(message(with_layers(R"({"op":"conv_transpose2d","filters":4,"kernel":[3,3],"stride":[1,1],"padding":[4,1],)"
                            R"("output_padding":[0,0],"groups":1,"bias":true,"init":"dcgan_normal"})")) ==
        "network.layers[0].padding: expected one that leaves something of the output of 2x6x6, found 4x1");
  CHECK(message(with_layers(R"({"op":"reshape","shape":[2,3,13]})")) ==
        "network.layers[0].shape: expected as many values as the input of 2x6x6 has, found 2x3x13");
  CHECK(message(with_layers(R"({"op":"reshape","shape":[2,36]})")) ==
        "network.layers[0].shape: expected channels, rows, columns, found 2 numbers");
  CHECK(message(with_layers(R"({"op":"conv2d","filters":4,"kernel":[6,6],"stride":[1,1],"padding":"valid",)"
                            R"("groups":1,"bias":true,"init":"he_normal"},{"op":"relu"},{"op":"conv2d","filters":4,)"
                            R"("kernel":[2,2],"stride":[1,1],"padding":"valid","groups":1,"bias":true,)"
                            R"("init":"he_normal"})")) ==
        "network.layers[2].kernel: expected at most the padded input of 4, found 2x2");
}

TEST_CASE("the digest sees what decides a result, and nothing else") {
  const std::string good = RecipeText{}.json();
  const std::uint64_t digest = parse_recipe(good).digest;
  CHECK(parse_recipe(replaced(good, "\"name\":\"small\",\"layers\"", "\"name\":null,\"layers\"")).digest == digest);
  CHECK(parse_recipe(replaced(good, "1e-5", "0.00001")).digest == digest);
  CHECK(parse_recipe(replaced(good, "\"epochs\":3", "\"epochs\":4")).digest != digest);
  CHECK(parse_recipe(replaced(good, "\"filters\":3", "\"filters\":2")).digest != digest);
  CHECK(parse_recipe(replaced(good, "\"flip\":true", "\"flip\":false")).digest != digest);
}
