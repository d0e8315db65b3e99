// SPDX-License-Identifier: Apache-2.0
#include "thaw/sandbox/detail/criu.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "thaw/os/files.h"
#include "thaw/os/mount.h"
#include "thaw/os/process.h"
#include "thaw/sandbox/detail/capabilities.h"
#include "thaw/sandbox/detail/held_objects.h"
#include "thaw/sandbox/sandbox.h"

#ifndef CAP_CHECKPOINT_RESTORE
#define CAP_CHECKPOINT_RESTORE 40
#endif

namespace thaw::sandbox::detail {

namespace {

constexpr std::uint64_t inert = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;

constexpr std::uint64_t bit(int capability) { return std::uint64_t{1} << capability; }

// Processes and their files are read, made and owned again; nothing of modules, devices, clocks,
// raw memory, BPF or audit. What a restored program had it must have had itself.
constexpr std::uint64_t criu_capabilities =
    bit(CAP_CHOWN) | bit(CAP_DAC_OVERRIDE) | bit(CAP_DAC_READ_SEARCH) | bit(CAP_FOWNER) |
    bit(CAP_FSETID) | bit(CAP_KILL) | bit(CAP_SETGID) | bit(CAP_SETUID) | bit(CAP_SETPCAP) |
    bit(CAP_NET_BIND_SERVICE) | bit(CAP_NET_ADMIN) | bit(CAP_IPC_LOCK) | bit(CAP_IPC_OWNER) |
    bit(CAP_SYS_CHROOT) | bit(CAP_SYS_PTRACE) | bit(CAP_SYS_ADMIN) | bit(CAP_SYS_NICE) |
    bit(CAP_SYS_RESOURCE) | bit(CAP_SETFCAP) | bit(CAP_CHECKPOINT_RESTORE);

void reset_signals() {
  for (int number = 1; number < NSIG; ++number) {
    ::signal(number, SIG_DFL);
  }
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

// A user who has made a user namespace has every power over its processes: limits of another user's
// can be read without CAP_SYS_RESOURCE over the machine, which not every root has. What root may do
// with the machine's files stays.
bool become_maker(uid_t maker) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct sets[2]{};
  if (::prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0) != 0 ||
      ::setresuid(maker, maker, maker) != 0 || ::syscall(SYS_capget, &header, sets) != 0) {
    return false;
  }
  // Kept by exec are those that are inheritable and ambient.
  for (int i = 0; i < 2; ++i) {
    sets[i].permitted &= static_cast<std::uint32_t>(criu_capabilities >> (32 * i));
    sets[i].effective = sets[i].inheritable = sets[i].permitted;
  }
  if (::syscall(SYS_capset, &header, sets) != 0) {
    return false;
  }
  for (int capability = 0; capability < 64; ++capability) {
    if ((sets[capability / 32].permitted >> (capability % 32) & 1) != 0 &&
        ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) != 0) {
      return false;
    }
  }
  return true;
}

// In the child: descriptors get their numbers by way of free ones, since a source may stand where
// another one goes.
[[noreturn]] void become_criu(const Criu& criu, const CriuRun& run, int scratch, int log) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  reset_signals();
  ::setpriority(PRIO_PROCESS, 0, run.niceness);
  if (run.max_file_bytes != 0) {
    const rlimit most{run.max_file_bytes, run.max_file_bytes};
    ::setrlimit(RLIMIT_FSIZE, &most);
  }
  const int sources[] = {
      log,        log,       criu.images.get(),  scratch,           criu.facts.get(),
      run.output, run.error, criu.freezer.get(), criu.program.get()};
  int moved[9];
  for (int i = 0; i < 9; ++i) {
    moved[i] = sources[i] < 0 ? -1 : ::fcntl(sources[i], F_DUPFD_CLOEXEC, 20);
  }
  for (int i = 0; i < 9; ++i) {
    if (moved[i] >= 0) {
      ::dup2(moved[i], i + 1);
    } else {
      ::close(i + 1);
    }
  }
  ::close_range(10, ~0U, 0);
  ::fcntl(9, F_SETFD, FD_CLOEXEC);
  if (!bound_capabilities(criu_capabilities) || (criu.user != 0 && !become_maker(criu.user))) {
    ::_exit(124);
  }
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // a change of user has forgotten it
  std::vector<char*> argv;
  for (const std::string& argument : run.arguments) {
    argv.push_back(const_cast<char*>(argument.c_str()));
  }
  argv.push_back(nullptr);
  // To learn what the kernel can do it runs programs such as iptables, found by PATH, or where libc
  // looks without one: in the tenant's root. Nothing can be made here, so nothing is found.
  char path[] = "PATH=/proc/no-programs";
  // Where it looks for its facts when it has powers over a user namespace only.
  char facts[] = "XDG_RUNTIME_DIR=/proc/self/fd/5";
  char* const environment[] = {path, facts, nullptr};
  ::syscall(SYS_execveat, 9, "", argv.data(), environment, AT_EMPTY_PATH);
  ::_exit(125);
}

