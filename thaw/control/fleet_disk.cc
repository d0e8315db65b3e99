// SPDX-License-Identifier: Apache-2.0
// What containers take of the disk, and their end for it.
#include <algorithm>
#include <csignal>

#include "thaw/control/disk_watch.h"
#include "thaw/control/fleet.h"

namespace thaw::control {

std::vector<DiskUser> Fleet::disk_users() const {
  std::vector<DiskUser> users;
  for (const auto& [id, container] : containers_) {
    if (!container->running || container->stopping() || container->status == Status::stopped) {
      continue;
    }
    DiskUser user;
    user.container = id;
    user.workspace = container->spec->workspace;
    user.root_writes = container->running->sandbox().root_writes();
    user.asked_bytes = container->spec->resources.disk_bytes;
    user.found_no_room = container->volumes_are_full;
    user.writes_volumes =
        !container->volumes_are_full &&
        std::any_of(container->spec->volumes.begin(), container->spec->volumes.end(),
                    [](const model::VolumeMount& mount) {
                      return mount.access == model::VolumeMount::Access::read_write;
                    });
    users.push_back(std::move(user));
  }
  return users;
}

void Fleet::end_for(const model::ContainerId& id, const std::string& why) {
  const ContainerPtr container = find(id);
  if (!container || container->stopping()) {
    return;
  }
  container->ended_for = why;
  logs::Line line;
  line.time = wall_now();
  line.channel = logs::Channel::info;
  line.container = id.str();
  line.function = container->spec->id.str();
  line.text = "thaw: " + why + "\n";
  parts_.logs.append(container->spec->app.str(), std::move(line));
  stop(*container, StopReason::limit, Duration::zero());
  if (container->running) {
    (void)container->running->sandbox().signal(SIGKILL);
  }
}

}  // namespace thaw::control
