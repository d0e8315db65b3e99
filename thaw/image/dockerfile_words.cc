// SPDX-License-Identifier: Apache-2.0
#include "thaw/image/dockerfile_words.h"

#include <nlohmann/json.hpp>

namespace thaw::image {
namespace {

constexpr int max_depth = 16;

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

class Expander {
 public:
  Expander(std::string_view text, char escape, const VariableLookup& lookup)
      : text_(text), escape_(escape), lookup_(lookup) {}

  Result<std::string> all() { return until('\0', 0); }

 private:
  // Up to an unquoted `stop` (which is consumed), or to the end when `stop` is 0.
  Result<std::string> until(char stop, int depth) {
    if (depth > max_depth) {
      return Error::invalid_argument("variables are nested more than 16 deep");
    }
    std::string out;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (stop != '\0' && c == stop) {
        ++at_;
        return out;
      }
      if (c == '\'') {
        THAW_TRY_VOID(single_quoted(out));
      } else if (c == '"') {
        THAW_TRY_VOID(double_quoted(out, depth));
      } else if (c == '$') {
        THAW_TRY_VOID(dollar(out, depth));
      } else if (c == escape_) {
        if (++at_ < text_.size()) {
          out.push_back(text_[at_++]);
        }
      } else {
        out.push_back(c);
        ++at_;
      }
      if (out.size() > max_expanded_bytes) {
        return Error::invalid_argument("a value expands to more than 1 MiB");
      }
    }
    if (stop != '\0') {
      return Error::invalid_argument("a \"${\" has no closing \"}\"");
    }
    return out;
  }

  Result<void> single_quoted(std::string& out) {
    const auto end = text_.find('\'', at_ + 1);
    if (end == std::string_view::npos) {
      return Error::invalid_argument("a single quote is not closed");
    }
    out.append(text_.substr(at_ + 1, end - at_ - 1));
    at_ = end + 1;
    return ok();
  }

  Result<void> double_quoted(std::string& out, int depth) {
    ++at_;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '"') {
        ++at_;
        return ok();
      }
      if (c == '$') {
        THAW_TRY_VOID(dollar(out, depth));
      } else if (c == escape_ && at_ + 1 < text_.size()) {
        const char next = text_[at_ + 1];
        if (next != '"' && next != '$' && next != escape_) {
          out.push_back(c);
        }
        out.push_back(next);
        at_ += 2;
      } else {
        out.push_back(c);
        ++at_;
      }
      if (out.size() > max_expanded_bytes) {
        return Error::invalid_argument("a value expands to more than 1 MiB");
      }
    }
    return Error::invalid_argument("a double quote is not closed");
  }

  std::string_view name() {
    const std::size_t start = at_;
    if (at_ < text_.size() && is_name_start(text_[at_])) {
      while (at_ < text_.size() && (is_name_start(text_[at_]) || is_digit(text_[at_]))) {
        ++at_;
      }
    } else if (at_ < text_.size() && is_digit(text_[at_])) {
      while (at_ < text_.size() && is_digit(text_[at_])) {
        ++at_;
      }
    } else if (at_ < text_.size() &&
               std::string_view("@*#?-$!").find(text_[at_]) != std::string_view::npos) {
      ++at_;
    }
    return text_.substr(start, at_ - start);
  }

  Result<void> dollar(std::string& out, int depth) {
    ++at_;  // $
    if (at_ >= text_.size() || text_[at_] != '{') {
      const std::string_view variable = name();
      if (variable.empty()) {
        out.push_back('$');
      } else {
        out += lookup_(variable).value_or("");
      }
      return ok();
    }
    ++at_;  // {
    const std::string_view variable = name();
    if (variable.empty()) {
      return Error::invalid_argument("\"${\" needs a variable's name");
    }
    if (at_ >= text_.size()) {
      return Error::invalid_argument("a \"${\" has no closing \"}\"");
    }
    char modifier = text_[at_++];
    const auto value = lookup_(variable);
    if (modifier == '}') {
      out += value.value_or("");
      return ok();
    }
    bool is_set = value.has_value();
    if (modifier == ':') {
      is_set = is_set && !value->empty();
      if (at_ >= text_.size()) {
        return Error::invalid_argument("a \"${\" has no closing \"}\"");
      }
      modifier = text_[at_++];
    }
    THAW_TRY(std::string word, until('}', depth + 1));
    switch (modifier) {
      case '-': out += is_set ? *value : word; return ok();
      case '+': out += is_set ? word : ""; return ok();
      case '?':
        if (!is_set) {
          return Error::invalid_argument("the variable " + std::string(variable) + " is required" +
                                         (word.empty() ? std::string() : ": " + word));
        }
        out += *value;
        return ok();
      default:
        return Error::invalid_argument("\"${" + std::string(variable) + modifier +
                                       "…}\" is not supported; use :-, :+ or :?");
    }
  }

  std::string_view text_;
  char escape_;
  const VariableLookup& lookup_;
  std::size_t at_ = 0;
};

}  // namespace

Result<std::string> expand_word(std::string_view word, char escape, const VariableLookup& lookup) {
  THAW_TRY(std::string out, Expander(word, escape, lookup).all());
  if (out.find('\0') != std::string::npos) {
    return Error::invalid_argument("a value contains a zero byte");
  }
  return out;
}

std::vector<std::string> split_words(std::string_view text, char escape) {
  std::vector<std::string> words;
  std::string word;
  bool in_word = false;
  char quote = '\0';
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quote == '\0' && is_blank(c)) {
      if (in_word) {
        words.push_back(std::move(word));
        word.clear();
        in_word = false;
      }
      continue;
    }
    in_word = true;
    word.push_back(c);
    if (quote == '\0' && (c == '\'' || c == '"')) {
      quote = c;
    } else if (c == quote) {
      quote = '\0';
    } else if (c == escape && quote != '\'' && i + 1 < text.size()) {
      word.push_back(text[++i]);
    }
  }
  if (in_word) {
    words.push_back(std::move(word));
  }
  return words;
}

std::vector<std::string> split_blanks(std::string_view text) {
  std::vector<std::string> words;
  std::size_t i = 0;
  while (i < text.size()) {
    while (i < text.size() && is_blank(text[i])) {
      ++i;
    }
    const std::size_t start = i;
    while (i < text.size() && !is_blank(text[i])) {
      ++i;
    }
    if (i > start) {
      words.emplace_back(text.substr(start, i - start));
    }
  }
  return words;
}

std::optional<std::vector<std::string>> parse_exec_form(std::string_view text) {
  text = trim(text);
  if (text.empty() || text.front() != '[') {
    return std::nullopt;
  }
  const auto parsed = nlohmann::json::parse(text, nullptr, false);
  if (!parsed.is_array()) {
    return std::nullopt;
  }
  std::vector<std::string> out;
  for (const auto& item : parsed) {
    if (!item.is_string()) {
      return std::nullopt;
    }
    out.push_back(item.get<std::string>());
    if (out.back().find('\0') != std::string::npos) {
      return std::nullopt;
    }
  }
  return out;
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) {
    text.remove_prefix(1);
  }
  while (!text.empty() && is_blank(text.back())) {
    text.remove_suffix(1);
  }
  return text;
}

}  // namespace thaw::image