// The last errors of its log, in one line.
std::string last_words(const os::Fd& log) {
  const off_t size = ::lseek(log.get(), 0, SEEK_END);
  std::string text(static_cast<std::size_t>(std::min<off_t>(std::max<off_t>(size, 0), 4000)), '\0');
  const ssize_t n =
      ::pread(log.get(), text.data(), text.size(), size - static_cast<off_t>(text.size()));
  text.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
  std::string errors;
  for (std::size_t start = 0; start < text.size();) {
    const std::size_t end = std::min(text.find('\n', start), text.size());
    const std::string line = text.substr(start, end - start);
    // Said while it looks at what the kernel can do, or of filters that stay on, which allow what
    // the last steps of a restore do: harmless.
    const bool harmless = line.find("RLIMIT_NOFILE") != std::string::npos ||
                          line.find("Unable to create tun") != std::string::npos ||
                          line.find("to suspend seccomp") != std::string::npos;
    if (line.find("Error") != std::string::npos && !harmless) {
      errors += (errors.empty() ? "" : "; ") + line;
    }
    start = end + 1;
  }
  return errors.substr(0, 1500);
}

Result<int> wait_for(pid_t pid, int longest_ms) {
  const os::Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  pollfd watched{pidfd.get(), POLLIN, 0};
  int ready = 0;
  do {
    ready = ::poll(&watched, 1, longest_ms);
  } while (ready < 0 && errno == EINTR);
  const bool is_too_long = ready == 0;
  if (ready <= 0) {
    ::kill(pid, SIGKILL);
  }
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) {
      return Error::from_errno(errno, "wait for criu");
    }
  }
  if (is_too_long) {
    return Error::failed_precondition("criu did not end within " +
                                      std::to_string(longest_ms / 1000) + " s");
  }
  return status;
}

}  // namespace

Result<Criu> open_criu(const std::string& path) {
  Criu criu;
  THAW_TRY(criu.program, os::open_file(path, O_PATH));
  // Quicker than to run it and ask.
  THAW_TRY(const std::string bytes, os::read_text(path));
  criu.maps_pages = bytes.find("map-pages") != std::string::npos;
  // Read also by those that are nobody on this machine.
  THAW_TRY(criu.facts, os::make_mount("tmpfs", {{"mode", "755"}, {"size", "1m"}}, inert));
  return criu;
}

void learn_facts(Criu& criu) {
  constexpr const char* file = "criu.kdat";
  if (!criu.facts.valid() || ::faccessat(criu.facts.get(), file, F_OK, 0) == 0) {
    return;
  }
  auto images = os::make_mount("tmpfs", {{"mode", "700"}, {"size", "1m"}}, inert);
  if (!images) {
    return;
  }
  criu.images = std::move(*images);
  CriuRun run;
  run.arguments = {"check"};
  // Whatever it finds missing, it has noted.
  (void)run_criu(criu, std::move(run));
  criu.images.reset();
  ::fchmodat(criu.facts.get(), file, 0644, 0);
}

Result<void> leave_low_pids_free(const os::Fd& proc) {
  const os::Fd last(::openat(proc.get(), "sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC));
  const std::string number = std::to_string(first_pid - 1);
  if (!last.valid() || ::write(last.get(), number.data(), number.size()) < 0) {
    return Error::from_errno(errno, "leave low process numbers free");
  }
  return ok();
}

Result<os::Fd> open_images(const std::string& folder, const os::Fd& user_namespace) {
  THAW_TRY(os::Fd mount, os::copy_mount(AT_FDCWD, folder));
  // Programs may be allowed to run what they have in memory, wherever it is mapped from.
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
  attributes.attr_clr = MOUNT_ATTR_NOEXEC;
  if (user_namespace.valid()) {
    attributes.attr_set |= MOUNT_ATTR_IDMAP;
    attributes.userns_fd = static_cast<std::uint64_t>(user_namespace.get());
  }
  if (::mount_setattr(mount.get(), "", AT_EMPTY_PATH, &attributes, sizeof attributes) != 0) {
    return Error::from_errno(errno, "open the images of a checkpoint");
  }
  return mount;
}

Result<void> run_criu(const Criu& criu, CriuRun run) {
  THAW_TRY(const os::Fd scratch,
           os::make_mount("tmpfs", {{"mode", "700"}, {"size", "16m"}}, inert));
  const os::Fd log(static_cast<int>(::syscall(SYS_memfd_create, "log", MFD_CLOEXEC)));
  if (!log.valid()) {
    return Error::from_errno(errno, "make a log for criu");
  }
  run.arguments.insert(run.arguments.begin(), "criu");
  if (criu.powers == Criu::Powers::of_namespace) {
    run.arguments.emplace_back("--unprivileged");
  }
  // Files are the same by what a snapshot is keyed with: that they have their size is enough.
  for (const char* argument :
       {"--file-validation", "filesize", "--images-dir", criu_images, "--work-dir", criu_scratch,
        "--libdir", criu_scratch, "--no-default-config", "--network-lock", "skip",
        "--manage-cgroups=ignore", "--file-locks", "--tcp-close"}) {
    run.arguments.emplace_back(argument);
  }
  const pid_t pid = ::fork();
  if (pid < 0) {
    return Error::from_errno(errno, "fork criu");
  }
  if (pid == 0) {
    become_criu(criu, run, scratch.get(), log.get());
  }
  THAW_TRY(const int status, wait_for(pid, run.longest_ms));
  if (status == 0) {
    return ok();
  }
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
    return Error::aborted("criu was killed");  // by somebody: it says nothing of what it was to do
  }
  const std::string words = last_words(log);
  const std::string meaning = explain_criu(words);
  for (const char* lack : {"Cannot allocate memory", "No space left on device"}) {
    if (words.find(lack) != std::string::npos && run.arguments.at(1) == "restore") {
      return Error::resource_exhausted(words);
    }
  }
  return Error::failed_precondition(words.empty()
                                        ? "criu ended with status " + std::to_string(status)
                                    : meaning.empty() ? words
                                                      : meaning + " (" + words + ")");
}

}  // namespace thaw::sandbox::detail
