// Entries that belong to no session.
#include "backend/host_memory.h"
#include "backend/registry.h"
#include "binding/entries.h"
#include "binding/guard.h"
#include "binding/read.h"
#include "convsweep/version.h"
#include "data/dataset.h"
#include "data/synthetic_digits.h"

namespace convsweep::binding {
namespace {

Napi::Value fingerprint(const Napi::CallbackInfo& info) {
  const std::string device = read_text(argument(info, 0), "device");
  return Napi::String::New(info.Env(), fingerprint_of(*make_backend(device, "auto")));
}

Napi::Value devices(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto text_or_null = [env](const std::string& text) {
    return text.empty() ? env.Null() : Napi::Value(Napi::String::New(env, text));
  };
  const Napi::Array list = Napi::Array::New(env);
  for (const DeviceInfo& device : list_devices()) {
    const Napi::Object object = Napi::Object::New(env);
    object.Set("id", device.id);
    object.Set("backend", device.backend);
    object.Set("name", device.name);
    object.Set("capability", text_or_null(device.capability));
    object.Set("bus", text_or_null(device.bus));
    object.Set("isa", text_or_null(device.isa));
    object.Set("cores", device.cores);
    object.Set("memoryBytes", static_cast<double>(device.memory_bytes));
    object.Set("unusable", text_or_null(device.unusable));
    list.Set(list.Length(), object);
  }
  return list;
}

Napi::Value register_entry(const Napi::CallbackInfo& info) {
  const std::string digest = read_text(argument(info, 0), "digest");
  if (digest.empty()) throw wrong("digest", "a text that is not empty", argument(info, 0));
  register_dataset(digest, read_dataset(argument(info, 1), "arrays"));
  return info.Env().Undefined();
}

Napi::Value has_dataset(const Napi::CallbackInfo& info) {
  const std::string digest = read_text(argument(info, 0), "digest");
  return Napi::Boolean::New(info.Env(), find_dataset(digest) != nullptr);
}

Napi::Value plan_entry(const Napi::CallbackInfo& info) {
  const Napi::Object options = read_object(argument(info, 0), "options");
  const Recipe recipe = parse_recipe(read_text(options.Get("recipe"), "options.recipe"));
  const auto backend = make_backend(read_text(options.Get("device"), "options.device"), "auto");
  const int lanes = read_integer(options.Get("lanes"), "options.lanes", 1, any_integer);
  const int wanted = read_integer(options.Get("threads"), "options.threads", 1, any_integer);
  // As a session does: a device has threads of its own.
  const int threads = backend->is_host() ? wanted : 1;
  return memory_object(info.Env(), plan_session(recipe, *backend, lanes, threads));
}

Napi::Value allocated_bytes(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(host_bytes_allocated()));
}

Napi::Value synthetic_digits(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const double seed = read_number(argument(info, 0), "seed");
  if (!(seed >= 0 && seed <= 4294967295.0) || seed != static_cast<double>(static_cast<std::uint32_t>(seed))) {
    throw wrong("seed", "integer from 0 to 4294967295", argument(info, 0));
  }
  const int train = read_integer(argument(info, 1), "train", 1, 1000000);
  const int test = read_integer(argument(info, 2), "test", 0, 1000000);
  const DigitSet set = make_synthetic_digits(static_cast<std::uint32_t>(seed), train, test);
  const Napi::Array shape = Napi::Array::New(env, 3);
  for (const auto& [i, side] : {std::pair{0u, 1}, std::pair{1u, 28}, std::pair{2u, 28}}) shape.Set(i, side);
  const Napi::Object object = Napi::Object::New(env);
  object.Set("shape", shape);
  object.Set("classes", 10);
  object.Set("trainImages", bytes_array(env, set.train_images));
  object.Set("trainLabels", bytes_array(env, set.train_labels));
  object.Set("testImages", bytes_array(env, set.test_images));
  object.Set("testLabels", bytes_array(env, set.test_labels));
  return object;
}

}  // namespace

Napi::Object memory_object(Napi::Env env, const SessionMemory& memory) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("bytesPerLane", static_cast<double>(memory.bytes_per_lane));
  object.Set("bytesShared", static_cast<double>(memory.bytes_shared));
  object.Set("bytesDataset", static_cast<double>(memory.bytes_dataset));
  object.Set("bytesFree", static_cast<double>(memory.bytes_free));
  return object;
}

void add_engine_entries(Napi::Env env, Napi::Object exports) {
  exports.Set("version", engine_version);
  exports.Set("fingerprint", Napi::Function::New<guard<fingerprint>>(env, "fingerprint"));
  exports.Set("devices", Napi::Function::New<guard<devices>>(env, "devices"));
  exports.Set("registerDataset", Napi::Function::New<guard<register_entry>>(env, "registerDataset"));
  exports.Set("hasDataset", Napi::Function::New<guard<has_dataset>>(env, "hasDataset"));
  exports.Set("planSession", Napi::Function::New<guard<plan_entry>>(env, "planSession"));
  exports.Set("allocatedBytes", Napi::Function::New<guard<allocated_bytes>>(env, "allocatedBytes"));
  exports.Set("syntheticDigits", Napi::Function::New<guard<synthetic_digits>>(env, "syntheticDigits"));
}

}  // namespace convsweep::binding
