// Work of seconds, off the thread that asked for it.
//
// Guarantees: the promise is settled on the caller's thread, with the value that `deliver` makes there or with an
// EngineError; `work` touches no JavaScript. Its arguments are copies, so the caller's arrays may change meanwhile.
#pragma once

#include <napi.h>

#include <functional>
#include <memory>
#include <string>

#include "binding/guard.h"
#include "convsweep/error.h"

namespace convsweep::binding {

// What `work` hands over to the caller's thread.
using Deliver = std::function<Napi::Value(Napi::Env)>;

class OffThread final : public Napi::AsyncWorker {
 public:
  OffThread(Napi::Env env, std::function<Deliver()> work)
      : Napi::AsyncWorker(env), deferred_(Napi::Promise::Deferred::New(env)), work_(std::move(work)) {}

  // Deletes itself when done.
  static Napi::Value run(Napi::Env env, std::function<Deliver()> work) {
    auto* const worker = new OffThread(env, std::move(work));
    const Napi::Promise promise = worker->deferred_.Promise();
    worker->Queue();
    return promise;
  }

 protected:
  void Execute() override {
    try {
      deliver_ = work_();
    } catch (const Error& error) {
      code_ = error_code_name(error.code());
      path_ = error.path();
      SetError(error.what());
    } catch (const std::bad_alloc&) {
      code_ = error_code_name(ErrorCode::ENGINE_OUT_OF_MEMORY);
      SetError("no memory left");
    }
  }
  void OnOK() override { deferred_.Resolve(deliver_(Env())); }
  void OnError(const Napi::Error& error) override {
    deferred_.Reject(to_javascript(Env(), code_, path_, error.Message()).Value());
  }

 private:
  Napi::Promise::Deferred deferred_;
  std::function<Deliver()> work_;
  Deliver deliver_;
  const char* code_ = error_code_name(ErrorCode::ENGINE_INTERNAL);
  std::string path_;
};

}  // namespace convsweep::binding
