// SPDX-License-Identifier: Apache-2.0
#include "thaw/codec/json.h"

#include "thaw/codec/utf8.h"

namespace thaw::codec {

namespace {

// The library repeats all that it has read of a value, as it stands there.
constexpr std::size_t longest_reason = 300;

// Values are copied and written by functions that call themselves: what is nested deeper than a
// stack has room for would end the process.
constexpr std::size_t deepest = 512;

bool is_too_deep(std::string_view text) {
  std::size_t depth = 0;
  bool is_in_text = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (is_in_text) {
      i += c == '\\' ? 1 : 0;
      is_in_text = c != '"';
    } else if (c == '"') {
      is_in_text = true;
    } else if (c == '[' || c == '{') {
      if (++depth > deepest) {
        return true;
      }
    } else if ((c == ']' || c == '}') && depth > 0) {
      --depth;
    }
  }
  return false;
}

}  // namespace

Result<Json> parse_json(std::string_view text) {
  if (is_too_deep(text)) {
    return Error::invalid_argument("not valid JSON: values are nested more than " +
                                   std::to_string(deepest) + " deep");
  }
  try {
    return Json::parse(text);
  } catch (const Json::exception& failure) {
    const std::string reason = valid_utf8(failure.what());
    return Error::invalid_argument("not valid JSON: " +
                                   reason.substr(0, cut_utf8(reason, longest_reason)));
  }
}

std::string dump_json(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace thaw::codec
