// SPDX-License-Identifier: Apache-2.0
//
// The part of the spawner process that deals with templates and what is forked from them.
#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <iterator>

#include "thaw/base/log.h"
#include "thaw/os/process.h"
#include "thaw/sandbox/detail/leftovers.h"
#include "thaw/sandbox/detail/slot_builder.h"
#include "thaw/sandbox/detail/spawner_process.h"

namespace thaw::sandbox::detail {

namespace {

// A template is a stranger; where there is none, only a busy machine makes it last.
constexpr Duration build_patience = 15s;
constexpr Duration own_build_patience = 120s;
constexpr Duration let_go_patience = 2s;

Result<os::Fd> copy_of(const os::Fd& fd) {
  os::Fd copy(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 3));
  if (!copy.valid()) {
    return Error::from_errno(errno, "copy a descriptor");
  }
  return copy;
}

bool is_readable(const os::Fd& fd) {
  pollfd ready{fd.get(), POLLIN, 0};
  return ::poll(&ready, 1, 0) > 0;
}

Result<void> tell_launched(const os::Fd& report, const os::Fd& pidfd, int pid,
                           const std::string& address, const std::string& upper) {
  Writer launched(Kind::launched);
  launched.number(static_cast<std::uint64_t>(pid)).text(address).text(upper);
  THAW_TRY([[maybe_unused]] const os::Transfer sent,
           os::send_message(report.get(), launched.bytes(), {pidfd.get()}));
  return ok();
}

}  // namespace

Result<void> SpawnerProcess::launch_slot(Tree& tree, SandboxSpec spec, os::Message& message) {
  const bool is_booted = spec.profile != Profile::templated && spec.fork_from.str().empty();
  if (!is_booted && (spec.workspace.empty() || spec.profile == Profile::build ||
                     spec.network == SandboxSpec::Network::host)) {
    return Error::invalid_argument("a template belongs to a workspace and has no host network");
  }
  SlotPlan plan;
  if (spec.profile == Profile::templated) {
    if (message.fds.size() != 6) {
      return Error::internal("a template without a control socket");
    }
    plan.control = std::move(message.fds[4]);
    tree.control = std::move(message.fds[5]);
  }
  THAW_TRY(tree.report, copy_of(message.fds[0]));
  return start_builder(tree, std::move(spec), std::move(plan), &message);
}

Result<void> SpawnerProcess::start_builder(Tree& tree, SandboxSpec spec, SlotPlan plan,
                                           os::Message* message) {
  tree.is_slot = true;
  const bool is_forked = !spec.fork_from.str().empty();
  if (is_forked) {
    const auto parent = trees_.find(spec.fork_from.str());
    if (parent == trees_.end() || parent->second.pid == 0 || parent->second.is_removing ||
        !parent->second.pid_namespace.valid()) {
      return Error::not_found("there is no such template").with("template", spec.fork_from.str());
    }
    if (parent->second.workspace != spec.workspace) {
      return Error::permission_denied("the template is another workspace's");
    }
    tree.fork_from = spec.fork_from.str();
    THAW_TRY(plan.control, copy_of(parent->second.control));
    THAW_TRY(plan.parent_pid_namespace, copy_of(parent->second.pid_namespace));
  }
  THAW_TRY(Namespaces namespaces, prepare_tree(tree, spec));
  plan.user_namespace = std::move(namespaces.user);
  plan.network_namespace = std::move(namespaces.network);
  plan.range = tree.range;
  if (spec.restore) {
    learn_facts(criu_);
  }
  THAW_TRY(auto births, os::make_message_pair());
  THAW_TRY(os::Cloned child, os::clone_process({}));
  if (child.pid == 0) {
    plan.filter = filters_.at(spec.profile);
    plan.folders = tree.folders;
    plan.cgroup = tree.cgroup;
    plan.spawner = std::move(self_);
    if (message != nullptr) {
      plan.report = std::move(message->fds[0]);
      plan.standard_output = std::move(message->fds[2]);
      plan.standard_error = std::move(message->fds[3]);
    }
    plan.births = std::move(births.second);
    plan.niceness = niceness_;
    if (spec.restore) {
      plan.criu = std::move(criu_);
      plan.criu.powers = Criu::Powers::of_namespace;
    }
    plan.spec = std::move(spec);
    std::vector<int> kept = plan.descriptors();
    kept.insert(kept.end(), {0, 1, 2});
    os::close_all_but(std::move(kept));
    build_slot(std::move(plan));
  }
  tree.builder = child.pid;
  tree.build_until = monotonic_now() + (is_forked ? build_patience : own_build_patience);
  tree.births = std::move(births.first);
  return ok();
}

