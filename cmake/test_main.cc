// SPDX-License-Identifier: Apache-2.0
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

// Of programs with the sandbox module, which run themselves anew as their spawner.
namespace thaw::sandbox {
__attribute__((weak)) bool is_to_be_spawner(int argc, char** argv);
__attribute__((weak)) int run_as_spawner();
}  // namespace thaw::sandbox

int main(int argc, char** argv) {
  if (thaw::sandbox::is_to_be_spawner != nullptr && thaw::sandbox::is_to_be_spawner(argc, argv)) {
    return thaw::sandbox::run_as_spawner();
  }
  return doctest::Context(argc, argv).run();
}
