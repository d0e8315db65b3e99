// SPDX-License-Identifier: Apache-2.0
//
// Channel<T>: a bounded queue between tasks of one loop. send() waits while it is full, receive()
// while it is empty; close() lets receivers drain what is there and then see nullopt.
#pragma once

#include <deque>
#include <optional>

#include "thaw/async/event.h"

namespace thaw::async {

struct Capacity {
  std::size_t count;
};

template <class T>
class Channel {
 public:
  explicit Channel(Capacity capacity) : capacity_(capacity.count) {}

  // Error::cancelled if the channel is or becomes closed.
  Task<void> send(T item) {
    while (!closed_ && items_.size() >= capacity_) {
      THAW_CO_TRY([[maybe_unused]] const bool n, co_await changed_.wait(Instant::max()));
    }
    if (closed_) {
      co_return Error::cancelled("the channel is closed");
    }
    items_.push_back(std::move(item));
    changed_.notify_all();
    co_return ok();
  }

  // false when full or closed.
  bool try_send(T item) {
    if (closed_ || items_.size() >= capacity_) {
      return false;
    }
    items_.push_back(std::move(item));
    changed_.notify_all();
    return true;
  }

  // nullopt: closed and empty, or the deadline passed (then closed() is false).
  Task<std::optional<T>> receive(Instant deadline) {
    while (items_.empty() && !closed_) {
      THAW_CO_TRY(const bool notified, co_await changed_.wait(deadline));
      if (!notified && items_.empty()) {
        co_return std::nullopt;
      }
    }
    if (items_.empty()) {
      co_return std::nullopt;
    }
    std::optional<T> item(std::move(items_.front()));
    items_.pop_front();
    changed_.notify_all();
    co_return item;
  }

  void close() {
    closed_ = true;
    changed_.notify_all();
  }
  bool closed() const { return closed_; }
  std::size_t size() const { return items_.size(); }

 private:
  std::size_t capacity_;
  std::deque<T> items_;
  bool closed_ = false;
  Event changed_;
};

}  // namespace thaw::async
