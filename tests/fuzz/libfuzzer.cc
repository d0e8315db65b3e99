// SPDX-License-Identifier: Apache-2.0
//
// A target under libFuzzer, where the product is built with its instrumentation (THAW_FUZZ).
#include "tests/fuzz/target.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  thaw::fuzz::run({reinterpret_cast<const char*>(data), size});
  return 0;
}
