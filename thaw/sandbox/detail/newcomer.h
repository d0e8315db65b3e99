// SPDX-License-Identifier: Apache-2.0
//
// The process that a template forks for a sandbox, as the builder sees it: asked for over the
// template's control socket, let into the namespaces over a handshake socket of its own, looked at
// when it announces itself (the kernel says who sent that), and told to go. The other side is
// template_program.py. Until `go` nothing of it is trusted, and afterwards it needs no trust: it
// has no more powers than any function.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "thaw/base/result.h"
#include "thaw/base/time.h"
#include "thaw/os/fd.h"
#include "thaw/sandbox/detail/system_calls.h"
#include "thaw/sandbox/sandbox.h"

namespace thaw::sandbox::detail {

struct ForkRequest {
  const SandboxSpec* spec = nullptr;
  const SystemCallFilter* filter = nullptr;
  std::uint64_t kept_capabilities = 0;
  int pid_namespace = -1;  // descriptors
  int standard_output = -1;
  int standard_error = -1;
};

class Newcomer {
 public:
  // Does not wait: a template whose socket is full is resource_exhausted.
  static Result<Newcomer> ask_for(const os::Fd& control, const ForkRequest& request);
  // In the root: the namespaces (mnt, net, uts, ipc, cgroup) and who `user` is there.
  Result<void> let_in(const std::vector<int>& namespaces, const std::string& user);
  // Its pid in this process's pid namespace, which must be the sandbox's.
  Result<pid_t> arrive(Instant deadline);
  Result<void> go();

 private:
  os::Fd socket_;
  std::uint64_t kept_capabilities_ = 0;
  uid_t uid_ = 0;
};

// What /proc/PID/status must say of a process that may run user code: a child of PID 1 with no
// capability outside of `kept`, no way to more, this user, and two filters.
Result<void> check_newcomer(const std::string& status, std::uint64_t kept, uid_t uid);

}  // namespace thaw::sandbox::detail
