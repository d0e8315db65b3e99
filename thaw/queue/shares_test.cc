// SPDX-License-Identifier: Apache-2.0
#include "thaw/queue/detail/shares.h"

#include <doctest/doctest.h>

using namespace thaw;
using namespace thaw::queue;
using namespace thaw::queue::detail;

namespace {

constexpr std::size_t mib = 1u << 20;

Share of(std::size_t bytes, std::size_t unfinished = 0, std::size_t calls = 0) {
  return {bytes, unfinished, calls};
}

// The limit's name in the refusal; empty when admitted.
std::string refusal(const Share& all, const Share& workspace, const Share& function,
                    const Share& asked) {
  const auto admitted = admit(QueueLimits{}, all, workspace, function, asked, "fu-1");
  if (admitted) {
    return "";
  }
  CHECK(admitted.error().code() == Code::resource_exhausted);
  for (const char* name :
       {"remembers", "inputs", "fu-1", "calls of the workspace", "queue of the server"}) {
    if (admitted.error().message().find(name) != std::string::npos) {
      return name;
    }
  }
  return admitted.error().message();
}

}  // namespace

TEST_CASE("a function, a workspace and the server have a limit each, and it is named") {
  CHECK(refusal({}, {}, {}, of(mib, 1, 1)).empty());
  CHECK(refusal(of(1024 * mib), of(1024 * mib), of(1024 * mib), of(1)) == "fu-1");
  CHECK(refusal(of(2048 * mib), of(2048 * mib), of(512 * mib), of(1)) == "calls of the workspace");
  CHECK(refusal(of(4096 * mib), of(1024 * mib), of(512 * mib), of(1)) == "queue of the server");
  CHECK(refusal({}, of(0, 300'000), {}, of(1, 1)) == "inputs");
  CHECK(refusal({}, of(0, 0, 500'000), {}, of(1, 1, 1)) == "remembers");
}

TEST_CASE("who has little gets in while others are at their limits") {
  // Its workspace is as full as a large function may make it: another function of it goes on.
  CHECK(refusal(of(1920 * mib), of(1920 * mib), of(512 * mib), of(mib)) ==
        "calls of the workspace");
  CHECK(refusal(of(1920 * mib), of(1920 * mib), of(mib), of(mib)).empty());
  // The server is as full as large workspaces may make it: another workspace goes on.
  CHECK(refusal(of(3840 * mib), of(512 * mib), of(mib), of(mib)) == "queue of the server");
  CHECK(refusal(of(3840 * mib), of(mib), of(mib), of(mib)).empty());
  CHECK(refusal(of(0, 0, 960'000), of(0, 0, 2'000), {}, of(1, 1, 1)) == "remembers");
  CHECK(refusal(of(0, 0, 960'000), of(0, 0, 20), {}, of(1, 1, 1)).empty());
}
