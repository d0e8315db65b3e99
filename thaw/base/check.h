// SPDX-License-Identifier: Apache-2.0
//
// THAW_CHECK aborts, in every build, when one of our own invariants is broken; the store makes a
// restart safe. Never for input from outside: that is a Result.
#pragma once

namespace thaw::detail {
[[noreturn]] void check_failed(const char* expression, const char* file, int line);
}  // namespace thaw::detail

#define THAW_CHECK(expression)                                       \
  do {                                                               \
    if (!(expression)) [[unlikely]] {                                \
      ::thaw::detail::check_failed(#expression, __FILE__, __LINE__); \
    }                                                                \
  } while (false)
