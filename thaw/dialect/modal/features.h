// SPDX-License-Identifier: Apache-2.0
//
// The feature that an RPC belongs to, in a user's words: what a client sees in the error when it
// uses something that this Thaw does not serve.
#pragma once

#include <string>
#include <string_view>

#include "thaw/base/error.h"

namespace thaw::dialect::modal {

// "volumes" for VolumeGetOrCreate; the RPC's own name where no rule fits.
std::string feature_of(std::string_view rpc);
// UNIMPLEMENTED for a method path such as "/modal.client.ModalClient/VolumeList".
Error not_served(const std::string& path);

}  // namespace thaw::dialect::modal
