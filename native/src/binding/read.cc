#include "binding/read.h"

#include <cmath>
#include <cstring>

namespace convsweep::binding {
namespace {

std::string describe_value(const Napi::Value& value) {
  if (value.IsUndefined()) return "undefined";
  if (value.IsNull()) return "null";
  if (value.IsString()) {
    const std::string text = value.As<Napi::String>().Utf8Value();
    return text.size() > 40 ? "a text of " + std::to_string(text.size()) + " bytes" : "\"" + text + "\"";
  }
  if (value.IsBoolean() || value.IsNumber() || value.IsBigInt()) return value.ToString().Utf8Value();
  if (value.IsTypedArray()) return "another typed array";
  if (value.IsArray()) return "an array";
  if (value.IsFunction()) return "a function";
  return value.IsObject() ? "an object" : "something else";
}

template <class Array>
Array typed_array(const Napi::Value& value, napi_typedarray_type type, const std::string& path, const char* name) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != type) {
    throw wrong(path, std::string("a ") + name, value);
  }
  return value.As<Array>();
}

template <class Array, class T>
Array copied_array(Napi::Env env, std::span<const T> values) {
  Array array = Array::New(env, values.size());
  if (!values.empty()) std::memcpy(array.Data(), values.data(), values.size_bytes());
  return array;
}

}  // namespace

Error wrong(const std::string& path, const std::string& expected, const Napi::Value& found) {
  return unexpected(ErrorCode::ENGINE_BAD_ARGUMENT, path, expected, describe_value(found));
}

Napi::Value argument(const Napi::CallbackInfo& info, std::size_t index) {
  return index < info.Length() ? info[index] : info.Env().Undefined();
}

Napi::Object read_object(const Napi::Value& value, const std::string& path) {
  if (!value.IsObject() || value.IsFunction()) throw wrong(path, "an object", value);
  return value.As<Napi::Object>();
}

std::string read_text(const Napi::Value& value, const std::string& path) {
  if (!value.IsString()) throw wrong(path, "a text", value);
  return value.As<Napi::String>().Utf8Value();
}

double read_number(const Napi::Value& value, const std::string& path) {
  if (!value.IsNumber()) throw wrong(path, "a number", value);
  return value.As<Napi::Number>().DoubleValue();
}

int read_integer(const Napi::Value& value, const std::string& path, int low, int high) {
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : std::nan("");
  if (!(number >= low && number <= high) || number != std::floor(number)) {
    throw wrong(path, "integer from " + std::to_string(low) + " to " + std::to_string(high), value);
  }
  return static_cast<int>(number);
}

std::uint64_t read_seed(const Napi::Value& value, const std::string& path) {
  bool lossless = false;
  const std::uint64_t seed = value.IsBigInt() ? value.As<Napi::BigInt>().Uint64Value(&lossless) : 0;
  if (!lossless) throw wrong(path, "a bigint from 0 to 2^64 - 1", value);
  return seed;
}

std::span<const std::uint8_t> read_bytes(const Napi::Value& value, const std::string& path) {
  const auto array = typed_array<Napi::Uint8Array>(value, napi_uint8_array, path, "Uint8Array");
  return {array.Data(), array.ElementLength()};
}

std::span<const float> read_floats(const Napi::Value& value, const std::string& path) {
  const auto array = typed_array<Napi::Float32Array>(value, napi_float32_array, path, "Float32Array");
  return {array.Data(), array.ElementLength()};
}

Hyperparameters read_hyperparameters(const Napi::Value& value, const std::string& path) {
  const auto array = typed_array<Napi::Float64Array>(value, napi_float64_array, path, "Float64Array");
  if (array.ElementLength() != static_cast<std::size_t>(hyper_count)) {
    throw unexpected(ErrorCode::ENGINE_BAD_ARGUMENT, path, std::to_string(hyper_count) + " values",
                     std::to_string(array.ElementLength()));
  }
  Hyperparameters values;
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = array[i];
  return values;
}

DatasetView read_dataset(const Napi::Value& value, const std::string& path) {
  const Napi::Object object = read_object(value, path);
  DatasetView view;
  const Napi::Value text = object.Get("text");
  if (!text.IsUndefined() && !text.IsBoolean()) throw wrong(path + ".text", "true, false or nothing", text);
  view.text = text.IsBoolean() && text.As<Napi::Boolean>().Value();
  const Napi::Value shape = object.Get("shape");
  if (!shape.IsArray() || shape.As<Napi::Array>().Length() != 3) {
    throw wrong(path + ".shape", "[channels, rows, columns]", shape);
  }
  const auto side = [&](std::uint32_t i) {
    return read_integer(shape.As<Napi::Array>().Get(i), path + ".shape[" + std::to_string(i) + "]", 1, 4096);
  };
  view.shape = Extent{side(0), side(1), side(2)};
  view.classes = read_integer(object.Get("classes"), path + ".classes", 2, 256);
  view.train_images = read_bytes(object.Get("trainImages"), path + ".trainImages");
  view.train_labels = read_bytes(object.Get("trainLabels"), path + ".trainLabels");
  view.test_images = read_bytes(object.Get("testImages"), path + ".testImages");
  view.test_labels = read_bytes(object.Get("testLabels"), path + ".testLabels");
  return view;
}

Napi::Uint8Array bytes_array(Napi::Env env, std::span<const std::uint8_t> bytes) {
  return copied_array<Napi::Uint8Array>(env, bytes);
}

Napi::Float32Array floats_array(Napi::Env env, std::span<const float> values) {
  return copied_array<Napi::Float32Array>(env, values);
}

Napi::Int32Array integers_array(Napi::Env env, std::span<const std::int32_t> values) {
  return copied_array<Napi::Int32Array>(env, values);
}

}  // namespace convsweep::binding
