// SPDX-License-Identifier: Apache-2.0
//
// CRIU's images as far as they tell in which user namespace a process was: by a number in
// ids-PID.img, beside that of CRIU's own in inventory.img. Where both are one, a restore stays in
// the user namespace that it finds itself in, whatever range of ids that has. An image is one or
// two numbers that name its kind, and then messages of protocol buffers with their sizes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "thaw/base/result.h"

namespace thaw::sandbox::detail {

// A file beside the images of a program that had ids of its own: its powers are over those, and are
// not to become powers over the machine.
inline constexpr const char* own_ids_mark = "own-ids";

// CRIU's own, of the bytes of inventory.img.
Result<std::uint64_t> own_user_namespace(std::string_view inventory);
// The bytes of ids-PID.img, with this one instead.
Result<std::string> move_to_user_namespace(std::string_view ids, std::uint64_t name);

}  // namespace thaw::sandbox::detail
