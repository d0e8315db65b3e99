// SPDX-License-Identifier: Apache-2.0
//
// For tests: a temporary folder with a tiny root, a spawner with a name of its own, and short ways
// to run the probe in a sandbox. Needs root; `skipped()` prints why a test does nothing without.
#pragma once

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>
#include <vector>

#include "thaw/async/task_group.h"
#include "thaw/os/files.h"
#include "thaw/sandbox/sandbox.h"

namespace thaw::sandbox::testing {

inline bool skipped() {
  if (::geteuid() == 0) {
    return false;
  }
  std::puts("skipped: sandboxes need root");
  return true;
}

// Whether sandboxes have ids of their own. What is tested with them is tested without as well, as
// on a machine that cannot: with THAW_TEST_OWN_IDS=off.
inline bool with_own_ids() {
  static const bool with = [] {
    const char* wanted = std::getenv("THAW_TEST_OWN_IDS");
    if (wanted != nullptr && std::string_view(wanted) == "off") {
      return false;
    }
    std::string folder = "/tmp/thaw-own-ids-XXXXXX";
    const auto possible = check_own_ids(::mkdtemp(folder.data()));
    std::filesystem::remove_all(folder);
    if (!possible) {
      std::printf("without ids of their own: %s\n", possible.error().to_string().c_str());
    }
    return possible.has_value();
  }();
  return with;
}

inline SpawnerOptions::OwnIds own_ids_here() {
  return with_own_ids() ? SpawnerOptions::OwnIds::required : SpawnerOptions::OwnIds::off;
}

inline void write_file(const std::string& path, const std::string& text) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::ofstream(path) << text;
}

inline std::string read_file(const std::string& path) {
  const auto text = os::read_text(path);
  return text ? *text : "(none)";
}

// Several tests on one machine at once do not share a name.
inline std::string unique_name() {
  static int count = 0;
  return "t" + std::to_string(::getpid()) + "x" + std::to_string(++count);
}

// None that servers choose from by themselves: one whose spawner is replaced wants its own again,
// which must not have been taken meanwhile by a test that runs beside it.
inline std::string own_network() {
  static int count = 0;
  const int third = 16 * (++count % 16);
  return "10." + std::to_string(64 + ::getpid() % 128) + "." + std::to_string(third) + ".1/20";
}

struct Temporary {
  explicit Temporary(const std::string& parent = "/tmp") {
    std::string path = parent + "/thaw-sandbox-XXXXXX";
    folder = ::mkdtemp(path.data());
    root = folder + "/root";
    std::filesystem::create_directories(root + "/bin");
    std::filesystem::create_directories(root + "/run");
    std::filesystem::copy_file(THAW_SANDBOX_PROBE, root + "/bin/probe");
    std::filesystem::create_directory_symlink("../../run", root + "/var");
    write_file(root + "/etc/passwd",
               "root:x:0:0:root:/root:/bin/sh\nbroken\nann:x:1001:1002:Ann:/home/ann:/bin/sh\n");
    write_file(root + "/etc/group", "root:x:0:\nstaff:x:50:ann\nann:x:1002:\n");
  }
  ~Temporary() {
    // A spawner that was left to itself may still be removing its part.
    for (std::error_code error; std::filesystem::exists(folder, error);) {
      std::filesystem::remove_all(folder, error);
    }
  }
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;

  std::string folder;
  std::string root;
};

struct Output {
  std::string out;
  std::string err;
  ExitStatus status;
};

// A server as far as sandboxes are concerned.
class House {
 public:
  using Networking = SpawnerOptions::Networking;
  using OwnIds = SpawnerOptions::OwnIds;

