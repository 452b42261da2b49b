// Entries of a session. Its handle is a tagged External, so that no other object can pass for one.
#include "convsweep/session.h"

#include <array>
#include <memory>
#include <utility>

#include "backend/profiling.h"
#include "backend/registry.h"
#include "binding/entries.h"
#include "binding/guard.h"
#include "binding/read.h"
#include "data/dataset.h"
#include "model/graph.h"

namespace convsweep::binding {
namespace {

struct Box {
  std::unique_ptr<Session> session;
  // The session's backend where it was asked for a profile, else null.
  ProfilingBackend* profile = nullptr;
  // Keeps the shared words alive while the session may look at them.
  Napi::Reference<Napi::Value> control;
};

constexpr napi_type_tag session_tag = {0x8C1D2D6E7A0B4F51, 0x9E3A5B7C64D80F12};

Box& box_of(const Napi::CallbackInfo& info) {
  const Napi::Value value = argument(info, 0);
  if (!value.IsExternal() || !value.As<Napi::External<Box>>().CheckTypeTag(&session_tag)) {
    throw wrong("this", "a session", value);
  }
  return *value.As<Napi::External<Box>>().Data();
}

Session& session_of(const Napi::CallbackInfo& info) { return *box_of(info).session; }

int lane_of(const Napi::CallbackInfo& info) { return read_integer(argument(info, 1), "lane", 0, any_integer); }

std::int32_t* read_control(const Napi::Value& value) {
  if (value.IsNull()) return nullptr;
  const std::string wanted = "an Int32Array of at least 2 words over a SharedArrayBuffer, or null";
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_int32_array) {
    throw wrong("options.control", wanted, value);
  }
  const auto array = value.As<Napi::Int32Array>();
  // An ordinary buffer can be detached under our feet; a shared one cannot, and Node-API does not call it ArrayBuffer.
  if (array.ElementLength() < 2 || array.Get("buffer").IsArrayBuffer()) {
    throw wrong("options.control", wanted, value);
  }
  return const_cast<std::int32_t*>(array.Data());
}

Napi::Value open_session(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Napi::Object options = read_object(argument(info, 0), "options");
  SessionConfig config;
  config.recipe = parse_recipe(read_text(options.Get("recipe"), "options.recipe"));
  const std::string device = read_text(options.Get("device"), "options.device");
  const std::string digest = read_text(options.Get("dataset"), "options.dataset");
  config.lanes = read_integer(options.Get("lanes"), "options.lanes", 1, any_integer);
  config.threads = read_integer(options.Get("threads"), "options.threads", 1, any_integer);
  config.backend = make_backend(device, read_text(options.Get("isa"), "options.isa"));
  ProfilingBackend* profile = nullptr;
  if (options.Get("profile").ToBoolean()) {
    auto timed = make_profiling_backend(std::move(config.backend));
    profile = timed.get();
    config.backend = std::move(timed);
  }
  config.dataset = find_dataset(digest);
  if (config.dataset == nullptr) {
    throw Error(ErrorCode::ENGINE_NO_DATASET, "options.dataset",
                "no data set \"" + digest + "\" in this process; call registerDataset first");
  }
  const Napi::Value control = options.Get("control");
  config.control = read_control(control);
  auto box = std::make_unique<Box>();
  if (config.control != nullptr) box->control = Napi::Reference<Napi::Value>::New(control, 1);
  box->session = std::make_unique<Session>(std::move(config));
  box->profile = profile;
  auto handle = Napi::External<Box>::New(env, box.get(), [](Napi::Env, Box* data) { delete data; });
  box.release();
  handle.TypeTag(&session_tag);
  return handle;
}

Napi::Value add_lane(const Napi::CallbackInfo& info) {
  Session& session = session_of(info);
  const Napi::Object options = read_object(argument(info, 1), "options");
  const std::uint64_t seed = read_seed(options.Get("seed"), "options.seed");
  const Hyperparameters values = read_hyperparameters(options.Get("hyperparameters"), "options.hyperparameters");
  const Napi::Value saved = options.Get("checkpoint");
  std::optional<std::span<const std::uint8_t>> bytes;
  if (!saved.IsNull()) bytes = read_bytes(saved, "options.checkpoint");
  return Napi::Number::New(info.Env(), session.add_lane(seed, values, bytes, options.Get("anyBackend").ToBoolean()));
}

Napi::Value remove_lane(const Napi::CallbackInfo& info) {
  session_of(info).remove_lane(lane_of(info));
  return info.Env().Undefined();
}

Napi::Value set_hyperparameters(const Napi::CallbackInfo& info) {
  session_of(info).set_hyperparameters(lane_of(info), read_hyperparameters(argument(info, 2), "values"));
  return info.Env().Undefined();
}

Napi::Value save_lane(const Napi::CallbackInfo& info) {
  return bytes_array(info.Env(), session_of(info).save_lane(lane_of(info)));
}

template <class Items, class Make>
Napi::Array list_of(Napi::Env env, const Items& items, Make make) {
  Napi::Array list = Napi::Array::New(env, items.size());
  std::uint32_t i = 0;
  for (const auto& item : items) list.Set(i++, make(item));
  return list;
}

Napi::Value pictures_value(Napi::Env env, const std::optional<Pictures>& pictures) {
  if (!pictures) return env.Null();
  const Extent& shape = pictures->shape;
  Napi::Float32Array values = Napi::Float32Array::New(env, pictures->values.size());
  std::copy(pictures->values.begin(), pictures->values.end(), values.Data());
  Napi::Object object = Napi::Object::New(env);
  object.Set("shape", list_of(env, std::array{shape.channels, shape.rows, shape.columns},
                              [&](int side) { return Napi::Number::New(env, side); }));
  object.Set("columns", pictures->columns);
  object.Set("values", values);
  return object;
}

Napi::Object report_object(Napi::Env env, const LaneReport& r) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("lane", r.lane);
  object.Set("epoch", r.epoch);
  object.Set("step", r.step);
  object.Set("metrics", list_of(env, r.metrics, [&](const Metric& metric) {
               Napi::Object o = Napi::Object::New(env);
               o.Set("name", metric.name);
               o.Set("value", metric.value);
               return o;
             }));
  object.Set("images_per_second", r.images_per_second);
  object.Set("pictures", pictures_value(env, r.pictures));
  object.Set("finished", Napi::Boolean::New(env, r.finished));
  return object;
}

