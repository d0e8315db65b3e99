// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "thaw/base/check.h"
#include "thaw/queue/detail/queue.h"

namespace thaw::queue::detail {

using State = Input::State;

namespace {

constexpr std::size_t durable_log_entries = 64;  // kept in memory; the rest is read from disk
constexpr std::size_t durable_log_bytes = 1u << 20;
constexpr std::size_t entries_per_page = 64;  // read from disk at a time

}  // namespace

void Queue::push_entry(Call& call, LogEntry entry) {
  if (entry.number == 0) {
    entry.number = call.last_number + 1;
  }
  THAW_CHECK(entry.number > call.last_number);
  call.last_number = entry.number;
  const std::size_t bytes = cost(entry.payload);
  call.log_bytes += bytes;
  charge(bytes);
  call.log.push_back(std::move(entry));
  while (call.durable() && call.log.size() > 1 &&
         (call.log.size() > durable_log_entries || call.log_bytes > durable_log_bytes)) {
    const std::size_t freed = cost(call.log.front().payload);
    call.log_bytes -= freed;
    refund(freed);
    call.log.pop_front();
  }
  call.changed.notify_all();
}

async::Task<std::uint64_t> Queue::append(CallId id, LogEntry entry) {
  const Alive alive = alive_;
  if (entry.kind == LogEntry::Kind::final_) {
    co_return Error::invalid_argument("a final entry is made by complete()");
  }
  const auto found = calls_.find(id);
  if (found == calls_.end() || found->second->unfinished == 0) {
    co_return Error::failed_precondition("the call " + id.str() + " has ended");
  }
  Call& call = *found->second;
  Input* input = nullptr;
  if (!entry.input.empty()) {
    const auto known = inputs_.find(entry.input);
    input = known == inputs_.end() || known->second->call != &call ? nullptr : known->second;
  } else if (call.inputs.size() == 1) {
    input = call.inputs.begin()->second.get();
  }
  const bool runs = input != nullptr && (input->state == State::leased ||
                                         (input->state == State::ending && !input->orphaned));
  if (!runs || (!entry.container.empty() && entry.container != input->container)) {
    co_return Error::failed_precondition("the input is not running there any more");
  }
  if (bytes_ + cost(entry.payload) > limits_.payload_bytes_in_memory) {
    co_return Error::resource_exhausted("the queue holds too many bytes; try again later");
  }
  entry.number = 0;
  entry.input = input->id;
  entry.index = input->index;
  entry.attempts = input->attempts;
  if (!call.durable()) {
    push_entry(call, std::move(entry));
    co_return call.last_number;
  }
  const Pin pin(*this, alive, call);
  auto shared = std::make_shared<LogEntry>(std::move(entry));
  std::function<Result<std::uint64_t>(store::Sql&)> work = [id, shared](store::Sql& sql) {
    return append_entry(sql, id, *shared);
  };
  THAW_CO_TRY(const std::uint64_t number, co_await database_.write<std::uint64_t>(std::move(work)));
  if (!*alive) {
    co_return closed();
  }
  shared->number = number;
  push_entry(call, std::move(*shared));
  co_return number;
}

async::Task<std::vector<LogEntry>> Queue::read(CallId id, std::uint64_t after, std::size_t max,
                                               Instant deadline,
                                               std::function<bool(const LogEntry&)> wanted,
                                               WhenIdle when_idle) {
  const Alive alive = alive_;
  THAW_CO_TRY(const Pin call, co_await find(*this, id));
  max = std::max<std::size_t>(max, 1);
  std::vector<LogEntry> found;
  std::uint64_t seen = after;
  while (true) {
    while (seen + 1 < call->first_in_memory() && found.size() < max) {
      const std::size_t limit = wanted ? entries_per_page : std::min(entries_per_page, max);
      std::function<Result<std::vector<LogEntry>>(store::Sql&)> load =
          [id, seen, limit](store::Sql& sql) { return read_log(sql, id, seen, limit); };
      THAW_CO_TRY(std::vector<LogEntry> page,
                  co_await database_.read<std::vector<LogEntry>>(std::move(load)));
      if (!*alive) {
        co_return closed();
      }
      if (page.empty()) {
        // Expired meanwhile, or `after` is past the end.
        break;
      }
      for (LogEntry& entry : page) {
        seen = entry.number;
        if (found.size() < max && (!wanted || wanted(entry))) {
          found.push_back(std::move(entry));
        }
        if (found.size() == max) {
          break;
        }
      }
    }
    const std::uint64_t first = call->first_in_memory();
    const std::size_t skip = seen + 1 > first ? static_cast<std::size_t>(seen + 1 - first) : 0;
    for (std::size_t i = skip; i < call->log.size() && found.size() < max; ++i) {
      const LogEntry& entry = call->log[i];
      seen = std::max(seen, entry.number);
      if (!wanted || wanted(entry)) {
        found.push_back(entry);
      }
    }
    if (!found.empty() || (call->unfinished == 0 && when_idle == WhenIdle::returns)) {
      co_return found;
    }
    THAW_CO_TRY(const bool notified, co_await call->changed.wait(deadline));
    if (!*alive) {
      co_return closed();
    }
    if (!notified) {
      co_return found;
    }
  }
}

}  // namespace thaw::queue::detail
