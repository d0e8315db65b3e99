// SPDX-License-Identifier: Apache-2.0
//
// ClientPackages: the client's own package and its dependencies, laid out as folders that
// containers mount, per client version and Python series. Built on first use from the package
// index by tools/client-mounts (which is compiled into this program) and kept in the cache folder.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "thaw/async/blocking.h"
#include "thaw/async/event.h"
#include "thaw/async/task.h"

namespace thaw::dialect::modal {

struct ClientFolders {
  std::string package;       // to mount at /pkg
  std::string dependencies;  // to mount at /__modal/deps
};

class ClientPackages {
 public:
  ClientPackages(async::Pool& pool, std::string folder) : pool_(pool), folder_(std::move(folder)) {}

  // Makes sure that `version` can be had at all (for the default Python).
  async::Task<void> ensure(std::string version);
  // unavailable with the tool's own words when the packages cannot be had.
  async::Task<ClientFolders> folders(std::string version, std::string python);

 private:
  async::Pool& pool_;
  std::string folder_;
  std::map<std::string, ClientFolders> ready_;
  std::map<std::string, bool> building_;
  async::Event built_;
};

}  // namespace thaw::dialect::modal
