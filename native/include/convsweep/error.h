// The engine's one error type.
//
// Guarantees: every failure the engine reports is an Error with a code out of the closed list below, the path of the
// offending value (empty when there is none) and a sentence a person can act on. Nothing here ends the process.
//
// Not here: turning an Error into a JavaScript error (src/binding/guard.h).
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

namespace convsweep {

// The same list stands in native/index.ts as ENGINE_ERROR_CODES; a test reads both.
#define CONVSWEEP_ERROR_CODES(X) \
  X(ENGINE_BAD_RECIPE)           \
  X(ENGINE_BAD_ARGUMENT)         \
  X(ENGINE_OUT_OF_MEMORY)        \
  X(ENGINE_LANES_FULL)           \
  X(ENGINE_CLOSED)               \
  X(ENGINE_NO_DATASET)           \
  X(ENGINE_NO_DEVICE)            \
  X(ENGINE_DEVICE_LOST)          \
  X(ENGINE_CORRUPT_CHECKPOINT)   \
  X(ENGINE_FOREIGN_CHECKPOINT)   \
  X(ENGINE_INTERNAL)

enum class ErrorCode {
#define CONVSWEEP_ENUMERATE(name) name,
  CONVSWEEP_ERROR_CODES(CONVSWEEP_ENUMERATE)
#undef CONVSWEEP_ENUMERATE
};

constexpr const char* error_code_name(ErrorCode code) {
  switch (code) {
#define CONVSWEEP_NAME(name) \
  case ErrorCode::name:      \
    return #name;
    CONVSWEEP_ERROR_CODES(CONVSWEEP_NAME)
#undef CONVSWEEP_NAME
  }
  return "ENGINE_INTERNAL";
}

class Error : public std::runtime_error {
 public:
  // `message` reads on its own: it names the path again where there is one.
  Error(ErrorCode code, std::string path, const std::string& message)
      : std::runtime_error(path.empty() ? message : path + ": " + message), code_(code), path_(std::move(path)) {}

  ErrorCode code() const { return code_; }
  const std::string& path() const { return path_; }

 private:
  ErrorCode code_;
  std::string path_;
};

// "expected X, found Y", the form all validation messages take.
inline Error unexpected(ErrorCode code, std::string path, const std::string& expected, const std::string& found) {
  return Error(code, std::move(path), "expected " + expected + ", found " + found);
}

}  // namespace convsweep
