// SPDX-License-Identifier: Apache-2.0
//
// LocalWorker: containers on this machine, each in a sandbox. Loop thread only.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "thaw/async/blocking.h"
#include "thaw/async/loop.h"
#include "thaw/logs/log_hub.h"
#include "thaw/net/http_client.h"
#include "thaw/net/server.h"
#include "thaw/snapshot/snapshot_store.h"
#include "thaw/worker/worker.h"

namespace thaw::worker {

class Buckets;
class LocalContainer;
class Kits;
class Sources;
class Templates;

// What it looks things up in; all of it outlives it.
struct LocalWorkerParts {
  Templates& templates;
  const Kits& kits;
  const Sources& sources;
  snapshot::SnapshotStore* snapshots = nullptr;  // none: nothing is restored
  Buckets* buckets = nullptr;                    // none: no container has buckets
};

class LocalWorker final : public Worker {
 public:
  // `run_folder` is short (a socket's path has at most 107 letters), such as /run/thaw/ab12.
  // `client` carries all that is asked of containers' ports, so that what it keeps can be closed.
  LocalWorker(async::Loop& loop, async::Pool& pool, sandbox::Spawner& spawner, net::Server& server,
              net::HttpClient& client, logs::LogHub& logs, LocalWorkerParts parts,
              std::string run_folder);

  async::Task<std::vector<KeptContainer>> take_kept() override;
  async::Task<std::unique_ptr<RunningContainer>> launch(LaunchPlan plan) override;
  async::Task<std::string> identify(std::vector<std::string> sources) override;
  void expect(const LaunchPlan& plan) override;
  bool hasten(const ForkPlan& plan) override;
  Duration processor_time() const override { return spawner_.processor_time(); }
  unsigned processor_count() const override { return worker::processor_count(); }
  Result<MachineProcessors> processors() const override { return machine_processors(); }
  MachineMemory memory() const override { return machine_memory(); }

 private:
  async::Task<void> fork(LocalContainer& container, const LaunchPlan& plan,
                         sandbox::SandboxSpec spec);
  async::Task<void> open_buckets(LocalContainer& container, LaunchPlan& plan,
                                 sandbox::SandboxSpec& spec);
  // Where all that the plan names is.
  Result<void> locate(const LaunchPlan& plan, sandbox::SandboxSpec& spec) const;
  async::Task<void> restore(LocalContainer& container, const LaunchPlan& plan,
                            sandbox::SandboxSpec spec);
  async::Loop& loop_;
  async::Pool& pool_;
  sandbox::Spawner& spawner_;
  net::Server& server_;
  net::HttpClient& client_;
  logs::LogHub& logs_;
  LocalWorkerParts parts_;
  std::string run_folder_;
};

}  // namespace thaw::worker
