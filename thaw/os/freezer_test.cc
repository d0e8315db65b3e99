// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string>

#include "thaw/base/time.h"
#include "thaw/os/cgroup.h"
#include "thaw/os/process.h"
#include "thaw/os/reclaim.h"

using namespace thaw;
using namespace thaw::os;

namespace {

constexpr std::size_t ballast_bytes = 32u << 20;

// A process in a cgroup of its own that holds some memory and does nothing but count. Its parent
// hands down the controllers, without which v2 gives a group no files for them.
class Counting {
 public:
  explicit Counting(const CgroupLayout& layout)
      : parent(layout, "thaw-freezer-test-" + std::to_string(::getpid())),
        group(layout, "thaw-freezer-test-" + std::to_string(::getpid()) + "/counting") {
    void* shared = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(shared != MAP_FAILED);
    count_ = new (shared) std::atomic<std::uint64_t>(0);
    in_group_ = new (count_ + 1) std::atomic<bool>(false);
    REQUIRE(parent.make(Cgroup::Role::parent));
    REQUIRE(group.make(Cgroup::Role::leaf));
    auto cloned = clone_process({});
    REQUIRE(cloned);
    if (cloned->pid == 0) {
      while (!in_group_->load()) {
      }
      void* ballast = ::mmap(nullptr, ballast_bytes, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
      std::memset(ballast, 7, ballast_bytes);
      while (true) {
        count_->fetch_add(1);
      }
    }
    pid = cloned->pid;
    REQUIRE(group.add(pid));
    in_group_->store(true);
    REQUIRE(counts_on());
  }
  ~Counting() {
    group.kill();
    ::waitpid(pid, nullptr, 0);
    for (int i = 0; i < 1000 && !group.remove(); ++i) {
      ::usleep(1000);
    }
    CHECK(parent.remove());
    ::munmap(count_, 4096);
  }
  Counting(const Counting&) = delete;
  Counting& operator=(const Counting&) = delete;

  std::uint64_t count() const { return count_->load(); }
  bool counts_on() const {
    const std::uint64_t before = count();
    const Instant latest = monotonic_now() + 10s;
    while (count() == before && monotonic_now() < latest) {
    }
    return count() != before;
  }
  bool reaches_frozen() const {
    const Instant latest = monotonic_now() + 10s;
    while (!group.is_frozen() && monotonic_now() < latest) {
    }
    return group.is_frozen();
  }

  Cgroup parent;
  Cgroup group;
  pid_t pid = 0;

 private:
  std::atomic<std::uint64_t>* count_ = nullptr;
  std::atomic<bool>* in_group_ = nullptr;
};

// The layout, if this machine can freeze; says why not.
std::optional<CgroupLayout> freezer() {
  const auto layout = CgroupLayout::detect();
  if (::geteuid() != 0 || !layout || layout->freezer.empty()) {
    std::puts("skipped: freezing needs root and a freezer");
    return std::nullopt;
  }
  std::printf("cgroups %s\n", layout->version == CgroupLayout::Version::v1 ? "v1" : "v2");
  return *layout;
}

}  // namespace

TEST_CASE("nothing in a frozen group runs until it is thawed") {
  const auto layout = freezer();
  if (!layout) return;
  const Counting process(*layout);
  CHECK(process.counts_on());
  CHECK(!process.group.is_frozen());
  REQUIRE(process.group.freeze());
  REQUIRE(process.reaches_frozen());
  const std::uint64_t before = process.count();
  ::usleep(20'000);  // the time in which it would have gone on
  CHECK(process.count() == before);
  REQUIRE(process.group.thaw());
  CHECK(!process.group.is_frozen());
  CHECK(process.counts_on());
}

TEST_CASE("a group counts its processor time, frozen it uses none, and it takes a weight") {
  const auto layout = freezer();
  if (!layout) return;
  const Counting process(*layout);
  const Instant latest = monotonic_now() + 10s;
  while (process.group.cpu_us() < 20'000 && monotonic_now() < latest) {
  }
  CHECK(process.group.cpu_us() >= 20'000);
  REQUIRE(process.group.freeze());
  REQUIRE(process.reaches_frozen());
  const std::uint64_t before = process.group.cpu_us();
  ::usleep(20'000);  // the time in which it would have gone on
  CHECK(process.group.cpu_us() == before);
  CHECK(process.group.usage().cpu_us == before);
  for (const double weight : {0.0, 0.25, 1.0, 4.0, 1e9}) {
    CHECK(process.group.weigh(weight));
  }
}

TEST_CASE("a group that is thawed before it has stopped runs on") {
  const auto layout = freezer();
  if (!layout) return;
  const Counting process(*layout);
  for (int i = 0; i < 100; ++i) {
    REQUIRE(process.group.freeze());
    REQUIRE(process.group.thaw());
  }
  CHECK(!process.group.is_frozen());
  CHECK(process.counts_on());
}

TEST_CASE("what is frozen can be killed") {
  const auto layout = freezer();
  if (!layout) return;
  const Counting process(*layout);
  REQUIRE(process.group.freeze());
  REQUIRE(process.reaches_frozen());
  process.group.kill();
  int status = 0;
  REQUIRE(::waitpid(process.pid, &status, 0) == process.pid);
  CHECK(WTERMSIG(status) == SIGKILL);
}

TEST_CASE("the memory of a frozen process can be paged out from outside") {
  const auto layout = freezer();
  if (!layout) return;
  const auto memory = machine_memory();
  REQUIRE(memory);
  CHECK(memory->total_bytes >= memory->available_bytes);
  CHECK(memory->available_bytes > 0);
  const Counting process(*layout);
  REQUIRE(process.group.freeze());
  REQUIRE(process.reaches_frozen());
  const std::uint64_t before = process.group.usage().memory_bytes;
  const auto advised = page_out(process.pid);
  REQUIRE_MESSAGE(advised, (advised ? "" : advised.error().to_string()));
  CHECK(*advised > 1u << 20);
  if (memory->swap_free_bytes < 2 * ballast_bytes) {
    std::puts("no swap: that private memory gets smaller is not tested here");
  } else {
    // What is on its way to the disk counts until it is there.
    const Instant latest = monotonic_now() + 10s;
    CHECK(process.group.reclaim(before));
    std::uint64_t after = before;
    while (after + ballast_bytes / 2 > before && monotonic_now() < latest) {
      ::usleep(1000);
      after = process.group.usage().memory_bytes;
    }
    CHECK(before > after + ballast_bytes / 2);
  }
  REQUIRE(process.group.thaw());
  CHECK(process.counts_on());
  CHECK(page_out(-1).error().code() != Code::ok);
}

TEST_CASE("a machine without a freezer says so") {
  CgroupLayout layout{.version = CgroupLayout::Version::v1};
  const Cgroup group(layout, "x");
  CHECK(group.freeze().error().code() == Code::failed_precondition);
  CHECK(group.thaw());
  CHECK(!group.is_frozen());
}
