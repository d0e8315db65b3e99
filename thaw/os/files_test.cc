// SPDX-License-Identifier: Apache-2.0
#include "thaw/os/files.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <thread>
#include <vector>

using namespace thaw;
using namespace thaw::os;

TEST_CASE("a small file is read and written though no descriptor is left") {
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  const std::string path = "/tmp/thaw-files-test-" + std::to_string(::getpid());
  REQUIRE(create_text(path, "one"));
  std::vector<Fd> held;
  rlimit few = before;
  few.rlim_cur = 100;
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &few) == 0);
  while (true) {
    auto fd = open_file("/dev/null", O_RDONLY);
    if (!fd) {
      CHECK(fd.error().code() == Code::unavailable);
      break;
    }
    held.push_back(std::move(*fd));
  }
  CHECK(read_text(path) == std::string("one"));
  CHECK(write_text(path, "two"));
  CHECK(read_text(path) == std::string("two"));
  CHECK(read_text("/proc/no/such/file").error().code() == Code::not_found);
  CHECK_FALSE(open_file("/dev/null", O_RDONLY));  // the spare one is back
  held.clear();
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
  ::unlink(path.c_str());
}

namespace {

struct Scratch {
  Scratch() { REQUIRE(::mkdtemp(path.data()) != nullptr); }
  ~Scratch() { std::filesystem::remove_all(path); }
  std::string operator/(const std::string& name) const { return path + "/" + name; }
  std::string path = "/tmp/thaw-files-XXXXXX";
};

Code code_of(const auto& result) { return result ? Code::ok : result.error().code(); }

}  // namespace

TEST_CASE("what is in the way of a folder is named") {
  const Scratch scratch;
  REQUIRE(create_text(scratch / "file", "text"));
  REQUIRE(::symlink("nowhere", (scratch / "dangling").c_str()) == 0);
  for (const char* name : {"file", "dangling"}) {
    for (const std::string below : {"", "/a/b"}) {
      const auto made = make_folders(scratch / name + below);
      REQUIRE_FALSE(made);
      CHECK(made.error().message() ==
            scratch / name + " is to be a folder and is something else; move it away");
    }
  }
  CHECK(read_text(scratch / "file") == std::string("text"));
  CHECK_FALSE(exists(scratch / "nowhere"));
}

TEST_CASE("a link to a folder is a folder, but nobody's own") {
  const Scratch scratch;
  REQUIRE(make_folders(scratch / "real"));
  REQUIRE(::symlink("real", (scratch / "link").c_str()) == 0);
  CHECK(make_folders(scratch / "link/a"));
  CHECK(make_own_folder(scratch / "link/own"));
  const auto made = make_own_folder(scratch / "link");
  REQUIRE_FALSE(made);
  CHECK(made.error().message().starts_with(scratch / "link is a link"));
}

TEST_CASE("a lock is a file and nothing else") {
  const Scratch scratch;
  CHECK(open_lock(scratch / "lock"));
  CHECK(open_lock(scratch / "lock"));
  REQUIRE(make_folders(scratch / "folder"));
  REQUIRE(::mkfifo((scratch / "pipe").c_str(), 0600) == 0);
  REQUIRE(::symlink("lock", (scratch / "link").c_str()) == 0);
  REQUIRE(::symlink("nowhere", (scratch / "dangling").c_str()) == 0);
  for (const char* name : {"folder", "pipe", "link", "dangling"}) {
    const auto lock = open_lock(scratch / name);
    REQUIRE_FALSE(lock);
    CHECK(lock.error().message() ==
          scratch / name + " is to be a file and is something else; move it away");
  }
  CHECK_FALSE(exists(scratch / "nowhere"));
  CHECK(code_of(open_lock(scratch / "missing/lock")) == Code::not_found);
}

TEST_CASE("what is no file is not waited for, and what has no end is not read") {
  const Scratch scratch;
  REQUIRE(::mkfifo((scratch / "pipe").c_str(), 0600) == 0);
  CHECK(read_text(scratch / "pipe") == std::string());
  CHECK_FALSE(create_text(scratch / "pipe", "text"));
  REQUIRE(::symlink("/dev/zero", (scratch / "endless").c_str()) == 0);
  CHECK(code_of(read_text(scratch / "endless")) == Code::failed_precondition);
}

TEST_CASE("a path with .. is opened while others rename what they like") {
  const std::string folder = "/tmp/thaw-resolve-test-" + std::to_string(::getpid());
  std::filesystem::create_directories(folder + "/a/b");
  std::filesystem::create_directories(folder + "/elsewhere");
  const auto root = open_file(folder, O_PATH | O_DIRECTORY);
  REQUIRE(root);
  std::atomic<bool> done = false;
  std::thread renames([&] {
    const std::string one = folder + "/elsewhere/one";
    const std::string two = folder + "/elsewhere/two";
    REQUIRE(create_text(one, ""));
    while (!done) {
      ::rename(one.c_str(), two.c_str());
      ::rename(two.c_str(), one.c_str());
    }
  });
  const char* path = "a/b/../../a/b/../../a/b/../../a/b";
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT;
  int refused = 0;
  int opened = 0;
  for (int i = 0; i < 20'000; ++i) {
    const Fd once(static_cast<int>(::syscall(SYS_openat2, root->get(), path, &how, sizeof how)));
    refused += !once.valid() && errno == EAGAIN ? 1 : 0;
    opened += Fd(open_resolved(root->get(), path, O_PATH, RESOLVE_IN_ROOT)).valid() ? 1 : 0;
  }
  done = true;
  renames.join();
  std::filesystem::remove_all(folder);
  CHECK(opened == 20'000);
  MESSAGE("of 20000 that are tried once the kernel refuses ", refused);
}
