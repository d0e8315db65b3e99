// SPDX-License-Identifier: Apache-2.0
#include "thaw/sandbox/detail/host_settings.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <sstream>

#include "thaw/base/time.h"
#include "thaw/os/files.h"

namespace thaw::sandbox::detail {

namespace {

const std::string folder = "/run/thaw";
const std::string servers = folder + "/servers";
const std::string forwarding_knob = "/proc/sys/net/ipv4/ip_forward";
const std::string forwarding_before = folder + "/ip_forward";
const std::string cgroups_before = folder + "/cgroup2_options";

bool is_alive(const std::string& instance) {
  const auto file = os::open_file(servers + "/" + instance, O_RDWR | O_NOFOLLOW);
  return file && ::flock(file->get(), LOCK_EX | LOCK_NB) != 0;
}

struct Cgroup2Mount {
  std::string point;
  std::string options;  // of the file system, without "rw"
};

Cgroup2Mount find_cgroup2() {
  const auto mountinfo = os::read_text("/proc/self/mountinfo");
  std::istringstream lines(mountinfo ? *mountinfo : "");
  for (std::string line; std::getline(lines, line);) {
    const std::size_t dash = line.find(" - cgroup2 ");
    if (dash == std::string::npos) {
      continue;
    }
    std::istringstream before(line.substr(0, dash));
    std::istringstream after(line.substr(dash + 3));
    Cgroup2Mount found;
    std::string skip;
    before >> skip >> skip >> skip >> skip >> found.point;
    after >> skip >> skip >> found.options;
    const std::size_t comma = found.options.find(',');
    found.options = comma == std::string::npos ? "" : found.options.substr(comma + 1);
    return found;
  }
  return {};
}

bool remount(const Cgroup2Mount& mount, const std::string& options) {
  return ::mount("none", mount.point.c_str(), nullptr, MS_REMOUNT | MS_RELATIME, options.c_str()) ==
         0;
}

}  // namespace

std::string machine_folder(const std::string& name) { return folder + "/" + name; }

Result<os::Fd> lock_machine() {
  THAW_TRY_VOID(os::make_own_folder(folder));
  THAW_TRY_VOID(os::make_own_folder(servers));
  THAW_TRY(os::Fd lock, os::open_lock(folder + "/lock"));
  if (::flock(lock.get(), LOCK_EX) != 0) {
    return Error::from_errno(errno, "lock " + folder);
  }
  return lock;
}

namespace {

// The lock on the instance's name, if nobody has it.
Result<os::Fd> take_name(const std::string& instance) {
  THAW_TRY(const os::Fd lock, lock_machine());
  THAW_TRY(os::Fd file, os::open_lock(servers + "/" + instance));
  if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    return Error::already_exists("another server of this machine has the same instance name")
        .with("instance", instance);
  }
  return file;
}

}  // namespace

Result<os::Fd> join_machine(const std::string& instance) {
  // Another server may be removing what the last one of this name has left.
  const Instant latest = monotonic_now() + 15s;
  while (true) {
    auto file = take_name(instance);
    if (file || file.error().code() != Code::already_exists || monotonic_now() > latest) {
      return file;
    }
    const timespec pause{0, 5'000'000};
    ::nanosleep(&pause, nullptr);
  }
}

Result<os::Fd> hold_dead_server(const std::string& instance) { return take_name(instance); }

namespace {

Result<std::vector<std::string>> servers_that(bool live) {
  THAW_TRY(const os::Fd lock, lock_machine());
  std::vector<std::string> names = os::list_folder(servers);
  std::erase_if(names, [live](const std::string& name) { return is_alive(name) != live; });
  return names;
}

}  // namespace

void note_network(const os::Fd& membership, const std::string& network) {
  // Without it another server may take the network in a bad moment, and says so.
  if (::ftruncate(membership.get(), 0) == 0) {
    (void)!::pwrite(membership.get(), network.data(), network.size(), 0);
  }
}

std::vector<std::string> networks_of_others(const std::string& instance) {
  std::vector<std::string> networks;
  for (const std::string& name : os::list_folder(servers)) {
    if (name == instance || !is_alive(name)) {
      continue;
    }
    if (auto network = os::read_text(servers + "/" + name); network && !network->empty()) {
      networks.push_back(std::move(*network));
    }
  }
  return networks;
}

Result<std::vector<std::string>> dead_servers() { return servers_that(false); }
Result<std::vector<std::string>> living_servers() { return servers_that(true); }

void leave_machine(const std::string& instance) {
  ::unlink((servers + "/" + instance).c_str());
  for (const std::string& name : os::list_folder(servers)) {
    if (is_alive(name)) {
      return;
    }
  }
  if (const auto before = os::read_text(forwarding_before)) {
    (void)os::write_text(forwarding_knob, *before);
    ::unlink(forwarding_before.c_str());
  }
  if (const auto before = os::read_text(cgroups_before)) {
    (void)remount(find_cgroup2(), *before);
    ::unlink(cgroups_before.c_str());
  }
}

Result<void> switch_on_forwarding() {
  THAW_TRY(const std::string before, os::read_text(forwarding_knob));
  if (!os::exists(forwarding_before)) {
    THAW_TRY_VOID(os::create_text(forwarding_before, before));
  }
  return os::write_text(forwarding_knob, "1");
}

void favor_moving_between_cgroups() {
  // The option belongs to the v2 hierarchy and counts for all. Without it starts are slower and
  // nothing else, so kernels that refuse it are not asked twice.
  const Cgroup2Mount mount = find_cgroup2();
  if (mount.point.empty() || mount.options.find("favordynmods") != std::string::npos) {
    return;
  }
  const std::string with = mount.options + (mount.options.empty() ? "" : ",") + "favordynmods";
  if (remount(mount, with) && !os::exists(cgroups_before)) {
    (void)os::create_text(cgroups_before, mount.options);
  }
}

}  // namespace thaw::sandbox::detail
