// SPDX-License-Identifier: Apache-2.0
#include "thaw/sandbox/detail/nft.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "thaw/os/files.h"
#include "thaw/os/message.h"
#include "thaw/os/process.h"

namespace thaw::sandbox::detail {

Result<void> run_nft(const std::string& text, const os::Fd& network_namespace) {
  THAW_TRY(const os::Fd input, os::make_memory_file(text));
  int errors[2];
  if (::lseek(input.get(), 0, SEEK_SET) != 0 || ::pipe2(errors, O_CLOEXEC) != 0) {
    return Error::from_errno(errno, "prepare to run nft");
  }
  os::Fd read_end(errors[0]);
  os::Fd write_end(errors[1]);
  const pid_t pid = ::fork();
  if (pid < 0) {
    return Error::from_errno(errno, "fork nft");
  }
  if (pid == 0) {
    ::dup2(input.get(), 0);
    ::dup2(write_end.get(), 1);
    ::dup2(write_end.get(), 2);
    if (network_namespace.valid() && ::setns(network_namespace.get(), CLONE_NEWNET) != 0) {
      ::_exit(126);
    }
    os::close_from(3);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    const char* const env[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", nullptr};
    for (const char* path : {"/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft"}) {
      const char* const argv[] = {"nft", "-f", "-", nullptr};
      ::execve(path, const_cast<char* const*>(argv), const_cast<char* const*>(env));
    }
    ::_exit(127);
  }
  write_end.reset();
  std::string said;
  char piece[1024];
  for (ssize_t n = 0; (n = ::read(read_end.get(), piece, sizeof piece)) > 0;) {
    said.append(piece, static_cast<std::size_t>(n));
  }
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
    return ok();
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 127) {
    return Error::failed_precondition(
        "there is no nft program: install nftables, or switch "
        "networking off");
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 126) {
    return Error::failed_precondition("nft cannot enter the network of a sandbox");
  }
  return Error::failed_precondition(
      "nft refuses the container network's rules (does this kernel "
      "have nf_tables with nat?): " +
      said.substr(0, 800));
}

}  // namespace thaw::sandbox::detail
