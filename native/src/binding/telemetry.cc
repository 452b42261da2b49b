// What devices and drivers say of themselves. A driver in trouble may never answer: nobody waits for it but who asked.
#include "backend/registry.h"
#include "binding/detached.h"
#include "binding/entries.h"
#include "binding/guard.h"
#include "binding/read.h"
#include "telemetry/nvml.h"

namespace convsweep::binding {
namespace {

using telemetry::DeviceUse;
using telemetry::Nvml;

std::string read_library(const Napi::Value& value) {
  return value.IsNull() ? Nvml::usual_library() : read_text(value, "library");
}

template <class T>
void set(Napi::Object object, const char* name, const std::optional<T>& value) {
  const Napi::Env env = object.Env();
  object.Set(name, value ? Napi::Value(Napi::Number::New(env, static_cast<double>(*value))) : env.Null());
}

Napi::Value text_or_null(Napi::Env env, const std::string& text) {
  return text.empty() ? env.Null() : Napi::Value(Napi::String::New(env, text));
}

Napi::Value device_use(const Napi::CallbackInfo& info) {
  const Napi::Value list = argument(info, 0);
  if (!list.IsArray()) throw wrong("buses", "a list of texts", list);
  const auto buses = list.As<Napi::Array>();
  std::vector<std::string> wanted;
  for (std::uint32_t i = 0; i < buses.Length(); ++i) wanted.push_back(read_text(buses.Get(i), "buses"));
  const std::string library = read_library(argument(info, 1));
  return Detached::run(info.Env(), [wanted, library]() -> Deliver {
    auto found = std::make_shared<std::vector<DeviceUse>>();
    for (const std::string& bus : wanted) found->push_back(Nvml::open(library).use(bus));
    return [found](Napi::Env env) -> Napi::Value {
      const Napi::Array answer = Napi::Array::New(env);
      for (const DeviceUse& use : *found) {
        const Napi::Object object = Napi::Object::New(env);
        set(object, "utilization", use.utilization);
        set(object, "memoryUsed", use.memory_used);
        set(object, "memoryTotal", use.memory_total);
        set(object, "temperature", use.temperature);
        set(object, "power", use.power);
        answer.Set(answer.Length(), object);
      }
      return answer;
    };
  });
}

Napi::Value gpu_support(const Napi::CallbackInfo& info) {
  const std::string library = read_library(argument(info, 0));
  return Detached::run(info.Env(), [library]() -> Deliver {
    const CudaSupport cuda = cuda_support();
    const Nvml& nvml = Nvml::open(library);
    return [cuda, driver = nvml.driver_version(), trouble = nvml.trouble()](Napi::Env env) -> Napi::Value {
      const Napi::Array kernels = Napi::Array::New(env);
      for (const std::string& name : cuda.kernels) kernels.Set(kernels.Length(), name);
      const Napi::Object object = Napi::Object::New(env);
      object.Set("built", cuda.built);
      object.Set("runtime", text_or_null(env, cuda.runtime));
      object.Set("kernels", kernels);
      object.Set("driver", text_or_null(env, driver));
      object.Set("driverCuda", text_or_null(env, cuda.driver));
      object.Set("nvmlTrouble", text_or_null(env, trouble));
      return object;
    };
  });
}

}  // namespace

void add_telemetry_entries(Napi::Env env, Napi::Object exports) {
  exports.Set("deviceUse", Napi::Function::New<guard<device_use>>(env, "deviceUse"));
  exports.Set("gpuSupport", Napi::Function::New<guard<gpu_support>>(env, "gpuSupport"));
}

}  // namespace convsweep::binding
