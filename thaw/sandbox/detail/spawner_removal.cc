// SPDX-License-Identifier: Apache-2.0
//
// The part of the spawner process that takes sandboxes away: one after its end, by a child of its
// own for each (a janitor), and all of them at the spawner's own end.
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

#include "thaw/base/log.h"
#include "thaw/os/files.h"
#include "thaw/os/process.h"
#include "thaw/sandbox/detail/first_process.h"
#include "thaw/sandbox/detail/leftovers.h"
#include "thaw/sandbox/detail/spawner_process.h"

namespace thaw::sandbox::detail {

namespace {

constexpr Duration children_patience = 3s;
// For one sandbox, if somebody kills them.
constexpr int most_janitors = 5;

void pause_shortly() {
  const timespec pause{0, 2'000'000};
  ::nanosleep(&pause, nullptr);
}

// Runs in a child: nothing here may stop the spawner from serving.
Result<void> remove_traces(const std::string& link, const os::Cgroup& cgroup,
                           const RootFolders& folders, bool keeps_upper) {
  Result<void> result = ok();
  const auto note = [&result](Result<void> step) {
    if (!step && result) {
      result = std::move(step);
    }
  };
  if (!link.empty()) {
    note(remove_link(link));
  }
  // The last dying threads leave a cgroup a little after PID 1 was reaped.
  auto removed = cgroup.remove();
  for (int i = 0; !removed && i < 1000; ++i) {
    cgroup.kill();
    pause_shortly();
    removed = cgroup.remove();
  }
  note(std::move(removed));
  if (keeps_upper) {
    note(tidy_upper(folders));
  }
  note(os::remove_tree(folders.folder));
  return result;
}

}  // namespace

void SpawnerProcess::remove(const std::string& id, os::Fd reply) {
  const auto found = trees_.find(id);
  if (found == trees_.end()) {
    answer(reply, ok());
    return;
  }
  Tree& tree = found->second;
  tree.removal_replies.push_back(std::move(reply));
  if (tree.is_removing) {
    return;
  }
  tree.is_removing = true;
  keep_spares(id, 0);  // if it is a template
  if (tree.builder != 0) {
    ::kill(tree.builder, SIGKILL);
  }
  if (tree.pid != 0) {
    (void)os::send_signal(tree.pidfd, SIGKILL);  // reap() goes on from here
    (void)tree.cgroup.thaw();
  } else if (tree.builder == 0) {
    begin_removal(id, tree);
  }
}

void SpawnerProcess::begin_removal(const std::string& id, Tree& tree) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    // The next spawner removes all that is left, and then has links and groups of the same names.
    (void)die_with(self_);
    become_janitor();
    const auto removed = remove_traces(tree.link, tree.cgroup, tree.folders, tree.has_own_upper);
    if (!removed) {
      log_warning("cannot remove a sandbox",
                  {{"container", id}, {"error", removed.error().to_string()}});
      set_aside(options_.folder, id);
    }
    ::_exit(removed ? 0 : 1);
  }
  tree.janitor = pid;
  if (pid < 0) {
    tree.janitor = 0;
    end_removal(id, Error::from_errno(errno, "fork to remove a sandbox"));
  }
}

void SpawnerProcess::end_removal(const std::string& id, const Result<void>& removed) {
  // The name is free again before anybody is told so.
  auto gone = trees_.extract(id);
  if (gone.mapped().slot != 0) {
    network_.give_back(gone.mapped().slot);
  }
  const std::string share = gone.mapped().share;
  const bool was_last = std::none_of(
      trees_.begin(), trees_.end(), [&](const auto& entry) { return entry.second.share == share; });
  if (was_last && !share.empty()) {
    (void)os::Cgroup(layout_, share).remove();
  }
  // What could not be removed may still have processes.
  if (gone.mapped().is_range_own && removed) {
    ranges_->give_back(gone.mapped().range);
  }
  for (const os::Fd& reply : gone.mapped().removal_replies) {
    answer(reply, removed);
  }
}

