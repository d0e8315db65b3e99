// SPDX-License-Identifier: Apache-2.0
//
// ClientPackages: the client's own package and its dependencies, laid out as folders that
// containers mount, per client version and Python series. Built on first use from the package
// index by tools/client-mounts (which is compiled into this program) and kept in the cache folder.
// Whoever may call names a version, real or made up, and each costs a program on this host: they
// run on threads of their own, one at a time for each workspace, within a time limit; what could
// not be had is remembered for a while. Loop thread.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "thaw/async/blocking.h"
#include "thaw/async/event.h"
#include "thaw/async/task.h"
#include "thaw/model/ids.h"

namespace thaw::dialect::modal {

struct ClientFolders {
  // Sources of launch plans ("package:…", by their paths in the cache folder).
  std::string package;       // to mount at /pkg
  std::string dependencies;  // to mount at /__modal/deps; empty: it has none
  // Locks that say they are in use: of the many in the cache folder those that nobody holds may go.
  std::shared_ptr<const void> in_use = nullptr;
};

struct ClientPackageLimits {
  Duration one_layout = std::chrono::minutes(5);
  Duration remember_failure = std::chrono::minutes(2);
  std::size_t failures = 256;               // remembered
  std::size_t versions_per_workspace = 16;  // that are waited for
  // That wait, most of them for one version: an app asks once for each of its functions.
  std::size_t requests_per_workspace = 5000;
  std::size_t layouts = 256;  // of one server; each is some 30 MB in the cache folder
};

class ClientPackages {
 public:
  // Lays out one version for one Python; on a thread of its own, until `stop`.
  using Layout = std::function<Result<ClientFolders>(
      const std::string& version, const std::string& python, const std::atomic<bool>& stop)>;

  // Runs tools/client-mounts into `folder`.
  explicit ClientPackages(const std::string& folder, ClientPackageLimits limits = {});
  ClientPackages(Layout layout, ClientPackageLimits limits);
  ~ClientPackages();
  // Ends the layouts that run, as failures.
  void stop() { stop_ = true; }

  // Makes sure that `version` can be had at all (for the default Python).
  async::Task<void> ensure(model::WorkspaceId workspace, std::string version);
  // invalid_argument: no version of a client; unavailable: it cannot be had, or could not be a
  // moment ago; resource_exhausted: this workspace waits for too many versions, or too often.
  async::Task<ClientFolders> folders(model::WorkspaceId workspace, std::string version,
                                     std::string python);

 private:
  struct Failure {
    Instant until{};
    Error error;
  };
  struct Waiting {
    std::map<std::string, std::size_t> requests_for;  // by version and Python
    std::size_t requests = 0;
  };
  void remember(const std::string& key, const Error& error);
  Result<void> admit(const model::WorkspaceId& workspace, const std::string& key) const;
  void begin_to_wait(const model::WorkspaceId& workspace, const std::string& key);
  void end_to_wait(const model::WorkspaceId& workspace, const std::string& key);

  Layout layout_;
  ClientPackageLimits limits_;
  std::map<std::string, ClientFolders> ready_;
  std::map<std::string, Failure> failures_;
  std::set<std::string> building_;
  std::set<model::WorkspaceId> busy_;  // one layout each
  std::map<model::WorkspaceId, Waiting> waiting_;
  async::Event built_;
  std::atomic<bool> stop_ = false;
  async::Pool threads_{4};  // they wait for the network
};

}  // namespace thaw::dialect::modal
