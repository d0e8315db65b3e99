// SPDX-License-Identifier: Apache-2.0
//
// Words that this server has signed: WORDS.SIGNATURE. Whoever shows them got them from this server,
// for that purpose. Values only.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "thaw/dialect/modal/context.h"

namespace thaw::dialect::modal {

// `words` are of letters that may stand in a header.
std::string sign_words(const Context& cx, const char* purpose, const std::string& words);
// The words, if they are genuine; part of `signed_words`.
std::optional<std::string_view> genuine_words(const Context& cx, const char* purpose,
                                              std::string_view signed_words);

}  // namespace thaw::dialect::modal
