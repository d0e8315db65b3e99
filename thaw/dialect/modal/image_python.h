// SPDX-License-Identifier: Apache-2.0
//
// A function's image may have another Python than its author asked for, or than pickled it. Pure.
#pragma once

#include <string>
#include <string_view>

#include "thaw/dialect/modal/proto/functions.pb.h"
#include "thaw/image/image.h"

namespace thaw::dialect::modal {

// A warning for the client's terminal, or nothing. `client_python` is the caller's own ("3.12.1";
// empty: unknown). failed_precondition for a pickled function that its image's Python cannot load:
// bytecode of another minor version crashes the interpreter.
Result<std::string> check_python(const ::modal::client::Function& definition,
                                 const image::BuiltImage& image, std::string_view client_python);

}  // namespace thaw::dialect::modal
