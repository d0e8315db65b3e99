// SPDX-License-Identifier: Apache-2.0
// What a stream has, from memory and from disk.
#include <algorithm>

#include "thaw/logs/detail/hub.h"

namespace thaw::logs::detail {

namespace {

constexpr std::size_t answer_bytes = 8u << 20;
// Each follower holds so much while its reader takes nothing.
constexpr std::size_t follower_bytes = 256u << 10;
constexpr std::size_t answer_lines = 20'000;

}  // namespace

std::vector<Line> Hub::from_memory(const Stream& stream, std::uint64_t after, std::size_t max) {
  std::vector<Line> lines;
  const auto later = [](std::uint64_t number, const LinePointer& line) {
    return number < line->number;
  };
  std::size_t bytes = 0;
  auto line = std::upper_bound(stream.tail.begin(), stream.tail.end(), after, later);
  for (; line != stream.tail.end() && (*line)->number <= stream.written && lines.size() < max &&
         bytes < follower_bytes;
       ++line) {
    lines.push_back(**line);
    bytes += cost(**line);
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
  Stream& stream = stream_of(name);  // tidy(held): Reading keeps it where it is
  const Reading reading(stream, alive);
  max = std::clamp<std::size_t>(max, 1, answer_lines);
  while (true) {
    if (after + 1 < stream.memory_from) {
      Query query;
      query.after = after;
      query.limit = max;
      std::function<Result<std::vector<Line>>(store::Transaction&)> work =
          [id = stream.id, query](store::Transaction& transaction) {
            return select_lines(transaction, id, query, follower_bytes);
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
  std::function<Result<std::vector<Line>>(store::Transaction&)> work =
      [id = stream.id, query](store::Transaction& transaction) {
        return select_lines(transaction, id, query, answer_bytes);
      };
  co_return co_await database_.read<std::vector<Line>>(std::move(work));
}

}  // namespace thaw::logs::detail
