// SPDX-License-Identifier: Apache-2.0
// The loop in virtual time, on a real queue, with receivers that do as the test says.
#include "thaw/gateway/callback_loop.h"

#include <doctest/doctest.h>

#include <optional>

#include "thaw/async/virtual_time.h"
#include "thaw/queue/queue_fixture_test.h"
#include "thaw/store/testing/sql.h"

using namespace thaw;
using namespace thaw::gateway;
using model::OutcomeKind;
using Kind = CallbackAnswer::Kind;

namespace {

struct Try {
  std::string id;
  std::string sink;
  std::string body;
  Instant at{};
};

class FakeSender final : public CallbackSender {
 public:
  std::function<CallbackAnswer(const CallbackMessage&)> answers = [](const CallbackMessage&) {
    return CallbackAnswer{};
  };
  Duration takes = 10ms;
  std::vector<Try> tries;
  std::size_t under_way = 0;
  std::size_t most_under_way = 0;

  async::Task<CallbackAnswer> send(CallbackMessage message) override {
    tries.push_back({message.id, message.sink, message.body, monotonic_now()});
    most_under_way = std::max(most_under_way, ++under_way);
    const Result<void> slept = co_await async::sleep_for(takes);
    --under_way;
    THAW_CO_TRY_VOID(slept);
    co_return answers(message);
  }
  std::size_t to(const std::string& sink) const {
    std::size_t count = 0;
    for (const Try& one : tries) {
      count += one.sink == sink ? 1 : 0;
    }
    return count;
  }
};

class PlainDialect final : public CallbackDialect {
 public:
  CallbackRendering render(queue::DueCallback callback, queue::CallbackTurn turn) override {
    return [callback, turn]() -> Result<std::optional<RenderedCallback>> {
      if (callback.options == "skip chunks" && turn.entry->kind == model::LogEntry::Kind::chunk) {
        return std::optional<RenderedCallback>();
      }
      if (callback.options == "no words") {
        return Error::internal("it cannot be put into words");
      }
      return std::optional(RenderedCallback{"text/plain", {}, turn.entry->payload.bytes});
    };
  }
  Result<CallbackCall> call_for(const model::WorkspaceId& workspace, const std::string& function,
                                RenderedCallback rendered) override {
    if (function == "unknown") {
      return Error::not_found("no function 'unknown'");
    }
    CallbackCall out;
    out.call.id = model::CallId("fc-of-" + function + "-" + std::to_string(++made));
    out.call.workspace = workspace;
    out.call.function = model::FunctionId(function);
    out.call.durability = model::Durability::durable;
    out.inputs.push_back({0, {rendered.body}});
    return out;
  }
  int made = 0;
};

struct Timed {
  async::VirtualTime time;
  queue::Fixture f;
  FakeSender sender;
  PlainDialect dialect;
  async::Pool pool{1};
  std::unique_ptr<CallbackLoop> callbacks;
  int calls = 0;

  Timed() { start(); }
  ~Timed() { stop(); }

  void start() {
    callbacks = std::make_unique<CallbackLoop>(
        CallbackLoopParts{f.loop, *f.queue, sender, pool,
                          [this](const std::string& name) -> CallbackDialect* {
                            return name == "plain" ? &dialect : nullptr;
                          },
                          [] { return 1.0; }});
    callbacks->start();
  }
  void stop() {
    if (callbacks) {
      REQUIRE(await(callbacks->stop()));
      callbacks.reset();
    }
  }
  void passes(Duration how_long) { time.run(f.loop, time.now() + how_long); }
  template <class T>
  Result<T> await(async::Task<T> task) {
    std::optional<Result<T>> out;
    const auto body = [](async::Task<T> inner,
                         std::optional<Result<T>>& result) -> async::Task<void> {
      result.emplace(co_await std::move(inner));
      co_return ok();
    };
    f.tasks.start("awaited", body(std::move(task), out));
    for (int i = 0; i < 1'000 && !out; ++i) {
      passes(1ms);
    }
    REQUIRE(out);
    return std::move(*out);
  }

