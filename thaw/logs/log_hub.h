// SPDX-License-Identifier: Apache-2.0
//
// LogHub: what containers and image builds print, per stream (an app's id, an image's id):
// ordered, bounded, replayed from any point and followed live. The last part of each stream is in
// memory; all of it, up to a byte limit per stream, is in DATA/logs.db (NORMAL sync: the last
// moment may be lost by a power cut, never by a crash of the process). Loop thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "thaw/async/event.h"
#include "thaw/async/loop.h"
#include "thaw/store/database.h"

namespace thaw::logs {

enum class Channel : std::uint8_t { out = 1, err = 2, info = 3 };

struct Line {                // a piece of output: usually one line, its newline included
  std::uint64_t number = 0;  // from 1 per stream, rising; gaps where old lines were dropped
  WallTime time{};
  Channel channel = Channel::out;
  std::string container;  // ids as text; empty where unknown
  std::string function;
  std::string call;
  std::string input;
  std::string text;  // valid UTF-8 (bad bytes are replaced on the way in)
};

struct Query {
  std::uint64_t after = 0;
  std::optional<WallTime> since;
  std::optional<WallTime> until;
  std::string container, function, call;  // empty: any
  std::string contains;
  std::size_t limit = 1000;
  enum class Order { oldest_first, newest_first } order = Order::oldest_first;
};

struct HubLimits {
  std::size_t memory_lines = 2'000;      // per stream
  std::size_t stream_bytes = 64u << 20;  // on disk, per stream; the oldest go first
  std::size_t line_bytes = 64u << 10;    // longer ones are split
};

struct StreamUse {
  std::string stream;
  std::uint64_t bytes = 0;
};

std::vector<store::Migration> migrations();

class LogHub {
 public:
  static Result<std::unique_ptr<LogHub>> open(async::Loop& loop, store::Database& database,
                                              HubLimits limits);
  virtual ~LogHub() = default;

  // Never waits. Far past the bound of what is not stored yet, a line is dropped, and a line says
  // so: who prints much calls wait_for_room() before each.
  virtual void append(const std::string& stream, Line line) = 0;
  // While the stream, or all together, are ahead of the disk. Of a disk that stores nothing it
  // despairs after `patience`: what prints must not hang with it.
  virtual async::Task<void> wait_for_room(std::string stream, Duration patience) = 0;
  // Ends a stream: followers see `ended` after its last line. append() after it reopens.
  virtual void end(const std::string& stream) = 0;
  virtual bool ended(const std::string& stream) const = 0;
  // Forgets a stream and its lines, for one that nobody can name any more. failed_precondition
  // while it is written or read: try again later.
  virtual async::Task<void> erase(std::string stream) = 0;
  virtual std::vector<std::string> streams() const = 0;

  // Lines numbered > query.after, waiting until there is one, the stream ends, or `deadline`. Where
  // the next ones are not kept any more, the first line says how many.
  virtual async::Task<std::vector<Line>> follow(std::string stream, std::uint64_t after,
                                                std::size_t max, Instant deadline) = 0;
  virtual async::Task<std::vector<Line>> find(std::string stream, Query query) = 0;
  virtual std::uint64_t last_number(const std::string& stream) const = 0;

  // What each stream takes on disk.
  virtual std::vector<StreamUse> uses() const = 0;
  // Its oldest lines go soon, until the others take so much at most.
  virtual void trim(const std::string& stream, std::uint64_t bytes) = 0;
};

}  // namespace thaw::logs