void SpawnerProcess::reap() {
  int status = 0;
  for (pid_t pid = 0; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;) {
    const auto found = std::find_if(trees_.begin(), trees_.end(), [pid](const auto& entry) {
      return entry.second.pid == pid || entry.second.janitor == pid || entry.second.builder == pid;
    });
    if (found == trees_.end()) {
      aside_janitor_ = pid == aside_janitor_ ? 0 : aside_janitor_;
      continue;
    }
    const std::string id = found->first;
    Tree& tree = found->second;
    if (tree.janitor == pid) {
      if (WIFSIGNALED(status) && ++tree.janitors_killed < most_janitors) {
        begin_removal(id, tree);
        continue;
      }
      end_removal(id, status == 0 ? ok()
                                  : Result<void>(Error::internal(
                                        "a sandbox was not removed wholly; see the server's log")));
      continue;
    }
    if (tree.builder == pid) {
      if (tree.births.valid()) {
        (void)born(tree);  // its last words
      }
      tree.builder = 0;
      tree.is_removing |= tree.spare != Tree::Spare::no;  // it has failed, or was not wanted
      if (tree.is_removing && tree.pid != 0) {
        (void)os::send_signal(tree.pidfd, SIGKILL);
      } else if (tree.is_removing) {
        begin_removal(id, tree);
      }
      continue;
    }
    tree_ended(id, tree);
  }
}

// Nobody waits for the end of anything because of it.
void SpawnerProcess::become_janitor() { os::close_all_but({0, 1, 2}); }

void SpawnerProcess::remove_what_is_aside() {
  if (list_aside(options_.folder).empty()) {
    return;
  }
  const pid_t pid = ::fork();
  if (pid == 0) {
    (void)die_with(self_);  // the next start goes on with it
    become_janitor();
    ::setpriority(PRIO_PROCESS, 0, 19);
    remove_aside(options_.folder);
    ::_exit(0);
  }
  aside_janitor_ = pid > 0 ? pid : 0;
}

// Of the kernel's objects nothing stays. Files may take their time.
Result<void> SpawnerProcess::end_all() {
  const bool was_listening = keeper_.valid();
  keeper_.reset();
  network_.release_all();
  if (aside_janitor_ != 0) {
    ::kill(aside_janitor_, SIGKILL);
  }
  for (const auto& [id, tree] : trees_) {
    if (tree.pid != 0) {
      (void)os::send_signal(tree.pidfd, SIGKILL);
      (void)tree.cgroup.thaw();
    }
    if (tree.builder != 0) {
      ::kill(tree.builder, SIGKILL);
    }
  }
  wait_for_children();
  // While the server lives and tries the next spawner, its name is not anybody's to take.
  if (was_listening) {
    stop_listening(options_.instance);
  }
  return is_followed_ && server_ != 0 && !has_server_gone()
             ? remove_objects(options_.instance, layout_)
             : remove_instance(options_.instance, layout_);
}

// PID 1s, builders, the maker of networks, and janitors, of which one may have much to remove.
void SpawnerProcess::wait_for_children() {
  const Instant latest = monotonic_now() + children_patience;
  while (monotonic_now() < latest) {
    int status = 0;
    const pid_t pid = ::waitpid(-1, &status, WNOHANG);
    if (pid < 0 && errno != EINTR) {
      return;
    }
    if (pid == 0) {
      pause_shortly();
    }
  }
}

// By a child, which goes on when it takes longer than anybody should wait.
void SpawnerProcess::remove_folders() {
  const pid_t pid = ::fork();
  if (pid == 0) {
    become_janitor();
    for (const auto& [id, tree] : trees_) {
      const Result<void> tidied = tree.has_own_upper ? tidy_upper(tree.folders) : ok();
      const Result<void> removed = os::remove_tree(options_.folder + "/" + id);
      if (!tidied || !removed) {
        log_warning(
            "cannot remove a sandbox",
            {{"container", id}, {"error", (removed ? tidied : removed).error().to_string()}});
        set_aside(options_.folder, id);
      }
    }
    ::_exit(0);
  }
  wait_for_children();
}

void SpawnerProcess::shut_down(const os::Fd& reply) {
  is_followed_ = false;
  const Result<void> ended = end_all();
  remove_folders();
  trees_.clear();
  is_running_ = false;
  answer(reply, ended);
}

void SpawnerProcess::end_of_server() {
  if (auto ended = end_all(); !ended) {
    log_warning("cannot remove all sandboxes", {{"error", ended.error().to_string()}});
  }
  // What is left are files with names of their own: the next server need not wait for their end.
  membership_.reset();
  ranges_.reset();
  lock_.reset();
  remove_folders();
}

}  // namespace thaw::sandbox::detail
