// Arguments from JavaScript, checked.
//
// Guarantees: a value of the wrong type or out of range throws Error ENGINE_BAD_ARGUMENT with its path; nothing is
// converted silently. Spans point into JavaScript's memory and hold until the entry point returns.
#pragma once

#include <napi.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "convsweep/recipe.h"
#include "data/dataset.h"

namespace convsweep::binding {

Error wrong(const std::string& path, const std::string& expected, const Napi::Value& found);

Napi::Value argument(const Napi::CallbackInfo& info, std::size_t index);
Napi::Object read_object(const Napi::Value& value, const std::string& path);
std::string read_text(const Napi::Value& value, const std::string& path);
double read_number(const Napi::Value& value, const std::string& path);
// The most that read_integer can read.
inline constexpr int any_integer = 2147483647;
int read_integer(const Napi::Value& value, const std::string& path, int low, int high);
std::uint64_t read_seed(const Napi::Value& value, const std::string& path);
std::span<const std::uint8_t> read_bytes(const Napi::Value& value, const std::string& path);
std::span<const float> read_floats(const Napi::Value& value, const std::string& path);
Hyperparameters read_hyperparameters(const Napi::Value& value, const std::string& path);
DatasetView read_dataset(const Napi::Value& value, const std::string& path);

Napi::Uint8Array bytes_array(Napi::Env env, std::span<const std::uint8_t> bytes);
Napi::Float32Array floats_array(Napi::Env env, std::span<const float> values);
Napi::Int32Array integers_array(Napi::Env env, std::span<const std::int32_t> values);

}  // namespace convsweep::binding
