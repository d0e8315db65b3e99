// SPDX-License-Identifier: Apache-2.0
// The program that bucket_hand.c makes, inside of this one.
#include "thaw/worker/bucket_helper.h"

asm(".section .rodata\n"
    ".global thaw_bucket_hand_begin\n"
    ".global thaw_bucket_hand_end\n"
    "thaw_bucket_hand_begin:\n"
    ".incbin \"" THAW_BUCKET_HAND
    "\"\n"
    "thaw_bucket_hand_end:\n"
    ".byte 0\n"
    ".previous\n");

extern "C" const char thaw_bucket_hand_begin[];
extern "C" const char thaw_bucket_hand_end[];

namespace thaw::worker {

std::string_view bucket_hand() {
  return {thaw_bucket_hand_begin,
          static_cast<std::size_t>(thaw_bucket_hand_end - thaw_bucket_hand_begin)};
}

}  // namespace thaw::worker
