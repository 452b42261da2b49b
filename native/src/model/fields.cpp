#include "model/fields.h"

#include <cmath>
#include <utility>

#include "convsweep/error.h"

namespace convsweep {
namespace {

bool as_whole(const Json& json, std::int64_t low, std::int64_t high, std::int64_t* out) {
  const auto* number = std::get_if<double>(&json.value);
  if (number == nullptr || *number != std::floor(*number)) return false;
  if (*number < static_cast<double>(low) || *number > static_cast<double>(high)) return false;
  *out = static_cast<std::int64_t>(*number);
  return true;
}

std::string integer_range(std::int64_t low, std::int64_t high) {
  return "integer " + (high >= (std::int64_t{1} << 31) - 1
                           ? ">= " + std::to_string(low)
                           : "from " + std::to_string(low) + " to " + std::to_string(high));
}

std::string short_number(double number) { return canonical(Json{number}); }

}  // namespace

Fields::Fields(const Json& json, std::string path) : members_(nullptr), path_(std::move(path)) {
  members_ = std::get_if<Json::Object>(&json.value);
  if (members_ == nullptr) throw unexpected(ErrorCode::ENGINE_BAD_RECIPE, path_, "an object", json.describe());
}

void Fields::fail(const std::string& key, const std::string& expected, const Json& found) const {
  throw unexpected(ErrorCode::ENGINE_BAD_RECIPE, path(key), expected, found.describe());
}

const Json& Fields::get(const std::string& key) {
  const auto found = members_->find(key);
  if (found == members_->end()) throw unexpected(ErrorCode::ENGINE_BAD_RECIPE, path(key), "a value", "nothing");
  seen_.insert(key);
  return found->second;
}

std::int64_t Fields::integer(const std::string& key, std::int64_t low, std::int64_t high) {
  const Json& json = get(key);
  std::int64_t value = 0;
  if (!as_whole(json, low, high, &value)) fail(key, integer_range(low, high), json);
  return value;
}

double Fields::number(const std::string& key, double low, double high, bool open_low, bool open_high) {
  const Json& json = get(key);
  const auto* value = std::get_if<double>(&json.value);
  if (value == nullptr || *value < low || *value > high || (open_low && *value == low) ||
      (open_high && *value == high)) {
    fail(key,
         "number " + std::string(open_low ? "> " : ">= ") + short_number(low) + " and " + (open_high ? "< " : "<= ") +
             short_number(high),
         json);
  }
  return *value;
}

bool Fields::boolean(const std::string& key) {
  const Json& json = get(key);
  const auto* value = std::get_if<bool>(&json.value);
  if (value == nullptr) fail(key, "true or false", json);
  return *value;
}

std::string Fields::text(const std::string& key) {
  const Json& json = get(key);
  const auto* value = std::get_if<std::string>(&json.value);
  if (value == nullptr) fail(key, "a text", json);
  return *value;
}

std::size_t Fields::one_of(const std::string& key, const std::vector<std::string_view>& choices) {
  const Json& json = get(key);
  if (const auto* value = std::get_if<std::string>(&json.value)) {
    for (std::size_t i = 0; i < choices.size(); ++i) {
      if (choices[i] == *value) return i;
    }
  }
  std::string expected = "one of";
  for (const std::string_view choice : choices) expected += " " + std::string(choice);
  fail(key, expected, json);
}

const Json::Array& Fields::list(const std::string& key) {
  const Json& json = get(key);
  const auto* items = std::get_if<Json::Array>(&json.value);
  if (items == nullptr) fail(key, "a list", json);
  return *items;
}

Pair Fields::pair(const std::string& key, int low, int high) {
  const Json::Array& items = list(key);
  if (items.size() != 2) {
    throw unexpected(ErrorCode::ENGINE_BAD_RECIPE, path(key), "two numbers", std::to_string(items.size()));
  }
  std::int64_t values[2] = {0, 0};
  for (std::size_t i = 0; i < 2; ++i) {
    if (!as_whole(items[i], low, high, &values[i])) fail(key, integer_range(low, high), items[i]);
  }
  return Pair{static_cast<int>(values[0]), static_cast<int>(values[1])};
}

void Fields::done() const {
  for (const auto& [key, value] : *members_) {
    if (!seen_.contains(key)) {
      throw Error(ErrorCode::ENGINE_BAD_RECIPE, path(key), "unknown field; this engine does not know it");
    }
  }
}

}  // namespace convsweep
