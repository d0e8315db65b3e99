// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>

#include "thaw/os/cgroup.h"
#include "thaw/os/files.h"
#include "thaw/os/message.h"
#include "thaw/os/netlink.h"
#include "thaw/os/process.h"

using namespace thaw;
using namespace thaw::os;

namespace {

struct Temporary {
  Temporary() {
    char path[] = "/tmp/thaw-os-XXXXXX";
    folder = ::mkdtemp(path);
  }
  ~Temporary() { std::filesystem::remove_all(folder); }
  std::string folder;
};

}  // namespace

TEST_CASE("a message carries its bytes and its descriptors") {
  auto pair = make_message_pair();
  REQUIRE(pair);
  const auto file = make_memory_file("a long body");
  REQUIRE(file);
  REQUIRE(*send_message(pair->first.get(), "hello", {file->get()}) == Transfer::done);
  Message message;
  REQUIRE(*receive_message(pair->second.get(), message) == Transfer::done);
  CHECK(message.bytes == "hello");
  REQUIRE(message.fds.size() == 1);
  CHECK(*read_memory_file(message.fds[0]) == "a long body");
  pair->first.reset();
  CHECK(*receive_message(pair->second.get(), message) == Transfer::end);
  CHECK(*send_message(pair->second.get(), "x") == Transfer::end);
}

TEST_CASE("a message that is too large is refused before it is sent") {
  auto pair = make_message_pair();
  REQUIRE(pair);
  CHECK(!send_message(pair->first.get(), std::string(max_message_bytes + 1, 'x')));
  CHECK(!send_message(pair->first.get(), ""));
  CHECK(!send_message(pair->first.get(), "x", std::vector<int>(max_message_fds + 1, 0)));
}

TEST_CASE("removing a tree does not follow its links") {
  const Temporary temporary;
  const std::string outside = temporary.folder + "/outside";
  REQUIRE(make_folders(outside));
  REQUIRE(create_text(outside + "/kept", "x"));
  REQUIRE(make_folders(temporary.folder + "/tree/a/b/c"));
  REQUIRE(create_text(temporary.folder + "/tree/a/b/file", "x"));
  std::filesystem::create_directory_symlink(outside, temporary.folder + "/tree/a/link");
  REQUIRE(::chmod((temporary.folder + "/tree/a/b").c_str(), 0700) == 0);
  CHECK(remove_tree(temporary.folder + "/tree"));
  CHECK(!exists(temporary.folder + "/tree"));
  CHECK(exists(outside + "/kept"));
  CHECK(remove_tree(temporary.folder + "/tree"));
}

TEST_CASE("a subnet is read from text, and nonsense is not") {
  const auto subnet = Subnet::parse("172.21.0.1/16");
  REQUIRE(subnet);
  CHECK(subnet->to_string() == "172.21.0.1/16");
  for (const char* text : {"", "172.21.0.1", "172.21.0.1/", "172.21.0.1/33", "172.21.0.1/-1",
                           "172.21.0/16", "a/16", "172.21.0.1/16x", "172.21.0.1/99999999999"}) {
    CAPTURE(text);
    CHECK(!Subnet::parse(text));
  }
}

TEST_CASE("subnets overlap when one contains the other") {
  const auto overlap = [](const char* a, const char* b) {
    return Subnet::parse(a)->overlaps(*Subnet::parse(b));
  };
  CHECK(overlap("172.21.0.1/16", "172.21.99.0/24"));
  CHECK(overlap("172.16.0.0/12", "172.21.0.1/16"));
  CHECK(!overlap("172.21.0.1/16", "172.22.0.0/16"));
}

