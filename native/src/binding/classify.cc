// classify, and images of a data set.
#include <vector>

#include "backend/registry.h"
#include "binding/entries.h"
#include "binding/guard.h"
#include "binding/off_thread.h"
#include "binding/read.h"
#include "convsweep/session.h"
#include "data/dataset.h"

namespace convsweep::binding {
namespace {

constexpr int most_threads = 1024;

template <class T>
std::vector<T> copy(std::span<const T> values) {
  return {values.begin(), values.end()};
}

Napi::Value classify_entry(const Napi::CallbackInfo& info) {
  const Napi::Object options = read_object(argument(info, 0), "options");
  auto request = std::make_shared<ClassifyRequest>();
  request->recipe = parse_recipe(read_text(options.Get("recipe"), "recipe"));
  request->threads = read_integer(options.Get("threads"), "threads", 1, most_threads);
  request->weights = copy(read_floats(options.Get("weights"), "weights"));
  request->normalisation.scale = copy(read_floats(options.Get("scale"), "scale"));
  request->normalisation.shift = copy(read_floats(options.Get("shift"), "shift"));
  request->images = copy(read_bytes(options.Get("images"), "images"));
  request->backend = make_backend(read_text(options.Get("device"), "device"), "auto");
  return OffThread::run(info.Env(), [request]() -> Deliver {
    auto logits = std::make_shared<std::vector<float>>(classify(std::move(*request)));
    return [logits](Napi::Env env) -> Napi::Value { return floats_array(env, *logits); };
  });
}

Napi::Value dataset_images(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::string digest = read_text(argument(info, 0), "digest");
  const auto set = find_dataset(digest);
  if (set == nullptr || set->text) {
    throw Error(ErrorCode::ENGINE_NO_DATASET, "digest", "no images \"" + digest + "\" in this process");
  }
  const int total = set->train + set->test;
  const int first = read_integer(argument(info, 1), "first", 0, total);
  const int count = read_integer(argument(info, 2), "count", 0, total - first);
  const auto size = static_cast<std::size_t>(set->shape.size());
  const auto from = static_cast<std::size_t>(first), n = static_cast<std::size_t>(count);
  const Napi::Object object = Napi::Object::New(env);
  object.Set("images", bytes_array(env, std::span(set->images).subspan(from * size, n * size)));
  object.Set("labels", bytes_array(env, std::span(set->labels).subspan(from, n)));
  return object;
}

}  // namespace

void add_classify_entries(Napi::Env env, Napi::Object exports) {
  exports.Set("classify", Napi::Function::New<guard<classify_entry>>(env, "classify"));
  exports.Set("datasetImages", Napi::Function::New<guard<dataset_images>>(env, "datasetImages"));
}

}  // namespace convsweep::binding
