// SPDX-License-Identifier: Apache-2.0
#include "thaw/os/cgroup.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <sstream>
#include <utility>

#include "thaw/os/files.h"
#include "thaw/os/process.h"

namespace thaw::os {

namespace {

std::uint64_t number_in(const std::string& text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::uint64_t read_number(const std::string& path) {
  const auto text = read_text(path);
  return text ? number_in(*text) : 0;
}

// The value of "key value" in a flat keyed file.
std::uint64_t read_keyed(const std::string& path, const std::string& key) {
  const auto text = read_text(path);
  std::istringstream lines(text ? *text : std::string());
  std::string name;
  std::uint64_t value = 0;
  while (lines >> name >> value) {
    if (name == key) {
      return value;
    }
  }
  return 0;
}

Error no_freezer() {
  return Error::failed_precondition(
      "this machine has no freezer for cgroups; mount the v1 controller freezer");
}

constexpr std::uint32_t cpu_period_us = 100'000;

// Where they are handed down already nothing is written: a service manager may own that group.
Result<void> hand_down_controllers(const std::string& knob) {
  THAW_TRY(const std::string now, read_text(knob));
  for (const std::string name : {"cpu", "memory", "pids"}) {
    const std::string words = " " + now.substr(0, now.find('\n')) + " ";
    if (words.find(" " + name + " ") == std::string::npos) {
      THAW_TRY_VOID(write_text(knob, "+" + name));
    }
  }
  return ok();
}

}  // namespace

Result<CgroupLayout> CgroupLayout::detect() {
  THAW_TRY(const std::string mountinfo, read_text("/proc/self/mountinfo"));
  return parse(mountinfo);
}

Result<CgroupLayout> CgroupLayout::parse(const std::string& mountinfo) {
  CgroupLayout v1{.version = Version::v1};
  std::string v2_mount;
  std::istringstream lines(mountinfo);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t dash = line.find(" - ");
    if (dash == std::string::npos) {
      continue;
    }
    std::istringstream before(line.substr(0, dash));
    std::istringstream after(line.substr(dash + 3));
    std::string skip, root, point, type, source, options;
    before >> skip >> skip >> skip >> root >> point;
    after >> type >> source >> options;
    if (type == "cgroup2" && v2_mount.empty()) {
      v2_mount = point;
    }
    if (type != "cgroup") {
      continue;
    }
    bool wanted = false;
    std::istringstream words(options);
    for (std::string word; std::getline(words, word, ',');) {
      for (const auto& [name, slot] :
           {std::pair("memory", &v1.memory), std::pair("cpu", &v1.cpu),
            std::pair("cpuacct", &v1.cpuacct), std::pair("pids", &v1.pids),
            std::pair("freezer", &v1.freezer)}) {
        if (word == name && slot->empty()) {
          *slot = point;
          wanted = true;
        }
      }
    }
    if (wanted) {
      v1.hierarchies.push_back(point);
    }
  }
  if (!v1.memory.empty() && !v1.cpu.empty() && !v1.pids.empty()) {
    return v1;
  }
  if (v2_mount.empty()) {
    return Error::failed_precondition(
        "no cgroups: mount cgroup2 at /sys/fs/cgroup (or the v1 controllers memory, cpu, pids)");
  }
  return CgroupLayout{Version::v2, {v2_mount}, v2_mount, v2_mount, v2_mount, v2_mount, v2_mount};
}

std::string Cgroup::path(const std::string& hierarchy, const char* file) const {
  return hierarchy + "/" + name_ + "/" + file;
}

Result<void> Cgroup::make(Role role) const {
  for (const std::string& hierarchy : layout_.hierarchies) {
    const std::string folder = hierarchy + "/" + name_;
    if (::mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST) {
      return Error::from_errno(errno, "make cgroup " + folder);
    }
  }
  if (layout_.version == CgroupLayout::Version::v2 && role == Role::parent) {
    const std::string root = layout_.hierarchies.front();
    THAW_TRY_VOID(hand_down_controllers(root + "/cgroup.subtree_control"));
    THAW_TRY_VOID(hand_down_controllers(path(root, "cgroup.subtree_control")));
  }
  return ok();
}

Result<void> Cgroup::limit(const CgroupLimits& limits) const {
  const bool v1 = layout_.version == CgroupLayout::Version::v1;
  if (limits.memory_bytes != 0) {
    const std::string bytes = std::to_string(limits.memory_bytes);
    THAW_TRY_VOID(
        write_text(path(layout_.memory, v1 ? "memory.limit_in_bytes" : "memory.max"), bytes));
    // Swap would hide the limit. Kernels without swap accounting lack the files.
    const char* swap = v1 ? "memory.memsw.limit_in_bytes" : "memory.swap.max";
    if (exists(path(layout_.memory, swap))) {
      THAW_TRY_VOID(write_text(path(layout_.memory, swap), v1 ? bytes : "0"));
    }
  }
  if (limits.cpu_millis != 0) {
    const std::string quota = std::to_string(
        std::max<std::uint64_t>(1000, std::uint64_t{limits.cpu_millis} * cpu_period_us / 1000));
    if (v1) {
      THAW_TRY_VOID(write_text(path(layout_.cpu, "cpu.cfs_quota_us"), quota));
    } else {
      THAW_TRY_VOID(
          write_text(path(layout_.cpu, "cpu.max"), quota + " " + std::to_string(cpu_period_us)));
    }
  }
  if (limits.pids != 0) {
    THAW_TRY_VOID(write_text(path(layout_.pids, "pids.max"), std::to_string(limits.pids)));
  }
  return ok();
}

Result<void> Cgroup::lift_memory_limit() const {
  const bool v1 = layout_.version == CgroupLayout::Version::v1;
  const std::string none = v1 ? "-1" : "max";
  // The one with swap first, because on v1 it may not be below the other.
  const std::string swap =
      path(layout_.memory, v1 ? "memory.memsw.limit_in_bytes" : "memory.swap.max");
  if (exists(swap)) {
    THAW_TRY_VOID(write_text(swap, none));
  }
  return write_text(path(layout_.memory, v1 ? "memory.limit_in_bytes" : "memory.max"), none);
}

Result<void> Cgroup::add(int pid) const {
  const std::string number = std::to_string(pid);
  for (const std::string& hierarchy : layout_.hierarchies) {
    THAW_TRY_VOID(write_text(path(hierarchy, "cgroup.procs"), number));
  }
  return ok();
}

Result<std::vector<Fd>> Cgroup::open_processes() const {
  std::vector<Fd> files;
  for (const std::string& hierarchy : layout_.hierarchies) {
    THAW_TRY(Fd file, open_file(path(hierarchy, "cgroup.procs"), O_WRONLY));
    files.push_back(std::move(file));
  }
  return files;
}

Result<Fd> Cgroup::open_for_clone() const {
  if (layout_.version == CgroupLayout::Version::v1) {
    return Fd();
  }
  return open_file(layout_.hierarchies.front() + "/" + name_, O_RDONLY | O_DIRECTORY);
}

Result<void> Cgroup::become(std::string name) {
  Cgroup renamed(layout_, std::move(name));
  if (layout_.version == CgroupLayout::Version::v2) {
    THAW_TRY_VOID(renamed.make(Role::leaf));
    for (const int pid : processes()) {
      THAW_TRY_VOID(renamed.add(pid));
    }
    THAW_TRY_VOID(remove());
  } else {
    for (const std::string& hierarchy : layout_.hierarchies) {
      const std::string from = hierarchy + "/" + name_, to = hierarchy + "/" + renamed.name_;
      if (::rename(from.c_str(), to.c_str()) != 0) {
        return Error::from_errno(errno, "rename cgroup " + from);
      }
    }
    if (!layout_.cpuacct.empty()) {
      THAW_TRY_VOID(write_text(renamed.path(layout_.cpuacct, "cpuacct.usage"), "0"));
    }
  }
  name_ = std::move(renamed.name_);
  return ok();
}

CgroupUsage Cgroup::usage() const {
  CgroupUsage usage;
  if (layout_.version == CgroupLayout::Version::v1) {
    usage.memory_bytes = read_number(path(layout_.memory, "memory.usage_in_bytes"));
    usage.peak_memory_bytes = read_number(path(layout_.memory, "memory.max_usage_in_bytes"));
  } else {
    usage.memory_bytes = read_number(path(layout_.memory, "memory.current"));
    usage.peak_memory_bytes = read_number(path(layout_.memory, "memory.peak"));
  }
  usage.out_of_memory_kills = out_of_memory_kills();
  usage.cpu_us = cpu_us();
  return usage;
}

std::uint64_t Cgroup::out_of_memory_kills() const {
  const bool v1 = layout_.version == CgroupLayout::Version::v1;
  return read_keyed(path(layout_.memory, v1 ? "memory.oom_control" : "memory.events"), "oom_kill");
}

std::uint64_t Cgroup::cpu_us() const {
  if (layout_.version == CgroupLayout::Version::v2) {
    return read_keyed(path(layout_.cpu, "cpu.stat"), "usage_usec");
  }
  return layout_.cpuacct.empty() ? 0 : read_number(path(layout_.cpuacct, "cpuacct.usage")) / 1000;
}

Result<void> Cgroup::weigh(double weight) const {
  const bool v1 = layout_.version == CgroupLayout::Version::v1;
  const double usual = v1 ? 1024 : 100;
  const double least = v1 ? 2 : 1;
  const double most = v1 ? 262'144 : 10'000;
  const auto number = static_cast<std::uint64_t>(std::clamp(weight * usual, least, most));
  return write_text(path(layout_.cpu, v1 ? "cpu.shares" : "cpu.weight"), std::to_string(number));
}

std::vector<int> Cgroup::processes() const {
  std::vector<int> pids;
  for (const std::string& hierarchy : layout_.hierarchies) {
    const auto text = read_text(path(hierarchy, "cgroup.procs"));
    std::istringstream lines(text ? *text : std::string());
    for (int pid = 0; lines >> pid;) {
      if (pid > 0 && std::find(pids.begin(), pids.end(), pid) == pids.end()) {
        pids.push_back(pid);
      }
    }
  }
  return pids;
}

Result<void> Cgroup::freeze() const {
  if (layout_.freezer.empty()) {
    return no_freezer();
  }
  return layout_.version == CgroupLayout::Version::v1
             ? write_text(path(layout_.freezer, "freezer.state"), "FROZEN")
             : write_text(path(layout_.freezer, "cgroup.freeze"), "1");
}

Result<void> Cgroup::thaw() const {
  if (layout_.freezer.empty()) {
    return ok();
  }
  return layout_.version == CgroupLayout::Version::v1
             ? write_text(path(layout_.freezer, "freezer.state"), "THAWED")
             : write_text(path(layout_.freezer, "cgroup.freeze"), "0");
}

bool Cgroup::is_frozen() const {
  if (layout_.freezer.empty()) {
    return false;
  }
  if (layout_.version == CgroupLayout::Version::v2) {
    return read_keyed(path(layout_.freezer, "cgroup.events"), "frozen") == 1;
  }
  // FREEZING while some have not stopped; reading is what makes v1 look again.
  const auto state = read_text(path(layout_.freezer, "freezer.state"));
  return state && state->starts_with("FROZEN");
}

Result<Fd> Cgroup::open_freezer() const {
  if (layout_.freezer.empty()) {
    return no_freezer();
  }
  return open_file(path(layout_.freezer, ""), O_RDONLY | O_DIRECTORY);
}

Result<void> Cgroup::reclaim(std::uint64_t bytes) const {
  if (layout_.version == CgroupLayout::Version::v1) {
    return write_text(path(layout_.memory, "memory.force_empty"), "0");
  }
  auto written = write_text(path(layout_.memory, "memory.reclaim"), std::to_string(bytes));
  // It got less than was asked for: all there was.
  return !written && written.error().code() == Code::unavailable ? ok() : written;
}

void Cgroup::kill() const {
  if (layout_.version == CgroupLayout::Version::v2 &&
      write_text(path(layout_.hierarchies.front(), "cgroup.kill"), "1")) {
    return;
  }
  const std::vector<int> seen = processes();
  constexpr std::size_t at_once = 500;
  for (std::size_t first = 0; first < seen.size(); first += at_once) {
    // A number may be another process's by now, but not while it is held and still inside.
    std::vector<std::pair<int, Fd>> held;
    for (std::size_t i = first; i < std::min(seen.size(), first + at_once); ++i) {
      held.emplace_back(seen[i], Fd(static_cast<int>(::syscall(SYS_pidfd_open, seen[i], 0))));
    }
    const std::vector<int> inside = processes();
    for (const auto& [pid, process] : held) {
      if (process.valid() && std::find(inside.begin(), inside.end(), pid) != inside.end()) {
        (void)send_signal(process, SIGKILL);
      }
    }
  }
  // On v1 the signal waits until they are thawed, and then nothing of theirs runs before it.
  (void)thaw();
}

Result<void> Cgroup::remove() const {
  Result<void> result = ok();
  for (const std::string& hierarchy : layout_.hierarchies) {
    const std::string folder = hierarchy + "/" + name_;
    if (::rmdir(folder.c_str()) == 0 || errno == ENOENT) {
      continue;
    }
    for (const std::string& child : list_folder(folder)) {
      struct stat status;
      if (::stat((folder + "/" + child).c_str(), &status) == 0 && S_ISDIR(status.st_mode)) {
        CgroupLayout only = layout_;
        only.hierarchies = {hierarchy};
        if (auto removed = Cgroup(only, name_ + "/" + child).remove(); !removed) {
          result = std::move(removed);
        }
      }
    }
    if (::rmdir(folder.c_str()) != 0 && errno != ENOENT) {
      result = Error::resource_exhausted("cgroup " + folder + " is still in use");
    }
  }
  return result;
}

std::vector<std::string> top_cgroups(const CgroupLayout& layout, const std::string& prefix) {
  std::vector<std::string> names;
  for (const std::string& hierarchy : layout.hierarchies) {
    for (const std::string& name : list_folder(hierarchy)) {
      if (name.starts_with(prefix) && std::find(names.begin(), names.end(), name) == names.end()) {
        names.push_back(name);
      }
    }
  }
  return names;
}

}  // namespace thaw::os