Napi::Value run_slice(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Session& session = session_of(info);
  const Napi::Object given = read_object(argument(info, 1), "limits");
  SliceLimits limits;
  limits.max_millis = read_number(given.Get("maxMillis"), "limits.maxMillis");
  const Napi::Value steps = given.Get("maxSteps");
  if (!steps.IsNull()) limits.max_batches = read_integer(steps, "limits.maxSteps", 1, any_integer);
  const SliceResult result = session.run_slice(limits);
  Napi::Object object = Napi::Object::New(env);
  object.Set("reports", list_of(env, result.reports, [&](const LaneReport& r) { return report_object(env, r); }));
  object.Set("diverged", list_of(env, result.diverged, [&](const LaneDivergence& d) {
               Napi::Object o = Napi::Object::New(env);
               o.Set("lane", d.lane);
               o.Set("epoch", d.epoch);
               o.Set("step", d.step);
               o.Set("what", d.weights ? "weights" : "loss");
               return o;
             }));
  object.Set("positions", list_of(env, result.positions, [&](const LanePosition& p) {
               Napi::Object o = Napi::Object::New(env);
               o.Set("lane", p.lane);
               o.Set("epoch", p.epoch);
               o.Set("step", p.step);
               o.Set("loss", p.loss);
               return o;
             }));
  static constexpr const char* states[] = {"more", "idle", "interrupted"};
  object.Set("state", states[static_cast<int>(result.state)]);
  return object;
}

Napi::Value weights(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Session& session = session_of(info);
  const std::vector<float> data = session.weights(lane_of(info));
  Napi::Float32Array array = Napi::Float32Array::New(env, data.size());
  std::copy(data.begin(), data.end(), array.Data());
  Napi::Object object = Napi::Object::New(env);
  object.Set("tensors", list_of(env, session.tensors(), [&](const Tensor& tensor) {
               Napi::Object o = Napi::Object::New(env);
               o.Set("name", tensor.name);
               o.Set("shape", list_of(env, tensor.dims, [&](int d) { return Napi::Number::New(env, d); }));
               return o;
             }));
  object.Set("data", array);
  return object;
}