  static model::Callback to(const std::string& host, Duration try_for = std::chrono::hours(24)) {
    model::Callback one;
    one.sink = host + "/x";
    one.receiver = host;
    one.try_for = try_for;
    one.dialect = "plain";
    return one;
  }
  // Makes a call with that callback, which ends at once.
  std::string call_ends(model::Callback callback, const std::string& workspace = "ac-ann",
                        const std::string& payload = "out") {
    const std::string name = "fc-" + std::to_string(++calls);
    model::NewCall call = f.call(name, model::Durability::durable);
    call.workspace = model::WorkspaceId(workspace);
    call.callbacks = {std::move(callback)};
    REQUIRE(await(f.queue->create(std::move(call), queue::Fixture::inputs({"in"}))));
    const auto leases = f.queue->lease(f.function, f.container("ta-1"), 1);
    REQUIRE(leases.size() == 1);
    model::Outcome outcome{OutcomeKind::success, {payload}};
    REQUIRE(await(f.queue->complete(leases[0].input, f.container("ta-1"), std::move(outcome))));
    return name;
  }
  queue::CallbackView view(const std::string& call) {
    const auto views = await(f.queue->callbacks().of(f.id(call)));
    REQUIRE(views);
    REQUIRE(views->size() == 1);
    return views->front();
  }
};

}  // namespace

TEST_CASE("a callback is told once, when its call has ended") {
  Timed t;
  const std::string call = t.call_ends(Timed::to("http://a"));
  t.passes(1s);
  REQUIRE(t.sender.tries.size() == 1);
  CHECK(t.sender.tries[0].id == "cb_fc-1_0_1");
  CHECK(t.sender.tries[0].body == "out");
  CHECK(t.view(call).state == queue::CallbackState::delivered);
  t.passes(24h);
  CHECK(t.sender.tries.size() == 1);
  CHECK(t.callbacks->counters().lanes == 0);
}

TEST_CASE("an entry that is not taken is tried again, with the same id and ever longer pauses") {
  Timed t;
  t.sender.answers = [&](const CallbackMessage&) {
    return t.sender.tries.size() < 4 ? CallbackAnswer{Kind::later, "it answered 500"}
                                     : CallbackAnswer{};
  };
  const std::string call = t.call_ends(Timed::to("http://a"));
  t.passes(1s);
  CHECK(t.view(call).state == queue::CallbackState::pending);
  CHECK(t.view(call).why == "it answered 500");
  CHECK(t.view(call).next_try);
  t.passes(1h);
  REQUIRE(t.sender.tries.size() == 4);
  for (std::size_t i = 1; i < 4; ++i) {
    CHECK(t.sender.tries[i].id == t.sender.tries[0].id);
  }
  const auto pause = [&](std::size_t i) { return t.sender.tries[i].at - t.sender.tries[i - 1].at; };
  CHECK(pause(2) > pause(1));
  CHECK(pause(3) > pause(2));
  CHECK(t.view(call).state == queue::CallbackState::delivered);
  CHECK(t.view(call).tries == 4);
}

TEST_CASE("a receiver that says how long it wants to be left alone is") {
  Timed t;
  t.sender.answers = [&](const CallbackMessage&) {
    return t.sender.tries.size() == 1 ? CallbackAnswer{Kind::later, "it answered 429", 10min}
                                      : CallbackAnswer{};
  };
  t.call_ends(Timed::to("http://a"));
  t.passes(9min);
  CHECK(t.sender.tries.size() == 1);
  t.passes(2min);
  CHECK(t.sender.tries.size() == 2);
}

TEST_CASE("a receiver that says never is not asked again") {
  Timed t;
  t.sender.answers = [](const CallbackMessage&) {
    return CallbackAnswer{Kind::never, "it answered 410"};
  };
  const std::string call = t.call_ends(Timed::to("http://a"));
  t.passes(24h);
  CHECK(t.sender.tries.size() == 1);
  CHECK(t.view(call).state == queue::CallbackState::given_up);
  CHECK(t.view(call).why == "it answered 410");
}

TEST_CASE("a callback is given up when its time is over, with a last try at that moment") {
  Timed t;
  t.sender.answers = [](const CallbackMessage&) {
    return CallbackAnswer{Kind::later, "nobody is there"};
  };
  const std::string call = t.call_ends(Timed::to("http://a", 60s));
  const Instant ended = monotonic_now();
  t.passes(24h);
  CHECK(t.view(call).state == queue::CallbackState::given_up);
  CHECK(t.view(call).why == "its time is over; nobody is there");
  CHECK(t.sender.tries.back().at >= ended + 59s);
  CHECK(t.sender.tries.back().at <= ended + 62s);
}

