// The addon: loaded once by every thread that uses it, with nothing shared but the registry of data sets.
#include "binding/entries.h"

namespace {

Napi::Object init(Napi::Env env, Napi::Object exports) {
  convsweep::binding::add_engine_entries(env, exports);
  convsweep::binding::add_session_entries(env, exports);
  convsweep::binding::add_matrix_entries(env, exports);
  convsweep::binding::add_classify_entries(env, exports);
  convsweep::binding::add_telemetry_entries(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(convsweep_engine, init)
