// One door between C++ and JavaScript.
//
// Guarantees: nothing but a JavaScript exception leaves an entry point, and each has the properties `code` and `path`
// of native/index.ts's EngineError. A JavaScript exception raised by a caller's own getter passes through unchanged.
#pragma once

#include <napi.h>

#include <new>
#include <string>

#include "convsweep/error.h"

namespace convsweep::binding {

inline Napi::Error to_javascript(Napi::Env env, const char* code, const std::string& path, const std::string& message) {
  Napi::Error error = Napi::Error::New(env, message);
  error.Set("code", Napi::String::New(env, code));
  error.Set("path", Napi::String::New(env, path));
  return error;
}

template <Napi::Value (*entry)(const Napi::CallbackInfo&)>
Napi::Value guard(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  try {
    return entry(info);
  } catch (const Napi::Error&) {
    throw;
  } catch (const Error& error) {
    throw to_javascript(env, error_code_name(error.code()), error.path(), error.what());
  } catch (const std::bad_alloc&) {
    throw to_javascript(env, error_code_name(ErrorCode::ENGINE_OUT_OF_MEMORY), "", "no memory left");
  } catch (const std::exception& error) {
    throw to_javascript(env, error_code_name(ErrorCode::ENGINE_INTERNAL), "", error.what());
  } catch (...) {
    throw to_javascript(env, error_code_name(ErrorCode::ENGINE_INTERNAL), "", "an unknown failure");
  }
}

}  // namespace convsweep::binding
