// SPDX-License-Identifier: Apache-2.0
//
// Bodies that are larger than who reads them allows: refused at once where the request says so, so
// that nobody waits for bytes that nobody wants. Pure.
#pragma once

#include <cstdint>

#include "thaw/net/http.h"

namespace thaw::net {

// out_of_range, which is answered with 413.
Error body_too_large(std::uint64_t limit_bytes);

// body_too_large() if the request says that its body is; ok where it says nothing.
Result<void> check_body_length(const HttpRequest& request, std::uint64_t limit_bytes);

}  // namespace thaw::net
