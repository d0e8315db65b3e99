// SPDX-License-Identifier: Apache-2.0
#include "thaw/sandbox/detail/leftovers.h"

#include <fcntl.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <sstream>

#include "thaw/base/log.h"
#include "thaw/base/time.h"
#include "thaw/os/files.h"
#include "thaw/sandbox/detail/host_settings.h"
#include "thaw/sandbox/detail/network.h"

namespace thaw::sandbox::detail {

namespace {

constexpr const char* lock_file = "/lock";
constexpr const char* record_file = "/instances";
constexpr const char* aside_folder = "/set-aside";
constexpr const char* key_file = "/keeper-key";
// Of all that is removed at once: a process that cannot die, say, in a broken driver, holds its
// cgroup for ever.
constexpr Duration patience = 10s;

void pause_shortly() {
  const timespec pause{0, 5'000'000};
  ::nanosleep(&pause, nullptr);
}

}  // namespace

std::string cgroup_name(const std::string& instance) { return "thaw-" + instance; }

std::string cgroup_name(const std::string& instance, const std::string& workspace) {
  std::string name = workspace.substr(0, 64);
  std::replace_if(
      name.begin(), name.end(),
      [](unsigned char c) { return std::isalnum(c) == 0 && c != '-' && c != '_'; }, '_');
  return cgroup_name(instance) + "/" + (name.empty() ? "nobody" : name);
}

std::string cgroup_name(const std::string& instance, const std::string& workspace,
                        const std::string& id) {
  return cgroup_name(instance, workspace) + "/" + id;
}

Result<os::Fd> lock_folder(const std::string& folder) {
  THAW_TRY(os::Fd lock, os::open_lock(folder + lock_file));
  // The spawner of a server that was killed still holds the lock while it removes its sandboxes.
  const Instant latest = monotonic_now() + 10s;
  while (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) {
      return Error::from_errno(errno, "lock " + folder);
    }
    if (monotonic_now() > latest) {
      return Error::failed_precondition("the folder " + folder + " is in use by another server");
    }
    pause_shortly();
  }
  return lock;
}

namespace {

bool is_instance(const std::string& name) {
  const auto plain = [](unsigned char c) { return std::islower(c) != 0 || std::isdigit(c) != 0; };
  return !name.empty() && name.size() <= 12 && std::all_of(name.begin(), name.end(), plain);
}

std::vector<std::string> recorded_instances(const std::string& folder) {
  std::vector<std::string> instances;
  const auto record = os::read_text(folder + record_file);
  std::istringstream lines(record ? *record : std::string());
  for (std::string instance; std::getline(lines, instance);) {
    instances.push_back(instance);
  }
  return instances;
}

// Kills what is in the instance's cgroups, at any depth, and removes them.
Result<void> remove_cgroups(const std::string& instance, const os::CgroupLayout& layout,
                            Instant latest) {
  while (true) {
    for (const std::string& hierarchy : layout.hierarchies) {
      std::vector<std::string> groups = {cgroup_name(instance)};
      for (std::size_t i = 0; i < groups.size(); ++i) {
        for (const std::string& child : os::list_folder(hierarchy + "/" + groups[i])) {
          if (child.find('.') == std::string::npos) {  // those with a dot are the kernel's files
            groups.push_back(groups[i] + "/" + child);
          }
        }
        os::Cgroup(layout, groups[i]).kill();
      }
    }
    auto removed = os::Cgroup(layout, cgroup_name(instance)).remove();
    if (removed || monotonic_now() > latest) {
      return removed;
    }
    pause_shortly();
  }
}

Result<void> remove_objects_until(const std::string& instance, const os::CgroupLayout& layout,
                                  Instant latest) {
  const Result<void> cgroups = remove_cgroups(instance, layout, latest);
  THAW_TRY(const os::Fd lock, lock_machine());
  const Result<void> network = remove_network(instance);
  return cgroups ? network : cgroups;
}

}  // namespace

