// SPDX-License-Identifier: Apache-2.0
#include "thaw/logs/log_hub.h"

#include <algorithm>
#include <bit>
#include <deque>
#include <list>
#include <unordered_map>
#include <utility>

#include "thaw/async/task_group.h"
#include "thaw/base/log.h"
#include "thaw/codec/utf8.h"
#include "thaw/logs/detail/log_tables.h"

namespace thaw::logs {

using detail::Batch;
using detail::LinePointer;

namespace {

// With so much that is not on disk yet, writers wait; with three times as much, lines are dropped.
constexpr std::size_t unwritten_per_stream = 2u << 20;
constexpr std::size_t unwritten_in_all = 32u << 20;
constexpr std::size_t dropped_from = 3;
// Who has less than this never waits for others.
constexpr std::size_t small_share = 64u << 10;
constexpr std::size_t memory_per_stream = 4u << 20;
constexpr std::size_t memory_in_all = 256u << 20;
constexpr std::size_t batch_bytes = 4u << 20;
constexpr std::size_t turn_bytes = 256u << 10;  // at least, of one stream
constexpr std::size_t answer_bytes = 8u << 20;
constexpr std::size_t answer_lines = 20'000;

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

Hub::~Hub() {
  *alive_ = false;
  // What waits goes to the database's queue, which close() empties.
  while (!to_write_.empty()) {
    auto batch = std::make_shared<Batch>(take_batch());
    for (const Batch::Part& part : batch->parts) {
      by_id_.at(part.stream.id)->written = part.stream.last_number;
    }
    database_.write_later([batch, most = limits_.stream_bytes](store::Sql& sql) {
      return detail::store_batch(sql, *batch, most);
    });
  }
  for (auto& [name, stream] : streams_) {
    stream->changed.notify_all();
  }
  room_.notify_all();
}

Result<void> Hub::load() {
  detail::StoredStreams stored;
  THAW_TRY_VOID(database_.read_now([&stored](store::Sql& sql) -> Result<void> {
    THAW_TRY(stored, detail::load_streams(sql));
    return ok();
  }));
  for (store::Unreadable& rows : stored.bad) {
    store::set_aside_later(database_, std::move(rows));
  }
  for (detail::StoredStream& from : stored.good) {
    next_id_ = from.id;
    Stream& stream = make_stream(std::move(from.name));
    stream.last_number = stream.written = from.last_number;
    stream.memory_from = from.last_number + 1;
    stream.ended = from.ended;
    stream.disk_bytes = from.bytes;
  }
  next_id_ = stored.next_id;
  return ok();
}

Stream& Hub::make_stream(std::string name) {
  auto made = std::make_unique<Stream>();
  Stream& stream = *made;
  stream.id = next_id_++;
  stream.name = name;
  stream.place = used_.insert(used_.end(), &stream);
  by_id_.emplace(stream.id, &stream);
  streams_.emplace(std::move(name), std::move(made));
  return stream;
}

Stream& Hub::stream_of(const std::string& name) {
  const auto found = streams_.find(name);
  return found == streams_.end() ? make_stream(name) : *found->second;
}

// --- writing ----------------------------------------------------------------------------------

void Hub::append(const std::string& name, Line line) {
  Stream& stream = stream_of(name);
  stream.ended = false;
  const bool is_full = stream.unwritten_bytes > dropped_from * unwritten_per_stream ||
                       unwritten_bytes_ > dropped_from * unwritten_in_all;
  if (is_full && stream.unwritten_bytes > small_share) {
    ++stream.dropped_lines;
    stream.dropped_bytes += line.text.size();
    return;
  }
  report_dropped(stream);
  std::string text = codec::valid_utf8(std::move(line.text));
  const std::size_t most = std::max<std::size_t>(limits_.line_bytes, 4);
  std::size_t first = 0;
  while (text.size() - first > most) {
    Line piece = line;
    const std::size_t size = codec::cut_utf8(std::string_view(text).substr(first), most);
    piece.text = text.substr(first, size);
    first += size;
    push(stream, std::move(piece));
  }
  line.text = first == 0 ? std::move(text) : text.substr(first);
  push(stream, std::move(line));
}

async::Task<void> Hub::wait_for_room(std::string name, Duration patience) {
  const auto alive = alive_;
  const Stream& stream = stream_of(name);
  std::uint64_t seen = batches_;
  Instant despair = monotonic_now() + patience;
  while (!has_room(stream)) {
    THAW_CO_TRY(const bool notified, co_await room_.wait(despair));
    if (!*alive) {
      co_return Error::cancelled("the logs are closed");
    }
    if (!notified && batches_ == seen) {
      co_return ok();
    }
    seen = batches_;
    despair = monotonic_now() + patience;
  }
  co_return ok();
}

void Hub::report_dropped(Stream& stream) {
  if (stream.dropped_lines == 0) {
    return;
  }
  Line line;
  line.time = wall_now();
  line.channel = Channel::info;
  line.text = std::to_string(std::exchange(stream.dropped_lines, 0)) + " pieces of output (" +
              std::to_string(std::exchange(stream.dropped_bytes, 0)) +
              " bytes) were dropped here: they came faster than they could be stored\n";
  push(stream, std::move(line));
}

void Hub::push(Stream& stream, Line line) {
  if (line.time == WallTime{}) {
    line.time = wall_now();
  }
  line.number = ++stream.last_number;
  const std::size_t bytes = detail::cost(line);
  stream.tail.push_back(std::make_shared<const Line>(std::move(line)));
  stream.tail_bytes += bytes;
  stream.unwritten_bytes += bytes;
  memory_bytes_ += bytes;
  unwritten_bytes_ += bytes;
  used_.splice(used_.end(), used_, stream.place);
  to_write(stream);
}

void Hub::to_write(Stream& stream) {
  if (!stream.waits) {
    stream.waits = true;
    to_write_.push_back(&stream);
  }
  begin_writing();
}

void Hub::begin_writing() {
  if (!writing_) {
    writing_ = true;
    tasks_.start("write logs", write_all(*this, alive_));
  }
}
std::vector<StreamUse> Hub::uses() const {
  std::vector<StreamUse> uses;
  uses.reserve(streams_.size());
  for (const auto& [name, stream] : streams_) {
    uses.push_back({name, stream->disk_bytes});
  }
  return uses;
}

void Hub::trim(const std::string& name, std::uint64_t bytes) {
  if (const auto found = streams_.find(name); found != streams_.end()) {
    to_trim_.emplace_back(found->second->id, bytes);
    begin_writing();
  }
}

// Between two batches: what a stream takes is known exactly then.
async::Task<void> Hub::trim_one(Hub& self, std::shared_ptr<bool> alive) {
  const auto [id, most] = self.to_trim_.front();
  self.to_trim_.pop_front();
  const auto stream = self.by_id_.find(id);
  if (stream == self.by_id_.end()) {
    co_return ok();
  }
  std::function<Result<std::uint64_t>(store::Sql&)> work =
      [id = id, bytes = stream->second->disk_bytes, most = most](store::Sql& sql) {
        return detail::trim_stream(sql, id, bytes, most);
      };
  const Result<std::uint64_t> left = co_await self.database_.write<std::uint64_t>(std::move(work));
  if (*alive && left) {
    if (const auto trimmed = self.by_id_.find(id); trimmed != self.by_id_.end()) {
      trimmed->second->disk_bytes = *left;
    }
  }
  co_return left ? Result<void>() : left.error();
}

// Every stream has one turn in a batch, with its part of what fits: a loud one delays the others by
// little.
Batch Hub::take_batch() {
  Batch batch;
  std::size_t bytes = 0;
  std::vector<Stream*> again;
  const std::size_t most =
      std::max(turn_bytes, batch_bytes / std::max<std::size_t>(to_write_.size(), 1));
  while (!to_write_.empty() && bytes < batch_bytes) {
    Stream& stream = *to_write_.front();
    to_write_.pop_front();
    stream.waits = false;
    Batch::Part part;
    part.stream.id = stream.id;
    part.stream.name = stream.name;
    part.stream.bytes = stream.disk_bytes;
    part.stream.last_number = stream.written;
    const auto after = [](std::uint64_t number, const LinePointer& line) {
      return number < line->number;
    };
    auto line = std::upper_bound(stream.tail.begin(), stream.tail.end(), stream.written, after);
    std::size_t turn = 0;
    for (; line != stream.tail.end() && turn < most; ++line) {
      turn += detail::cost(**line);
      part.stream.last_number = (*line)->number;
      part.lines.push_back(*line);
    }
    bytes += turn;
    const bool all = part.stream.last_number == stream.last_number;
    part.stream.ended = stream.ended && all;
    if (!all) {
      stream.waits = true;
      again.push_back(&stream);
    }
    ++stream.in_batches;
    batch.parts.push_back(std::move(part));
  }
  to_write_.insert(to_write_.end(), again.begin(), again.end());
  return batch;
}

void Hub::written(const Batch& batch) {
  for (const Batch::Part& part : batch.parts) {
    Stream& stream = *by_id_.at(part.stream.id);
    --stream.in_batches;
    stream.written = part.stream.last_number;
    stream.disk_bytes = part.stream.bytes;
    for (const LinePointer& line : part.lines) {
      stream.unwritten_bytes -= detail::cost(*line);
      unwritten_bytes_ -= detail::cost(*line);
    }
    trim(stream, limits_.memory_lines, memory_per_stream);
    report_dropped(stream);
    stream.changed.notify_all();
  }
  trim_all();
  ++batches_;
  room_.notify_all();
}

async::Task<void> Hub::write_all(Hub& self, std::shared_ptr<bool> alive) {
  while (*alive && (!self.to_write_.empty() || !self.to_trim_.empty())) {
    if (!self.to_trim_.empty()) {
      if (const Result<void> trimmed = co_await trim_one(self, alive); !trimmed) {
        log_warning("log lines were not removed", {{"error", trimmed.error().to_string()}});
      }
      continue;
    }
    auto batch = std::make_shared<Batch>(self.take_batch());
    std::function<Result<void>(store::Sql&)> work =
        [batch, most = self.limits_.stream_bytes](store::Sql& sql) {
          return detail::store_batch(sql, *batch, most);
        };
    const Result<void> stored = co_await self.database_.write<void>(std::move(work));
    if (!*alive) {
      co_return ok();
    }
    if (!stored) {
      // They stay readable from memory for as long as they are there. A disk that stays full for a
      // while makes thousands of these.
      if (std::has_single_bit(++self.failures_)) {
        log_warning("log lines were not stored", {{"error", stored.error().to_string()},
                                                  {"in a row", std::to_string(self.failures_)}});
      }
      for (Batch::Part& part : batch->parts) {
        part.stream.bytes = self.by_id_.at(part.stream.id)->disk_bytes;
      }
    } else {
      self.failures_ = 0;
    }
    self.written(*batch);
  }
  if (*alive) {
    self.writing_ = false;
  }
  co_return ok();
}

// Only lines that are written leave the memory.
void Hub::trim(Stream& stream, std::size_t most_lines, std::size_t most_bytes) {
  while (!stream.tail.empty() && stream.tail.front()->number <= stream.written &&
         (stream.tail.size() > most_lines || stream.tail_bytes > most_bytes)) {
    const Line& line = *stream.tail.front();
    stream.memory_from = line.number + 1;
    stream.tail_bytes -= detail::cost(line);
    memory_bytes_ -= detail::cost(line);
    stream.tail.pop_front();
  }
}

void Hub::trim_all() {
  for (std::size_t n = used_.size(); n > 0 && memory_bytes_ > memory_in_all; --n) {
    Stream& oldest = *used_.front();
    trim(oldest, 0, 0);
    // Behind the others, so that the next search does not begin with empty ones.
    used_.splice(used_.end(), used_, oldest.place);
  }
}

void Hub::end(const std::string& name) {
  Stream& stream = stream_of(name);
  report_dropped(stream);
  stream.ended = true;
  to_write(stream);
}

std::vector<std::string> Hub::streams() const {
  std::vector<std::string> names;
  for (const auto& [name, stream] : streams_) {
    names.push_back(name);
  }
  return names;
}

async::Task<void> Hub::erase(std::string name) {
  const auto alive = alive_;
  auto found = streams_.find(name);
  if (found == streams_.end()) {
    co_return ok();
  }
  if (found->second->busy()) {
    co_return Error::failed_precondition("the log " + name + " is being written or read");
  }
  const std::int64_t id = found->second->id;
  std::function<Result<void>(store::Sql&)> work = [id](store::Sql& sql) {
    return detail::erase_stream(sql, id);
  };
  THAW_CO_TRY_VOID(co_await database_.write<void>(std::move(work)));
  if (!*alive) {
    co_return Error::cancelled("the logs are closed");
  }
  found = streams_.find(name);
  if (found == streams_.end() || found->second->id != id || found->second->busy()) {
    co_return ok();  // somebody else erased it, or it lives again
  }
  Stream& stream = *found->second;
  memory_bytes_ -= stream.tail_bytes;
  used_.erase(stream.place);
  by_id_.erase(stream.id);
  streams_.erase(found);
  co_return ok();
}

bool Hub::ended(const std::string& name) const {
  const auto found = streams_.find(name);
  return found != streams_.end() && found->second->ended;
}

std::uint64_t Hub::last_number(const std::string& name) const {
  const auto found = streams_.find(name);
  return found == streams_.end() ? 0 : found->second->last_number;
}

// --- reading ----------------------------------------------------------------------------------

std::vector<Line> Hub::from_memory(const Stream& stream, std::uint64_t after, std::size_t max) {
  std::vector<Line> lines;
  const auto later = [](std::uint64_t number, const LinePointer& line) {
    return number < line->number;
  };
  std::size_t bytes = 0;
  auto line = std::upper_bound(stream.tail.begin(), stream.tail.end(), after, later);
  for (; line != stream.tail.end() && (*line)->number <= stream.written && lines.size() < max &&
         bytes < answer_bytes;
       ++line) {
    lines.push_back(**line);
    bytes += detail::cost(**line);
  }
  return lines;
}

// What is between `after` and the first of these is not kept any more: a line in its place says so.
void Hub::tell_gap(std::vector<Line>& lines, std::uint64_t after, std::size_t max) {
  const std::uint64_t missing = lines.front().number - after - 1;
  if (missing == 0) {
    return;
  }
  Line line;
  line.number = lines.front().number - 1;
  line.time = lines.front().time;
  line.channel = Channel::info;
  line.text =
      "thaw: " + std::to_string(missing) +
      " pieces of output before this are not kept any more (of each app the newest ones are)\n";
  if (lines.size() >= max) {
    lines.pop_back();
  }
  lines.insert(lines.begin(), std::move(line));
}

async::Task<std::vector<Line>> Hub::follow(std::string name, std::uint64_t after, std::size_t max,
                                           Instant deadline) {
  const auto alive = alive_;
  Stream& stream = stream_of(name);
  const Reading reading(stream, alive);
  max = std::clamp<std::size_t>(max, 1, answer_lines);
  while (true) {
    if (after + 1 < stream.memory_from) {
      Query query;
      query.after = after;
      query.limit = max;
      std::function<Result<std::vector<Line>>(store::Sql&)> work = [id = stream.id,
                                                                    query](store::Sql& sql) {
        return detail::select_lines(sql, id, query, answer_bytes);
      };
      THAW_CO_TRY(std::vector<Line> lines,
                  co_await database_.read<std::vector<Line>>(std::move(work)));
      if (!*alive) {
        co_return Error::cancelled("the logs are closed");
      }
      if (!lines.empty()) {
        tell_gap(lines, after, max);
        co_return lines;
      }
    }
    std::vector<Line> lines = from_memory(stream, after, max);
    if (!lines.empty() || (stream.ended && stream.written == stream.last_number)) {
      co_return lines;
    }
    THAW_CO_TRY(const bool notified, co_await stream.changed.wait(deadline));
    if (!*alive) {
      co_return Error::cancelled("the logs are closed");
    }
    if (!notified) {
      co_return std::vector<Line>{};
    }
  }
}

async::Task<std::vector<Line>> Hub::find(std::string name, Query query) {
  const auto alive = alive_;
  const auto found = streams_.find(name);
  if (found == streams_.end()) {
    co_return std::vector<Line>{};
  }
  Stream& stream = *found->second;
  const Reading reading(stream, alive);
  const std::uint64_t last = stream.last_number;
  while (stream.written < last) {
    THAW_CO_TRY([[maybe_unused]] const bool notified, co_await stream.changed.wait(Instant::max()));
    if (!*alive) {
      co_return Error::cancelled("the logs are closed");
    }
  }
  query.limit = std::min(query.limit, answer_lines);
  std::function<Result<std::vector<Line>>(store::Sql&)> work = [id = stream.id,
                                                                query](store::Sql& sql) {
    return detail::select_lines(sql, id, query, answer_bytes);
  };
  co_return co_await database_.read<std::vector<Line>>(std::move(work));
}

}  // namespace

std::vector<store::Migration> migrations() { return detail::log_migrations(); }

Result<std::unique_ptr<LogHub>> LogHub::open(async::Loop& loop, store::Database& database,
                                             HubLimits limits) {
  auto hub = std::make_unique<Hub>(loop, database, limits);
  THAW_TRY_VOID(hub->load());
  return hub;
}

}  // namespace thaw::logs
