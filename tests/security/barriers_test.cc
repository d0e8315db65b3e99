// SPDX-License-Identifier: Apache-2.0
//
// Attempts to leave a sandbox, one by one. The probe prints "ok" where a barrier fell.
#include <sys/socket.h>
#include <sys/un.h>

#include <csignal>
#include <filesystem>

#include "thaw/sandbox/testing/fixture.h"

using namespace thaw;
using namespace thaw::sandbox;
using namespace thaw::sandbox::testing;

namespace {

struct Attempt {
  std::vector<std::string> argv;
  std::string outcome;  // what the probe must print, or one of several parted by '|'
};

void try_all(House& house, Profile profile, const std::vector<Attempt>& attempts) {
  for (const Attempt& attempt : attempts) {
    auto spec = house.spec(attempt.argv);
    spec.profile = profile;
    std::string out = house.run_to_end(std::move(spec)).out;
    while (!out.empty() && out.back() == '\n') {
      out.pop_back();
    }
    std::string tried;
    for (const std::string& word : attempt.argv) {
      tried += word + " ";
    }
    CAPTURE(tried);
    CAPTURE(out);
    CHECK(("|" + attempt.outcome + "|").find("|" + out + "|") != std::string::npos);
  }
}

void try_both(House& house, const std::vector<Attempt>& attempts) {
  for (const Profile profile : {Profile::function, Profile::build}) {
    CAPTURE(static_cast<int>(profile));
    try_all(house, profile, attempts);
  }
}

}  // namespace

TEST_SUITE_BEGIN("security.files");

TEST_CASE("the host's files cannot be seen") {
  if (skipped()) return;
  House house;
  write_file(house.temporary.folder + "/secret", "of the host");
  const std::string secret = house.temporary.folder + "/secret";
  try_both(house, {
                      {{"cat", secret}, "ENOENT"},
                      {{"cat", "/proc/1/root" + secret}, "ENOENT|EACCES"},
                      {{"cat", "/proc/self/root" + secret}, "ENOENT"},
                      {{"cat", "/proc/1/cwd" + secret}, "ENOENT|EACCES"},
                      {{"cat", "../../../../../../.." + secret}, "ENOENT"},
                      {{"cat", "/proc/1/environ"}, "EACCES"},
                      {{"cat", "/proc/1/mem"}, "EACCES"},
                      {{"cat", "/proc/kcore"}, "|ENOENT"},
                      {{"cat", "/proc/kallsyms"}, ""},
                      {{"cat", "/proc/keys"}, ""},
                      {{"cat", "/proc/key-users"}, ""},
                      {{"cat", "/proc/slabinfo"}, "|ENOENT"},
                      {{"cat", "/proc/vmallocinfo"}, "|ENOENT"},
                      {{"cat", "/proc/interrupts"}, "|ENOENT"},
                      {{"cat", "/proc/softirqs"}, ""},
                      {{"cat", "/proc/config.gz"}, "|ENOENT"},
                      {{"cat", "/proc/cmdline"}, ""},
                      {{"cat", "/proc/modules"}, "|ENOENT"},
                      {{"list", "/proc/pressure"}, ".\n..|..\n.|ENOENT"},
                      {{"list", "/sys/kernel"}, ".\n..|..\n."},
                      {{"handle"}, "EPERM"},
                  });
}

TEST_CASE("the mount table tells nothing of the host's paths") {
  if (skipped()) return;
  House house;
  const std::string mounts = house.out_of({"cat", "/proc/self/mountinfo"});
  CHECK(mounts.find("overlay") != std::string::npos);
  CHECK(mounts.find(house.temporary.folder) == std::string::npos);
}

TEST_CASE("the first process tells nothing of the server's command line") {
  if (skipped()) return;
  House house;
  const std::string line = house.out_of({"cat", "/proc/1/cmdline"});
  CHECK(line.find("security_test") == std::string::npos);
}

TEST_CASE("mounts cannot be made, changed or taken away") {
  if (skipped()) return;
  House house;
  try_both(house, {
                      {{"mount", "/tmp", "tmpfs"}, "EPERM"},
                      {{"mount", "/tmp", "proc"}, "EPERM"},
                      {{"bind", "/proc", "/tmp"}, "EPERM"},
                      {{"remount", "/proc/sys"}, "EPERM"},
                      {{"umount", "/proc/sys"}, "EPERM"},
                      {{"umount", "/proc/kcore"}, "EPERM"},
                      {{"fsopen"}, "EPERM"},
                      {{"pivot", "/tmp"}, "EPERM"},
                  });
  // Out of a root with no way to name what is outside, it leads nowhere.
  try_all(house, Profile::function, {{{"chroot", "/tmp"}, with_own_ids() ? "ok" : "EPERM"}});
}

