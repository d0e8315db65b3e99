// SPDX-License-Identifier: Apache-2.0
// A running sandbox is frozen, thawed and made smaller.
#include "thaw/async/blocking.h"
#include "thaw/os/reclaim.h"
#include "thaw/sandbox/detail/running_sandbox.h"

namespace thaw::sandbox::detail {

namespace {

// A process inside a slow system call (a disk that hangs) cannot be stopped before it ends.
constexpr Duration freeze_limit = 200ms;
// That many looks follow each other at once: most trees stop in 0.1 ms.
constexpr int looks_at_once = 8;

std::uint64_t shrink(const os::Cgroup& cgroup) {
  const std::uint64_t before = cgroup.usage().memory_bytes;
  for (const int pid : cgroup.processes()) {
    (void)os::page_out(pid);
  }
  // What was written out still sits in the cache of the swap, and counts, until it is asked for.
  (void)cgroup.reclaim(before);
  const std::uint64_t after = cgroup.usage().memory_bytes;
  return before > after ? before - after : 0;
}

}  // namespace

async::Task<void> RunningSandbox::freeze() { return freeze_within(freeze_limit); }

async::Task<void> RunningSandbox::freeze_within(Duration limit) {
  const std::uint64_t mine = ++freezes_;
  const Instant until = monotonic_now() + limit;
  may_be_frozen_ = true;
  THAW_CO_TRY_VOID(cgroup_.freeze());
  for (int looks = 1; !cgroup_.is_frozen(); ++looks) {
    if (looks < looks_at_once) {
      continue;
    }
    const Result<void> slept = co_await async::sleep_for(1ms);
    if (freezes_ != mine) {
      co_return Error::cancelled("thawed while it was being frozen");
    }
    if (!slept || monotonic_now() > until) {
      (void)thaw();
      co_return slept ? Error::deadline_exceeded("a process inside cannot be stopped now")
                      : slept.error();
    }
  }
  co_return ok();
}

Result<void> RunningSandbox::thaw() {
  ++freezes_;
  if (!may_be_frozen_ || is_removed_ || is_checkpointing_) {
    return ok();
  }
  may_be_frozen_ = false;
  return cgroup_.thaw();
}

async::Task<std::uint64_t> RunningSandbox::reclaim() {
  const os::Cgroup cgroup = cgroup_;
  auto work = [cgroup]() -> Result<std::uint64_t> { return shrink(cgroup); };
  co_return co_await async::blocking(line_->pool(), std::move(work));
}

}  // namespace thaw::sandbox::detail