Napi::Value load_weights(const Napi::CallbackInfo& info) {
  session_of(info).load_weights(lane_of(info), read_floats(argument(info, 2), "data"));
  return info.Env().Undefined();
}

Napi::Value write_text(const Napi::CallbackInfo& info) {
  const Napi::Object options = read_object(argument(info, 2), "options");
  const auto start = read_bytes(options.Get("start"), "options.start");
  const int length = read_integer(options.Get("length"), "options.length", 1, any_integer);
  const double temperature = read_number(options.Get("temperature"), "options.temperature");
  return bytes_array(info.Env(), session_of(info).write_text(lane_of(info), start, length, temperature));
}

Napi::Value logits(const Napi::CallbackInfo& info) {
  const std::string part = read_text(argument(info, 2), "part");
  if (part != "validation" && part != "test") {
    throw unexpected(ErrorCode::ENGINE_BAD_ARGUMENT, "part", "validation or test", part);
  }
  const int batch = read_integer(argument(info, 3), "batch", 0, any_integer);
  const MeasuredPart measured = part == "test" ? MeasuredPart::test : MeasuredPart::validation;
  return floats_array(info.Env(), session_of(info).logits(lane_of(info), measured, batch));
}

Napi::Value normalisation(const Napi::CallbackInfo& info) {
  const Normalisation& norm = session_of(info).normalisation();
  Napi::Object object = Napi::Object::New(info.Env());
  object.Set("scale", floats_array(info.Env(), norm.scale));
  object.Set("shift", floats_array(info.Env(), norm.shift));
  return object;
}

Napi::Value memory(const Napi::CallbackInfo& info) { return memory_object(info.Env(), session_of(info).memory()); }

Napi::Value take_profile(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Box& box = box_of(info);
  if (box.profile == nullptr) return Napi::Array::New(env);
  return list_of(env, box.profile->take(), [env](const LayerTime& time) {
    Napi::Object o = Napi::Object::New(env);
    o.Set("layer", time.layer);
    o.Set("op", time.op);
    o.Set("direction", time.direction);
    o.Set("calls", static_cast<double>(time.calls));
    o.Set("seconds", time.seconds);
    o.Set("flops", time.flops);
    o.Set("bytes", time.bytes);
    return o;
  });
}

Napi::Value close_session(const Napi::CallbackInfo& info) {
  Box& box = box_of(info);
  box.profile = nullptr;
  box.session->close();
  box.control.Reset();
  return info.Env().Undefined();
}

}  // namespace

void add_session_entries(Napi::Env env, Napi::Object exports) {
  exports.Set("openSession", Napi::Function::New<guard<open_session>>(env, "openSession"));
  exports.Set("addLane", Napi::Function::New<guard<add_lane>>(env, "addLane"));
  exports.Set("removeLane", Napi::Function::New<guard<remove_lane>>(env, "removeLane"));
  exports.Set("setHyperparameters", Napi::Function::New<guard<set_hyperparameters>>(env, "setHyperparameters"));
  exports.Set("saveLane", Napi::Function::New<guard<save_lane>>(env, "saveLane"));
  exports.Set("runSlice", Napi::Function::New<guard<run_slice>>(env, "runSlice"));
  exports.Set("weights", Napi::Function::New<guard<weights>>(env, "weights"));
  exports.Set("loadWeights", Napi::Function::New<guard<load_weights>>(env, "loadWeights"));
  exports.Set("writeText", Napi::Function::New<guard<write_text>>(env, "writeText"));
  exports.Set("logits", Napi::Function::New<guard<logits>>(env, "logits"));
  exports.Set("normalisation", Napi::Function::New<guard<normalisation>>(env, "normalisation"));
  exports.Set("memory", Napi::Function::New<guard<memory>>(env, "memory"));
  exports.Set("takeProfile", Napi::Function::New<guard<take_profile>>(env, "takeProfile"));
  exports.Set("closeSession", Napi::Function::New<guard<close_session>>(env, "closeSession"));
}

}  // namespace convsweep::binding
