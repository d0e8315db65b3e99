// SPDX-License-Identifier: Apache-2.0
//
// The servers that run on this machine: one small file each in /run/thaw/ready, written when a
// server is ready and gone with it. A file whose process has ended is ignored and removed.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "thaw/base/result.h"

namespace thaw::cli {

struct RunningServer {
  int pid = 0;
  std::string data;        // absolute path of the data folder
  std::string listens_at;  // host:port of this machine, where its port also takes plain words
  std::string url;
  double started_at = 0;

  std::string admin_socket() const { return data + "/admin.sock"; }
};

Result<void> announce_server(const RunningServer& server);
void withdraw_server(int pid);
// Newest first.
std::vector<RunningServer> running_servers();
// The server of this data folder, or the newest one for an empty path; not_found says what to do.
Result<RunningServer> find_server(const std::string& data);

}  // namespace thaw::cli
