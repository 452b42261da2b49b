#include "model/json.h"

#include <charconv>
#include <cmath>
#include <cstdint>
#include <utility>

#include "convsweep/error.h"

namespace convsweep {
namespace {

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Json document() {
    if (text_.size() > max_json_bytes) {
      throw unexpected(ErrorCode::ENGINE_BAD_RECIPE, "", "at most " + std::to_string(max_json_bytes) + " bytes of JSON",
                       std::to_string(text_.size()));
    }
    Json json = value(0);
    space();
    if (at_ != text_.size()) fail("the end");
    return json;
  }

 private:
  [[noreturn]] void fail(const std::string& expected) const {
    std::size_t line = 1, column = 1;
    for (std::size_t i = 0; i < at_; ++i) {
      column = text_[i] == '\n' ? 1 : column + 1;
      line += text_[i] == '\n' ? 1 : 0;
    }
    std::string found = "the end";
    if (at_ < text_.size()) {
      const auto byte = static_cast<unsigned char>(text_[at_]);
      found = byte > 32 && byte < 127 ? "'" + std::string(1, text_[at_]) + "'" : "byte " + std::to_string(byte);
    }
    throw Error(ErrorCode::ENGINE_BAD_RECIPE, "",
                "JSON line " + std::to_string(line) + ", column " + std::to_string(column) + ": expected " + expected +
                    ", found " + found);
  }

  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  void space() {
    while (at_ < text_.size() && (peek() == ' ' || peek() == '\t' || peek() == '\n' || peek() == '\r')) ++at_;
  }

  void take(char wanted) {
    if (at_ >= text_.size() || peek() != wanted) fail("'" + std::string(1, wanted) + "'");
    ++at_;
  }

  Json value(int depth) {
    if (depth > max_json_depth) fail("at most " + std::to_string(max_json_depth) + " levels");
    space();
    switch (peek()) {
      case '{':
        return object(depth);
      case '[':
        return array(depth);
      case '"':
        return Json{string()};
      case 't':
        word("true");
        return Json{true};
      case 'f':
        word("false");
        return Json{false};
      case 'n':
        word("null");
        return Json{nullptr};
      default:
        return Json{number()};
    }
  }

  void word(std::string_view wanted) {
    if (text_.substr(at_, wanted.size()) != wanted) fail(std::string(wanted));
    at_ += wanted.size();
  }

  Json object(int depth) {
    Json::Object members;
    take('{');
    space();
    if (peek() == '}') {
      ++at_;
      return Json{std::move(members)};
    }
    while (true) {
      space();
      if (peek() != '"') fail("a key");
      std::string key = string();
      if (members.contains(key)) fail("no second \"" + key + "\"");
      space();
      take(':');
      members.emplace(std::move(key), value(depth + 1));
      space();
      if (peek() == '}') break;
      take(',');
    }
    ++at_;
    return Json{std::move(members)};
  }

  Json array(int depth) {
    Json::Array items;
    take('[');
    space();
    if (peek() == ']') {
      ++at_;
      return Json{std::move(items)};
    }
    while (true) {
      items.push_back(value(depth + 1));
      space();
      if (peek() == ']') break;
      take(',');
    }
    ++at_;
    return Json{std::move(items)};
  }

  bool digit() const { return peek() >= '0' && peek() <= '9'; }

  void digits() {
    if (!digit()) fail("a digit");
    while (digit()) ++at_;
  }

  double number() {
    const std::size_t start = at_;
    if (peek() == '-') ++at_;
    if (!digit()) fail("a value");
    if (peek() == '0') {
      ++at_;
    } else {
      digits();
    }
    if (peek() == '.') {
      ++at_;
      digits();
    }
    if (peek() == 'e' || peek() == 'E') {
      ++at_;
      if (peek() == '+' || peek() == '-') ++at_;
      digits();
    }
    double result = 0;
    const auto parsed = std::from_chars(text_.data() + start, text_.data() + at_, result);
    if (parsed.ec != std::errc{} || !std::isfinite(result)) {
      at_ = start;
      fail("a number within the range of a double");
    }
    return result;
  }

