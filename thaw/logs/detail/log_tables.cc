// SPDX-License-Identifier: Apache-2.0
#include "thaw/logs/detail/log_tables.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "thaw/codec/utf8.h"

namespace thaw::logs::detail {

using store::Row;
using store::Sql;
using store::Value;

namespace {

// Lines are dropped in lots, so that a full stream does not pay for it with every line.
constexpr std::size_t drop_lot = 8;

// Beyond it counting on would not be exact.
constexpr std::int64_t last_possible_number = std::int64_t{1} << 53;

Line line_of_row(const Row& row) {
  Line line;
  line.number = static_cast<std::uint64_t>(row.integer(0));
  line.time = WallTime(std::chrono::microseconds(row.integer(1)));
  const std::int64_t channel = row.integer(2);
  line.channel = channel >= 1 && channel <= 3 ? static_cast<Channel>(channel) : Channel::info;
  line.container = row.text(3);
  line.function = row.text(4);
  line.call = row.text(5);
  line.input = row.text(6);
  line.text = codec::valid_utf8(row.text(7));
  return line;
}

std::int64_t micros(WallTime time) { return time.time_since_epoch().count(); }

Result<void> drop_oldest(Sql& sql, StoredStream& stream, std::size_t stream_bytes) {
  const std::uint64_t excess = stream.bytes - (stream_bytes - stream_bytes / drop_lot);
  std::uint64_t freed = 0;
  std::int64_t last = 0;
  // In lots of rows, because a query's rows cannot be left before its end.
  while (freed < excess) {
    const std::int64_t before = last;
    THAW_TRY_VOID(sql.each(
        "SELECT number, length(CAST(text AS BLOB)) + length(container) + length(function) + "
        "length(call) + length(input) + 64 FROM lines WHERE stream = ? AND number > ? "
        "ORDER BY number LIMIT 500",
        {stream.id, before}, [&](const Row& row) {
          if (freed < excess) {
            last = row.integer(0);
            freed += static_cast<std::uint64_t>(row.integer(1));
          }
        }));
    if (last == before) {
      // All lines together are less than was counted: the count is damaged, not the log too long.
      stream.bytes = freed;
      return stream.bytes > stream_bytes ? drop_oldest(sql, stream, stream_bytes) : ok();
    }
  }
  THAW_TRY_VOID(sql.run("DELETE FROM lines WHERE stream = ? AND number <= ?", {stream.id, last}));
  stream.bytes -= std::min(stream.bytes, freed);
  return ok();
}

}  // namespace

std::vector<store::Migration> log_migrations() {
  return {{"logs", 1, R"sql(
    CREATE TABLE streams (
      id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, last_number INTEGER NOT NULL,
      ended INTEGER NOT NULL, bytes INTEGER NOT NULL);
    CREATE TABLE lines (
      stream INTEGER NOT NULL, number INTEGER NOT NULL, time_us INTEGER NOT NULL,
      channel INTEGER NOT NULL, container TEXT NOT NULL, function TEXT NOT NULL,
      call TEXT NOT NULL, input TEXT NOT NULL, text TEXT NOT NULL,
      PRIMARY KEY (stream, number)) WITHOUT ROWID;
  )sql"}};
}

Result<StoredStreams> load_streams(Sql& sql) {
  StoredStreams streams;
  std::set<std::string> names;
  THAW_TRY_VOID(sql.each(
      "SELECT id, name, max(CASE typeof(last_number) WHEN 'integer' THEN last_number ELSE 0 END, "
      "coalesce((SELECT max(number) FROM lines WHERE stream = streams.id AND number <= ?), 0)), "
      "ended, bytes FROM streams",
      {last_possible_number}, [&](const Row& row) {
        StoredStream stream;
        stream.id = row.integer(0);
        stream.name = row.text(1);
        const std::int64_t last = row.integer(2);
        stream.last_number = static_cast<std::uint64_t>(last);
        stream.ended = row.integer(3) != 0;
        stream.bytes = static_cast<std::uint64_t>(
            std::clamp<std::int64_t>(row.integer(4), 0, std::int64_t{1} << 40));
        const char* wrong = nullptr;
        if (stream.id <= 0 || stream.id > last_possible_number) {
          wrong = "its id is none";
        } else if (last < 0 || last > last_possible_number) {
          wrong = "its last number is none";
        } else if (stream.name.empty() || !names.insert(stream.name).second) {
          wrong = "it has no name of its own";
        }
        if (wrong == nullptr) {
          streams.next_id = std::max(streams.next_id, stream.id + 1);
          streams.good.push_back(std::move(stream));
        } else {
          streams.bad.push_back({"streams",
                                 {"id", "name", "last_number", "ended", "bytes"},
                                 "id = ?",
                                 {stream.id},
                                 "log stream " + stream.name,
                                 wrong});
        }
      }));
  THAW_TRY_VOID(sql.each(
      "SELECT coalesce(max(stream), 0) FROM lines WHERE stream <= ?", {last_possible_number},
      [&](const Row& row) { streams.next_id = std::max(streams.next_id, row.integer(0) + 1); }));
  return streams;
}

Result<void> erase_stream(Sql& sql, std::int64_t stream) {
  THAW_TRY_VOID(sql.run("DELETE FROM lines WHERE stream = ?", {stream}));
  THAW_TRY_VOID(sql.run("DELETE FROM streams WHERE id = ?", {stream}));
  return ok();
}

Result<void> store_batch(Sql& sql, Batch& batch, std::size_t stream_bytes) {
  for (Batch::Part& part : batch.parts) {
    StoredStream& stream = part.stream;
    for (const LinePointer& line : part.lines) {
      // A hub that is closed while a batch is on its way gives the same lines again.
      THAW_TRY_VOID(sql.run("INSERT OR IGNORE INTO lines VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                            {stream.id, static_cast<std::int64_t>(line->number), micros(line->time),
                             static_cast<std::int64_t>(line->channel), line->container,
                             line->function, line->call, line->input, line->text}));
      stream.bytes += cost(*line);
    }
    if (stream.bytes > stream_bytes) {
      THAW_TRY_VOID(drop_oldest(sql, stream, stream_bytes));
    }
    THAW_TRY_VOID(sql.run(
        "INSERT INTO streams VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
        "last_number = excluded.last_number, ended = excluded.ended, bytes = excluded.bytes",
        {stream.id, stream.name, static_cast<std::int64_t>(stream.last_number),
         std::int64_t{stream.ended ? 1 : 0}, static_cast<std::int64_t>(stream.bytes)}));
  }
  return ok();
}

Result<std::uint64_t> trim_stream(Sql& sql, std::int64_t stream, std::uint64_t bytes,
                                  std::uint64_t most) {
  StoredStream stored;
  stored.id = stream;
  stored.bytes = bytes;
  if (bytes > most) {
    THAW_TRY_VOID(drop_oldest(sql, stored, most));
    THAW_TRY_VOID(sql.run("UPDATE streams SET bytes = ? WHERE id = ?",
                          {static_cast<std::int64_t>(stored.bytes), stream}));
  }
  return stored.bytes;
}

Result<std::vector<Line>> select_lines(Sql& sql, std::int64_t stream, const Query& query,
                                       std::size_t most_bytes) {
  std::string text =
      "SELECT number, time_us, channel, container, function, call, input, text FROM lines "
      "WHERE stream = ? AND number > ? AND number <= ?";
  std::vector<Value> values{stream,
                            static_cast<std::int64_t>(std::min(
                                query.after, static_cast<std::uint64_t>(last_possible_number))),
                            last_possible_number};
  const auto condition = [&](const char* sql_text, Value value) {
    text += sql_text;
    values.push_back(std::move(value));
  };
  if (query.since) {
    condition(" AND time_us >= ?", micros(*query.since));
  }
  if (query.until) {
    condition(" AND time_us <= ?", micros(*query.until));
  }
  if (!query.container.empty()) {
    condition(" AND container = ?", query.container);
  }
  if (!query.function.empty()) {
    condition(" AND function = ?", query.function);
  }
  if (!query.call.empty()) {
    condition(" AND call = ?", query.call);
  }
  if (!query.contains.empty()) {
    condition(" AND instr(text, ?) > 0", query.contains);
  }
  text += query.order == Query::Order::newest_first ? " ORDER BY number DESC" : " ORDER BY number";
  condition(" LIMIT ?", static_cast<std::int64_t>(query.limit));
  std::vector<Line> lines;
  std::size_t bytes = 0;
  THAW_TRY_VOID(sql.each(text, std::move(values), [&](const Row& row) {
    if (bytes < most_bytes) {
      lines.push_back(line_of_row(row));
      bytes += cost(lines.back());
    }
  }));
  return lines;
}

}  // namespace thaw::logs::detail