void record_instance(const std::string& folder, const std::string& instance) {
  std::string text;
  for (const std::string& before : recorded_instances(folder)) {
    text += is_instance(before) && before != instance ? before + "\n" : "";
  }
  if (const auto written = os::create_text(folder + record_file, text + instance + "\n", 0600);
      !written) {
    // The machine's own list still names it.
    log_warning("the sandbox folder does not take a note",
                {{"folder", folder}, {"error", written.error().to_string()}});
  }
}

Result<void> remove_objects(const std::string& instance, const os::CgroupLayout& layout) {
  return remove_objects_until(instance, layout, monotonic_now() + patience);
}

Result<void> remove_instance(const std::string& instance, const os::CgroupLayout& layout) {
  Result<void> removed = remove_objects(instance, layout);
  THAW_TRY(const os::Fd lock, lock_machine());
  leave_machine(instance);
  return removed;
}

void remove_leftovers(const std::string& folder, const os::CgroupLayout& layout) {
  auto dead = dead_servers();
  if (!dead) {
    log_warning("cannot look for killed servers", {{"error", dead.error().to_string()}});
    dead = std::vector<std::string>();
  }
  std::vector<std::string> instances = std::move(*dead);
  for (std::string& instance : recorded_instances(folder)) {
    if (std::find(instances.begin(), instances.end(), instance) == instances.end()) {
      instances.push_back(std::move(instance));
    }
  }
  const Instant latest = monotonic_now() + patience;
  bool is_clean = true;
  std::vector<std::string> odd;
  for (const std::string& instance : instances) {
    if (!is_instance(instance)) {
      odd.push_back(instance.substr(0, 64));
      continue;
    }
    if (monotonic_now() > latest) {
      log_warning("what more killed servers have left stays until the next start",
                  {{"servers", std::to_string(instances.size())}});
      is_clean = false;
      break;
    }
    // A copy of a folder names the instance of the one that it was copied from.
    const auto held = hold_dead_server(instance);
    if (!held) {
      log_info("a server that the sandbox folder names is alive: nothing of it is removed",
               {{"instance", instance}, {"error", held.error().to_string()}});
      is_clean = false;
      continue;
    }
    if (const auto removed = remove_objects_until(instance, layout, latest); !removed) {
      is_clean = false;
      log_warning("something of a killed server stays until the next start",
                  {{"instance", instance}, {"error", removed.error().to_string()}});
      continue;
    }
    if (const auto lock = lock_machine()) {
      leave_machine(instance);
    }
  }
  if (!odd.empty()) {
    log_warning("what is no name of a server that was killed is passed over",
                {{"names", std::to_string(odd.size())}, {"one", odd.front()}});
  }
  if (is_clean) {
    (void)os::create_text(folder + record_file, "", 0600);
  }
}

void set_aside(const std::string& folder, const std::string& name) {
  const std::string from = folder + "/" + name, aside = folder + aside_folder;
  (void)os::make_folders(aside, 0700);
  for (int number = 0; number < 1000; ++number) {
    const std::string to = aside + "/" + name + (number == 0 ? "" : "~" + std::to_string(number));
    if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0 ||
        errno == ENOENT) {
      return;
    }
    if (errno != EEXIST) {
      log_warning("a left-over cannot be set aside",
                  {{"path", from}, {"error", Error::from_errno(errno, "rename").to_string()}});
      return;
    }
  }
}

void set_all_aside(const std::string& folder) {
  for (const std::string& name : os::list_folder(folder)) {
    const std::string path = "/" + name;
    if (path != lock_file && path != record_file && path != aside_folder && path != key_file) {
      set_aside(folder, name);
    }
  }
}

std::vector<std::string> list_aside(const std::string& folder) {
  return os::list_folder(folder + aside_folder);
}

void remove_aside(const std::string& folder) {
  for (const std::string& name : list_aside(folder)) {
    if (const auto removed = os::remove_tree(folder + aside_folder + "/" + name); !removed) {
      log_warning("a left-over cannot be removed and stays aside; remove it by hand",
                  {{"error", removed.error().to_string()}});
    }
  }
  ::rmdir((folder + aside_folder).c_str());
}

}  // namespace thaw::sandbox::detail