// The builder says who PID 1 is.
Result<void> SpawnerProcess::born(Tree& tree) {
  os::Message message;
  if (!is_readable(tree.births)) {
    return ok();
  }
  const auto received = os::receive_message(tree.births.get(), message);
  if (!received || *received != os::Transfer::done || message.fds.size() != 2) {
    // It could not be built, and the server was told unless the builder was killed; or PID 1 is
    // ending.
    if (tree.pid == 0 && tree.report.valid()) {
      (void)os::send_message(tree.report.get(),
                             encode_failure(Error::internal("what builds a sandbox has ended")));
    }
    tree.births.reset();
    tree.report.reset();
    if (tree.pid != 0 && !tree.fork_from.empty()) {
      tree.kill_template_at = monotonic_now() + let_go_patience;
    }
    return ok();
  }
  const os::Fd report = std::move(tree.report);
  tree.pidfd = std::move(message.fds[0]);
  if (tree.control.valid()) {
    tree.pid_namespace = std::move(message.fds[1]);
  }
  THAW_TRY(tree.pid, os::pid_of(tree.pidfd));
  if (tree.is_removing) {
    return os::send_signal(tree.pidfd, SIGKILL);
  }
  return report.valid()
             ? tell_launched(report, tree.pidfd, tree.pid, tree.address, tree.folders.upper)
             : ok();
}

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
    return tell_launched(message.fds[0], tree.pidfd, tree.pid, tree.address, tree.folders.upper);
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
  tree.build_until = monotonic_now() + build_patience;
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

void SpawnerProcess::watch_slots(const std::vector<pollfd>& watched) {
  for (std::size_t i = 3; i < watched.size(); ++i) {
    if (watched[i].revents == 0) {
      continue;
    }
    for (auto& [id, tree] : trees_) {
      if (tree.births.valid() && tree.births.get() == watched[i].fd) {
        if (auto seen = born(tree); !seen) {
          log_warning("cannot take over a sandbox", {{"error", seen.error().to_string()}});
        }
        break;
      }
      if (tree.spare == Tree::Spare::in_the_making && tree.orders.get() == watched[i].fd) {
        heard_of_spare(id, tree);
        break;
      }
      if (tree.is_slot && tree.pid != 0 && tree.pidfd.get() == watched[i].fd) {
        tree_ended(id, tree);
        break;
      }
    }
  }
}

// A pid namespace ends when the last process in it was reaped, and the first one that a template
// forks is the template's own child: one that does not let it go is ended, and its PID 1 does.
void SpawnerProcess::enforce_patience() {
  for (auto& [id, tree] : trees_) {
    if (tree.builder != 0 && tree.build_until <= monotonic_now()) {
      ::kill(tree.builder, SIGKILL);  // somebody inside has stopped its child, say
      if (tree.pid != 0) {
        (void)os::send_signal(tree.pidfd, SIGKILL);  // it would wait for the rest for ever
      }
      tree.build_until = Instant::max();
    }
    if (tree.kill_template_at > monotonic_now()) {
      continue;
    }
    tree.kill_template_at = Instant::max();
    const auto parent = trees_.find(tree.fork_from);
    if (tree.pid != 0 && parent != trees_.end() && parent->second.pid != 0) {
      (void)os::send_signal(parent->second.pidfd, SIGTERM);
    }
  }
}

void SpawnerProcess::tree_ended(const std::string& id, Tree& tree) {
  tree.pid = 0;
  tree.kill_template_at = Instant::max();
  tree.is_removing |= tree.spare != Tree::Spare::no;
  if (tree.is_removing && tree.builder != 0) {
    ::kill(tree.builder, SIGKILL);
  }
  if (tree.is_removing && tree.builder == 0) {
    begin_removal(id, tree);
  }
}

}  // namespace thaw::sandbox::detail
