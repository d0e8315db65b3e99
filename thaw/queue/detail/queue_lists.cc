// SPDX-License-Identifier: Apache-2.0
// Lists of calls. Durable ones are listed from the disk, but for those that have not ended, which
// are all in memory; synchronous ones are in memory only. Both are sorted alike and merged.
#include <algorithm>
#include <charconv>
#include <queue>

#include "thaw/queue/detail/queue.h"

namespace thaw::queue::detail {

namespace {

constexpr std::size_t most_per_page = 100;
constexpr std::size_t looked_at_per_page = 2'000;

Result<ListKey> cursor_key(const std::string& cursor) {
  ListKey key;
  std::int64_t micros = 0;
  const char* end = cursor.data() + cursor.size();
  const auto [rest, error] = std::from_chars(cursor.data(), end, micros);
  if (error != std::errc() || rest == end || *rest != ' ' || cursor.size() > 300) {
    return Error::invalid_argument(
        "'" + cursor.substr(0, 50) +
        "' is no place in a list of calls; pass what the page before has given, or nothing");
  }
  key.created_at = WallTime(std::chrono::microseconds(micros));
  key.id = std::string(rest + 1, end);
  return key;
}

std::string cursor_of(const ListKey& key) {
  return std::to_string(key.created_at.time_since_epoch().count()) + " " + key.id;
}

ListedCall listed(const Call& call) {
  ListedCall out;
  out.id = call.call.id;
  out.app = call.call.app;
  out.function = call.call.function;
  out.durability = call.call.durability;
  out.origin = call.call.origin;
  out.created_at = call.created_at;
  out.cancelled = call.cancelled;
  if (call.unfinished == 0 && call.finished_at != WallTime{}) {
    out.finished_at = call.finished_at;
  }
  return out;
}

}  // namespace

ListPart Queue::list_in_memory(const CallFilter& filter, const ListKey& before,
                               std::size_t most) const {
  // The newest of each function that is not looked at yet, the newest of these on top.
  struct Next {
    CallsByAge::const_reverse_iterator call;
    CallsByAge::const_reverse_iterator end;
    bool operator<(const Next& other) const { return ByAge()(*call, *other.call); }
  };
  std::priority_queue<Next> nexts;
  const auto asked = workspaces_.find(filter.workspace);
  if (asked == workspaces_.end()) {
    return {};
  }
  const auto add = [&](const Function& function) {
    if (!function.is_shared && function.workspace != &asked->second) {
      return;
    }
    const auto first = std::make_reverse_iterator(function.calls.lower_bound(before));
    if (first != function.calls.rend()) {
      nexts.push({first, function.calls.rend()});
    }
  };
  if (filter.function.empty()) {
    for (const auto& [id, function] : functions_) {
      add(*function);
    }
  } else if (const auto found = functions_.find(filter.function); found != functions_.end()) {
    add(*found->second);
  }
  ListPart part;
  for (std::size_t looked_at = 0; !nexts.empty(); ++looked_at) {
    Next next = nexts.top();
    const Call& call = **next.call;
    if (call.created_at < filter.from) {
      break;
    }
    if (part.calls.size() == most || looked_at == looked_at_per_page) {
      return part;
    }
    nexts.pop();
    // The place is told to whoever asks, and names nobody else's call.
    const bool is_of_asker = call.call.workspace == filter.workspace;
    part.looked_at = ListKey{call.created_at, is_of_asker ? call.call.id.str() : std::string()};
    const bool is_unfinished = call.unfinished > 0;
    const bool is_wanted = filter.state == CallFilter::State::any ||
                           (filter.state == CallFilter::State::unfinished) == is_unfinished;
    // A durable call that has ended, or is on its way to the disk, is the disk's to tell.
    const bool is_ours = !call.durable() || (filter.state == CallFilter::State::unfinished &&
                                             is_unfinished && call.is_stored);
    if (is_wanted && is_ours && is_of_asker) {
      part.calls.push_back(listed(call));
    }
    if (++next.call != next.end) {
      nexts.push(next);
    }
  }
  part.looked_at.reset();
  return part;
}

async::Task<CallPage> Queue::list(CallFilter filter, std::string cursor, std::size_t most) {
  const Alive alive = alive_;
  most = std::clamp<std::size_t>(most, 1, most_per_page);
  ListKey before{filter.until, {}};
  if (!cursor.empty()) {
    THAW_CO_TRY(before, cursor_key(cursor));
    before = std::min(before, ListKey{filter.until, {}});
  }
  ListPart stored;
  if (filter.state != CallFilter::State::unfinished) {
    std::function<Result<ListPart>(store::Transaction&)> work =
        [filter, before, most](store::Transaction& transaction) {
          return list_stored(transaction, filter, before, most);
        };
    THAW_CO_TRY(stored, co_await database_.read<ListPart>(std::move(work)));
    if (!*alive) {
      co_return closed();
    }
  }
  ListPart held = list_in_memory(filter, before, most);
  // What one source has not looked at yet may lie between those of the other.
  std::optional<ListKey> known_to;
  for (const ListPart* part : {&stored, &held}) {
    if (part->looked_at && (!known_to || *known_to < *part->looked_at)) {
      known_to = part->looked_at;
    }
  }
  CallPage page;
  page.calls = std::move(stored.calls);
  page.calls.insert(page.calls.end(), std::make_move_iterator(held.calls.begin()),
                    std::make_move_iterator(held.calls.end()));
  std::sort(page.calls.begin(), page.calls.end(),
            [](const ListedCall& a, const ListedCall& b) { return key_of(b) < key_of(a); });
  if (known_to) {
    std::erase_if(page.calls, [&](const ListedCall& one) { return key_of(one) < *known_to; });
  }
  if (page.calls.size() > most) {
    page.calls.resize(most);
    known_to = key_of(page.calls.back());
  }
  page.next = known_to ? cursor_of(*known_to) : std::string();
  co_return page;
}

}  // namespace thaw::queue::detail