  std::uint32_t hex4() {
    std::uint32_t code = 0;
    for (int i = 0; i < 4; ++i, ++at_) {
      const char c = peek();
      code <<= 4;
      if (c >= '0' && c <= '9') {
        code |= static_cast<std::uint32_t>(c - '0');
      } else if (c >= 'a' && c <= 'f') {
        code |= static_cast<std::uint32_t>(c - 'a' + 10);
      } else if (c >= 'A' && c <= 'F') {
        code |= static_cast<std::uint32_t>(c - 'A' + 10);
      } else {
        fail("four hexadecimal digits");
      }
    }
    return code;
  }

  std::uint32_t code_point() {
    const std::uint32_t first = hex4();
    if (first >= 0xDC00 && first < 0xE000) fail("a high surrogate first");
    if (first < 0xD800 || first >= 0xDC00) return first;
    take('\\');
    take('u');
    const std::uint32_t second = hex4();
    if (second < 0xDC00 || second >= 0xE000) fail("a low surrogate");
    return 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
  }

  static void append_utf8(std::string& out, std::uint32_t code) {
    const auto put = [&out](std::uint32_t byte) { out.push_back(static_cast<char>(static_cast<unsigned char>(byte))); };
    if (code < 0x80) {
      put(code);
    } else if (code < 0x800) {
      put(0xC0 | (code >> 6));
      put(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
      put(0xE0 | (code >> 12));
      put(0x80 | ((code >> 6) & 0x3F));
      put(0x80 | (code & 0x3F));
    } else {
      put(0xF0 | (code >> 18));
      put(0x80 | ((code >> 12) & 0x3F));
      put(0x80 | ((code >> 6) & 0x3F));
      put(0x80 | (code & 0x3F));
    }
  }

  std::string string() {
    static constexpr std::string_view escapes = "\"\\/bfnrt", meanings = "\"\\/\b\f\n\r\t";
    std::string out;
    take('"');
    while (true) {
      if (at_ >= text_.size() || static_cast<unsigned char>(peek()) < 0x20) fail("the end of the text");
      const char c = text_[at_++];
      if (c == '"') return out;
      if (c != '\\') {
        out.push_back(c);
      } else if (peek() == 'u') {
        ++at_;
        append_utf8(out, code_point());
      } else {
        const std::size_t which = at_ < text_.size() ? escapes.find(peek()) : std::string_view::npos;
        if (which == std::string_view::npos) fail("an escape");
        out.push_back(meanings[which]);
        ++at_;
      }
    }
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

std::string number_text(double number) {
  char buffer[40];
  // -0 and 0 are the same value to every reader of a recipe.
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, number == 0 ? 0.0 : number);
  return std::string(buffer, end.ptr);
}

std::string quoted(const std::string& text) {
  static constexpr char hex[] = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out.push_back('\\');
    if (static_cast<unsigned char>(c) < 0x20) {
      out += "\\u00";
      out.push_back(hex[c >> 4]);
      out.push_back(hex[c & 15]);
    } else {
      out.push_back(c);
    }
  }
  return out + "\"";
}

}  // namespace

Json parse_json(std::string_view text) { return Parser(text).document(); }

std::string Json::describe() const {
  if (const auto* text = std::get_if<std::string>(&value)) return quoted(text->substr(0, 60));
  if (std::holds_alternative<Array>(value)) return "a list";
  if (std::holds_alternative<Object>(value)) return "an object";
  return canonical(*this);
}

std::string canonical(const Json& json) {
  if (const auto* b = std::get_if<bool>(&json.value)) return *b ? "true" : "false";
  if (const auto* number = std::get_if<double>(&json.value)) return number_text(*number);
  if (const auto* text = std::get_if<std::string>(&json.value)) return quoted(*text);
  std::string out;
  if (const auto* items = std::get_if<Json::Array>(&json.value)) {
    for (const Json& item : *items) out += (out.empty() ? "[" : ",") + canonical(item);
    return out.empty() ? "[]" : out + "]";
  }
  if (const auto* members = std::get_if<Json::Object>(&json.value)) {
    for (const auto& [key, member] : *members) out += (out.empty() ? "{" : ",") + quoted(key) + ":" + canonical(member);
    return out.empty() ? "{}" : out + "}";
  }
  return "null";
}

}  // namespace convsweep
