// SPDX-License-Identifier: Apache-2.0
//
// Words of the Dockerfile dialect: splitting that keeps quotes, variable substitution with
// Docker's modifiers, and the exec form (a JSON array of strings). Pure; input is hostile, so
// depth and size of what an expansion gives are bounded.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "thaw/base/result.h"

namespace thaw::image {

// The value of a variable, nullopt where it is not set.
using VariableLookup = std::function<std::optional<std::string>(std::string_view name)>;

constexpr std::size_t max_expanded_bytes = 1u << 20;

// One word: quotes removed, escapes undone, $name, ${name}, ${name:-word}, ${name:+word},
// ${name:?word} (and the forms without the colon) replaced. Unset variables become empty.
Result<std::string> expand_word(std::string_view word, char escape, const VariableLookup& lookup);

// Splits at blanks outside quotes; quotes and escapes stay in the words, for expand_word.
std::vector<std::string> split_words(std::string_view text, char escape);

// Splits at blanks, whatever the quotes: COPY, ADD, VOLUME.
std::vector<std::string> split_blanks(std::string_view text);

// ["a", "b"], or nullopt if `text` is not a JSON array of strings (then it is the shell form).
std::optional<std::vector<std::string>> parse_exec_form(std::string_view text);

std::string_view trim(std::string_view text);

}  // namespace thaw::image
