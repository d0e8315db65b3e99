// SPDX-License-Identifier: Apache-2.0
#include "thaw/sandbox/detail/leftovers.h"

#include <fcntl.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <sstream>

#include "thaw/base/time.h"
#include "thaw/os/files.h"
#include "thaw/sandbox/detail/host_settings.h"
#include "thaw/sandbox/detail/network.h"

namespace thaw::sandbox::detail {

namespace {

constexpr const char* lock_file = "/lock";
constexpr const char* record_file = "/instances";

void pause_shortly() {
  const timespec pause{0, 5'000'000};
  ::nanosleep(&pause, nullptr);
}

}  // namespace

std::string cgroup_name(const std::string& instance) { return "thaw-" + instance; }

Result<os::Fd> lock_folder(const std::string& folder) {
  THAW_TRY(os::Fd lock, os::open_file(folder + lock_file, O_RDWR | O_CREAT, 0600));
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

Result<void> record_instance(const std::string& folder, const std::string& instance) {
  const auto before = os::read_text(folder + record_file);
  return os::create_text(folder + record_file, (before ? *before : "") + instance + "\n", 0600);
}

namespace {

// Kills what is in the instance's cgroups and removes them.
Result<void> remove_cgroups(const std::string& instance, const os::CgroupLayout& layout) {
  const Instant latest = monotonic_now() + 10s;
  while (true) {
    // Children first: the processes sit there.
    for (const std::string& hierarchy : layout.hierarchies) {
      const std::string parent = cgroup_name(instance);
      for (const std::string& child : os::list_folder(hierarchy + "/" + parent)) {
        os::Cgroup(layout, parent + "/" + child).kill();
      }
    }
    const os::Cgroup parent(layout, cgroup_name(instance));
    parent.kill();
    auto removed = parent.remove();
    if (removed || monotonic_now() > latest) {
      return removed;
    }
    pause_shortly();
  }
}

}  // namespace

Result<void> remove_instance(const std::string& instance, const os::CgroupLayout& layout) {
  THAW_TRY_VOID(remove_cgroups(instance, layout));
  THAW_TRY(const os::Fd lock, lock_machine());
  THAW_TRY_VOID(remove_network(instance));
  leave_machine(instance);
  return ok();
}

Result<void> remove_leftovers(const std::string& folder, const os::CgroupLayout& layout) {
  THAW_TRY(std::vector<std::string> instances, dead_servers());
  const auto record = os::read_text(folder + record_file);
  std::istringstream lines(record ? *record : std::string());
  for (std::string instance; std::getline(lines, instance);) {
    if (std::find(instances.begin(), instances.end(), instance) == instances.end()) {
      instances.push_back(instance);
    }
  }
  for (const std::string& instance : instances) {
    THAW_TRY_VOID(remove_instance(instance, layout));
  }
  for (const std::string& name : os::list_folder(folder)) {
    const std::string path = "/" + name;
    if (path != lock_file && path != record_file) {
      THAW_TRY_VOID(os::remove_tree(folder + path));
    }
  }
  return os::create_text(folder + record_file, "", 0600);
}

}  // namespace thaw::sandbox::detail
