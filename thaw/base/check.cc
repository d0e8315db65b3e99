// SPDX-License-Identifier: Apache-2.0
#include "thaw/base/check.h"

#include <cstdio>
#include <cstdlib>

namespace thaw::detail {

void check_failed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "thaw: broken invariant: %s (%s:%d)\n", expression, file, line);
  std::abort();
}

}  // namespace thaw::detail
