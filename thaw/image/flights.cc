// SPDX-License-Identifier: Apache-2.0
#include "thaw/image/flights.h"

#include <algorithm>

namespace thaw::image {

struct Flights::Flight {
  static constexpr std::size_t kept_pieces = 200;

  std::vector<std::pair<int, BuildLog>> listeners;
  std::vector<std::pair<logs::Channel, std::string>> kept;  // the last of the output
  int next_listener = 0;
  int waiting = 0;
  StopFlag stop = std::make_shared<std::atomic<bool>>(false);
  std::optional<Result<ImageRecord>> result;
  async::Event ended;
  async::TaskGroup::Handle task;

  void say(logs::Channel channel, const std::string& text) {
    if (kept.size() >= kept_pieces) {
      kept.erase(kept.begin(), kept.begin() + kept_pieces / 2);
    }
    kept.emplace_back(channel, text);
    // A listener may leave while it listens: the list is not walked by iterators.
    for (std::size_t i = 0; i < listeners.size(); ++i) {
      const BuildLog log = listeners[i].second;
      log(channel, text);
    }
  }
};

Flights::~Flights() {
  for (auto& [key, flight] : flights_) {
    *flight->stop = true;
  }
}

// Until each of those who listen now has room.
async::Task<void> Flights::wait_for_listeners(std::shared_ptr<Flight> flight) {
  for (std::size_t i = 0; i < flight->listeners.size(); ++i) {
    const BuildLog log = flight->listeners[i].second;
    if (log.room) {
      THAW_CO_TRY_VOID(co_await log.room());
    }
  }
  co_return ok();
}

async::Task<void> Flights::run(Flights* self, std::string key, std::shared_ptr<Flight> flight,
                               Work work) {
  BuildLog say(
      [flight](logs::Channel channel, const std::string& text) { flight->say(channel, text); },
      [flight] { return wait_for_listeners(flight); });
  auto result = co_await work(std::move(say), flight->stop);
  self->flights_.erase(key);
  flight->result = std::move(result);
  flight->ended.notify_all();
  co_return ok();
}

async::Task<ImageRecord> Flights::join(std::string key, Work work, BuildLog log) {
  std::shared_ptr<Flight> flight;
  const auto there = flights_.find(key);
  if (there != flights_.end()) {
    flight = there->second;
    for (const auto& [channel, text] : flight->kept) {
      log(channel, text);
    }
  } else {
    flight = std::make_shared<Flight>();
  }
  const int listener = flight->next_listener++;
  flight->listeners.emplace_back(listener, std::move(log));
  ++flight->waiting;
  if (there == flights_.end()) {
    // Started last: it may run, and even end, inside this call.
    flights_[key] = flight;
    flight->task = tasks_.start("image step", run(this, key, flight, std::move(work)));
  }

  bool is_cancelled = false;
  while (!flight->result) {
    const auto woken = co_await flight->ended.wait(Instant::max());
    if (woken) {
      continue;
    }
    co_await async::forget_cancellation();
    if (!is_cancelled) {
      is_cancelled = true;
      std::erase_if(flight->listeners, [&](const auto& item) { return item.first == listener; });
      if (--flight->waiting > 0) {
        break;
      }
      *flight->stop = true;
      flight->task.cancel();
    }
  }
  if (is_cancelled) {
    co_return Error::cancelled("the build was cancelled");
  }
  --flight->waiting;
  std::erase_if(flight->listeners, [&](const auto& item) { return item.first == listener; });
  co_return *flight->result;
}

}  // namespace thaw::image
