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
#include "thaw/control/testing/plain_runtime.h"
#include "thaw/gateway/callback_loop.h"
#include "thaw/image/testing/fake_builder.h"
#include "thaw/logs/log_hub.h"
#include "thaw/queue/call_queue.h"
#include "thaw/store/testing/faulty_database.h"
#include "thaw/worker/testing/fake_folders.h"

namespace thaw::sim {

// For what is said when a simulation cannot go on.
inline std::uint64_t current_seed = 0;

class Server {
 public:
  // `file` is the database's; made if it is not there.
  Server(async::VirtualTime& time, std::string file, Dice& dice, Judge& judge, Receivers& receivers,
         ContainerFaults& faults, control::FleetOptions options);
  ~Server();

  // Runs until the task has ended, at most so long; false if it has not.
  bool await(async::Task<void> task, Duration at_most);
  // What `kill -9` leaves of the files is copied to `file`; then all ends, unheard by anyone.
  void kill(const std::string& file);
  // As it is told to by SIGTERM; what it leaves is copied too.
  void stop(const std::string& file);

  async::VirtualTime& time;
  Judge& judge;
  async::Loop loop;
  std::unique_ptr<store::Database> database;
  std::unique_ptr<catalog::Catalog> catalog;
  std::unique_ptr<queue::CallQueue> queue;
  std::unique_ptr<logs::LogHub> logs;
  std::unique_ptr<control::Measurements> measurements;
  worker::testing::FakeFolders folders;
  image::testing::FakeBuilder images;
  control::testing::PlainRuntime runtime;
  SimWorker worker;
  std::unique_ptr<control::Fleet> fleet;
  std::unique_ptr<gateway::CallbackLoop> callbacks;
  int full = 0;                               // the disk: in per cent, of the writes
  std::unique_ptr<async::TaskGroup> outside;  // clients, and what befalls the server
  bool is_dead = false;                       // who hears of it from now on hears nothing

 private:
  void copy_files(const std::string& file) const;
  void end(Duration grace);

  std::string file_;
};

}  // namespace thaw::sim
