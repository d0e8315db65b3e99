// SPDX-License-Identifier: Apache-2.0
#include "thaw/sandbox/detail/checkpoint.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <map>
#include <memory>
#include <string_view>
#include <vector>

#include "thaw/os/files.h"
#include "thaw/sandbox/detail/held_objects.h"
#include "thaw/sandbox/detail/image_ids.h"
#include "thaw/sandbox/detail/page_trust.h"
#include "thaw/sandbox/detail/shared_files.h"

namespace thaw::sandbox::detail {

namespace {

struct Process {
  int parent = 0;
  std::string name;
};

// All but the dead, by number, as /proc of the sandbox shows them.
std::map<int, Process> processes() {
  std::map<int, Process> found;
  for (const std::string& entry : os::list_folder("/proc")) {
    int pid = 0;
    const auto [end, error] = std::from_chars(entry.data(), entry.data() + entry.size(), pid);
    if (error != std::errc() || end != entry.data() + entry.size()) {
      continue;
    }
    const auto text = os::read_text("/proc/" + entry + "/stat");
    const std::size_t open = text ? text->find('(') : std::string::npos;
    const std::size_t close = text ? text->rfind(") ") : std::string::npos;
    if (open == std::string::npos || close == std::string::npos || close + 4 > text->size()) {
      continue;  // it has ended
    }
    const char state = (*text)[close + 2];
    if (state == 'Z' || state == 'X') {
      continue;
    }
    Process& process = found[pid];
    process.name = text->substr(open + 1, close - open - 1);
    std::from_chars(text->data() + close + 4, text->data() + text->size(), process.parent);
  }
  return found;
}

// A process that is not below the main program: one that made itself a daemon.
std::string stray_process() {
  const std::map<int, Process> all = processes();
  for (const auto& [pid, process] : all) {
    int above = pid;
    while (above > 1 && above != first_pid) {
      const auto next = all.find(above);
      above = next == all.end() ? 0 : next->second.parent;
    }
    if (pid != 1 && above != first_pid) {
      return process.name;
    }
  }
  return {};
}

Result<void> refuse(const std::string& what) {
  return Error::failed_precondition(what + ", which a snapshot would not bring back");
}

// What the program has left where a checkpoint of its processes does not look, and a new sandbox
// has nothing: a restored program would miss it, sooner or later.
Result<void> leaves_nothing_behind() {
  if (const std::string name = stray_process(); !name.empty()) {
    return refuse("it started a process that is no longer its child (" + name + ")");
  }
  if (const auto names = os::list_folder("/dev/mqueue"); !names.empty()) {
    return refuse("it has made /dev/mqueue/" + names.front());
  }
  for (const char* kind : {"shm", "sem", "msg"}) {
    const auto table = os::read_text(std::string("/proc/sysvipc/") + kind);
    if (table && std::count(table->begin(), table->end(), '\n') > 1) {
      return refuse(std::string("it has made System V objects (") + kind + ")");
    }
  }
  return ok();
}

// By descriptor, since /proc is of other processes here.
Result<std::string> read_at(const os::Fd& folder, const std::string& name) {
  const os::Fd file(::openat(folder.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  struct stat status {};
  if (!file.valid() || ::fstat(file.get(), &status) != 0) {
    return Error::from_errno(errno, "open " + name + " of a checkpoint");
  }
  std::string text(static_cast<std::size_t>(status.st_size), '\0');
  if (::pread(file.get(), text.data(), text.size(), 0) != status.st_size) {
    return Error::from_errno(errno, "read " + name + " of a checkpoint");
  }
  return text;
}

Result<void> overwrite_at(const os::Fd& folder, const std::string& name, const std::string& text) {
  const os::Fd file(
      ::openat(folder.get(), name.c_str(), O_WRONLY | O_TRUNC | O_NOFOLLOW | O_CLOEXEC));
  if (!file.valid() ||
      ::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return Error::from_errno(errno, "write " + name + " of a checkpoint");
  }
  return ok();
}

Result<std::vector<std::string>> names_in(const os::Fd& folder) {
  os::Fd copy(::openat(folder.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const std::unique_ptr<DIR, int (*)(DIR*)> list(::fdopendir(copy.get()), ::closedir);
  if (!list) {
    return Error::from_errno(errno, "list a checkpoint");
  }
  (void)copy.release();
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(list.get())) {
    if (entry->d_name[0] != '.') {
      names.emplace_back(entry->d_name);
    }
  }
  return names;
}

// A restore finds its user namespace, with another range, as it finds its mounts. And what CRIU has
// written belongs to whom it ran as, who is nobody there.
Result<void> forget_user_namespace(const os::Fd& folder) {
  const os::Fd mark(
      ::openat(folder.get(), own_ids_mark, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!mark.valid()) {
    return Error::from_errno(errno, "mark a checkpoint");
  }
  THAW_TRY(const std::string inventory, read_at(folder, "inventory.img"));
  THAW_TRY(const std::uint64_t own, own_user_namespace(inventory));
  THAW_TRY(const std::vector<std::string> names, names_in(folder));
  for (const std::string& name : names) {
    if (::fchownat(folder.get(), name.c_str(), 0, 0, AT_SYMLINK_NOFOLLOW) != 0) {
      return Error::from_errno(errno, "take over " + name + " of a checkpoint");
    }
    if (name.starts_with("userns-")) {
      ::unlinkat(folder.get(), name.c_str(), 0);
    } else if (name.starts_with("ids-")) {
      THAW_TRY(const std::string ids, read_at(folder, name));
      THAW_TRY(const std::string moved, move_to_user_namespace(ids, own));
      THAW_TRY_VOID(overwrite_at(folder, name, moved));
    }
  }
  return ok();
}

}  // namespace

Result<void> write_checkpoint(Criu& criu, const os::Fd& first, const std::string& images,
                              std::uint64_t max_file_bytes, IdRange range) {
  THAW_TRY(criu.images, os::open_file(images, O_RDONLY | O_DIRECTORY));
  // The process that is in the new pid namespace is the child that run_criu makes.
  if (::setns(first.get(), CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC |
                               CLONE_NEWCGROUP) != 0) {
    return Error::from_errno(errno, "enter the sandbox");
  }
  // Before anything privileged runs in here; nothing can be added while all is frozen.
  THAW_TRY_VOID(leaves_nothing_behind());
  THAW_TRY(const HeldObjects held, look_at_held_objects());
  const bool reads_pages = gives_memory_back_or_dies();
  CriuRun run;
  // Stopped, not killed: PID 1 would end with the main program, and criu with PID 1. A deleted file
  // that is still open is kept up to this size.
  run.arguments = {"dump",          "--tree",   std::to_string(first_pid), "--leave-stopped",
                   "--ghost-limit", "67108864", "--freeze-cgroup",         criu_freezer};
  if (!held.watching_in.empty()) {
    run.arguments.emplace_back("--force-irmap");
  }
  for (const std::string& folder : held.watching_in) {
    run.arguments.emplace_back("--irmap-scan-path");
    run.arguments.push_back(folder);
  }
  run.niceness = 10;  // nobody waits for it
  run.max_file_bytes = max_file_bytes;
  if (range.valid()) {
    criu.powers = Criu::Powers::of_namespace;
    criu.user = range.maker();
  }
  const os::Fd folder(::fcntl(criu.images.get(), F_DUPFD_CLOEXEC, 0));
  THAW_TRY_VOID(run_criu(criu, std::move(run)));
  THAW_TRY_VOID(keep_shared_files(folder, max_file_bytes, range));
  if (reads_pages) {
    THAW_TRY_VOID(note_pages_are_read(folder));
  }
  // Without clocks a restored program sees this host's as they are; with them, it would live in a
  // time namespace of its own, which takes the power to set clocks to make. Without cgroups CRIU
  // does not start a process to put threads into them, which it is not to do anyway.
  for (const char* file : {"timens-0.img", "cgroup.img"}) {
    if (::unlinkat(folder.get(), file, 0) != 0 && errno != ENOENT) {
      return Error::from_errno(errno, std::string("leave out ") + file + " of a checkpoint");
    }
  }
  return range.valid() ? forget_user_namespace(folder) : ok();
}

}  // namespace thaw::sandbox::detail
