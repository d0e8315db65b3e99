// SPDX-License-Identifier: Apache-2.0
//
// SnapshotStore: checkpoints of main programs, at most one per function (and per set of class
// parameters: those have functions of their own; and per version, if its key names that too), found
// by a key that changes with anything a restore depends on. A snapshot's name is the digest of its
// manifest, and the manifest has the digest of its folders; it belongs to one workspace and is
// found by no other.
//
// Checked in full when it is made and at its first use after the server's start, afterwards by the
// signature of its folders (no file is read). What does not match is retired: found no more, and
// removed as soon as no container is built on its files. When one was last used is kept, to the
// hour, as the time of its manifest. Loop thread; I/O on the pool.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "thaw/async/blocking.h"
#include "thaw/async/event.h"
#include "thaw/async/task.h"
#include "thaw/base/time.h"
#include "thaw/sandbox/sandbox.h"

namespace thaw::snapshot {

struct SnapshotKey {
  std::string workspace;
  std::string function;
  std::string digest;  // of everything a restored container depends on
};

// Held by whoever uses its files: they stay for as long.
struct Snapshot {
  std::string id;
  SnapshotKey key;
  std::string folder;
  sandbox::Checkpoint checkpoint;
  std::uint64_t bytes = 0;
  WallTime created{};
  std::string images() const { return folder + "/images"; }
  std::string upper() const { return folder + "/upper"; }
};
using SnapshotPtr = std::shared_ptr<const Snapshot>;

struct SnapshotLimits {
  std::uint64_t bytes = std::uint64_t{20} << 30;      // of all of them; the least used go first
  std::uint64_t free_bytes = std::uint64_t{1} << 30;  // of the disk, that stay free
  Duration unused = 14 * 24h;                         // after which one goes
  int failures = 3;                                   // restores in a row
};

class SnapshotStore {
 public:
  // Removes what is left of unfinished snapshots and those of another `machine`.
  static Result<std::unique_ptr<SnapshotStore>> open(async::Pool& pool, std::string folder,
                                                     std::string machine, SnapshotLimits limits);

  // A folder with an empty "images", to be committed or abandoned. resource_exhausted when the disk
  // or the limit has no room for that much.
  Result<std::string> begin(std::uint64_t expected_bytes);
  // Adds it; one of the same function with another key is retired.
  async::Task<SnapshotPtr> commit(std::string staging, SnapshotKey key,
                                  sandbox::Checkpoint checkpoint);
  async::Task<void> abandon(std::string staging);
  // What commit() would add, for a trial before it: find() does not. Its files are the staging's,
  // and so is its name.
  Result<SnapshotPtr> preview(const std::string& staging, SnapshotKey key,
                              sandbox::Checkpoint checkpoint);
  // The name of a folder of begin(), by which others hear of it, and the folder of such a name
  // (invalid_argument: it is none).
  static std::string name_of(const std::string& staging);
  Result<std::string> staging_of(const std::string& name) const;
  // By its id, or the name of the staging folder that is tried; not_found: it is there no more.
  Result<SnapshotPtr> open(const std::string& name) const;

  bool contains(const SnapshotKey& key) const;
  // One of this function, whatever its key.
  bool has_one_of(const std::string& workspace, const std::string& function) const {
    return entries_.contains({workspace, function});
  }
  // not_found; failed_precondition if the function has one of another key; data_loss if it was
  // damaged (and is retired with that).
  async::Task<SnapshotPtr> find(SnapshotKey key);
  // How a restore went: `failures` in a row retire it.
  void succeeded(const Snapshot& snapshot);
  void failed(const Snapshot& snapshot);
  void retire(const Snapshot& snapshot, const std::string& why);
  // Those of the functions for which this holds, whatever their keys; whether there was one.
  bool retire_if(const std::function<bool(const std::string& function)>& goes,
                 const std::string& why);
  // Removes what is retired and no longer used, what was not used for long, what is too much.
  async::Task<void> collect();
  // Checks all that were not looked at since the start, one by one.
  async::Task<void> check_all();

  std::size_t size() const { return entries_.size(); }
  std::uint64_t bytes() const;

 private:
  struct Entry {
    std::shared_ptr<const Snapshot> snapshot;
    std::string images_digest;
    std::string upper_digest;
    std::string signature;  // empty: not checked since the start
    Instant used{};
    Instant noted{};  // the use that the manifest's time tells of
    int failures = 0;
    bool checking = false;
  };
  using Name = std::pair<std::string, std::string>;  // workspace, function

  SnapshotStore(async::Pool& pool, std::string folder, std::string machine, SnapshotLimits limits)
      : pool_(pool), folder_(std::move(folder)), machine_(std::move(machine)), limits_(limits) {}
  void load();
  void retire(const Name& name, const std::string& why);
  async::Task<void> check(Name name);

  async::Pool& pool_;
  std::string folder_;
  std::string machine_;
  SnapshotLimits limits_;
  std::map<Name, Entry> entries_;
  std::vector<std::shared_ptr<const Snapshot>> retired_;
  std::map<std::string, std::weak_ptr<const Snapshot>> previews_;  // by id
  async::Event checked_;
  std::uint64_t next_staging_ = 0;
};

}  // namespace thaw::snapshot
