// SPDX-License-Identifier: Apache-2.0
#include "thaw/sandbox/detail/rules.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "thaw/os/fd.h"
#include "thaw/os/message.h"
#include "thaw/os/process.h"

namespace thaw::sandbox::detail {

namespace {

std::string table_name(const std::string& instance) { return "inet thaw_" + instance; }

// Runs `nft -f -` with `text`. The process is a plain child: the spawner is single-threaded.
Result<void> run_nft(const std::string& text) {
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
  return Error::failed_precondition(
      "nft refuses the container network's rules (does this kernel "
      "have nf_tables with nat?): " +
      said.substr(0, 800));
}

}  // namespace

Result<void> add_rules(const Rules& rules) {
  const std::string table = table_name(rules.instance);
  const std::string from = "iifname \"" + rules.bridge + "\" ";
  const std::string to = "oifname \"" + rules.bridge + "\" ";
  const std::string bridge_address = os::address_text(rules.subnet.address);
  const std::string network =
      os::Subnet{rules.subnet.address & rules.subnet.mask(), rules.subnet.prefix}.to_string();
  // Containers of all servers are behind "tw-" bridges; 169.254/16 is where clouds keep the
  // machine's own credentials.
  std::string text = "table " + table + "\ndelete table " + table + "\ntable " + table + " {\n";
  text += " set ports { type inet_service; }\n";
  text += " chain forward { type filter hook forward priority filter; policy accept;\n";
  text += "  " + from + "meta nfproto ipv6 drop\n";
  text += "  " + from + "oifname \"tw-*\" reject with icmpx admin-prohibited\n";
  text += "  " + from + "ip daddr 169.254.0.0/16 reject with icmpx admin-prohibited\n";
  text += "  " + to + "ct state established,related accept\n";
  text += "  " + to + "drop\n }\n";
  text += " chain input { type filter hook input priority filter; policy accept;\n";
  text += "  " + from + "ct state established,related accept\n";
  text += "  " + from + "ip daddr " + bridge_address + " tcp dport @ports accept\n";
  for (const std::string& server : rules.name_servers) {
    text += "  " + from + "ip daddr " + server + " meta l4proto { tcp, udp } th dport 53 accept\n";
  }
  text += "  " + from + "reject with icmpx admin-prohibited\n }\n";
  text += " chain postrouting { type nat hook postrouting priority srcnat; policy accept;\n";
  text += "  ip saddr " + network + " oifname != \"" + rules.bridge + "\" masquerade\n }\n}\n";
  return run_nft(text);
}

Result<void> allow_port(const std::string& instance, std::uint16_t port) {
  return run_nft("add element " + table_name(instance) + " ports { " + std::to_string(port) +
                 " }\n");
}

void remove_rules(const std::string& instance) {
  // "table" first, so that deleting is no error when there is none.
  const std::string table = table_name(instance);
  (void)run_nft("table " + table + "\ndelete table " + table + "\n");
}

}  // namespace thaw::sandbox::detail
