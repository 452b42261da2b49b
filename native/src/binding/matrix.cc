// matmul and shortestPaths.
#include <vector>

#include "backend/registry.h"
#include "binding/entries.h"
#include "binding/guard.h"
#include "binding/off_thread.h"
#include "binding/read.h"
#include "convsweep/matrix.h"

namespace convsweep::binding {
namespace {

constexpr int most_side = 65536;
constexpr int most_threads = 1024;

std::vector<float> copy_floats(const Napi::Object& options, const char* name) {
  const std::span<const float> values = read_floats(options.Get(name), name);
  return {values.begin(), values.end()};
}

bool read_flag(const Napi::Object& options, const char* name) {
  const Napi::Value value = options.Get(name);
  if (!value.IsBoolean()) throw wrong(name, "true or false", value);
  return value.As<Napi::Boolean>().Value();
}

Napi::Value matmul_entry(const Napi::CallbackInfo& info) {
  const Napi::Object options = read_object(argument(info, 0), "options");
  const auto side = [&options](const char* name) { return read_integer(options.Get(name), name, 1, most_side); };
  MatmulShape shape;
  shape.rows = side("rows");
  shape.inner = side("inner");
  shape.columns = side("columns");
  shape.transpose_a = read_flag(options, "transposeA");
  shape.transpose_b = read_flag(options, "transposeB");
  const int threads = read_integer(options.Get("threads"), "threads", 1, most_threads);
  std::shared_ptr<Backend> backend = make_backend(read_text(options.Get("device"), "device"), "auto");
  return OffThread::run(
      info.Env(), [shape, threads, backend, a = copy_floats(options, "a"), b = copy_floats(options, "b")]() -> Deliver {
        auto result = std::make_shared<std::vector<float>>(matmul(*backend, threads, shape, a, b));
        return [result](Napi::Env env) -> Napi::Value { return floats_array(env, *result); };
      });
}

Napi::Value shortest_paths_entry(const Napi::CallbackInfo& info) {
  const Napi::Object options = read_object(argument(info, 0), "options");
  const int vertices = read_integer(options.Get("vertices"), "vertices", 1, most_side);
  const bool with_next = read_flag(options, "next");
  const int threads = read_integer(options.Get("threads"), "threads", 1, most_threads);
  std::shared_ptr<Backend> backend = make_backend(read_text(options.Get("device"), "device"), "auto");
  return OffThread::run(
      info.Env(), [vertices, with_next, threads, backend, weights = copy_floats(options, "weights")]() -> Deliver {
        auto paths = std::make_shared<ShortestPaths>(shortest_paths(*backend, threads, vertices, weights, with_next));
        return [paths, with_next](Napi::Env env) -> Napi::Value {
          const Napi::Object object = Napi::Object::New(env);
          object.Set("distance", floats_array(env, paths->distance));
          object.Set("next", with_next ? Napi::Value(integers_array(env, paths->next)) : env.Null());
          return object;
        };
      });
}

}  // namespace

void add_matrix_entries(Napi::Env env, Napi::Object exports) {
  exports.Set("matmul", Napi::Function::New<guard<matmul_entry>>(env, "matmul"));
  exports.Set("shortestPaths", Napi::Function::New<guard<shortest_paths_entry>>(env, "shortestPaths"));
}

}  // namespace convsweep::binding
