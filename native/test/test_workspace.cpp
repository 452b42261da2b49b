// The workspace that lanes share on the host: nothing in it goes from lane to lane, and what it takes.
#include "layer_text.h"
#include "session_support.h"
#include "support.h"

using namespace convsweep;
using namespace convsweep::test;

namespace {

std::vector<std::string> networks() {
  const std::string lstm = R"({"op":"lstm","units":5,"return_sequences":false,"init":"torch_uniform"})";
  std::vector<std::string> list = {
      RecipeText{}.layers,
      joined({plain_text("rows_as_sequence"), lstm, plain_text("flatten"), linear4_text}),
      joined({conv_text(17, 3, 1, true), relu_text, conv_text(18, 3, 2, true), norm_text, plain_text("flatten"),
              linear4_text})};
  for (const NestedNetwork& network : nested_networks()) list.push_back(network.layers);
  return list;
}

SessionMemory memory(int lanes, int threads) { return open_session(RecipeText{}, lanes, threads)->memory(); }

}  // namespace

TEST_CASE("a lane that leaves nothing but NaN behind in the workspace changes no other's bytes") {
  for (const std::string& layers : networks()) {
    CAPTURE(layers);
    RecipeText text;
    text.layers = layers;
    const auto alone = open_session(text, 1);
    alone->add_lane(9, default_values, std::nullopt);
    run_to_end(*alone);

    const auto shared = open_session(text, 2);
    shared->add_lane(1, default_values, std::nullopt);
    const int lane = shared->add_lane(9, default_values, std::nullopt);
    const std::vector<float> huge(shared->weights(0).size(), 3e38F);
    SliceLimits one;
    one.max_batches = 1;
    // Before each batch of an epoch, validation included, and the first of the next.
    for (int batch = 0; batch < 10; ++batch) {
      shared->remove_lane(0);
      CHECK(shared->add_lane(1, default_values, std::nullopt) == 0);
      shared->load_weights(0, huge);
      CHECK(shared->run_slice(one).diverged.size() == 1);
    }
    shared->remove_lane(0);
    run_to_end(*shared);
    CHECK(shared->save_lane(lane) == alone->save_lane(0));
  }
}

TEST_CASE("lanes share a workspace a thread, or one where there are fewer lanes than threads") {
  const auto rest = memory(1, 1).bytes_shared, thread = memory(2, 2).bytes_shared - memory(2, 1).bytes_shared;
  // Beside workspaces lanes share a few hundred bytes each.
  CHECK(memory(2, 1).bytes_shared - rest < 1024);
  CHECK(memory(8, 2).bytes_shared - memory(2, 2).bytes_shared < 6 * 1024);
  CHECK(memory(2, 3).bytes_shared < memory(3, 3).bytes_shared / 2);
  CHECK(thread > rest / 2);
  // 175 parameters, each with two values of Adam's state, and 6 running statistics, rounded up to 64 bytes, and a gap.
  const std::size_t kept = memory(8, 2).bytes_per_lane, values = 3 * 704 + 64;
  CHECK(kept >= values);
  CHECK(kept <= values + 256);
  // Nothing of it grows with the batch.
  RecipeText large;
  large.batch = 16;
  CHECK(open_session(large, 1)->memory().bytes_per_lane == kept);
}
