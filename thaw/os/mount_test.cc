// SPDX-License-Identifier: Apache-2.0
#include "thaw/os/mount.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "thaw/os/files.h"

using namespace thaw;
using namespace thaw::os;

// Also run on an older kernel, in a virtual machine (make check-v2).
TEST_CASE("an overlay shows its layers, the upper one first, and keeps what is written apart") {
  if (::geteuid() != 0) {
    MESSAGE("skipped: mounts need root");
    return;
  }
  char path[] = "/tmp/thaw-mount-XXXXXX";
  const std::string folder = ::mkdtemp(path);
  // An overlay's upper folder cannot itself lie on an overlay; on older kernels its mount must be
  // attached, too.
  const std::string place = folder + "/memory";
  REQUIRE(::mkdir(place.c_str(), 0700) == 0);
  REQUIRE(::mount("tmpfs", place.c_str(), "tmpfs", 0, "mode=755") == 0);
  const Fd memory(::open(place.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const auto inside = [&](const char* name) {
    REQUIRE(::mkdirat(memory.get(), name, 0755) == 0);
    return Fd(::openat(memory.get(), name, O_PATH | O_DIRECTORY | O_CLOEXEC));
  };
  const auto write = [](const Fd& at, const char* name, const std::string& text) {
    const Fd file(::openat(at.get(), name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    REQUIRE(::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  };
  const auto read = [](const Fd& at, const char* name) {
    char text[32] = {};
    const Fd file(::openat(at.get(), name, O_RDONLY | O_CLOEXEC));
    return ::read(file.get(), text, sizeof text - 1) < 0 ? "none" : std::string(text);
  };
  OverlayOptions options;
  for (const char* name : {"lower", "higher"}) {
    options.layers.push_back(inside(name));
    write(options.layers.back(), "both", name);
    write(options.layers.back(), name, name);
  }
  options.upper = inside("upper");
  options.work = inside("work");
  options.is_volatile = true;
  options.staging = folder + "/staging";
  REQUIRE(::mkdir(options.staging.c_str(), 0700) == 0);
  const auto overlay = make_overlay(options);
  if (!overlay) {
    FAIL(overlay.error().to_string());
  }
  CHECK(read(*overlay, "both") == "higher");
  CHECK(read(*overlay, "lower") == "lower");
  CHECK(read(*overlay, "higher") == "higher");
  write(*overlay, "new", "new");
  CHECK(read(options.upper, "new") == "new");
  CHECK(read(options.layers[0], "new") == "none");
  CHECK(std::filesystem::is_empty(options.staging));  // nothing stays mounted on the way
  CHECK(::umount2(place.c_str(), MNT_DETACH) == 0);
  std::filesystem::remove_all(folder);
}
