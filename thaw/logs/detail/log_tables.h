// SPDX-License-Identifier: Apache-2.0
//
// The tables of logs.db and what is done with them. Each function runs inside a transaction of the
// caller, on a database thread; lines are shared with the hub and never change.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "thaw/logs/log_hub.h"
#include "thaw/store/database.h"
#include "thaw/store/set_aside.h"

namespace thaw::logs::detail {

struct StoredStream {
  std::int64_t id = 0;
  std::string name;
  std::uint64_t last_number = 0;
  bool ended = false;
  std::uint64_t bytes = 0;
};

using LinePointer = std::shared_ptr<const Line>;

struct Batch {
  struct Part {
    StoredStream stream;  // `bytes` before this batch
    std::vector<LinePointer> lines;
  };
  std::vector<Part> parts;
};

// What a line counts for on disk and in memory.
inline std::size_t cost(const Line& line) {
  return line.text.size() + line.container.size() + line.function.size() + line.call.size() +
         line.input.size() + 64;
}

struct StoredStreams {
  std::vector<StoredStream> good;
  std::vector<store::Unreadable> bad;
  std::int64_t next_id = 1;  // no line has a stream of it or beyond
};

// Of a stream that says less than its lines do, what these say counts: no number is used twice.
Result<StoredStreams> load_streams(store::Transaction& transaction);
Result<void> erase_stream(store::Transaction& transaction, std::int64_t stream);
// Stores the lines and drops the oldest ones of streams past `stream_bytes`; `bytes` of each part
// is brought up to date.
Result<void> store_batch(store::Transaction& transaction, Batch& batch, std::size_t stream_bytes);
// The stream's oldest lines go until the others take at most so much; what they take then.
Result<std::uint64_t> trim_stream(store::Transaction& transaction, std::int64_t stream,
                                  std::uint64_t bytes, std::uint64_t most);
Result<std::vector<Line>> select_lines(store::Transaction& transaction, std::int64_t stream,
                                       const Query& query, std::size_t most_bytes);

std::vector<store::Migration> log_migrations();

}  // namespace thaw::logs::detail
