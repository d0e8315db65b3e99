// SPDX-License-Identifier: Apache-2.0
//
// Makes the root folder of a base recipe with mmdebstrap: Debian with apt and certificates, and
// for Python a copying virtual environment in /usr/local, which behaves like the official image
// (its own pip may install; Debian's Python below stays what Debian needs). Takes most of a minute
// on a pool thread; leaves no process and no mount behind, however it ends.
#pragma once

#include <atomic>
#include <functional>
#include <string>

#include "thaw/image/base_recipe.h"
#include "thaw/image/host_settings.h"

namespace thaw::image {

// The content address: the recipe, its version and the sources it uses. failed_precondition if the
// host has no apt sources for it.
Result<std::string> base_root_key(const BaseRecipe& recipe, const Host& host);

// Makes DRAFT/fs. `say` gets whole lines, on the calling thread.
Result<void> make_base_root(const BaseRecipe& recipe, const Host& host, const std::string& draft,
                            const std::function<void(std::string)>& say,
                            const std::atomic<bool>& stop);

}  // namespace thaw::image
