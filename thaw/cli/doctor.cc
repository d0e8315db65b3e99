// SPDX-License-Identifier: Apache-2.0
// thaw doctor: what this machine lacks for running containers, each with what to do about it.
#include <sys/utsname.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "thaw/cli/admin_client.h"
#include "thaw/cli/running_servers.h"
#include "thaw/cli/table.h"

namespace thaw::cli {

namespace fs = std::filesystem;

namespace {

struct Finding {
  std::string what;
  enum class State { good, bad, note } state;
  std::string detail;
};

Finding check(std::string what, bool good, std::string detail_good, std::string detail_bad) {
  return {std::move(what), good ? Finding::State::good : Finding::State::bad,
          good ? std::move(detail_good) : std::move(detail_bad)};
}

bool on_path(const std::string& program) {
  for (const char* folder :
       {"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}) {
    if (::access((std::string(folder) + "/" + program).c_str(), X_OK) == 0) {
      return true;
    }
  }
  return false;
}

bool file_has_word(const char* path, const std::string& word) {
  std::ifstream in(path);
  std::string token;
  while (in >> token) {
    if (token == word) {
      return true;
    }
  }
  return false;
}

// Everything else works without, so its lack is no fault.
Finding memory_snapshots() {
  const std::string program = "/usr/local/lib/thaw/criu/criu";
  const std::string what = "memory snapshots";
  if (::access(program.c_str(), X_OK) != 0) {
    return {what, Finding::State::note, "off: " + program + " is missing; run tools/criu"};
  }
  // Its scratch descriptor does not exist here: it only keeps no cache then.
  if (::geteuid() == 0 &&
      // NOLINTNEXTLINE(bugprone-command-processor): the command is fixed
      std::system((program + " check --no-default-config >/dev/null 2>&1").c_str()) != 0) {
    return {what, Finding::State::note, "off: `" + program + " check` says why not"};
  }
  return {what, Finding::State::good, "criu is installed and finds what it needs"};
}

// The kernel loads the module with the first mount, so an idle machine may not have it yet.
Finding overlayfs() {
  if (file_has_word("/proc/filesystems", "overlay")) {
    return {"overlayfs", Finding::State::good, "yes"};
  }
  utsname kernel{};
  ::uname(&kernel);
  const fs::path folder = fs::path("/lib/modules") / kernel.release / "kernel/fs/overlayfs";
  std::error_code absent;
  const bool module = !fs::is_empty(folder, absent) && !absent;
  return check("overlayfs", module, "a module, loaded with the first container",
               "the kernel has no overlayfs; load it with `modprobe overlay`");
}

// The networks of a workspace's containers belong to one.
Finding user_namespaces() {
  std::ifstream in("/proc/sys/user/max_user_namespaces");
  long most = 0;
  return check("user namespaces", static_cast<bool>(in >> most) && most > 0, "yes",
               "off; switch them on with `sysctl user.max_user_namespaces=15000`");
}

// Without, everything works but programs that change their user, and the kernel's limits for a user
// are shared with the machine's root.
Finding own_ids(const std::function<std::string()>& lacks) {
  if (::geteuid() != 0) {
    return {"user ids of their own", Finding::State::note, "only root can tell"};
  }
  const std::string why = lacks();
  if (why.empty()) {
    return {"user ids of their own", Finding::State::good, "each container has a range of them"};
  }
  return {"user ids of their own", Finding::State::note,
          "off: containers are root of this machine with few powers, and programs in them cannot "
          "change their user; " +
              why};
}

// What a running server could not read of what it had stored.
std::optional<Finding> set_aside(const RunningServer& server) {
  Where where;
  where.data = server.data;
  const auto counts = ask_server(where, {"GET", "/admin/aside", ""});
  if (!counts || !counts->is_object() || counts->empty()) {
    return std::nullopt;
  }
  std::string what;
  for (const auto& [table, count] : counts->items()) {
    what += (what.empty() ? "" : ", ") + table + ": " + count.dump();
  }
  return Finding{"records in " + server.data, Finding::State::note,
                 "some could not be read and lie aside in the table set_aside (" + what +
                     "); the log says what they were"};
}

// What a start could not remove is tried again at each start.
Finding left_overs(const RunningServer& server) {
  const std::string folder = server.data + "/sandboxes/set-aside";
  std::error_code error;
  const auto count = std::distance(fs::directory_iterator(folder, error), fs::directory_iterator());
  return check("left-overs of " + server.data, error || count == 0, "none",
               std::to_string(count) + " in " + folder +
                   " are being removed or cannot be (the server's log says why); look for mounts "
                   "and immutable files, and remove them by hand");
}

// Of each server that is asked for: what it has lost, and what it cannot remove.
void examine_servers(const std::string& data, std::vector<Finding>& findings) {
  std::vector<RunningServer> servers = running_servers();
  if (!data.empty()) {
    const auto one = find_server(data);
    servers.clear();
    if (!one) {
      findings.push_back({"server of " + data, Finding::State::note, one.error().message()});
      findings.push_back(left_overs({.data = data}));
      return;
    }
    servers.push_back(*one);
  }
  findings.push_back({"servers running", Finding::State::note, std::to_string(servers.size())});
  for (const RunningServer& server : servers) {
    if (auto lost = set_aside(server)) {
      findings.push_back(std::move(*lost));
    }
    findings.push_back(left_overs(server));
  }
}

std::vector<Finding> examine(const std::string& data,
                             const std::function<std::string()>& lacks_own_ids) {
  std::vector<Finding> findings;
  findings.push_back(
      check("running as root", ::geteuid() == 0, "yes", "containers need root; run with sudo"));
  const bool v2 = fs::exists("/sys/fs/cgroup/cgroup.controllers");
  const bool v1 = fs::exists("/sys/fs/cgroup/memory") || fs::exists("/sys/fs/cgroup/pids");
  findings.push_back(check("cgroups", v1 || v2, v2 ? "v2" : "v1",
                           "no controllers under /sys/fs/cgroup; mount cgroup2 there"));
  findings.push_back(overlayfs());
  findings.push_back(user_namespaces());
  findings.push_back(own_ids(lacks_own_ids));
  for (const auto& [program, package] :
       {std::pair{"nft", "nftables"}, std::pair{"mmdebstrap", "mmdebstrap"},
        std::pair{"python3", "python3"}}) {
    findings.push_back(check(std::string("program ") + program, on_path(program), "found",
                             std::string("missing; `apt-get install ") + package + "`"));
  }
  findings.push_back(memory_snapshots());
  findings.push_back(
      {"GPU", Finding::State::note,
       fs::exists("/dev/nvidia0") ? "/dev/nvidia0" : "none; see [gpu] when_missing"});
  examine_servers(data, findings);
  return findings;
}

}  // namespace

int diagnose(const Where& where, const std::function<std::string()>& lacks_own_ids) {
  int bad = 0;
  std::vector<TableRow> rows;
  codec::Json json = codec::Json::array();
  for (const Finding& finding : examine(where.data, lacks_own_ids)) {
    const char* state = finding.state == Finding::State::good  ? "ok"
                        : finding.state == Finding::State::bad ? "MISSING"
                                                               : "-";
    bad += finding.state == Finding::State::bad ? 1 : 0;
    rows.push_back({finding.what, state, finding.detail});
    json.push_back({{"check", finding.what}, {"state", state}, {"detail", finding.detail}});
  }
  if (where.output == Output::json) {
    std::printf("%s\n", json.dump(2).c_str());
  } else {
    std::fputs(aligned_table({"CHECK", "STATE", "DETAIL"}, rows).c_str(), stdout);
  }
  return bad == 0 ? 0 : 1;
}

int show_version(Output output) {
  std::printf(output == Output::json ? "{\"version\": \"%s\"}\n" : "thaw %s\n", THAW_VERSION);
  return 0;
}

}  // namespace thaw::cli
