// A strict, bounded JSON reader (RFC 8259).
//
// Guarantees: parse_json accepts well-formed JSON only (no comments, no trailing commas, no duplicate keys, nothing
// after the value), at most max_json_bytes long and max_json_depth deep; anything else throws Error with the line and
// column. canonical() writes a value with sorted keys and shortest round-trip numbers, so equal values give equal text.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace convsweep {

inline constexpr std::size_t max_json_bytes = std::size_t{4} << 20;
inline constexpr int max_json_depth = 32;

struct Json {
  using Array = std::vector<Json>;
  using Object = std::map<std::string, Json, std::less<>>;

  std::variant<std::nullptr_t, bool, double, std::string, Array, Object> value = nullptr;

  bool is_null() const { return std::holds_alternative<std::nullptr_t>(value); }
  // "an object", "a list", "the text \"x\"", "12", "null": for messages.
  std::string describe() const;
};

Json parse_json(std::string_view text);
std::string canonical(const Json& json);

}  // namespace convsweep
