// A small data set and recipes for tests of sessions.
#pragma once

#include <limits>
#include <memory>
#include <string>

#include "convsweep/session.h"
#include "data/dataset.h"

namespace convsweep::test {

// Fields of a recipe as JSON text; change what a test is about.
struct RecipeText {
  std::string layers =
      R"([{"op":"conv2d","filters":3,"kernel":[3,3],"stride":[1,1],"padding":"same","groups":1,"bias":true,)"
      R"("init":"he_normal"},{"op":"batch_norm","momentum":0.1,"epsilon":1e-5},{"op":"relu"},)"
      R"({"op":"max_pool2d","size":[2,2],"stride":[2,2],"padding":"valid"},{"op":"dropout","rate":0.25},)"
      R"({"op":"flatten"},{"op":"linear","units":4,"bias":true,"init":"torch_uniform"}])";
  // JSON, or empty for classification.
  std::string procedure;
  // JSON, or empty for none.
  std::string averaging;
  int validation = 10, train = 70, test = 13, batch = 8, epochs = 3;
  std::string optimizer = "adam", schedule = R"({"kind":"cosine","floor":0.1})";
  bool shuffle = true, test_at_end = true, flip = true;
  int crop = 1;

  std::string json() const;
  Recipe recipe() const { return parse_recipe(json()); }
};

inline constexpr double as_recipe = std::numeric_limits<double>::quiet_NaN();
inline constexpr Hyperparameters default_values = {0.01,      1e-4,      0.9,       0.99,      0.9,       0.999,
                                                   1e-8,      as_recipe, 0.05,      as_recipe, as_recipe, as_recipe,
                                                   as_recipe, as_recipe, as_recipe, as_recipe, as_recipe, as_recipe};

// 70 + 13 images of 2x6x6 in four classes that a small network can tell apart.
std::shared_ptr<const Dataset> small_dataset();

// device: cpu or reference; isa: auto, scalar, avx2 or avx512.
std::unique_ptr<Session> open_session(const RecipeText& text, int lanes, int threads = 1,
                                      const std::string& device = "cpu", const std::string& isa = "auto",
                                      std::int32_t* control = nullptr);

// Runs until nothing is left to do, in slices of `batches` batches a lane (0: unlimited); every report.
std::vector<LaneReport> run_to_end(Session& session, int batches = 0);

}  // namespace convsweep::test