  // A `folder` of the caller's outlives the house: its parent exists.
  explicit House(Networking networking = Networking::off, const std::string& folder = "",
                 const std::string& criu = "", OwnIds own_ids = own_ids_here(),
                 SpawnerOptions more = {})
      : temporary(folder.empty() ? "/tmp" : std::filesystem::path(folder).parent_path().string()),
        options(std::move(more)) {
    options.instance = unique_name();
    options.folder = folder.empty() ? temporary.folder + "/data/sandboxes" : folder;
    options.bridge_address = own_network();
    options.networking = networking;
    options.criu = criu;
    options.own_ids = own_ids;
    auto forked = Spawner::fork(options);
    REQUIRE_MESSAGE(forked, (forked ? "" : forked.error().to_string()));
    spawner = std::move(*forked);
    pool = std::make_unique<async::Pool>(1);
    REQUIRE(spawner->attach(loop, *pool));
    run(spawner->prepare());
  }
  ~House() {
    if (spawner) {
      run(spawner->shut_down());
    }
  }
  House(const House&) = delete;
  House& operator=(const House&) = delete;

  SandboxSpec spec(std::vector<std::string> argv) {
    SandboxSpec spec;
    spec.id = model::ContainerId("ta-" + std::to_string(++count_));
    spec.layers = {temporary.root};
    spec.argv = std::move(argv);
    spec.argv.insert(spec.argv.begin(), "probe");
    spec.env = {"PATH=/usr/bin:/bin"};
    spec.hostname = "tester";
    spec.network = options.networking == Networking::on ? SandboxSpec::Network::bridge
                                                        : SandboxSpec::Network::none;
    return spec;
  }

  // As the Fleet does: a machine that is busy cannot always stop all processes in a moment.
  void freeze(Sandbox& sandbox) {
    for (int tries = 0;; ++tries) {
      const Result<void> frozen = loop.run_task(sandbox.freeze());
      if (frozen) {
        return;
      }
      REQUIRE_MESSAGE((frozen.error().code() == Code::deadline_exceeded && tries < 100),
                      frozen.error().to_string());
      run(async::sleep_for(20ms));
    }
  }

  template <class T>
  T run(async::Task<T> task) {
    auto result = loop.run_task(std::move(task));
    REQUIRE_MESSAGE(result, (result ? "" : result.error().to_string()));
    if constexpr (!std::is_void_v<T>) {
      return std::move(*result);
    }
  }

  std::unique_ptr<Sandbox> start(SandboxSpec spec) { return run(spawner->start(std::move(spec))); }

  Output finish(Sandbox& sandbox) { return run(drain(loop, sandbox)); }

  // Starts, reads everything, waits, removes.
  Output run_to_end(SandboxSpec spec) {
    auto sandbox = start(std::move(spec));
    Output output = finish(*sandbox);
    run(sandbox->remove());
    return output;
  }
  std::string out_of(std::vector<std::string> argv) {
    return run_to_end(spec(std::move(argv))).out;
  }

  // The first line that a running sandbox prints.
  std::string first_output(Sandbox& sandbox) {
    auto piece = run(sandbox.read_stdout());
    return piece ? *piece : "";
  }

  Temporary temporary;
  SpawnerOptions options;
  async::Loop loop;
  std::unique_ptr<async::Pool> pool;
  std::unique_ptr<Spawner> spawner;

 private:
  static async::Task<void> read_errors(Sandbox& sandbox, std::string& into) {
    while (true) {
      THAW_CO_TRY(auto piece, co_await sandbox.read_stderr());
      if (!piece) {
        co_return ok();
      }
      into += *piece;
    }
  }
  static async::Task<Output> drain(async::Loop& loop, Sandbox& sandbox) {
    Output output;
    async::TaskGroup tasks(loop);
    tasks.start("stderr", read_errors(sandbox, output.err));
    while (true) {
      THAW_CO_TRY(auto piece, co_await sandbox.read_stdout());
      if (!piece) {
        break;
      }
      output.out += *piece;
    }
    THAW_CO_TRY_VOID(co_await tasks.join(Instant::max()));
    THAW_CO_TRY(output.status, co_await sandbox.wait());
    co_return output;
  }

  int count_ = 0;
};

}  // namespace thaw::sandbox::testing
