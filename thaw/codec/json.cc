// SPDX-License-Identifier: Apache-2.0
#include "thaw/codec/json.h"

namespace thaw::codec {

Result<Json> parse_json(std::string_view text) {
  try {
    return Json::parse(text);
  } catch (const Json::exception& failure) {
    return Error::invalid_argument(std::string("not valid JSON: ") + failure.what());
  }
}

std::string dump_json(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace thaw::codec
