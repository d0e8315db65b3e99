// SPDX-License-Identifier: Apache-2.0
//
// The part of the spawner process that deals with user namespaces: whose ids a sandbox has.
#include <fcntl.h>

#include <set>

#include "thaw/base/log.h"
#include "thaw/sandbox/detail/host_settings.h"
#include "thaw/sandbox/detail/own_ids.h"
#include "thaw/sandbox/detail/reach_rules.h"
#include "thaw/sandbox/detail/spawner_process.h"
#include "thaw/sandbox/detail/user_namespace.h"

namespace thaw::sandbox::detail {

namespace {

constexpr std::size_t max_user_namespaces = 256;

}  // namespace

bool is_workspaces(const SandboxSpec& spec) {
  return spec.profile == Profile::templated || !spec.fork_from.str().empty();
}

Result<void> SpawnerProcess::decide_ids() {
  if (options_.own_ids == SpawnerOptions::OwnIds::off) {
    return ok();
  }
  ranges_.emplace(machine_folder("ids"), machine_folder("servers"), options_.instance,
                  last_ones_ids_);
  const auto range = ranges_->take();
  // Something in the way is to be moved, and no reason to separate containers less.
  if (!range && range.error().code() == Code::failed_precondition) {
    return range.error();
  }
  const auto possible = [&]() -> Result<void> {
    if (!range) {
      return range.error();
    }
    auto tried = try_own_ids(options_.folder, options_.shown_folders, *range);
    ranges_->give_back(*range);
    return tried;
  }();
  if (possible) {
    network_.use_ranges(*ranges_);
    return ok();
  }
  ranges_.reset();
  if (options_.own_ids == SpawnerOptions::OwnIds::required) {
    return Error::failed_precondition(
        "this machine cannot give containers user ids of their own, which the configuration "
        "requires: " +
        possible.error().to_string());
  }
  log_warning(
      "containers have no user ids of their own: they are root of this machine with few powers, "
      "they share the kernel's limits for a user, and programs in them cannot change their user",
      {{"because", possible.error().to_string()}});
  return ok();
}

Result<const SpawnerProcess::SharedUsers*> SpawnerProcess::users_of(const std::string& workspace) {
  const auto found = shared_users_.find(workspace);
  if (found != shared_users_.end()) {
    return &found->second;
  }
  if (shared_users_.size() >= max_user_namespaces) {
    // One that is not in use is made again when it is.
    std::set<std::string> used;
    for (const auto& [id, tree] : trees_) {
      used.insert(tree.workspace);
    }
    for (auto entry = shared_users_.begin(); entry != shared_users_.end();) {
      if (used.contains(entry->first)) {
        ++entry;
        continue;
      }
      if (entry->second.range.valid()) {
        ranges_->give_back(entry->second.range);
      }
      entry = shared_users_.erase(entry);
    }
  }
  SharedUsers users;
  users.name = workspace + "#" + std::to_string(++users_made_);
  if (ranges_) {
    THAW_TRY(users.range, ranges_->take());
  }
  auto made = make_user_namespace(users.range);
  if (!made) {
    if (users.range.valid()) {
      ranges_->give_back(users.range);
    }
    return std::move(made).error();
  }
  users.user_namespace = std::move(*made);
  return &(shared_users_[workspace] = std::move(users));
}

std::string SpawnerProcess::reach_rules_of(const SandboxSpec& spec) const {
  return spec.reaches ? reach_rules(*spec.reaches, network_.address_text()) : std::string();
}

Result<SpawnerProcess::Namespaces> SpawnerProcess::take_namespaces(Tree& tree,
                                                                   const SandboxSpec& spec) {
  Namespaces taken;
  const bool is_bridged = spec.network == SandboxSpec::Network::bridge;
  const auto plug_in = [&](Lease& lease) {
    tree.slot = lease.slot;
    tree.link = lease.link;
    tree.address = lease.address;
    taken.network = std::move(lease.network_namespace);
  };
  if (!ranges_ || is_workspaces(spec)) {
    tree.workspace = spec.workspace;
    if (!is_bridged && !is_workspaces(spec)) {
      return taken;
    }
    THAW_TRY(const SharedUsers* const users, users_of(spec.workspace));
    tree.range = users->range;
    taken.user = os::Fd(::fcntl(users->user_namespace.get(), F_DUPFD_CLOEXEC, 3));
    if (is_bridged) {
      THAW_TRY(Lease lease, network_.take(users->name, users->user_namespace));
      plug_in(lease);
    }
    return taken;
  }
  if (is_bridged) {
    THAW_TRY(Lease lease, network_.take_own());
    plug_in(lease);
    tree.range = lease.range;
    taken.user = std::move(lease.user_namespace);
  } else {
    THAW_TRY(tree.range, ranges_->take());
  }
  tree.is_range_own = true;
  if (!taken.user.valid()) {
    THAW_TRY(taken.user, make_user_namespace(tree.range));
  }
  return taken;
}

}  // namespace thaw::sandbox::detail
