#include "session_support.h"

#include "backend/registry.h"
#include "support.h"

namespace convsweep::test {

std::string RecipeText::json() const {
  const auto boolean = [](bool value) { return std::string(value ? "true" : "false"); };
  const std::string head = procedure.empty() ? R"("version":1)" : R"("version":2,"procedure":)" + procedure;
  return "{" + head + R"(,"network":{"name":"small","layers":)" + layers +
         R"(},"dataset":{"name":"small","shape":[2,6,6],"classes":4,"validation":)" + std::to_string(validation) +
         R"(,"train_images":)" + std::to_string(train) + R"(,"test_images":)" + std::to_string(test) +
         R"(,"seed":null},"batch_size":)" + std::to_string(batch) + R"(,"epochs":)" + std::to_string(epochs) +
         R"(,"optimizer":")" + optimizer + R"(","nesterov":false,"schedule":)" + schedule +
         R"(,"augmentation":{"flip":)" + boolean(flip) + R"(,"crop_padding":)" + std::to_string(crop) +
         R"(})" + (averaging.empty() ? "" : R"(,"averaging":)" + averaging) + R"(,"precision":"float32","shuffle":)" + boolean(shuffle) + R"(,"test_at_end":)" + boolean(test_at_end) +
         R"(,"hyperparameters":{"learning_rate":0.01,"l2":0,"momentum":0.9,"rho":0.99,"beta1":0.9,"beta2":0.999,)"
         R"("epsilon":1e-8,"dropout":null,"label_smoothing":0}})";
}

std::shared_ptr<const Dataset> small_dataset() {
  static const std::shared_ptr<const Dataset> set = [] {
    constexpr std::size_t count = 83, size = 72;
    std::vector<std::uint8_t> images(count * size), labels(count);
    for (std::size_t i = 0; i < count; ++i) {
      labels[i] = static_cast<std::uint8_t>(i % 4);
      for (std::size_t p = 0; p < size; ++p) {
        // A bright quarter of the plane by class, and noise.
        const std::size_t row = p % 36 / 6, column = p % 6;
        const bool bright = (row / 3) * 2 + column / 3 == labels[i];
        images[i * size + p] = static_cast<std::uint8_t>(100 + (bright ? 60 : 0) + 70 * value_at(i, p));
      }
    }
    const std::span<const std::uint8_t> all(images), classes(labels);
    register_dataset("small", {Extent{2, 6, 6}, 4, all.first(70 * size), classes.first(70), all.subspan(70 * size),
                               classes.subspan(70)});
    return find_dataset("small");
  }();
  return set;
}

std::unique_ptr<Session> open_session(const RecipeText& text, int lanes, int threads, const std::string& device,
                                      const std::string& isa, std::int32_t* control) {
  SessionConfig config;
  config.recipe = text.recipe();
  config.dataset = small_dataset();
  config.backend = make_backend(device, isa);
  config.lanes = lanes;
  config.threads = threads;
  config.control = control;
  return std::make_unique<Session>(std::move(config));
}

std::vector<LaneReport> run_to_end(Session& session, int batches) {
  std::vector<LaneReport> all;
  SliceLimits limits;
  if (batches > 0) limits.max_batches = batches;
  for (SliceState state = SliceState::more; state == SliceState::more;) {
    const SliceResult result = session.run_slice(limits);
    all.insert(all.end(), result.reports.begin(), result.reports.end());
    state = result.state;
  }
  return all;
}

}  // namespace convsweep::test