TEST_CASE("devices of the host can be neither made nor opened") {
  if (skipped()) return;
  House house;
  try_both(house, {
                      {{"mknod", "/disk", "254", "0"}, "EPERM"},
                      {{"mknod", "/dev/disk", "254", "0"}, "EPERM"},
                      {{"mknod-char", "/mem", "1", "1"}, "EPERM"},
                      {{"cat", "/dev/mem"}, "ENOENT"},
                      {{"cat", "/dev/vda"}, "ENOENT"},
                      {{"cat", "/dev/null"}, ""},
                  });
}

TEST_CASE("a device in an image's layer cannot be opened") {
  if (skipped()) return;
  House house;
  REQUIRE(::mknod((house.temporary.root + "/null").c_str(), S_IFCHR | 0666, (1 << 8) | 3) == 0);
  CHECK(house.out_of({"cat", "/null"}) == "EACCES\n");
}

TEST_CASE("kernel settings cannot be written") {
  if (skipped()) return;
  House house;
  // Root with ids of its own owns none of them, and is refused for that already.
  try_both(house, {
                      {{"put", "/proc/sys/kernel/core_pattern", "|/x"}, "EROFS|EACCES"},
                      {{"put", "/proc/sys/kernel/hostname", "x"}, "EROFS|EACCES"},
                      {{"put", "/proc/sys/net/ipv4/ip_forward", "1"}, "EROFS|EACCES"},
                      {{"put", "/proc/sysrq-trigger", "h"}, "EROFS|EACCES|ENOENT"},
                      {{"put", "/sys/power/state", "mem"}, "EROFS|EACCES|ENOENT"},
                  });
}

TEST_CASE("a cgroup cannot be left or changed") {
  if (skipped()) return;
  House house;
  try_both(house, {
                      {{"list", "/sys/fs/cgroup"}, "ENOENT"},
                      {{"mount", "/tmp", "cgroup"}, "EPERM"},
                      {{"mount", "/tmp", "cgroup2"}, "EPERM"},
                  });
  const std::string own = house.out_of({"cat", "/proc/self/cgroup"});
  CHECK(own.find("thaw-") == std::string::npos);
}

TEST_CASE("one sandbox cannot read what another wrote, nor reach its socket") {
  if (skipped()) return;
  House house;
  auto writer = house.spec({"put", "/note", "private"});
  writer.upper = house.temporary.folder + "/layer";
  CHECK(house.run_to_end(std::move(writer)).out == "ok\n");
  try_both(house, {
                      {{"cat", "/note"}, "ENOENT"},
                      {{"cat", house.temporary.folder + "/layer/upper/note"}, "ENOENT"},
                      {{"unix", "/run/thaw.sock"}, "ENOENT"},
                  });
}

TEST_CASE("a bound socket answers in its sandbox and in no other") {
  if (skipped()) return;
  House house;
  const std::string path = house.temporary.folder + "/own.sock";
  const os::Fd server(::socket(AF_UNIX, SOCK_STREAM, 0));
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  path.copy(at.sun_path, sizeof at.sun_path - 1);
  REQUIRE(::bind(server.get(), reinterpret_cast<sockaddr*>(&at), sizeof at) == 0);
  REQUIRE(::listen(server.get(), 4) == 0);
  auto own = house.spec({"unix", "/run/thaw.sock"});
  own.binds = {{path, "/run/thaw.sock", BindMount::Access::read_only}};
  CHECK(house.run_to_end(std::move(own)).out == "ok\n");
  CHECK(house.out_of({"unix", "/run/thaw.sock"}) == "ENOENT\n");
}

TEST_CASE("a link in an image does not lead a bind out of the root") {
  if (skipped()) return;
  House house;
  const std::string outside = house.temporary.folder + "/outside";
  std::filesystem::create_directories(outside);
  std::filesystem::create_directory_symlink(outside, house.temporary.root + "/trap");
  std::filesystem::create_directories(house.temporary.root + outside);
  write_file(house.temporary.folder + "/file", "bound");
  auto spec = house.spec({"cat", outside + "/deep/file"});
  spec.binds = {{house.temporary.folder + "/file", "/trap/deep/file"}};
  CHECK(house.run_to_end(std::move(spec)).out == "bound");
  CHECK(os::list_folder(outside).empty());
}

