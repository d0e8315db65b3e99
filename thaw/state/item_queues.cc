// SPDX-License-Identifier: Apache-2.0
#include "thaw/state/item_queues.h"

#include <algorithm>
#include <utility>

#include "thaw/codec/ids.h"
#include "thaw/state/detail/parts.h"
#include "thaw/state/detail/waits.h"

namespace thaw::state {

using async::Task;
using detail::Changed;
using detail::Item;
using detail::Rows;
using detail::TakenItems;
using detail::Waits;

namespace {

constexpr std::size_t items_of_look = 100;
constexpr std::uint64_t bytes_of_look = 2u << 20;

Error is_gone(const Object& queue) {
  return Error::not_found("queue '" + queue.id + "' does not exist any more");
}

std::vector<std::string> values_of(std::vector<Item> items) {
  std::vector<std::string> values;
  values.reserve(items.size());
  for (Item& item : items) {
    values.push_back(std::move(item.value));
  }
  return values;
}

// Sleeps in the line until it is woken (true) or the deadline has passed.
Task<bool> sleep_in_line(Waits::Visit& line, std::uint64_t arrival, Instant deadline) {
  const auto sleeper = std::make_shared<detail::Sleeper>();
  line->sleepers.emplace(arrival, sleeper);
  const Result<bool> notified = co_await sleeper->woken.wait(deadline);
  if (!sleeper->is_woken) {
    line->sleepers.erase(arrival);
  }
  if (!notified) {
    if (sleeper->is_woken) {
      line->wake_next();
    }
    co_return notified.error();
  }
  co_return sleeper->is_woken;
}

}  // namespace

struct ItemQueues::Book : Waits {};

ItemQueues::ItemQueues(const detail::Parts& parts)
    : parts_(parts), book_(std::make_shared<Book>()) {}
ItemQueues::~ItemQueues() = default;

std::size_t ItemQueues::waits() const { return book_->count(); }
void ItemQueues::end(const Object& queue) { book_->end(queue.id); }

Task<void> ItemQueues::put(Object queue, std::string partition, std::vector<std::string> items,
                           Duration ttl, RequestKey request) {
  THAW_CO_TRY_VOID(check_partition(parts_.limits, partition));
  THAW_CO_TRY_VOID(check_put(parts_.limits, items, ttl));
  if (items.empty()) {
    co_return ok();
  }
  std::uint64_t bytes = 0;
  for (const std::string& item : items) {
    bytes += item.size() + overhead;
  }
  THAW_CO_TRY_VOID(parts_.check_disk(queue.workspace, bytes));
  std::function<Result<Changed<std::size_t>>(Rows&)> work =
      [queue, partition, ttl, request = std::move(request),
       shared = std::make_shared<const std::vector<std::string>>(std::move(items))](Rows& rows) {
        return rows.put(queue, partition, *shared, ttl, request);
      };
  THAW_CO_TRY(const auto changed,
              co_await detail::change(parts_, queue.workspace, std::move(work)));
  if (const auto line = book_->line({queue.id, partition})) {
    line->noticed_put(changed.value);
  }
  co_return ok();
}

// A look costs no write.
Task<bool> ItemQueues::is_worth_taking(Object queue, std::string partition, RequestKey request) {
  std::function<Result<bool>(Rows&)> work =
      [queue = std::move(queue), partition = std::move(partition),
       request = std::move(request)](Rows& rows) -> Result<bool> {
    THAW_TRY(const detail::Partition found, rows.partition(queue, partition));
    if (found.items > 0) {
      return true;
    }
    THAW_TRY(const auto answer, rows.answer(queue, request));
    return answer.has_value();
  };
  co_return co_await detail::read(parts_, std::move(work));
}

Task<void> ItemQueues::give_back(Object queue, std::string partition, RequestKey request) {
  std::function<Result<Changed<std::size_t>>(Rows&)> work =
      [queue, request = std::move(request)](Rows& rows) { return rows.give_back(queue, request); };
  THAW_CO_TRY(const auto changed,
              co_await detail::change(parts_, queue.workspace, std::move(work)));
  if (const auto line = book_->line({queue.id, std::move(partition)})) {
    line->noticed_put(changed.value);
  }
  co_return ok();
}

Task<std::vector<std::string>> ItemQueues::take(Object queue, std::string partition,
                                                std::size_t most, Wait wait, RequestKey request) {
  THAW_CO_TRY_VOID(check_partition(parts_.limits, partition));
  most = std::clamp<std::size_t>(most, 1, parts_.limits.partition_items);
  if (request.empty()) {  // by which it can be put back
    request = RequestKey(codec::random_id("take"));
  }
  Waits::Visit line(book_, {queue.id, partition});
  const std::uint64_t arrival = book_->next_arrival();
  bool is_woken = false;
  while (true) {
    if (line->has_ended) {
      co_return is_gone(queue);
    }
    const std::uint64_t puts = line->puts;
    Result<bool> is_worth_it = is_woken;
    if (!is_woken) {
      is_worth_it = co_await is_worth_taking(queue, partition, request);
    }
    Result<Changed<TakenItems>> taken = Changed<TakenItems>{};
    if (is_worth_it && *is_worth_it) {
      std::function<Result<Changed<TakenItems>>(Rows&)> work = [queue, partition, most,
                                                                request](Rows& rows) {
        return rows.take(queue, partition, most, request);
      };
      taken = co_await detail::change(parts_, queue.workspace, std::move(work));
    }
    if (!is_worth_it || !taken) {
      line->wake_next();  // what it was woken for is still there
      co_return is_worth_it ? taken.error() : is_worth_it.error();
    }
    if (!taken->value.items.empty()) {
      if (taken->value.left > 0) {
        line->wake_next();
      }
      if (co_await async::is_cancelled()) {
        co_await async::forget_cancellation();
        THAW_CO_TRY_VOID(co_await give_back(queue, partition, request));
        co_return Error::cancelled("who asked for items has left");
      }
      co_return values_of(std::move(taken->value.items));
    }
    if (taken->value.left > 0) {  // what was there could not be read and is set aside
      continue;
    }
    if (line->puts != puts) {
      is_woken = false;
      continue;
    }
    if (monotonic_now() >= wait.deadline) {
      co_return std::vector<std::string>();
    }
    THAW_CO_TRY_VOID(book_->admit(parts_.limits, queue.workspace, wait.asker));
    const Waits::Counted counted(book_, queue.workspace, wait.asker);
    THAW_CO_TRY(is_woken, co_await sleep_in_line(line, arrival, wait.deadline));
    if (!is_woken && monotonic_now() >= wait.deadline) {
      co_return std::vector<std::string>();
    }
  }
}

Task<std::vector<NumberedItem>> ItemQueues::look(Object queue, std::string partition,
                                                 std::int64_t after, Wait wait) {
  THAW_CO_TRY_VOID(check_partition(parts_.limits, partition));
  Waits::Visit line(book_, {queue.id, partition});
  std::vector<NumberedItem> found;
  while (true) {
    if (line->has_ended) {
      co_return is_gone(queue);
    }
    const std::uint64_t puts = line->puts;
    std::function<Result<std::vector<Item>>(Rows&)> work = [queue, partition, after](Rows& rows) {
      return rows.items(queue, partition, after, items_of_look, bytes_of_look);
    };
    THAW_CO_TRY(auto items, co_await detail::read(parts_, std::move(work)));
    for (Item& item : items) {
      found.push_back({item.number, std::move(item.value)});
    }
    if (!found.empty() || monotonic_now() >= wait.deadline) {
      co_return found;
    }
    if (line->puts != puts) {
      continue;
    }
    THAW_CO_TRY_VOID(book_->admit(parts_.limits, queue.workspace, wait.asker));
    const Waits::Counted counted(book_, queue.workspace, wait.asker);
    THAW_CO_TRY([[maybe_unused]] const bool is_told, co_await line->news.wait(wait.deadline));
  }
}

Task<std::uint64_t> ItemQueues::size(Object queue, std::string partition) {
  THAW_CO_TRY_VOID(check_partition(parts_.limits, partition));
  std::function<Result<std::uint64_t>(Rows&)> work =
      [queue = std::move(queue),
       partition = std::move(partition)](Rows& rows) -> Result<std::uint64_t> {
    THAW_TRY(const detail::Partition found, rows.partition(queue, partition));
    return found.items;
  };
  co_return co_await detail::read(parts_, std::move(work));
}

Task<QueueSize> ItemQueues::size_of_all(Object queue) {
  std::function<Result<QueueSize>(Rows&)> work = [queue = std::move(queue)](Rows& rows) {
    return rows.queue_size(queue);
  };
  co_return co_await detail::read(parts_, std::move(work));
}

Task<void> ItemQueues::clear(Object queue, std::string partition, RequestKey request) {
  THAW_CO_TRY_VOID(check_partition(parts_.limits, partition));
  std::function<Result<Changed<bool>>(Rows&)> work = [queue, partition = std::move(partition),
                                                      request = std::move(request)](Rows& rows) {
    return rows.clear_partition(queue, partition, request);
  };
  THAW_CO_TRY([[maybe_unused]] const auto changed,
              co_await detail::change(parts_, queue.workspace, std::move(work)));
  co_return ok();
}

Task<void> ItemQueues::clear_all(Object queue, RequestKey request) {
  co_return co_await detail::clear_all(parts_, std::move(queue), std::move(request));
}

}  // namespace thaw::state
