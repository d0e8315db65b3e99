// SPDX-License-Identifier: Apache-2.0
#include "thaw/sandbox/detail/held_objects.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <filesystem>
#include <iterator>
#include <string_view>

#include "thaw/os/files.h"

namespace thaw::sandbox::detail {

namespace {

constexpr std::size_t most_descriptors = 200'000;  // of all processes
constexpr std::size_t most_folders = 4;
// CRIU keeps all that it looks through for watched files in memory, beside the sandbox's limits.
constexpr std::size_t most_entries = 20'000;
// Where it looks by itself.
constexpr const char* always_looked_through[] = {"/etc", "/var/spool", "/lib/udev"};

// Parts of what /proc/PID/fd/N leads to.
struct Object {
  std::string_view part;
  std::string_view name;
};
constexpr Object unwritable[] = {
    {"[io_uring]", "an io_uring"},
    {"[userfaultfd]", "a userfaultfd"},
    {"[perf_event]", "a performance counter"},
    {"bpf-", "a BPF object"},
    {"landlock-ruleset", "a landlock ruleset"},
    {"[fanotify]", "a fanotify watch"},
    {"[kvm", "a virtual machine"},
};

// Of CRIU's errors: what they come from, and what to do.
struct Words {
  std::string_view part;
  std::string_view sentence;
};
constexpr Words known[] = {
    {"In-flight connection", "a client was about to connect to it at that moment"},
    {"fsnotify",
     "it watches files (inotify) that are not found by their place; watch a folder "
     "below the one it works in, or turn the watching of files off"},
    {"io_uring", "it has an io_uring open; start it without"},
    {"Can't dump nested", "it has made a namespace of its own; start it without such a sandbox"},
    {"Can't restore sub-task",
     "it has made a namespace of its own; start it without such a sandbox"},
    {"Can't bind inet socket",
     "it listens at, or sends from, the address of one container; let it "
     "listen on 0.0.0.0"},
    {"External socket is used", "it has a Unix socket connected to something outside of it"},
    {"Can't get rlimit",
     "it has a process of another user, which root of this machine may not look "
     "at without CAP_SYS_RESOURCE; let all run as one user, or set [containers] "
     "own_ids"},
    {"Cannot apply seals on memfd", "it maps shared memory that is sealed against writing"},
    {"Can't open file", "it has a file open that is not there after a restore"},
};

std::string link_of(const std::string& path) {
  char text[PATH_MAX];
  const ssize_t n = ::readlink(path.c_str(), text, sizeof text);
  return n > 0 ? std::string(text, static_cast<std::size_t>(n)) : std::string();
}

std::string name_of(const std::string& process) {
  std::string name = os::read_text(process + "/comm").value_or("?");
  name.resize(std::min(name.find('\n'), name.size()));
  return name;
}

bool watches_something(const std::string& process, const std::string& descriptor) {
  const auto text = os::read_text(process + "/fdinfo/" + descriptor);
  return text && text->find("inotify wd:") != std::string::npos;
}

// What is not there needs no look, and is not found; false: there is more than `left`, or another
// file system, which may be of any size and slow.
bool fits(const std::string& folder, std::size_t& left) {
  namespace fs = std::filesystem;
  struct stat top {};
  if (::stat(folder.c_str(), &top) != 0) {
    return true;
  }
  std::error_code error;
  fs::recursive_directory_iterator entry(folder, error);
  while (!error && entry != fs::recursive_directory_iterator()) {
    struct stat status {};
    const bool is_there = ::lstat(entry->path().c_str(), &status) == 0;
    if (left == 0 || (is_there && S_ISDIR(status.st_mode) && status.st_dev != top.st_dev)) {
      return false;
    }
    --left;
    entry.increment(error);
  }
  return !error;
}

Result<void> can_be_looked_through(const std::vector<std::string>& folders) {
  std::size_t left = most_entries;
  std::vector<std::string> all = folders;
  all.insert(all.end(), std::begin(always_looked_through), std::end(always_looked_through));
  for (const std::string& folder : all) {
    if (!fits(folder, left)) {
      return Error::failed_precondition(
          "it watches files (inotify) that would be looked for in more than " +
          std::to_string(most_entries) + " files or in another file system, at " + folder +
          "; let it work in a smaller folder, or turn the watching of files off");
    }
  }
  return ok();
}

}  // namespace

Result<HeldObjects> look_at_held_objects(const std::string& proc) {
  HeldObjects held;
  std::size_t left = most_descriptors;
  for (const std::string& number : os::list_folder(proc)) {
    if (number.find_first_not_of("0123456789") != std::string::npos || number == "1") {
      continue;
    }
    const std::string process = proc + "/" + number;
    bool watches = false;
    for (const std::string& descriptor : os::list_folder(process + "/fd")) {
      if (left-- == 0) {
        return Error::failed_precondition("it has more than " + std::to_string(most_descriptors) +
                                          " files open");
      }
      const std::string target = link_of(process + "/fd/" + descriptor);
      if (!target.starts_with("anon_inode:")) {
        continue;
      }
      for (const Object& object : unwritable) {
        if (target.find(object.part) != std::string::npos) {
          return Error::failed_precondition(
              name_of(process) + " has " + std::string(object.name) +
              " open, which no snapshot can hold; close it before it is ready, or do without "
              "snapshots of it");
        }
      }
      watches = watches || (target.find("inotify") != std::string::npos &&
                            watches_something(process, descriptor));
    }
    const std::string folder = watches ? link_of(process + "/cwd") : "";
    // All of the root takes too long to look through.
    const auto& before = held.watching_in;
    if (folder.size() > 1 && before.size() < most_folders &&
        std::find(before.begin(), before.end(), folder) == before.end()) {
      held.watching_in.push_back(folder);
    }
  }
  if (!held.watching_in.empty()) {
    THAW_TRY_VOID(can_be_looked_through(held.watching_in));
  }
  return held;
}

std::string explain_criu(std::string_view words) {
  for (const Words& one : known) {
    if (words.find(one.part) != std::string_view::npos) {
      return std::string(one.sentence);
    }
  }
  return {};
}

}  // namespace thaw::sandbox::detail
