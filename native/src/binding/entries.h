// The entry points, by file. Fields stand in the same order here and in native/types.ts.
#pragma once

#include <napi.h>

#include "convsweep/session.h"

namespace convsweep::binding {

// engine.cc
void add_engine_entries(Napi::Env env, Napi::Object exports);
// session.cc. The first argument of every session entry but openSession is what openSession returned.
void add_session_entries(Napi::Env env, Napi::Object exports);
// matrix.cc
void add_matrix_entries(Napi::Env env, Napi::Object exports);
// classify.cc
void add_classify_entries(Napi::Env env, Napi::Object exports);
// telemetry.cc
void add_telemetry_entries(Napi::Env env, Napi::Object exports);

Napi::Object memory_object(Napi::Env env, const SessionMemory& memory);

}  // namespace convsweep::binding
