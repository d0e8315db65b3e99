// SPDX-License-Identifier: Apache-2.0
//
// Server: one life of a server's heart in virtual time: the real catalog, queue, log, database and
// Fleet, on a worker and folders that are simulated. Its data folder outlives it.
#pragma once

#include <memory>
#include <string>

#include "tests/sim/container.h"
#include "tests/sim/receivers.h"
#include "thaw/async/virtual_time.h"
#include "thaw/catalog/catalog.h"
#include "thaw/control/fleet.h"
#include "thaw/control/measurements.h"
#include "thaw/control/runtime.h"
#include "thaw/gateway/callback_loop.h"
#include "thaw/image/testing/fake_builder.h"
#include "thaw/logs/log_hub.h"
#include "thaw/meter/testing/fake_ledger.h"
#include "thaw/queue/call_queue.h"
#include "thaw/snapshot/snapshot_store.h"
#include "thaw/store/testing/faulty_database.h"
#include "thaw/worker/testing/fake_folders.h"

namespace thaw::sim {

// For what is said when a simulation cannot go on.
inline std::uint64_t current_seed = 0;

// A dialect whose programs say that they are at their snapshot point, if they have one.
class SimRuntime final : public control::Runtime {
 public:
  async::Task<void> complete_plan(std::shared_ptr<const model::FunctionSpec> spec,
                                  worker::LaunchPlan& plan) override {
    if (spec->snapshot_at == model::SnapshotAt::asked) {
      plan.snapshot_point = worker::SnapshotPoint{worker::restored_signal, "who", plan.id.str()};
    }
    co_return ok();
  }
};

class Server {
 public:
  // `folder` holds what it keeps; made if it is not there.
  Server(async::VirtualTime& time, std::string folder, Dice& dice, Judge& judge,
         Receivers& receivers, ContainerFaults& faults, control::FleetOptions options);
  ~Server();

  // Runs until the task has ended, at most so long; false if it has not.
  bool await(async::Task<void> task, Duration at_most);
  // What `kill -9` leaves of the files is copied to `folder`; then all ends, unheard by anyone.
  void kill(const std::string& folder);
  // As it is told to by SIGTERM; what it leaves is copied too.
  void stop(const std::string& folder);

  async::VirtualTime& time;
  Judge& judge;
  async::Loop loop;
  std::unique_ptr<store::Database> database;
  std::unique_ptr<catalog::Catalog> catalog;
  async::Pool pool{1};  // of no use: time is virtual
  std::optional<store::DiskShares> shares;
  std::unique_ptr<store::BlobStore> blobs;
  std::unique_ptr<queue::CallQueue> queue;
  std::unique_ptr<logs::LogHub> logs;
  std::unique_ptr<control::Measurements> measurements;
  meter::testing::FakeLedger ledger;
  worker::testing::FakeFolders folders;
  image::testing::FakeBuilder images;
  SimRuntime runtime;
  std::unique_ptr<snapshot::SnapshotStore> snapshots;
  SimWorker worker;
  std::unique_ptr<control::Fleet> fleet;
  std::unique_ptr<gateway::CallbackLoop> callbacks;
  int full = 0;                               // the disk: in per cent, of the writes
  std::unique_ptr<async::TaskGroup> outside;  // clients, and what befalls the server
  bool is_dead = false;                       // who hears of it from now on hears nothing

 private:
  void copy_files(const std::string& folder) const;
  void end(Duration grace);
  void judge_ledger(Duration lived);

  std::string folder_;
};

}  // namespace thaw::sim
