// SPDX-License-Identifier: Apache-2.0
#include "thaw/main/run.h"

int main(int argc, char** argv) {
  return thaw::main_program::run(argc, argv, thaw::main_program::make_dialects);
}
