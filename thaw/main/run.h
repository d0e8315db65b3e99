// SPDX-License-Identifier: Apache-2.0
//
// The whole program, for a main() that says which dialects it has: `thaw` is one, and a test of
// others is another.
#pragma once

#include "thaw/main/dialects.h"

namespace thaw::main_program {

// Reads the words of the command line, runs the verb, and returns the exit code.
int run(int argc, char** argv, const MakeDialects& make_dialects);

}  // namespace thaw::main_program
