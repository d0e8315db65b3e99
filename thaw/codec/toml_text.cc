// SPDX-License-Identifier: Apache-2.0
#include "thaw/codec/toml_text.h"

namespace thaw::codec {

namespace {

class Scan {
 public:
  explicit Scan(std::string_view text) : text_(text) {}

  std::optional<std::size_t> stray_line() {
    while (!at_end()) {
      const char c = peek();
      if (is_stray(c)) {
        return line_;
      }
      if (c == '#') {
        skip_comment();
      } else if (c == '"' || c == '\'') {
        if (const auto line = skip_string(c)) {
          return line;
        }
      } else {
        step();
      }
    }
    return std::nullopt;
  }

 private:
  static bool is_stray(char c) { return static_cast<unsigned char>(c) >= 0x80; }
  static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

  bool at_end() const { return at_ == text_.size(); }
  char peek() const { return text_[at_]; }
  void step() { line_ += text_[at_++] == '\n' ? 1 : 0; }

  void skip_comment() {
    while (!at_end() && peek() != '\n') {
      step();
    }
  }

  bool skip_three(char quote) {
    const bool are_three =
        text_.substr(at_).starts_with(std::string_view(quote == '"' ? R"(""")" : "'''"));
    at_ += are_three ? 3 : 0;
    return are_three;
  }

  // A string of one line that does not end on it is an error, at which the reader stops.
  std::optional<std::size_t> skip_string(char quote) {
    const bool has_lines = skip_three(quote);
    if (!has_lines) {
      step();
    }
    while (!at_end() && (has_lines || peek() != '\n')) {
      if (has_lines ? skip_three(quote) : peek() == quote) {
        if (!has_lines) {
          step();
        }
        return std::nullopt;
      }
      const bool is_escape = quote == '"' && peek() == '\\';
      step();
      if (is_escape && !at_end()) {
        if (const auto line = skip_escape()) {
          return line;
        }
      }
    }
    return std::nullopt;
  }

  std::optional<std::size_t> skip_escape() {
    if (!is_space(peek())) {
      if (is_stray(peek())) {
        return line_;
      }
      step();
      return std::nullopt;
    }
    while (!at_end() && is_space(peek())) {
      step();
    }
    return !at_end() && is_stray(peek()) ? std::optional(line_) : std::nullopt;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::size_t line_ = 1;
};

}  // namespace

std::optional<std::size_t> stray_line_of_toml(std::string_view text) {
  return Scan(text).stray_line();
}

}  // namespace thaw::codec
