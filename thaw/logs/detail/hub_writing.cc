// SPDX-License-Identifier: Apache-2.0
// From what is printed to what is stored.
#include <algorithm>
#include <bit>

#include "thaw/base/log.h"
#include "thaw/codec/utf8.h"
#include "thaw/logs/detail/hub.h"

namespace thaw::logs::detail {

namespace {

constexpr std::size_t dropped_from = 3;  // times the bound at which writers wait
constexpr std::size_t memory_per_stream = 4u << 20;
constexpr std::size_t memory_in_all = 256u << 20;
constexpr std::size_t batch_bytes = 4u << 20;
constexpr std::size_t turn_bytes = 256u << 10;  // at least, of one stream

}  // namespace

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
  Stream& stream = stream_of(name);  // tidy(held): Reading keeps it where it is
  const Reading reading(stream, alive);
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
  const std::size_t bytes = cost(line);
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
  std::function<Result<std::uint64_t>(store::Transaction&)> work =
      [id = id, bytes = stream->second->disk_bytes, most = most](store::Transaction& transaction) {
        return trim_stream(transaction, id, bytes, most);
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
      turn += cost(**line);
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
      stream.unwritten_bytes -= cost(*line);
      unwritten_bytes_ -= cost(*line);
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
    std::function<Result<void>(store::Transaction&)> work =
        [batch, most = self.limits_.stream_bytes](store::Transaction& transaction) {
          return store_batch(transaction, *batch, most);
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
    stream.tail_bytes -= cost(line);
    memory_bytes_ -= cost(line);
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

}  // namespace thaw::logs::detail
