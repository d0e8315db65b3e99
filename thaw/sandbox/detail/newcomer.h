// SPDX-License-Identifier: Apache-2.0
//
// The process that a template forks for a sandbox, as the builder sees it. The conversation over
// its own handshake socket, after it was asked for over the template's control socket:
//   newcomer: here                 builder: prepare        (only a spare: made ahead of its order)
//   newcomer: ready                builder: the order: who it becomes, namespaces, output
//   newcomer: fit                  builder: go             (it has been looked at from outside)
// The kernel says who sent a message. Until `go` nothing of it is trusted, and afterwards it needs
// no trust: it has no more powers than any function. The other side is a
// program that whoever starts the template hands down.
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

struct ForkOrder {
  const SandboxSpec* spec = nullptr;
  const SystemCallFilter* filter = nullptr;
  IdRange range = {};
  std::vector<int> namespaces;  // mnt, net, uts, ipc, cgroup: descriptors
  int standard_output = -1;
  int standard_error = -1;
};

class Newcomer {
 public:
  // Does not wait: a template whose socket is full is resource_exhausted.
  static Result<Newcomer> ask_for(const os::Fd& control, const os::Fd& pid_namespace);
  // Its pid in this process's pid namespace, which must be the sandbox's.
  Result<pid_t> arrive(Instant deadline);
  // Lets it do at leisure what depends on no order.
  Result<void> prepare(Instant deadline);
  // From within the sandbox's root: lets it in, and looks at it once it is fit to run.
  Result<void> let_in(const ForkOrder& order, Instant deadline);
  Result<void> go();
  // Readable when it speaks, or has ended.
  int socket() const { return socket_.get(); }

 private:
  Result<void> expect(const char* word, Instant deadline);

  os::Fd socket_;
  pid_t pid_ = 0;
};

// What /proc/PID/status must say of a process that may run user code: a child of PID 1 with no
// capability outside of `kept`, no way to more, this user (of `range`, as the machine sees it), and
// two filters.
Result<void> check_newcomer(const std::string& status, std::uint64_t kept, uid_t uid,
                            IdRange range = {});

}  // namespace thaw::sandbox::detail
