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

// Where there is no template only a busy machine makes it last.
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

}  // namespace

Result<void> SpawnerProcess::tell_launched(const os::Fd& report, const Tree& tree) {
  Writer launched(Kind::launched);
  launched.number(static_cast<std::uint64_t>(tree.pid)).text(tree.address).text(tree.folders.upper);
  THAW_TRY([[maybe_unused]] const os::Transfer sent,
           os::send_message(report.get(), launched.bytes(), {tree.pidfd.get()}));
  return ok();
}

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
  plan.reach_rules = reach_rules_of(spec);
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
  tree.build_until = monotonic_now() + (is_forked ? fork_patience : own_build_patience);
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
  // The shortest programs have ended by now, and who reaped them is not this process: there is a
  // sandbox all the same, whose end is still to be told.
  tree.pid = os::pid_of(tree.pidfd).value_or(0);
  if (tree.is_removing) {
    return tree.pid != 0 ? os::send_signal(tree.pidfd, SIGKILL) : ok();
  }
  return report.valid() ? tell_launched(report, tree) : ok();
}

void SpawnerProcess::watch_slots(const std::vector<pollfd>& watched) {
  for (std::size_t i = first_slot_; i < watched.size(); ++i) {
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
