// SPDX-License-Identifier: Apache-2.0
//
// Names of images at clouds' own registries, as people's files have them, that stand for a
// repository of this server's: "r8.im/owner/name", "ACCOUNT.dkr.ecr.REGION.amazonaws.com/name".
// Pure.
#pragma once

#include <optional>
#include <string>

#include "thaw/image/image_name.h"

namespace thaw::dialect::registry {

// The repository's name here; nullopt: the host is none of these.
std::optional<std::string> repository_for(const image::ImageName& name);

}  // namespace thaw::dialect::registry
