// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/body_length.h"

#include <string>

#include "thaw/net/detail/content_length.h"

namespace thaw::net {

Error body_too_large(std::uint64_t limit_bytes) {
  return Error::out_of_range("the request body is larger than " + std::to_string(limit_bytes) +
                             " bytes");
}

Result<void> check_body_length(const HttpRequest& request, std::uint64_t limit_bytes) {
  THAW_TRY(const std::optional<std::uint64_t> length, detail::content_length_of(request.headers));
  return length.value_or(0) > limit_bytes ? Result<void>(body_too_large(limit_bytes)) : ok();
}

}  // namespace thaw::net
