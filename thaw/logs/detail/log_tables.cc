// SPDX-License-Identifier: Apache-2.0
#include "thaw/logs/detail/log_tables.h"

#include <algorithm>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "thaw/codec/utf8.h"

namespace thaw::logs::detail {

using store::Order;
using store::Row;
using store::Transaction;

namespace {

enum class StreamColumn { id, name, last_number, ended, bytes };
constexpr store::Column stream_columns[] = {{"id", store::Type::integer},
                                            {"name", store::Type::text},
                                            {"last_number", store::Type::integer},
                                            {"ended", store::Type::integer},
                                            {"bytes", store::Type::integer}};
constexpr store::Table<StreamColumn> streams_table("streams", stream_columns, {StreamColumn::id},
                                                   store::Rows::numbered);

enum class LineColumn { stream, number, time_us, channel, container, function, call, input, text };
constexpr store::Column line_columns[] = {
    {"stream", store::Type::integer},  {"number", store::Type::integer},
    {"time_us", store::Type::integer}, {"channel", store::Type::integer},
    {"container", store::Type::text},  {"function", store::Type::text},
    {"call", store::Type::text},       {"input", store::Type::text},
    {"text", store::Type::text}};
constexpr store::Table<LineColumn> lines_table("lines", line_columns,
                                               {LineColumn::stream, LineColumn::number},
                                               store::Rows::keyed);
constexpr store::Columns<LineColumn> whole_line = {
    LineColumn::number,   LineColumn::time_us, LineColumn::channel, LineColumn::container,
    LineColumn::function, LineColumn::call,    LineColumn::input,   LineColumn::text};

// Lines are dropped in lots, so that a full stream does not pay for it with every line.
constexpr std::size_t drop_lot = 8;

// Beyond it counting on would not be exact.
constexpr std::int64_t last_possible_number = std::int64_t{1} << 53;

Line line_of_row(const Row<LineColumn>& row) {
  Line line;
  line.number = static_cast<std::uint64_t>(row.integer(LineColumn::number));
  line.time = WallTime(std::chrono::microseconds(row.integer(LineColumn::time_us)));
  const std::int64_t channel = row.integer(LineColumn::channel);
  line.channel = channel >= 1 && channel <= 3 ? static_cast<Channel>(channel) : Channel::info;
  line.container = row.text(LineColumn::container);
  line.function = row.text(LineColumn::function);
  line.call = row.text(LineColumn::call);
  line.input = row.text(LineColumn::input);
  line.text = codec::valid_utf8(row.text(LineColumn::text));
  return line;
}

std::int64_t micros(WallTime time) { return time.time_since_epoch().count(); }

Result<void> drop_oldest(Transaction& transaction, StoredStream& stream, std::size_t stream_bytes) {
  const std::uint64_t excess = stream.bytes - (stream_bytes - stream_bytes / drop_lot);
  std::uint64_t freed = 0;
  std::int64_t last = 0;
  THAW_TRY_VOID(transaction.scan(lines_table, {.with = {stream.id}, .after = {0}},
                                 {LineColumn::number, LineColumn::container, LineColumn::function,
                                  LineColumn::call, LineColumn::input, LineColumn::text},
                                 [&](const Row<LineColumn>& row) {
                                   if (freed >= excess) {
                                     return store::Go::stop;
                                   }
                                   last = row.integer(LineColumn::number);
                                   freed += row.size(LineColumn::text) +
                                            row.size(LineColumn::container) +
                                            row.size(LineColumn::function) +
                                            row.size(LineColumn::call) +
                                            row.size(LineColumn::input) + 64;
                                   return store::Go::on;
                                 }));
  if (freed < excess) {
    // All lines together are less than was counted: the count is damaged, not the log too long.
    stream.bytes = freed;
    return stream.bytes > stream_bytes ? drop_oldest(transaction, stream, stream_bytes) : ok();
  }
  THAW_TRY_VOID(transaction.erase_range(lines_table, {.with = {stream.id}, .to = {last}}));
  stream.bytes -= std::min(stream.bytes, freed);
  return ok();
}

// The number of the stream's last line; 0: it has none.
Result<std::int64_t> last_line(Transaction& transaction, std::int64_t stream) {
  std::int64_t last = 0;
  THAW_TRY_VOID(transaction.scan(
      lines_table,
      {.with = {stream}, .to = {last_possible_number}, .order = Order::descending, .limit = 1},
      {LineColumn::number},
      [&last](const Row<LineColumn>& row) { last = row.integer(LineColumn::number); }));
  return last;
}

const char* fault_of(const StoredStream& stream, std::int64_t last, std::set<std::string>& names) {
  if (stream.id <= 0 || stream.id > last_possible_number) {
    return "its id is none";
  }
  if (last < 0 || last > last_possible_number) {
    return "its last number is none";
  }
  if (stream.name.empty() || !names.insert(stream.name).second) {
    return "it has no name of its own";
  }
  return nullptr;
}

}  // namespace

std::vector<store::Migration> log_migrations() {
  using enum store::Type;
  return {{"logs",
           1,
           {store::AddTable{.name = "streams",
                            .columns = {{"id", integer, store::Nulls::yes},
                                        {"name", text},
                                        {"last_number", integer},
                                        {"ended", integer},
                                        {"bytes", integer}},
                            .key = {"id"},
                            .unique = {{"name"}}},
            store::AddTable{.name = "lines",
                            .columns = {{"stream", integer},
                                        {"number", integer},
                                        {"time_us", integer},
                                        {"channel", integer},
                                        {"container", text},
                                        {"function", text},
                                        {"call", text},
                                        {"input", text},
                                        {"text", text}},
                            .key = {"stream", "number"},
                            .rows = store::Rows::keyed}}}};
}

Result<StoredStreams> load_streams(Transaction& transaction) {
  struct Found {
    StoredStream stream;
    std::int64_t last;
    store::Place place;
  };
  std::vector<Found> all;
  THAW_TRY_VOID(transaction.scan(
      streams_table, {},
      {StreamColumn::id, StreamColumn::name, StreamColumn::last_number, StreamColumn::ended,
       StreamColumn::bytes},
      [&all](const Row<StreamColumn>& row) {
        StoredStream stream;
        stream.id = row.integer(StreamColumn::id);
        stream.name = row.text(StreamColumn::name);
        stream.ended = row.integer(StreamColumn::ended) != 0;
        stream.bytes = static_cast<std::uint64_t>(
            std::clamp<std::int64_t>(row.integer(StreamColumn::bytes), 0, std::int64_t{1} << 40));
        const bool is_number = row.stored(StreamColumn::last_number) == store::Stored::integer;
        all.push_back({std::move(stream), is_number ? row.integer(StreamColumn::last_number) : 0,
                       row.place()});
      }));
  StoredStreams streams;
  std::set<std::string> names;
  for (Found& found : all) {
    THAW_TRY(const std::int64_t of_lines, last_line(transaction, found.stream.id));
    const std::int64_t last = std::max(found.last, of_lines);
    found.stream.last_number = static_cast<std::uint64_t>(last);
    if (const char* fault = fault_of(found.stream, last, names)) {
      streams.bad.push_back(
          {&streams_table, std::move(found.place), "log stream " + found.stream.name, fault});
    } else {
      streams.next_id = std::max(streams.next_id, found.stream.id + 1);
      streams.good.push_back(std::move(found.stream));
    }
  }
  THAW_TRY_VOID(transaction.scan(
      lines_table, {.to = {last_possible_number}, .order = Order::descending, .limit = 1},
      {LineColumn::stream}, [&streams](const Row<LineColumn>& row) {
        streams.next_id = std::max(streams.next_id, row.integer(LineColumn::stream) + 1);
      }));
  return streams;
}

Result<void> erase_stream(Transaction& transaction, std::int64_t stream) {
  THAW_TRY_VOID(transaction.erase_range(lines_table, {.with = {stream}}));
  THAW_TRY_VOID(transaction.erase(streams_table, {stream}));
  return ok();
}

Result<void> store_batch(Transaction& transaction, Batch& batch, std::size_t stream_bytes) {
  for (Batch::Part& part : batch.parts) {
    StoredStream& stream = part.stream;
    for (const LinePointer& line : part.lines) {
      // A hub that is closed while a batch is on its way gives the same lines again.
      THAW_TRY_VOID(transaction.put_if_absent(
          lines_table, {{LineColumn::stream, stream.id},
                        {LineColumn::number, line->number},
                        {LineColumn::time_us, micros(line->time)},
                        {LineColumn::channel, static_cast<std::int64_t>(line->channel)},
                        {LineColumn::container, line->container},
                        {LineColumn::function, line->function},
                        {LineColumn::call, line->call},
                        {LineColumn::input, line->input},
                        {LineColumn::text, line->text}}));
      stream.bytes += cost(*line);
    }
    if (stream.bytes > stream_bytes) {
      THAW_TRY_VOID(drop_oldest(transaction, stream, stream_bytes));
    }
    THAW_TRY_VOID(transaction.put(streams_table, {{StreamColumn::id, stream.id},
                                                  {StreamColumn::name, stream.name},
                                                  {StreamColumn::last_number, stream.last_number},
                                                  {StreamColumn::ended, stream.ended},
                                                  {StreamColumn::bytes, stream.bytes}}));
  }
  return ok();
}

Result<std::uint64_t> trim_stream(Transaction& transaction, std::int64_t stream,
                                  std::uint64_t bytes, std::uint64_t most) {
  StoredStream stored;
  stored.id = stream;
  stored.bytes = bytes;
  if (bytes > most) {
    THAW_TRY_VOID(drop_oldest(transaction, stored, most));
    THAW_TRY_VOID(
        transaction.update(streams_table, {stream}, {{StreamColumn::bytes, stored.bytes}}));
  }
  return stored.bytes;
}

Result<std::vector<Line>> select_lines(Transaction& transaction, std::int64_t stream,
                                       const Query& query, std::size_t most_bytes) {
  const auto is = [](const std::string& wanted, std::string_view found) {
    return wanted.empty() || found == wanted;
  };
  const auto is_wanted = [&](const Row<LineColumn>& row) {
    const std::int64_t time = row.integer(LineColumn::time_us);
    return (!query.since || time >= micros(*query.since)) &&
           (!query.until || time <= micros(*query.until)) &&
           is(query.container, row.view(LineColumn::container)) &&
           is(query.function, row.view(LineColumn::function)) &&
           is(query.call, row.view(LineColumn::call)) &&
           row.view(LineColumn::text).find(query.contains) != std::string_view::npos;
  };
  const std::uint64_t after =
      std::min(query.after, static_cast<std::uint64_t>(last_possible_number));
  const bool is_newest_first = query.order == Query::Order::newest_first;
  std::vector<Line> lines;
  std::size_t bytes = 0;
  THAW_TRY_VOID(transaction.scan(lines_table,
                                 {.with = {stream},
                                  .after = {after},
                                  .to = {last_possible_number},
                                  .order = is_newest_first ? Order::descending : Order::ascending},
                                 whole_line, [&](const Row<LineColumn>& row) {
                                   if (lines.size() >= query.limit || bytes >= most_bytes) {
                                     return store::Go::stop;
                                   }
                                   if (is_wanted(row)) {
                                     lines.push_back(line_of_row(row));
                                     bytes += cost(lines.back());
                                   }
                                   return store::Go::on;
                                 }));
  return lines;
}

}  // namespace thaw::logs::detail
