// SPDX-License-Identifier: Apache-2.0
//
// What a snapshot depends on besides its container: a program that was stopped on one kernel and
// CPU, and read its clocks there, goes on only where they are the same.
#pragma once

#include <string>

namespace thaw::snapshot {

// Digest of kernel release and build, CPU model, features and microcode, the boot (the monotonic
// clock of a restored program must not jump back), and the bytes of the CRIU program.
std::string describe_machine(const std::string& criu_program);

}  // namespace thaw::snapshot
