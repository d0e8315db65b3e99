// SPDX-License-Identifier: Apache-2.0
#include "thaw/async/task_group.h"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <exception>
#include <list>
#include <string>
#include <vector>

#include "thaw/async/event.h"
#include "thaw/base/log.h"

namespace thaw::async {

namespace asio = boost::asio;

struct TaskGroup::Handle::Entry {
  std::string name;
  asio::io_context& context;
  asio::cancellation_signal signal;

  // Outside the loop's run() the signal is only queued, and the task may end before it arrives:
  // the entry, which holds the receiver, stays until then.
  static void cancel(const std::shared_ptr<Entry>& entry) {
    entry->signal.emit(asio::cancellation_type::terminal);
    asio::post(entry->context, [entry] {});
  }
};

struct TaskGroup::State {
  std::list<std::shared_ptr<Handle::Entry>> entries;
  Event ended;
};

TaskGroup::TaskGroup(Loop& loop) : loop_(loop), state_(std::make_shared<State>()) {}

TaskGroup::~TaskGroup() { cancel(); }

void TaskGroup::Handle::cancel() {
  if (const auto entry = entry_.lock()) {
    Entry::cancel(entry);
  }
}

asio::awaitable<void> TaskGroup::run(std::shared_ptr<State> state,
                                     std::shared_ptr<Handle::Entry> entry, Task<void> task) {
  co_await asio::this_coro::throw_if_cancelled(false);
  const Result<void> result = co_await std::move(task);
  if (!result && result.error().code() != Code::cancelled) {
    log_warning("task failed", {{"task", entry->name}, {"error", result.error().to_string()}});
  }
}

TaskGroup::Handle TaskGroup::start(std::string_view name, Task<void> task) {
  const std::shared_ptr<Handle::Entry> entry(
      new Handle::Entry{std::string(name), loop_.context(), {}});
  state_->entries.push_back(entry);
  const auto position = std::prev(state_->entries.end());
  // The entry (and its signal) lives until the completion handler has run.
  auto finished = [state = state_, position](const std::exception_ptr& failure) {
    if (failure) {
      // An exception here is third-party code that no seam has caught: a bug, not an event.
      std::rethrow_exception(failure);
    }
    // NOLINTNEXTLINE(performance-unnecessary-copy-initialization): lives to the end of this
    const auto keep = *position;
    state->entries.erase(position);
    if (state->entries.empty()) {
      state->ended.notify_all();
    }
  };
  asio::co_spawn(loop_.context(), run(state_, entry, std::move(task)),
                 asio::bind_cancellation_slot(entry->signal.slot(), std::move(finished)));
  return Handle(entry);
}

void TaskGroup::cancel() {
  const std::vector<std::shared_ptr<Handle::Entry>> snapshot(state_->entries.begin(),
                                                             state_->entries.end());
  for (const auto& entry : snapshot) {
    Handle::Entry::cancel(entry);
  }
}

Task<void> TaskGroup::stop() {
  const auto state = state_;
  while (!state->entries.empty()) {
    // Again each time: a task that was between two waits, or has just started, sees it too.
    for (const auto& entry : std::vector(state->entries.begin(), state->entries.end())) {
      Handle::Entry::cancel(entry);
    }
    // The owner's objects go away after this: it joins even if it is cancelled itself.
    co_await forget_cancellation();
    (void)co_await state->ended.wait(monotonic_now() + 50ms);
  }
  co_return ok();
}

Task<bool> TaskGroup::join(Instant deadline) {
  const auto state = state_;
  while (!state->entries.empty()) {
    THAW_CO_TRY(const bool notified, co_await state->ended.wait(deadline));
    if (!notified) {
      co_return state->entries.empty();
    }
  }
  co_return true;
}

std::size_t TaskGroup::size() const { return state_->entries.size(); }

}  // namespace thaw::async