TEST_CASE("a link in an image does not lead its configuration files out of the root") {
  if (skipped()) return;
  House house;
  const std::string outside = house.temporary.folder + "/outside";
  write_file(outside + "/passwd", "evil:x:0:0::/:/bin/sh\n");
  std::filesystem::create_symlink(outside + "/passwd", house.temporary.root + "/etc/group.link");
  std::filesystem::remove(house.temporary.root + "/etc/passwd");
  std::filesystem::create_symlink(outside + "/passwd", house.temporary.root + "/etc/passwd");
  auto spec = house.spec({"ids"});
  spec.user = "evil";
  CHECK(!house.loop.run_task(house.spawner->start(std::move(spec))));
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("security.powers");

TEST_CASE("new namespaces cannot be made or entered") {
  if (skipped()) return;
  House house;
  try_both(house, {
                      {{"userns"}, "EPERM"},
                      {{"clone-userns"}, "EPERM"},
                      {{"mountns"}, "EPERM"},
                      {{"setns", "/proc/1/ns/mnt"}, "EBADF|EPERM"},
                      {{"setns", "/proc/self/ns/pid"}, "EPERM"},
                  });
}

TEST_CASE("the kernel's inner doors are closed") {
  if (skipped()) return;
  House house;
  try_both(house, {
                      {{"keyctl"}, "EPERM"},
                      {{"add-key"}, "EPERM"},
                      {{"bpf"}, "EPERM"},
                      {{"perf"}, "EPERM"},
                      {{"uffd"}, "EPERM"},
                      {{"io-uring"}, "ENOSYS"},
                      {{"reboot"}, "EPERM"},
                      {{"module"}, "EPERM"},
                      {{"swap", "/etc/passwd"}, "EPERM"},
                      {{"clock"}, "EPERM"},
                      {{"sethostname"}, "EPERM"},
                      {{"dmesg"}, "EPERM"},
                      {{"ioport"}, "EPERM"},
                      {{"x32"}, "ENOSYS"},
                      {{"personality"}, "EPERM"},
                      {{"nice"}, "EACCES|EPERM"},
                      {{"raise-limit"}, "EPERM"},
                      {{"tty"}, "ENXIO"},
                      {{"raw"}, "EPERM"},
                      {{"packet"}, "EAFNOSUPPORT"},
                      {{"vsock"}, "EAFNOSUPPORT"},
                  });
}

TEST_CASE("a program that has given up root does not get it back from a set-id file") {
  if (skipped()) return;
  House house;
  const std::string program = house.temporary.root + "/bin/setuid-probe";
  std::filesystem::copy_file(THAW_SANDBOX_PROBE, program);
  REQUIRE(::chmod(program.c_str(), 04755) == 0);
  auto spec = house.spec({"ids"});
  spec.argv = {"setuid-probe", "ids"};
  spec.user = "1000:1000";
  CHECK(house.run_to_end(std::move(spec)).out == "uid=1000 euid=1000 gid=1000\n");
  // Where its root is the machine's it cannot even become somebody else.
  CHECK(house.out_of({"setuid"}) == (with_own_ids() ? "ok\n" : "EPERM\n"));
  if (with_own_ids()) {
    CHECK(house.out_of({"regain"}) == "uid=1000 euid=1000 gid=0\n");
  }
}

TEST_CASE("the capabilities are those of the profile, and another user has none") {
  if (skipped()) return;
  House house;
  const auto line = [&](const std::string& name, Profile profile, const std::string& user) {
    auto spec = house.spec({"cat", "/proc/self/status"});
    spec.profile = profile;
    spec.user = user;
    const std::string status = house.run_to_end(std::move(spec)).out;
    const std::size_t at = status.find(name + ":\t");
    return status.substr(at + name.size() + 2, status.find('\n', at) - at - name.size() - 2);
  };
  // CHOWN, DAC_OVERRIDE, FOWNER, KILL; with ids of its own the same as a build's
  const std::string kept = with_own_ids() ? "00000000800404fb" : "000000000000002b";
  CHECK(line("CapBnd", Profile::function, "") == kept);
  CHECK(line("CapEff", Profile::function, "") == kept);
  CHECK(line("CapEff", Profile::function, "1000") == "0000000000000000");
  CHECK(line("NoNewPrivs", Profile::function, "") == "1");
  CHECK(line("Seccomp", Profile::function, "") == "2");
  // and FSETID, SETGID, SETUID, NET_BIND_SERVICE, SYS_CHROOT, SETFCAP
  CHECK(line("CapBnd", Profile::build, "") == "00000000800404fb");
  CHECK(line("CapEff", Profile::build, "1000") == "0000000000000000");
  CHECK(line("Seccomp", Profile::build, "") == "2");
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("security.processes");

TEST_CASE("processes outside cannot be seen, signalled, traced or read") {
  if (skipped()) return;
  House house;
  const std::string host_pid = std::to_string(::getpid());
  auto neighbour = house.start(house.spec({"sleep", "100"}));
  const std::string neighbour_pid = std::to_string(neighbour->pid());
  try_both(house, {
                      {{"kill", host_pid}, "ESRCH"},
                      {{"kill", neighbour_pid}, "ESRCH"},
                      {{"kill-all"}, "ok|ESRCH"},
                      {{"ptrace", host_pid}, "EPERM|ESRCH"},
                      {{"ptrace", "1"}, "EPERM"},
                      {{"readmem", host_pid}, "EPERM|ESRCH"},
                      {{"readmem", "1"}, "EPERM"},
                      {{"cat", "/proc/" + host_pid + "/cmdline"}, "ENOENT"},
                  });
  CHECK(house.first_output(*neighbour) == "sleeping\n");
  house.run(neighbour->remove());
}

TEST_CASE("a program starts with its three descriptors and no other") {
  if (skipped()) return;
  House house;
  const std::string fds = house.out_of({"list", "/proc/self/fd"});
  // The fourth is the listing's own.
  CHECK(fds == ".\n..\n0\n1\n2\n3\n");
}

TEST_SUITE_END();
