// SPDX-License-Identifier: Apache-2.0
#include "thaw/sandbox/detail/held_objects.h"

#include <doctest/doctest.h>

#include "thaw/sandbox/testing/fixture.h"

using namespace thaw;
using namespace thaw::sandbox::detail;
using namespace thaw::sandbox::testing;

namespace {

// A /proc with processes that have this open.
struct Processes {
  Processes() : proc(temporary.folder + "/proc") { std::filesystem::create_directories(proc); }

  void add(int pid, const std::vector<std::string>& targets, const std::string& cwd = "/srv/app") {
    const std::string place = proc + "/" + std::to_string(pid);
    std::filesystem::create_directories(place + "/fd");
    std::filesystem::create_directories(place + "/fdinfo");
    write_file(place + "/comm", "server\n");
    std::filesystem::create_symlink(cwd, place + "/cwd");
    int number = 0;
    for (const std::string& target : targets) {
      std::filesystem::create_symlink(target, place + "/fd/" + std::to_string(number));
      write_file(place + "/fdinfo/" + std::to_string(number), "pos:\t0\ninotify wd:1 ino:2\n");
      ++number;
    }
  }

  // Tens of thousands of folders would wait for a disk.
  Temporary temporary{std::filesystem::is_directory("/dev/shm") ? "/dev/shm" : "/tmp"};
  std::string proc;
};

}  // namespace

TEST_CASE("what no snapshot can hold is named, with whose it is") {
  const std::pair<const char*, const char*> all[] = {
      {"anon_inode:[io_uring]", "an io_uring"},
      {"anon_inode:[userfaultfd]", "a userfaultfd"},
      {"anon_inode:[perf_event]", "a performance counter"},
      {"anon_inode:bpf-map", "a BPF object"},
      {"anon_inode:[landlock-ruleset]", "a landlock ruleset"},
      {"anon_inode:landlock-ruleset", "a landlock ruleset"},
      {"anon_inode:[fanotify]", "a fanotify watch"},
  };
  for (const auto& [target, name] : all) {
    CAPTURE(std::string(target));
    Processes processes;
    processes.add(1, {target});  // PID 1 is ours, and is not written
    CHECK(look_at_held_objects(processes.proc));
    processes.add(1000, {"/dev/null", "pipe:[5]", "anon_inode:[eventpoll]", target});
    const auto held = look_at_held_objects(processes.proc);
    REQUIRE(!held);
    CHECK(held.error().code() == Code::failed_precondition);
    CHECK(held.error().message().find(std::string("server has ") + name) != std::string::npos);
  }
}

TEST_CASE("a file that is only called so is none of them") {
  Processes processes;
  processes.add(1000, {"/tmp/[io_uring]", "/tmp/anon_inode:[io_uring]"});
  CHECK(look_at_held_objects(processes.proc));
}

TEST_CASE("what programs watch is looked for where they work, but not in all of the root") {
  Processes processes;
  processes.add(1000, {"anon_inode:inotify"}, "/srv/app");
  processes.add(1001, {"anon_inode:inotify"}, "/");
  processes.add(1002, {"anon_inode:[eventfd]"}, "/srv/other");
  for (int pid = 2000; pid < 2010; ++pid) {
    processes.add(pid, {"anon_inode:inotify"}, "/srv/many");
  }
  const auto held = look_at_held_objects(processes.proc);
  REQUIRE(held);
  std::vector<std::string> folders = held->watching_in;  // in the order of /proc, each once
  std::sort(folders.begin(), folders.end());
  CHECK(folders == std::vector<std::string>{"/srv/app", "/srv/many"});
}

TEST_CASE("what CRIU says is told in words that say what to do, where they are known") {
  CHECK(explain_criu("Error (criu/files-ext.c:96): something new").empty());
  CHECK(explain_criu("").empty());
  const std::pair<const char*, const char*> all[] = {
      {"Error (criu/sk-inet.c:199): inet: In-flight connection (l) for 3e", "at that moment"},
      {"Error (criu/fsnotify.c:297): fsnotify: Can't dump that handle", "watches files"},
      {"Error (criu/namespaces.c): Can't dump nested user namespace", "namespace of its own"},
      {"inet: Can't bind inet socket (id 38): Cannot assign requested address", "0.0.0.0"},
      {"Can't get rlimit 0: Operation not permitted", "CAP_SYS_RESOURCE"},
      {"Cannot apply seals on memfd: Device or resource busy", "sealed"},
      {"Unknown shit 600 (anon_inode:[io_uring])", "io_uring"},
  };
  for (const auto& [words, meaning] : all) {
    CAPTURE(std::string(words));
    CHECK(explain_criu(words).find(meaning) != std::string::npos);
  }
}

TEST_CASE("a folder in which what is watched cannot be looked for is refused by its name") {
  Processes processes;
  const std::string work = processes.temporary.folder + "/work";
  std::filesystem::create_directories(work + "/deep/deeper");
  std::filesystem::create_directory_symlink("/", work + "/root");  // is not followed
  SUBCASE("small") {
    processes.add(1000, {"anon_inode:inotify"}, work);
    CHECK(look_at_held_objects(processes.proc));
  }
  SUBCASE("large") {
    for (int i = 0; i < 20'001; ++i) {
      std::filesystem::create_directory(work + "/deep/" + std::to_string(i));
    }
    processes.add(1000, {"anon_inode:inotify"}, work);
    const auto held = look_at_held_objects(processes.proc);
    REQUIRE(!held);
    CHECK(held.error().code() == Code::failed_precondition);
    CHECK(held.error().message().find("at " + work) != std::string::npos);
  }
}