TEST_CASE("the layout of cgroups is found on v1, on v2 and on both at once") {
  const std::string v2 =
      "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
  const auto modern = CgroupLayout::parse(v2);
  REQUIRE(modern);
  CHECK(modern->version == CgroupLayout::Version::v2);
  CHECK(modern->hierarchies == std::vector<std::string>{"/sys/fs/cgroup"});

  const std::string v1 =
      "31 30 0:27 / /cg/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
      "32 30 0:28 / /cg/memory rw - cgroup cgroup rw,memory\n"
      "33 30 0:29 / /cg/pids rw - cgroup cgroup rw,pids\n"
      "34 30 0:30 / /cg/blkio rw - cgroup cgroup rw,blkio\n"
      "35 30 0:31 / /cg/unified rw - cgroup2 cgroup2 rw\n";
  const auto old = CgroupLayout::parse(v1);
  REQUIRE(old);
  CHECK(old->version == CgroupLayout::Version::v1);
  CHECK(old->cpuacct == "/cg/cpu,cpuacct");
  CHECK(old->hierarchies == std::vector<std::string>{"/cg/cpu,cpuacct", "/cg/memory", "/cg/pids"});

  CHECK(!CgroupLayout::parse("22 27 0:21 / /proc rw - proc proc rw\nbroken line\n"));
}

TEST_CASE("a limit of more processors than any machine has is no small one") {
  const Temporary temporary;
  CgroupLayout layout;
  layout.version = CgroupLayout::Version::v2;
  layout.hierarchies = {temporary.folder};
  layout.cpu = temporary.folder;
  const Cgroup group(layout, "group");
  REQUIRE(group.make(Cgroup::Role::leaf));
  const std::string file = temporary.folder + "/group/cpu.max";
  for (const std::uint32_t cores : {1u, 43u, 64u, 10'000u}) {
    CAPTURE(cores);
    std::ofstream(file) << "max 100000";
    REQUIRE(group.limit({.cpu_millis = cores * 1000}));
    CHECK(*read_text(file) == std::to_string(cores * 100'000ULL) + " 100000");
  }
}

TEST_CASE("a body in borrowed memory leaves its result behind and cannot touch descriptors") {
  struct Work {
    int fd;
    int result = 0;
  } work{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
  const auto pid = run_in_borrowed_memory(
      [](void* argument) {
        auto* own = static_cast<Work*>(argument);
        ::close(own->fd);
        own->result = 42;
        return 3;
      },
      &work);
  REQUIRE(pid);
  CHECK(work.result == 42);
  int status = 0;
  CHECK(::waitpid(*pid, &status, 0) == *pid);
  CHECK(WEXITSTATUS(status) == 3);
  CHECK(::close(work.fd) == 0);
}

TEST_CASE("a child closes all descriptors but those that it names") {
  auto kept = make_message_pair();
  auto closed = make_message_pair();
  REQUIRE(kept);
  REQUIRE(closed);
  const pid_t pid = ::fork();
  REQUIRE(pid >= 0);
  if (pid == 0) {
    const int number = kept->second.get(), other = closed->second.get();
    close_all_but({number, 2, -1, 0, number});
    const bool is_right = ::fcntl(number, F_GETFD) >= 0 && ::fcntl(0, F_GETFD) >= 0 &&
                          ::fcntl(1, F_GETFD) < 0 && ::fcntl(other, F_GETFD) < 0;
    ::_exit(is_right ? 0 : 1);
  }
  int status = 1;
  REQUIRE(::waitpid(pid, &status, 0) == pid);
  CHECK(status == 0);
}

TEST_CASE("a cloned process is signalled by its descriptor") {
  auto cloned = clone_process({});
  REQUIRE(cloned);
  if (cloned->pid == 0) {
    while (true) {
      ::pause();
    }
  }
  CHECK(send_signal(cloned->pidfd, SIGKILL));
  int status = 0;
  CHECK(::waitpid(cloned->pid, &status, 0) == cloned->pid);
  CHECK(WTERMSIG(status) == SIGKILL);
  CHECK(send_signal(cloned->pidfd, SIGKILL).error().code() == Code::not_found);
}
