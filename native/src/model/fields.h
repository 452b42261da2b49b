// Reads the fields of a JSON object with their paths.
//
// Guarantees: a missing field, an unknown field, a wrong type or a value out of range throws Error ENGINE_BAD_RECIPE
// whose path is that of the field; done() refuses fields that nobody read.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "convsweep/recipe.h"
#include "model/json.h"

namespace convsweep {

class Fields {
 public:
  // `path` is empty for the document itself.
  Fields(const Json& json, std::string path);

  const Json& get(const std::string& key);
  // For fields that older documents lack.
  bool has(const std::string& key) const { return members_->contains(key); }
  std::string path(const std::string& key) const { return path_.empty() ? key : path_ + "." + key; }

  std::int64_t integer(const std::string& key, std::int64_t low, std::int64_t high);
  int whole(const std::string& key, int low, int high) { return static_cast<int>(integer(key, low, high)); }
  // low <= value <= high; with `open_high` value < high, with `open_low` value > low.
  double number(const std::string& key, double low, double high, bool open_low = false, bool open_high = false);
  bool boolean(const std::string& key);
  std::string text(const std::string& key);
  // Index into `choices`.
  std::size_t one_of(const std::string& key, const std::vector<std::string_view>& choices);
  const Json::Array& list(const std::string& key);
  Pair pair(const std::string& key, int low, int high);
  void done() const;

 private:
  [[noreturn]] void fail(const std::string& key, const std::string& expected, const Json& found) const;

  const Json::Object* members_;
  std::string path_;
  std::set<std::string, std::less<>> seen_;
};

}  // namespace convsweep
