// SPDX-License-Identifier: Apache-2.0
//
// JSON with Results: the seam where the library's exceptions end.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "thaw/base/id.h"
#include "thaw/base/result.h"

namespace thaw::codec {

using Json = nlohmann::json;

// invalid_argument with the place of the first mistake, in a few hundred bytes of UTF-8.
Result<Json> parse_json(std::string_view text);
// Bytes that are not UTF-8 become replacement characters.
std::string dump_json(const Json& value);

}  // namespace thaw::codec

// Strong ids are plain strings in JSON.
template <class Tag>
struct nlohmann::adl_serializer<thaw::StrongId<Tag>> {
  static void to_json(json& out, const thaw::StrongId<Tag>& id) { out = id.str(); }
  static void from_json(const json& in, thaw::StrongId<Tag>& id) {
    id = thaw::StrongId<Tag>(in.get<std::string>());
  }
};
