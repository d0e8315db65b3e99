// SPDX-License-Identifier: Apache-2.0
#include "thaw/cli/running_servers.h"

#include <signal.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "thaw/codec/fields.h"

namespace thaw::cli {

namespace fs = std::filesystem;

namespace {

constexpr const char* folder = "/run/thaw/ready";

std::string file_of(int pid) { return std::string(folder) + "/" + std::to_string(pid) + ".json"; }

bool lives(int pid) { return pid > 0 && (::kill(pid, 0) == 0 || errno == EPERM); }

}  // namespace

Result<void> announce_server(const RunningServer& server) {
  std::error_code error;
  fs::create_directories(folder, error);
  (void)running_servers();  // the files of those that were killed go
  const std::string path = file_of(server.pid);
  std::ofstream out(path + ".tmp", std::ios::trunc);
  out << codec::dump_json({{"pid", server.pid},
                           {"data", server.data},
                           {"url", server.url},
                           {"started_at", server.started_at}});
  out.close();
  fs::rename(path + ".tmp", path, error);
  if (!out || error) {
    return Error::unavailable(std::string("cannot write to ") + folder);
  }
  return ok();
}

void withdraw_server(int pid) {
  std::error_code error;
  fs::remove(file_of(pid), error);
}

std::vector<RunningServer> running_servers() {
  std::vector<RunningServer> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.path().extension() != ".json") {
      continue;
    }
    std::ifstream in(entry.path());
    const auto json = codec::parse_json(std::string((std::istreambuf_iterator<char>(in)), {}));
    RunningServer server;
    if (json) {
      codec::Fields fields(*json);
      fields.read("pid", server.pid);
      fields.read("data", server.data);
      fields.read("url", server.url);
      fields.read("started_at", server.started_at);
      if (!fields.outcome()) {
        server.pid = 0;
      }
    }
    if (lives(server.pid)) {
      found.push_back(std::move(server));
    } else {
      fs::remove(entry.path(), error);
    }
  }
  std::sort(found.begin(), found.end(),
            [](const auto& a, const auto& b) { return a.started_at > b.started_at; });
  return found;
}

Result<RunningServer> find_server(const std::string& data) {
  std::error_code error;
  const std::string wanted = data.empty() ? "" : fs::weakly_canonical(data, error).string();
  for (const RunningServer& server : running_servers()) {
    if (wanted.empty() || server.data == wanted) {
      return server;
    }
  }
  return Error::not_found(wanted.empty()
                              ? "no thaw server runs on this machine; start one with `thaw serve`"
                              : "no thaw server runs with the data folder " + wanted +
                                    "; start it with `thaw serve --data " + wanted + "`");
}

}  // namespace thaw::cli
