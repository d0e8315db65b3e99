// SPDX-License-Identifier: Apache-2.0
//
// For tests: a queue on a database in a temporary folder, that can be closed and opened again like
// a server that was killed, and short ways to drive it.
#pragma once

#include <doctest/doctest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "thaw/async/task_group.h"
#include "thaw/queue/call_queue.h"
#include "thaw/store/temp_folder_test.h"

namespace thaw::queue {

struct Fixture {
  store::TempFolder folder{store::TempFolder::Place::in_memory};
  std::string file = "t.db";
  QueueLimits limits;
  std::optional<store::DiskShares> disk;  // counted from the next open() on
  async::Loop loop;
  async::TaskGroup tasks{loop};
  std::unique_ptr<store::Database> database;
  std::unique_ptr<CallQueue> queue;
  model::FunctionId function{"fu-1"};

  explicit Fixture(QueueLimits given = {}) : limits(given) { open(); }

  void open() {
    store::DatabaseOptions options;
    options.path = folder / file;
    options.migrations = migrations();
    auto opened = store::Database::open(loop, options);
    REQUIRE(opened);
    database = std::move(*opened);
    auto made = CallQueue::open(loop, *database, limits, disk ? &*disk : nullptr);
    REQUIRE(made);
    queue = std::move(*made);
  }
  void reopen() {
    queue.reset();
    database.reset();
    open();
  }

  static model::CallId id(const std::string& text) { return model::CallId(text); }
  static model::ContainerId container(const std::string& text) { return model::ContainerId(text); }
  static model::Outcome success(std::string payload) {
    return {model::OutcomeKind::success, {std::move(payload)}};
  }
  model::NewCall call(const std::string& text,
                      model::Durability durability = model::Durability::memory) const {
    model::NewCall made;
    made.id = id(text);
    made.function = function;
    made.durability = durability;
    return made;
  }
  static std::vector<model::NewInput> inputs(const std::vector<std::string>& payloads) {
    std::vector<model::NewInput> made;
    for (const std::string& payload : payloads) {
      made.push_back({static_cast<int>(made.size()), {payload}});
    }
    return made;
  }

  std::vector<model::InputId> create(model::NewCall made, const std::vector<std::string>& given) {
    auto ids = loop.run_task(queue->create(std::move(made), inputs(given)));
    REQUIRE(ids);
    return *ids;
  }
  Code create_code(model::NewCall made, const std::vector<std::string>& given) {
    const auto ids = loop.run_task(queue->create(std::move(made), inputs(given)));
    return ids ? Code::ok : ids.error().code();
  }
  std::vector<model::InputId> add(const std::string& name, std::vector<model::NewInput> given) {
    auto ids = loop.run_task(queue->add_inputs(id(name), std::move(given)));
    REQUIRE(ids);
    return *ids;
  }
  void complete(model::InputId input, const std::string& by, model::OutcomeKind kind,
                std::string payload) {
    model::Outcome outcome{kind, {std::move(payload)}};
    REQUIRE(loop.run_task(queue->complete(std::move(input), container(by), std::move(outcome))));
  }
  void release(const std::string& by,
               model::Outcome verdict = {model::OutcomeKind::internal_failure, {}}) {
    REQUIRE(loop.run_task(queue->release(container(by), std::move(verdict))));
  }
  std::vector<model::LogEntry> read(const std::string& name, std::uint64_t after,
                                    std::size_t max = 100) {
    auto log = loop.run_task(queue->read(id(name), after, max, monotonic_now() + 20s, nullptr));
    REQUIRE(log);
    return *log;
  }
  std::vector<model::LogEntry> read_now(const std::string& name) {
    auto log = loop.run_task(queue->read(id(name), 0, 100, monotonic_now(), nullptr));
    REQUIRE(log);
    return *log;
  }
  Code read_code(const std::string& name) {
    const auto log = loop.run_task(queue->read(id(name), 0, 100, monotonic_now(), nullptr));
    return log ? Code::ok : log.error().code();
  }
  void start_read(const std::string& name, std::uint64_t after, std::vector<model::LogEntry>& out) {
    const auto body = [](CallQueue& q, model::CallId call, std::uint64_t from,
                         std::vector<model::LogEntry>& seen) -> async::Task<void> {
      THAW_CO_TRY(const auto log,
                  co_await q.read(std::move(call), from, 100, monotonic_now() + 20s, nullptr));
      seen.insert(seen.end(), log.begin(), log.end());
      co_return ok();
    };
    tasks.start("read", body(*queue, id(name), after, out));
    turn();
  }
  LeasedInput wait_lease(const std::string& by) {
    const auto body = [](CallQueue& q, model::FunctionId from,
                         model::ContainerId to) -> async::Task<LeasedInput> {
      while (true) {
        auto leases = q.lease(from, to, 1);
        if (!leases.empty()) {
          co_return std::move(leases[0]);
        }
        THAW_CO_TRY(const bool notified, co_await q.ready(from).wait(monotonic_now() + 20s));
        if (!notified) {
          co_return Error::deadline_exceeded("no input became ready");
        }
      }
    };
    auto lease = loop.run_task(body(*queue, function, container(by)));
    REQUIRE(lease);
    return *lease;
  }
  void join() { REQUIRE(*loop.run_task(tasks.join(monotonic_now() + 30s))); }
  // Lets what is ready run.
  void turn() {
    const auto body = []() -> async::Task<void> {
      for (int i = 0; i < 10; ++i) {
        THAW_CO_TRY_VOID(co_await async::yield());
      }
      co_return ok();
    };
    REQUIRE(loop.run_task(body()));
  }
};

template <class T>
std::string payloads(const std::vector<T>& items) {
  std::string all;
  for (const T& item : items) {
    all += item.payload.bytes;
  }
  return all;
}

}  // namespace thaw::queue
