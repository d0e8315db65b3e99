// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/server.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <utility>

namespace thaw::sim {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t largest_inline_bytes = 40;

template <class T>
T must(Result<T> result, const char* what) {
  if (!result) {
    std::fprintf(stderr, "sim: %s: %s\n", what, result.error().to_string().c_str());
    std::abort();
  }
  return std::move(*result);
}

std::vector<store::Migration> all_migrations() {
  std::vector<store::Migration> all = catalog::migrations();
  for (const auto& more : {queue::migrations(), logs::migrations(),
                           control::measurement_migrations(), store::blob_migrations()}) {
    all.insert(all.end(), more.begin(), more.end());
  }
  return all;
}

}  // namespace

Server::Server(async::VirtualTime& virtual_time, std::string folder, Dice& dice, Judge& the_judge,
               Receivers& receivers, ContainerFaults& faults, control::FleetOptions options)
    : time(virtual_time),
      judge(the_judge),
      worker(loop, dice, the_judge, faults),
      folder_(std::move(folder)) {
  judge.server_starts();
  fs::create_directories(folder_);
  snapshot::SnapshotLimits limits;
  limits.free_bytes = 0;
  snapshots =
      must(snapshot::SnapshotStore::open(pool, folder_ + "/snapshots", "sim", limits), "snapshots");
  store::DatabaseOptions database_options;
  database_options.path = folder_ + "/server.db";
  database_options.migrations = all_migrations();
  database_options.readers = 1;
  database = std::make_unique<store::testing::FaultyDatabase>(
      must(store::Database::open(loop, std::move(database_options)), "database"),
      [this, &dice] { return full > 0 && dice.chance(full); });
  catalog = must(catalog::Catalog::open(*database), "catalog");
  // What is on disk of them outlives a kill: only who owns what is in the database.
  shares.emplace(folder_, store::DiskLimits{.bytes_per_owner = 0, .reserve_bytes = 0});
  store::BlobOptions blob_options;
  blob_options.folder = (fs::path(folder_).parent_path() / "blobs").string();
  blobs = must(store::BlobStore::open(pool, *database, *shares, blob_options), "blobs");
  // So that some payloads are blobs, and others are not.
  queue::QueueLimits queue_limits;
  queue_limits.largest_inline_bytes = largest_inline_bytes;
  queue =
      must(queue::CallQueue::open(loop, *database, queue_limits, nullptr, blobs.get()), "queue");
  logs = must(logs::LogHub::open(loop, *database, {}), "logs");
  measurements = must(control::Measurements::open(database.get()), "measurements");
  worker.queue = queue.get();
  worker.snapshots = snapshots.get();
  worker.most = options.max_containers;
  auto no_secrets = [](const model::Secret&) -> Result<std::vector<std::string>> {
    return std::vector<std::string>{};
  };
  fleet = std::make_unique<control::Fleet>(
      control::FleetParts{loop, *catalog, *queue, images, worker, folders, folders, *logs, runtime,
                          no_secrets, *measurements, snapshots.get(), &ledger},
      options);
  worker.fleet = fleet.get();
  receivers.is_dead = &is_dead;
  callbacks = std::make_unique<gateway::CallbackLoop>(gateway::CallbackLoopParts{
      loop, *queue, receivers, pool,
      [&receivers](const std::string& name) -> gateway::CallbackDialect* {
        return name == "sim" ? &receivers : nullptr;
      },
      [&dice] { return static_cast<double>(dice.between(0, 1'000)) / 1'000; }});
  outside = std::make_unique<async::TaskGroup>(loop);
}

Server::~Server() {
  outside.reset();
  callbacks.reset();
  fleet.reset();
  snapshots.reset();
  measurements.reset();
  logs.reset();
  queue.reset();
  blobs.reset();
  catalog.reset();
  database.reset();
}

bool Server::await(async::Task<void> task, Duration at_most) {
  async::TaskGroup group(loop);
  group.start("awaited", std::move(task));
  const Instant give_up = time.now() + at_most;
  while (group.size() > 0 && time.now() < give_up) {
    time.run(loop, time.now() + 50ms);
  }
  return group.size() == 0;
}

void Server::copy_files(const std::string& folder) const {
  std::error_code ignored;
  fs::remove_all(folder, ignored);
  fs::copy(folder_, folder, fs::copy_options::recursive, ignored);
  // Files have real times: those that matter become ones of this world.
  const fs::file_time_type now = std::chrono::file_clock::from_sys(time.wall());
  for (const auto& entry : fs::recursive_directory_iterator(folder + "/snapshots", ignored)) {
    if (entry.is_regular_file()) {
      fs::last_write_time(entry.path(), now, ignored);
    }
  }
}

void Server::kill(const std::string& folder) {
  copy_files(folder);
  is_dead = true;
  end(Duration::zero());
}

void Server::stop(const std::string& folder) {
  end(10s);
  copy_files(folder);
}

// Whoever pays for what: together it is what all containers lived, but for less than a microsecond
// of each.
void Server::judge_ledger(Duration lived) {
  for (const std::string& broken : ledger.check()) {
    judge.blame("the ledger: " + broken);
  }
  std::int64_t us = 0;
  for (const auto& [id, span] : ledger.spans) {
    // What is made of them for a snapshot is in the ledger alone.
    us += span.facts.cause == meter::Cause::snapshot ? 0 : span.totals.life_us();
    if (span.life != meter::Life::over) {
      judge.blame("the span of " + id.str() + " goes on, and its server has ended");
    }
  }
  const Duration missing = lived - std::chrono::microseconds(us);
  if (missing < Duration::zero() || missing > std::chrono::microseconds(ledger.spans.size() + 1)) {
    judge.blame("containers lived for " + std::to_string(to_seconds(lived)) +
                " s, and all spans are " + std::to_string(us) + " us");
  }
}

void Server::end(Duration grace) {
  full = 0;
  if (is_dead) {
    worker.is_off = true;
    for (const auto& [id, container] : std::map(worker.living)) {
      container->die({});
    }
  }
  const bool left = await(outside->stop(), 1min) && await(callbacks->stop(), 1min) &&
                    await(worker.hindrances.stop(), 1min);
  const bool ended = await(fleet->shut_down(time.now() + grace), 10min);
  if (!left || !ended) {
    judge.blame("the server does not end when it is told to");
    std::printf("seed %llu is at fault:\n  %s\n", static_cast<unsigned long long>(current_seed),
                judge.faults().back().c_str());
    std::fflush(stdout);
    std::_Exit(1);  // its objects cannot be taken down
  }
  Duration sum{};
  for (const auto& [status, in_it] : fleet->container_times()) {
    sum += in_it;
  }
  if (sum != worker.lived) {
    judge.blame("containers lived for " + std::to_string(to_seconds(worker.lived)) +
                " s, and the ledger has " + std::to_string(to_seconds(sum)) + " s");
  }
  judge_ledger(sum);
  time.run(loop, time.now() + 1s);  // writes that nobody waits for
  database->close();
}

}  // namespace thaw::sim
