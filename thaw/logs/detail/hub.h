// SPDX-License-Identifier: Apache-2.0
//
// Hub: the LogHub on its streams in memory and their tables. A line is in its stream's tail from
// the moment it is appended; readers see it once it is written (or could not be). One task writes
// batches, in which every stream has its turn, and cuts streams between two of them. Its parts are
// in three files: log_hub.cc (streams come and go), hub_writing.cc, hub_reading.cc. Loop thread.
#pragma once

#include <deque>
#include <list>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "thaw/async/task_group.h"
#include "thaw/logs/detail/log_tables.h"
#include "thaw/logs/log_hub.h"

namespace thaw::logs::detail {

// With so much that is not on disk yet, writers wait; with three times as much, lines are dropped.
constexpr std::size_t unwritten_per_stream = 2u << 20;
constexpr std::size_t unwritten_in_all = 32u << 20;
// Who has less than this never waits for others.
constexpr std::size_t small_share = 64u << 10;

struct Stream {
  std::int64_t id = 0;
  std::string name;
  std::uint64_t last_number = 0;
  std::uint64_t written = 0;      // readers see lines up to here
  std::uint64_t memory_from = 1;  // lines from here on are in `tail`
  std::deque<LinePointer> tail;
  std::size_t tail_bytes = 0;
  std::size_t unwritten_bytes = 0;
  std::uint64_t disk_bytes = 0;
  std::uint64_t dropped_lines = 0;
  std::uint64_t dropped_bytes = 0;
  bool ended = false;
  bool waits = false;  // in the list of streams that have something to write
  int in_batches = 0;  // that are on their way to the disk
  int readers = 0;     // tasks that hold it across a wait

  bool busy() const { return waits || in_batches > 0 || readers > 0 || written < last_number; }
  async::Event changed;
  std::list<Stream*>::iterator place;
};

// Keeps a stream where it is while a task reads it.
class Reading {
 public:
  Reading(Stream& stream, std::shared_ptr<bool> alive) : stream_(stream), alive_(std::move(alive)) {
    ++stream_.readers;
  }
  Reading(const Reading&) = delete;
  Reading& operator=(const Reading&) = delete;
  ~Reading() {
    if (*alive_) {
      --stream_.readers;
    }
  }

 private:
  Stream& stream_;
  std::shared_ptr<bool> alive_;
};

class Hub final : public LogHub {
 public:
  Hub(async::Loop& loop, store::Database& database, HubLimits limits)
      : database_(database), limits_(limits), tasks_(loop) {}
  ~Hub() override;
  Result<void> load();

  void append(const std::string& name, Line line) override;
  async::Task<void> wait_for_room(std::string name, Duration patience) override;
  void end(const std::string& name) override;
  bool ended(const std::string& name) const override;
  async::Task<void> erase(std::string name) override;
  std::vector<std::string> streams() const override;
  async::Task<std::vector<Line>> follow(std::string name, std::uint64_t after, std::size_t max,
                                        Instant deadline) override;
  async::Task<std::vector<Line>> find(std::string name, Query query) override;
  std::uint64_t last_number(const std::string& name) const override;
  std::vector<StreamUse> uses() const override;
  void trim(const std::string& name, std::uint64_t bytes) override;

 private:
  Stream& stream_of(const std::string& name);
  Stream& make_stream(std::string name);
  void push(Stream& stream, Line line);
  void report_dropped(Stream& stream);
  void trim(Stream& stream, std::size_t most_lines, std::size_t most_bytes);
  void trim_all();
  void to_write(Stream& stream);
  Batch take_batch();
  void written(const Batch& batch);
  static async::Task<void> write_all(Hub& self, std::shared_ptr<bool> alive);
  static async::Task<void> trim_one(Hub& self, std::shared_ptr<bool> alive);
  void begin_writing();
  bool has_room(const Stream& stream) const {
    return stream.unwritten_bytes <= small_share ||
           (stream.unwritten_bytes <= unwritten_per_stream && unwritten_bytes_ <= unwritten_in_all);
  }
  static std::vector<Line> from_memory(const Stream& stream, std::uint64_t after, std::size_t max);
  static void tell_gap(std::vector<Line>& lines, std::uint64_t after, std::size_t max);

  store::Database& database_;
  HubLimits limits_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::unordered_map<std::string, std::unique_ptr<Stream>> streams_;
  std::unordered_map<std::int64_t, Stream*> by_id_;
  std::int64_t next_id_ = 1;
  std::list<Stream*> used_;  // the longest unused first
  std::size_t memory_bytes_ = 0;
  std::size_t unwritten_bytes_ = 0;
  std::deque<Stream*> to_write_;
  std::deque<std::pair<std::int64_t, std::uint64_t>> to_trim_;  // stream, and what it may take
  bool writing_ = false;
  std::uint64_t batches_ = 0;   // that were written
  std::uint64_t failures_ = 0;  // of batches, in a row
  async::Event room_;
  async::TaskGroup tasks_;
};

}  // namespace thaw::logs::detail
