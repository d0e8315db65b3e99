// SPDX-License-Identifier: Apache-2.0
//
// The part of the spawner process that makes forks of templates ahead of their need, and gives them
// away.
#include <sys/resource.h>

#include <algorithm>
#include <iterator>

#include "thaw/base/log.h"
#include "thaw/os/process.h"
#include "thaw/sandbox/detail/leftovers.h"
#include "thaw/sandbox/detail/slot_builder.h"
#include "thaw/sandbox/detail/spawner_process.h"

namespace thaw::sandbox::detail {

void SpawnerProcess::keep_spares(const std::string& template_id, std::size_t count) {
  missing_spares_.erase(template_id);
  std::vector<std::string> unwanted;
  for (const auto& [id, tree] : trees_) {
    if (tree.spare == Tree::Spare::no || tree.is_removing || tree.fork_from != template_id) {
      continue;
    }
    if (count > 0) {
      --count;
    } else {
      unwanted.push_back(id);
    }
  }
  for (const std::string& id : unwanted) {
    remove(id, os::Fd());
  }
  if (count > 0 && trees_.contains(template_id)) {
    missing_spares_[template_id] = count;
  }
}

std::size_t SpawnerProcess::ready_spares(const std::string& template_id) const {
  return static_cast<std::size_t>(
      std::count_if(trees_.begin(), trees_.end(), [&](const auto& entry) {
        const Tree& tree = entry.second;
        return tree.spare == Tree::Spare::ready && tree.fork_from == template_id &&
               !tree.is_removing;
      }));
}

// One at a time, when nothing else is to be done.
void SpawnerProcess::make_spares() {
  const bool is_making = std::any_of(trees_.begin(), trees_.end(), [](const auto& entry) {
    return entry.second.spare == Tree::Spare::in_the_making;
  });
  if (missing_spares_.empty() || is_making || network_.wants_filling()) {
    return;
  }
  const auto next = missing_spares_.begin();
  const std::string template_id = next->first;
  if (--next->second == 0) {
    missing_spares_.erase(next);
  }
  SandboxSpec spec;
  spec.id = model::ContainerId(template_id + "-s" + std::to_string(++spares_made_));
  spec.fork_from = model::ContainerId(template_id);
  const auto parent = trees_.find(template_id);
  if (parent == trees_.end() || parent->second.is_removing) {
    return;
  }
  spec.workspace = parent->second.workspace;
  // Until it is somebody's it is the template's: what runs in it is the same stranger's.
  spec.limits = parent->second.limits;
  const std::string id = spec.id.str();
  Tree& tree = trees_[id];
  auto begun = [&]() -> Result<void> {
    THAW_TRY(auto orders, os::make_message_pair());
    tree.orders = std::move(orders.first);
    tree.spare = Tree::Spare::in_the_making;
    SlotPlan plan;
    plan.orders = std::move(orders.second);
    return start_builder(tree, std::move(spec), std::move(plan), nullptr);
  }();
  if (!begun) {
    log_warning("cannot make a spare fork",
                {{"template", template_id}, {"error", begun.error().to_string()}});
    remove(id, os::Fd());
  }
}

// The builder that waits for an order and the fork are the least important processes of the machine
// until somebody waits for them; they cannot say so before they get a processor.
void SpawnerProcess::hurry(Tree& tree) const {
  const int priorities[] = {::getpriority(PRIO_PROCESS, 0), niceness_};
  for (std::size_t i = 0; i < tree.waiting.size() && i < std::size(priorities); ++i) {
    if (const auto pid = os::pid_of(tree.waiting[i])) {
      ::setpriority(PRIO_PROCESS, static_cast<id_t>(*pid), priorities[i]);
    }
  }
  tree.waiting.clear();
}

// Whether there was one, that is now the sandbox of this name and does the rest itself.
bool SpawnerProcess::take_spare(const SandboxSpec& spec, os::Message& message) {
  if (spec.fork_from.str().empty() || spec.profile != Profile::function || spec.restore ||
      spec.network != SandboxSpec::Network::bridge || !spec.upper.empty() ||
      message.fds.size() != 4) {
    return false;
  }
  const auto found = std::find_if(trees_.begin(), trees_.end(), [&](const auto& entry) {
    const Tree& tree = entry.second;
    return tree.spare == Tree::Spare::ready && tree.fork_from == spec.fork_from.str() &&
           tree.workspace == spec.workspace && tree.pid != 0 && tree.builder != 0 &&
           !tree.is_removing;
  });
  if (found == trees_.end()) {
    return false;
  }
  const std::string own_name = found->first;
  auto node = trees_.extract(found);
  Tree& tree = node.mapped();
  auto taken = [&]() -> Result<void> {
    // From here on it is counted, limited and found as what it becomes.
    THAW_TRY_VOID(
        tree.cgroup.become(cgroup_name(options_.instance, spec.workspace, spec.id.str())));
    if (spec.limits.memory_bytes != tree.limits.memory_bytes) {
      THAW_TRY_VOID(tree.cgroup.lift_memory_limit());
    }
    tree.limits = spec.limits;
    THAW_TRY_VOID(
        tree.cgroup.limit({spec.limits.memory_bytes, spec.limits.cpu_millis, spec.limits.pids}));
    hurry(tree);
    THAW_TRY(const os::Transfer sent,
             os::send_message(tree.orders.get(), "order",
                              {message.fds[0].get(), message.fds[1].get(), message.fds[2].get(),
                               message.fds[3].get()}));
    if (sent != os::Transfer::done) {
      return Error::unavailable("a spare fork has ended");
    }
    return tell_launched(message.fds[0], tree);
  }();
  if (!taken) {
    log_warning("a spare fork is of no use", {{"error", taken.error().to_string()}});
    (void)tree.cgroup.become(cgroup_name(options_.instance, spec.workspace, own_name));
    trees_.insert(std::move(node));
    remove(own_name, os::Fd());
    return false;
  }
  tree.spare = Tree::Spare::no;
  tree.orders.reset();
  tree.build_until = monotonic_now() + fork_patience;
  node.key() = spec.id.str();
  trees_.insert(std::move(node));
  return true;
}

// Its word that it is ready, or its end.
void SpawnerProcess::heard_of_spare(const std::string& id, Tree& tree) {
  os::Message message;
  const auto received = os::receive_message(tree.orders.get(), message);
  if (received && *received == os::Transfer::done && message.bytes == "ready") {
    tree.spare = Tree::Spare::ready;
    tree.waiting = std::move(message.fds);
    tree.build_until = Instant::max();
    return;
  }
  remove(id, os::Fd());
}

}  // namespace thaw::sandbox::detail
