// SPDX-License-Identifier: Apache-2.0
#include "thaw/model/model_card.h"

#include <algorithm>

namespace thaw::model {

namespace {

bool is_letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool is_word(std::string_view word) {
  return !word.empty() && word.size() <= longest_model_word && is_letter_or_digit(word.front()) &&
         is_letter_or_digit(word.back()) && std::all_of(word.begin(), word.end(), [](char c) {
           return is_letter_or_digit(c) || c == '.' || c == '-' || c == '_';
         });
}

Result<void> check_model_word(std::string_view field, std::string_view word) {
  if (is_word(word)) {
    return ok();
  }
  return Error::invalid_argument(
      std::string(field) + ": '" + std::string(word.substr(0, 80)) +
      "' is not 1 to 63 letters, digits, '.', '-' and '_', with a letter or digit at both ends");
}

// Letters of a host name in the place of those of a model: everything else is one dash.
void add_label(std::string& label, std::string_view word) {
  for (const char c : word) {
    if (is_letter_or_digit(c)) {
      label += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    } else if (!label.ends_with('-')) {
      label += '-';
    }
  }
}

}  // namespace

Result<void> check(const ModelCard& card) {
  THAW_TRY_VOID(check_model_word("owner", card.owner));
  THAW_TRY_VOID(check_model_word("name", card.name));
  if (card.id.size() != 64 || card.id.find_first_not_of("0123456789abcdef") != std::string::npos) {
    return Error::invalid_argument("id: 64 digits of lower-case hex");
  }
  if (card.description.size() > longest_model_description) {
    return Error::invalid_argument("description: at most " +
                                   std::to_string(longest_model_description) + " bytes");
  }
  if (card.schema.size() > largest_model_schema) {
    return Error::invalid_argument("schema: at most " + std::to_string(largest_model_schema >> 10) +
                                   " KiB");
  }
  if (card.made_with.size() > longest_model_word) {
    return Error::invalid_argument("made_with: at most 63 bytes");
  }
  if (card.inputs == 0) {
    return Error::invalid_argument("inputs: at least 1 at once");
  }
  return ok();
}

std::string model_function(std::string_view owner, std::string_view name, std::string_view home) {
  std::string label;
  if (owner != home) {
    add_label(label, owner);
    if (!label.ends_with('-')) {
      label += '-';
    }
  }
  add_label(label, name);
  return label;
}

}  // namespace thaw::model