TEST_CASE("what waits for a dead receiver costs one try at a time, and none of it is held") {
  Timed t;
  t.sender.answers = [](const CallbackMessage&) {
    return CallbackAnswer{Kind::later, "nobody is there"};
  };
  for (int i = 0; i < 200; ++i) {
    t.call_ends(Timed::to("http://dead"));
  }
  CHECK(t.callbacks->counters().lanes == 1);
  t.passes(10min);
  const std::size_t tried = t.sender.tries.size();
  t.sender.most_under_way = 0;
  t.passes(1h);
  // One every five minutes.
  CHECK(t.sender.tries.size() - tried <= 13);
  CHECK(t.sender.tries.size() > tried);
  CHECK(t.sender.most_under_way == 1);
  CHECK(t.callbacks->counters().lanes == 1);
  // It is back: all are told, once each.
  t.sender.answers = [](const CallbackMessage&) { return CallbackAnswer{}; };
  t.sender.tries.clear();
  t.passes(2h);
  CHECK(t.sender.tries.size() == 200);
  CHECK(t.f.queue->callbacks().pending(model::WorkspaceId("ac-ann")) == 0);
}

TEST_CASE("a hundred thousand for a dead receiver cost what a few do") {
  Timed t;
  t.sender.answers = [](const CallbackMessage&) {
    return CallbackAnswer{Kind::later, "nobody is there"};
  };
  t.call_ends(Timed::to("http://dead"));
  t.stop();
  const auto copy = [](store::Database& at) -> async::Task<void> {
    std::function<Result<void>(store::Transaction&)> work =
        [](store::Transaction& transaction) -> Result<void> {
      THAW_TRY_VOID(store::testing::sql_of(transaction)
                        .run("WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n "
                             "WHERE i < 99999) "
                             "INSERT INTO callbacks (call, ordinal, workspace, receiver, sink, "
                             "wants, try_for_us, "
                             "dialect, options, due_us, until_us) SELECT call, n.i, workspace, "
                             "receiver, sink, wants, "
                             "try_for_us, dialect, options, due_us, until_us FROM callbacks, n",
                             {}));
      return ok();
    };
    co_return co_await at.write<void>(std::move(work));
  };
  REQUIRE(t.await(copy(*t.f.database)));
  t.f.reopen();
  CHECK(t.f.queue->callbacks().pending(model::WorkspaceId("ac-ann")) == 100'000);
  t.sender.tries.clear();
  t.start();
  t.passes(1h);
  CHECK(t.callbacks->counters().lanes == 1);
  CHECK(t.callbacks->counters().under_way <= 1);
  CHECK(t.sender.tries.size() > 5);
  CHECK(t.sender.tries.size() < 40);
  // None of them is full for a workspace that has none.
  t.call_ends(Timed::to("http://alive"), "ac-bob");
  model::NewCall call = t.f.call("fc-refused", model::Durability::durable);
  call.workspace = model::WorkspaceId("ac-ann");
  call.callbacks = {Timed::to("http://dead")};
  const auto refused = t.await(t.f.queue->create(std::move(call), queue::Fixture::inputs({"in"})));
  REQUIRE(!refused);
  CHECK(refused.error().code() == Code::resource_exhausted);
}

TEST_CASE("a workspace whose receivers are slow does not keep another's callbacks waiting") {
  Timed t;
  t.sender.takes = 20s;
  for (int i = 0; i < 60; ++i) {
    t.call_ends(Timed::to("http://slow-" + std::to_string(i)), "ac-ann");
  }
  for (int i = 0; i < 20; ++i) {
    t.call_ends(Timed::to("http://shared"), "ac-ann");
  }
  CHECK(t.sender.under_way <= CallbackShares().per_workspace);
  t.call_ends(Timed::to("http://shared"), "ac-bob", "of bob");
  t.passes(1s);
  CHECK(t.sender.tries.back().body == "of bob");
  t.passes(1h);
  CHECK(t.sender.tries.size() == 81);
}

TEST_CASE("one receiver has so many tries at a time, whoever asks for them") {
  Timed t;
  t.sender.takes = 5s;
  for (const char* workspace : {"ac-ann", "ac-bob", "ac-eve"}) {
    for (int i = 0; i < 10; ++i) {
      t.call_ends(Timed::to("http://one"), workspace);
    }
  }
  t.passes(10min);
  CHECK(t.sender.tries.size() == 30);
  CHECK(t.sender.most_under_way == CallbackShares().per_receiver);
}

TEST_CASE("a server that starts anew goes on where the last one was") {
  Timed t;
  t.sender.answers = [](const CallbackMessage&) {
    return CallbackAnswer{Kind::later, "nobody is there"};
  };
  const std::string call = t.call_ends(Timed::to("http://a"));
  t.passes(1min);
  const std::size_t tried = t.sender.tries.size();
  t.stop();
  t.f.reopen();
  t.sender.answers = [](const CallbackMessage&) { return CallbackAnswer{}; };
  t.start();
  t.passes(1h);
  CHECK(t.sender.tries.size() == tried + 1);
  CHECK(t.view(call).state == queue::CallbackState::delivered);
}

TEST_CASE("a sink that is a function gets a call of its own, once") {
  Timed t;
  model::Callback callback = Timed::to("function:next");
  callback.sink = "function:next";
  const std::string call = t.call_ends(callback);
  t.passes(1s);
  CHECK(t.view(call).state == queue::CallbackState::delivered);
  const model::FunctionId next("next");
  REQUIRE(t.f.queue->demand(next).ready == 1);
  // It was made, and what became of it was not noted: the same entry is told once more.
  const auto again = [](store::Database& at) -> async::Task<void> {
    std::function<Result<void>(store::Transaction&)> work =
        [](store::Transaction& transaction) -> Result<void> {
      THAW_TRY_VOID(store::testing::sql_of(transaction)
                        .run("UPDATE callbacks SET state = 0, cursor = 0, due_us = 1", {}));
      return ok();
    };
    co_return co_await at.write<void>(std::move(work));
  };
  t.stop();
  REQUIRE(t.await(again(*t.f.database)));
  t.f.reopen();
  t.start();
  t.passes(1s);
  CHECK(t.view(call).state == queue::CallbackState::delivered);
  CHECK(t.dialect.made == 2);
  CHECK(t.f.queue->demand(next).ready == 1);
}

TEST_CASE("what cannot be told ends, and says why") {
  Timed t;
  model::Callback unknown = Timed::to("function:unknown");
  unknown.sink = "function:unknown";
  model::Callback foreign = Timed::to("http://a");
  foreign.dialect = "of another release";
  model::Callback mute = Timed::to("http://a");
  mute.options = "no words";
  const std::pair<model::Callback, const char*> table[] = {
      {unknown, "no function"}, {foreign, "of another release"}, {mute, "put into words"}};
  for (const auto& [callback, why] : table) {
    const std::string call = t.call_ends(callback);
    t.passes(1s);
    CHECK(t.view(call).state == queue::CallbackState::given_up);
    CHECK(t.view(call).why.find(why) != std::string::npos);
  }
  CHECK(t.sender.tries.empty());
}

TEST_CASE("workspaces whose receivers are silent do not keep the next one's callbacks waiting") {
  Timed t;
  t.sender.takes = 20s;
  // More of them than have room together, each with more than its share.
  const CallbackShares shares;
  const std::size_t silent = shares.at_once / shares.per_workspace + 1;
  t.stop();
  for (std::size_t i = 0; i < silent; ++i) {
    for (std::size_t k = 0; k < shares.per_workspace + 4; ++k) {
      t.call_ends(Timed::to("http://silent-" + std::to_string(i) + "-" + std::to_string(k)),
                  "ac-" + std::to_string(100 + i));
    }
  }
  t.start();
  t.passes(1s);
  CHECK(t.sender.under_way == shares.at_once);
  t.call_ends(Timed::to("http://alive"), "ac-zoe", "of zoe");
  t.passes(20s);
  CHECK(t.sender.to("http://alive/x") == 1);
  t.passes(1h);
  CHECK(t.sender.tries.size() == silent * (shares.per_workspace + 4) + 1);
  CHECK(t.sender.most_under_way == shares.at_once);
}

TEST_CASE("what there was no room here to try is no failure of its receiver") {
  Timed t;
  t.sender.answers = [&](const CallbackMessage&) {
    return t.sender.tries.size() < 10 ? CallbackAnswer{Kind::untried, "no turn"} : CallbackAnswer{};
  };
  const std::string call = t.call_ends(Timed::to("http://a"));
  t.passes(5s);
  CHECK(t.view(call).tries == 0);
  CHECK(t.callbacks->counters().failed == 0);
  t.passes(1min);
  CHECK(t.sender.tries.size() == 10);
  CHECK(t.view(call).state == queue::CallbackState::delivered);
}
