// SPDX-License-Identifier: Apache-2.0
//
// add_python: the client copies a Python into an image from a mount that its cloud has ready, by a
// name with a version in it. Here the copy is of an image that this machine makes. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "thaw/base/result.h"
#include "thaw/image/image.h"

namespace thaw::dialect::modal {

// "3.11" of a mount's name; empty: it is none of a Python.
std::string added_python_of(std::string_view mount_name);
// How the mount is known here, whatever release was asked for: one for each minor version.
// unimplemented: a Python without a global lock, or a version that cannot be had.
Result<std::string> added_python_mount(std::string_view mount_name);
// Makes the recipe that copies from the mount one that copies from the image, and says in it which
// version was wanted if it is another one.
void add_python(std::string_view mount_name, image::Recipe& recipe);

}  // namespace thaw::dialect::modal
