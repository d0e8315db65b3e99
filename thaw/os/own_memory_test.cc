// SPDX-License-Identifier: Apache-2.0
#include "thaw/os/own_memory.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace thaw;
using namespace thaw::os;

TEST_CASE("the memory group of a process is found on both kinds of cgroups") {
  using Version = CgroupLayout::Version;
  const std::string v1 = "12:pids:/p\n4:cpu,memory:/a/b\n1:name=systemd:/x\n0::/y\n";
  CHECK(memory_group_of(Version::v1, v1) == "/a/b");
  CHECK(memory_group_of(Version::v2, v1) == "/y");
  CHECK(memory_group_of(Version::v2, "0::/\n") == "/");
  CHECK(memory_group_of(Version::v1, "0::/\n") == "");
  CHECK(memory_group_of(Version::v1, "nonsense\n:\n\n") == "");
}

TEST_CASE("this process may have some memory, and not more than the machine") {
  const auto layout = CgroupLayout::detect();
  if (!layout) {
    MESSAGE("skipped: " << layout.error().to_string());
    return;
  }
  const auto limit = own_memory_limit(*layout);
  REQUIRE(limit);
  CHECK(*limit > (1u << 20));
}

TEST_CASE("what was freed is given back") {
#if __has_feature(address_sanitizer)
  MESSAGE("skipped: the sanitizer's allocator keeps what is freed, to find who uses it");
  return;
#endif
  steady_allocator();
  const std::uint64_t before = *own_resident_bytes();
  std::vector<std::string> pieces(20'000);
  for (auto& piece : pieces) {
    piece.assign(4'000, 'x');
  }
  // NOLINTNEXTLINE(bugprone-unused-local-non-trivial-variable): it only has to be there
  const std::string last(64, 'y');  // above them, so that the heap cannot just shrink
  CHECK(*own_resident_bytes() > before + (60u << 20));
  pieces.clear();
  pieces.shrink_to_fit();
  give_memory_back();
  CHECK(*own_resident_bytes() < before + (20u << 20));
}
