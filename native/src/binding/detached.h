// Work that may never end, on a thread of its own: a driver in trouble can hold a call for ever. The process ends
// without waiting for it, as it would not with work of off_thread.h.
//
// Guarantees: the promise is settled on the caller's thread, with the value that `deliver` makes there or with an
// EngineError; `work` touches no JavaScript, and nothing that is destroyed when the process ends.
#pragma once

#include <napi.h>

#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "binding/guard.h"
#include "binding/off_thread.h"
#include "convsweep/error.h"

namespace convsweep::binding {

class Detached final : public std::enable_shared_from_this<Detached> {
 public:
  Detached(Napi::Env env, std::function<Deliver()> work)
      : deferred_(Napi::Promise::Deferred::New(env)),
        work_(std::move(work)),
        back_(Napi::ThreadSafeFunction::New(env, Napi::Function::New(env, [](const Napi::CallbackInfo&) {}),
                                            "convsweep", 0, 1)) {}

  static Napi::Value run(Napi::Env env, std::function<Deliver()> work) {
    const auto task = std::make_shared<Detached>(env, std::move(work));
    const Napi::Promise promise = task->deferred_.Promise();
    std::thread([task] { task->execute(); }).detach();
    return promise;
  }

 private:
  void execute() {
    try {
      deliver_ = work_();
    } catch (const Error& error) {
      failure_ = error;
    } catch (const std::exception& error) {
      failure_ = Error(ErrorCode::ENGINE_INTERNAL, "", error.what());
    }
    // Refused where the environment is gone: then nobody waits.
    back_.BlockingCall([task = shared_from_this()](Napi::Env env, Napi::Function) {
      if (env != nullptr) task->settle(env);
    });
    back_.Release();
  }

  void settle(Napi::Env env) {
    const Napi::HandleScope scope(env);
    if (!failure_) return deferred_.Resolve(deliver_(env));
    const char* code = error_code_name(failure_->code());
    deferred_.Reject(to_javascript(env, code, failure_->path(), failure_->what()).Value());
  }

  Napi::Promise::Deferred deferred_;
  std::function<Deliver()> work_;
  Deliver deliver_;
  std::optional<Error> failure_;
  Napi::ThreadSafeFunction back_;
};

}  // namespace convsweep::binding
