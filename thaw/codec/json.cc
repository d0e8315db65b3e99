// SPDX-License-Identifier: Apache-2.0
#include "thaw/codec/json.h"

#include "thaw/codec/utf8.h"

namespace thaw::codec {

namespace {

// The library repeats all that it has read of a value, as it stands there.
constexpr std::size_t longest_reason = 300;

}  // namespace

Result<Json> parse_json(std::string_view text) {
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
