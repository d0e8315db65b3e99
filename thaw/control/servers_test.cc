// SPDX-License-Identifier: Apache-2.0
// Containers that are plain HTTP servers: when they are ready, what they are given, how they end.
#include "thaw/control/servers.h"

#include <doctest/doctest.h>

#include <csignal>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "thaw/codec/http_message.h"
#include "thaw/control/fleet_house_test.h"

using namespace thaw;
using namespace thaw::control;
using model::OutcomeKind;

namespace {

struct ServerHouse : FleetHouse {
  ServerHouse() {
    spec.push = model::PushContract{};
    spec.push->port = 5000;
    spec.push->arguments = {"serve"};
    publish();
  }
  void asks(const std::string& call_name, const std::string& target = "/run") {
    codec::HttpRequestMessage request;
    request.method = "POST";
    request.target = target;
    request.headers = {{"x-key", "hush"}, {"x-a", "1"}};
    request.body = "in";
    call(call_name, {must(codec::write_http(request)), std::string(codec::http_content_type)});
  }
  // The first call's container is there and its server is ready.
  void starts() {
    asks("fc-1");
    passes(1s);
    REQUIRE(worker.running.size() == 1);
    port(0).is_ready();
    passes(100ms);
  }
  worker::testing::FakeServerPort& port(std::size_t which) { return *container(which).port; }
  std::size_t asked(std::size_t which) { return port(which).questions.size(); }
  const worker::testing::FakeServerPort::Question& question(std::size_t which, std::size_t n) {
    return *std::next(port(which).questions.begin(), static_cast<std::ptrdiff_t>(n));
  }
  void answers(std::size_t which, std::size_t n, int status = 200) {
    port(which).answer(n, codec::HttpResponseMessage{status, {{"x-b", "2"}}, "out"});
    passes(100ms);
  }
  bool has_signal(std::size_t which, int number) {
    const auto& signals = container(which).fake.signals;
    return std::count(signals.begin(), signals.end(), number) > 0;
  }
  std::optional<PortLease> passage() { return fleet->try_lease_port(spec.id); }
};

// What a caller is told of an end that is the platform's to tell.
std::string told(const model::LogEntry& result) {
  return result.failure ? result.failure->message : result.payload.bytes;
}

sandbox::ExitStatus exited(int code) {
  sandbox::ExitStatus status;
  status.code = code;
  return status;
}

}  // namespace

TEST_CASE("a server is started as its image and its contract say, and told its port") {
  ServerHouse f;
  f.asks("fc-1");
  f.passes(1s);
  REQUIRE(f.worker.plans.size() == 1);
  const worker::LaunchPlan& plan = f.worker.plans.at(0);
  CHECK(plan.argv == std::vector<std::string>{"serve"});
  CHECK(std::count(plan.env.begin(), plan.env.end(), "PORT=5000") == 1);
  CHECK(!plan.wants_socket);
}

TEST_CASE("an input is one request of a server that is ready, and the answer its outcome") {
  ServerHouse f;
  f.spec.push->drop_headers = {"x-key"};
  f.publish();
  f.asks("fc-1", "/run?a=1");
  f.passes(1s);
  REQUIRE(f.worker.running.size() == 1);
  CHECK(f.asked(0) == 0);
  CHECK(f.fleet->containers().at(0).status == Status::starting);
  f.port(0).is_ready();
  f.passes(100ms);
  REQUIRE(f.asked(0) == 1);
  const codec::HttpRequestMessage& heard = f.question(0, 0).request;
  CHECK(heard.method == "POST");
  CHECK(heard.target == "/run?a=1");
  CHECK(heard.body == "in");
  const auto has = [&](const std::string& name, const std::string& value) {
    return std::count(heard.headers.begin(), heard.headers.end(), std::pair(name, value)) == 1;
  };
  CHECK(has("x-a", "1"));
  CHECK(!has("x-key", "hush"));
  CHECK(has("thaw-call-id", "fc-1"));
  CHECK(has("thaw-attempt", "1"));
  f.answers(0, 0, 201);
  const auto result = f.result_of("fc-1");
  REQUIRE(result);
  CHECK(result->outcome == OutcomeKind::success);
  const auto answer = codec::read_http_response(result->payload.bytes);
  REQUIRE(answer);
  CHECK(answer->status == 201);
  CHECK(answer->body == "out");
  CHECK(f.fleet->containers().at(0).calls_served == 1);
}

TEST_CASE("an input that is something else is posted to the target of its server") {
  ServerHouse f;
  f.spec.push->target = "/invocations";
  f.publish();
  f.call("fc-1", {"{}", "application/json"});
  f.passes(1s);
  f.port(0).is_ready();
  f.passes(100ms);
  REQUIRE(f.asked(0) == 1);
  const codec::HttpRequestMessage& heard = f.question(0, 0).request;
  CHECK(heard.method == "POST");
  CHECK(heard.target == "/invocations");
  CHECK(heard.body == "{}");
  CHECK(std::count(heard.headers.begin(), heard.headers.end(),
                   std::pair<std::string, std::string>("content-type", "application/json")) == 1);
}

TEST_CASE("a large request is sent from its blob, and a large answer becomes one on its way") {
  ServerHouse f;
  f.spec.scaling.max_concurrent_inputs = 2;
  f.publish();
  codec::HttpRequestMessage request;
  request.method = "POST";
  request.target = "/run";
  model::Payload payload{must(codec::write_http(request)), std::string(codec::http_content_type)};
  const std::string body(600'000, 'i');
  payload.rest = f.kept({body}).rest;
  f.call("fc-1", payload);
  f.call("fc-2", {std::string(400'000, 'j'), "text/plain", "gzip"});
  f.passes(1s);
  f.port(0).is_ready();
  f.passes(1s);
  REQUIRE(f.asked(0) == 2);
  CHECK(f.question(0, 0).request.target == "/run");
  CHECK(f.question(0, 0).request.body == body);
  const std::string large(700'000, 'o');
  f.port(0).answer(0, codec::HttpResponseMessage{200, {{"x-b", "2"}}, large});
  f.passes(1s);
  const auto result = f.result_of("fc-1");
  REQUIRE(result);
  CHECK(result->outcome == OutcomeKind::success);
  const auto head = codec::read_http_response(result->payload.bytes);
  REQUIRE(head);
  CHECK(head->headers == codec::HttpFields{{"x-b", "2"}});
  CHECK(head->body.empty());
  REQUIRE(result->payload.rest);
  CHECK(must(f.blobs->path(f.spec.workspace.str(), result->payload.rest->sha256_hex)) != "");
  CHECK(result->payload.rest->size == large.size());
  const auto& second = f.question(0, 1).request;
  CHECK(second.body.size() == 400'000);
  CHECK(std::count(second.headers.begin(), second.headers.end(),
                   std::pair<std::string, std::string>("content-encoding", "gzip")) == 1);
}

TEST_CASE(
    "an input whose bytes are gone from the disk ends, and says so, and the next one is served") {
  ServerHouse f;
  f.call("fc-1", {std::string(400'000, 'i'), "text/plain"});
  f.passes(1s);
  std::filesystem::remove_all(f.folder / "blobs");
  f.port(0).is_ready();
  f.passes(100ms);
  CHECK(f.asked(0) == 0);
  const auto result = f.result_of("fc-1");
  REQUIRE(result);
  CHECK(result->outcome == OutcomeKind::terminated);
  CHECK(told(*result).find("gone from the server's disk") != std::string::npos);
  f.asks("fc-2");
  f.passes(100ms);
  CHECK(f.asked(0) == 1);
}

TEST_CASE("what a status means for its input") {
  ServerHouse f;
  f.starts();
  SUBCASE("the caller's fault is an answer") {
    f.answers(0, 0, 404);
    CHECK(f.result_of("fc-1")->outcome == OutcomeKind::success);
  }
  SUBCASE("the server's fault is a failure, and told as it was answered") {
    f.answers(0, 0, 503);
    const auto result = f.result_of("fc-1");
    REQUIRE(result);
    CHECK(result->outcome == OutcomeKind::failure);
    CHECK(must(codec::read_http_response(result->payload.bytes)).status == 503);
  }
  SUBCASE("no answer of a server that lives is a failure") {
    f.port(0).answer(0, Error::unavailable("the server closed the connection"));
    f.passes(3s);
    const auto result = f.result_of("fc-1");
    REQUIRE(result);
    CHECK(result->outcome == OutcomeKind::failure);
    CHECK(told(*result).find("closed the connection") != std::string::npos);
  }
  SUBCASE("an answer that is too large is a failure") {
    f.port(0).answer(0, Error::resource_exhausted("the answer is larger than 9 bytes"));
    f.passes(100ms);
    CHECK(f.result_of("fc-1")->outcome == OutcomeKind::failure);
  }
}

TEST_CASE("a failed request is tried again as its call says") {
  ServerHouse f;
  f.spec.retry.max_retries = 1;
  f.spec.retry.initial_delay = 1s;
  f.publish();
  f.starts();
  f.answers(0, 0, 500);
  CHECK(!f.result_of("fc-1"));
  f.passes(3s);
  REQUIRE(f.asked(0) == 2);
  f.answers(0, 1);
  CHECK(f.result_of("fc-1")->outcome == OutcomeKind::success);
  CHECK(f.result_of("fc-1")->attempts == 2);
}

TEST_CASE("an input that is no HTTP request ends with the reason, and is not tried again") {
  ServerHouse f;
  f.spec.retry.max_retries = 3;
  f.publish();
  f.call("fc-1", {"no request", std::string(codec::http_content_type)});
  f.passes(1s);
  f.port(0).is_ready();
  f.passes(100ms);
  CHECK(f.asked(0) == 0);
  const auto result = f.result_of("fc-1");
  REQUIRE(result);
  CHECK(result->outcome == OutcomeKind::terminated);
  CHECK(told(*result).find("HTTP message") != std::string::npos);
  f.asks("fc-2");
  f.passes(100ms);
  CHECK(f.asked(0) == 1);
}

TEST_CASE("a server that dies of a request ends its input with what it died of") {
  ServerHouse f;
  f.starts();
  f.port(0).answer(0, Error::unavailable("the server closed the connection"));
  f.passes(10ms);
  CHECK(!f.result_of("fc-1"));
  f.container(0).fake.end(exited(3));
  f.passes(1s);
  const auto result = f.result_of("fc-1");
  REQUIRE(result);
  CHECK(result->outcome == OutcomeKind::failure);
  CHECK(told(*result).find("exited with code 3") != std::string::npos);
  CHECK(!f.lives(0));
}

TEST_CASE("a request whose caller cancels it is left, and its container goes on") {
  ServerHouse f;
  f.spec.scaling.max_concurrent_inputs = 2;
  f.publish();
  f.starts();
  f.asks("fc-2");
  f.passes(100ms);
  REQUIRE(f.asked(0) == 2);
  const auto cancel = [](ServerHouse& at) -> async::Task<void> {
    THAW_CO_TRY(const auto running, co_await at.queue->cancel(model::CallId("fc-1")));
    at.fleet->cancel_inputs(running, Fleet::StopHow::graceful);
    co_return ok();
  };
  f.await(cancel(f));
  f.passes(100ms);
  CHECK(f.question(0, 0).is_left);
  CHECK(!f.question(0, 1).is_left);
  CHECK(f.fleet->containers().at(0).inputs == 1);
  f.answers(0, 1);
  CHECK(f.result_of("fc-2")->outcome == OutcomeKind::success);
  CHECK(f.lives(0));
}

TEST_CASE("a request that runs past its time limit ends, and its container with it") {
  ServerHouse f;
  f.starts();
  f.passes(62s);
  CHECK(f.result_of("fc-1")->outcome == OutcomeKind::timeout);
  CHECK(!f.lives(0));
}

TEST_CASE("inputs and passages share the slots of a server") {
  ServerHouse f;
  f.spec.scaling.max_concurrent_inputs = 2;
  f.spec.scaling.max_containers = 1;
  f.publish();
  f.starts();
  REQUIRE(f.asked(0) == 1);
  const auto lease = f.passage();
  REQUIRE(lease);
  CHECK(lease->port == 5000);
  CHECK(!f.passage());
  f.asks("fc-2");
  f.passes(1s);
  CHECK(f.asked(0) == 1);
  f.fleet->return_port(*lease);
  f.passes(1s);
  REQUIRE(f.asked(0) == 2);
  CHECK(!f.passage());
  f.answers(0, 0);
  CHECK(f.passage());
}

TEST_CASE("a request that waits for a passage gets the slot of an input that has ended") {
  ServerHouse f;
  f.spec.scaling.max_containers = 1;
  f.publish();
  f.starts();
  std::optional<PortLease> lease;
  const auto waits = [](ServerHouse& at, std::optional<PortLease>& out) -> async::Task<void> {
    THAW_CO_TRY(const PortAnswer got,
                co_await at.fleet->lease_port(at.spec.id, monotonic_now() + 10min));
    out = std::get<PortLease>(got);
    co_return ok();
  };
  f.tasks.start("waits", waits(f, lease));
  f.passes(1s);
  CHECK(!lease);
  f.answers(0, 0);
  REQUIRE(lease);
  f.fleet->return_port(*lease);
}

TEST_CASE("an input goes to a server that has room, whoever asked last") {
  ServerHouse f;
  f.spec.scaling.max_concurrent_inputs = 1;
  f.publish();
  f.starts();
  f.asks("fc-2");
  f.passes(2s);
  REQUIRE(f.worker.running.size() == 2);
  f.port(1).is_ready();
  f.passes(100ms);
  REQUIRE(f.asked(1) == 1);
  f.answers(0, 0);
  f.answers(1, 0);
  // The second has become free last, and is full of a passage.
  const auto first = f.passage();
  const auto second = f.passage();
  REQUIRE((first && second));
  f.fleet->return_port(first->container == f.worker.launched.at(0) ? *first : *second);
  f.passes(10ms);
  f.asks("fc-3");
  f.passes(50ms);
  CHECK(f.asked(0) == 2);
}

TEST_CASE("a server that is at rest is frozen, and thawed before it is asked") {
  ServerHouse f;
  f.starts();
  f.answers(0, 0);
  f.container(0).now.connections = 1;
  f.passes(5s);
  CHECK(!f.container(0).fake.is_frozen);
  CHECK(f.port(0).closings > 0);  // what is kept for it is no reason to stay awake
  f.container(0).now.connections = 0;
  f.passes(2s);
  CHECK(f.container(0).fake.is_frozen);
  SUBCASE("by an input") {
    f.asks("fc-2");
    f.passes(100ms);
    CHECK(!f.container(0).fake.is_frozen);
    CHECK(f.asked(0) == 2);
  }
  SUBCASE("by a passage") {
    const auto lease = f.passage();
    REQUIRE(lease);
    CHECK(lease->level == model::Level::frozen);
    CHECK(!f.container(0).fake.is_frozen);
    f.passes(10s);
    CHECK(!f.container(0).fake.is_frozen);
    f.fleet->return_port(*lease);
  }
}

TEST_CASE("a server whose window ends is told to end, and killed if it does not") {
  ServerHouse f;
  SUBCASE("by its stop signal") {
    f.starts();
    f.answers(0, 0);
    f.passes(22s);
    CHECK(f.has_signal(0, SIGTERM));
    CHECK(f.lives(0));
  }
  SUBCASE("by its drain path") {
    f.spec.push->drain_path = "/shutdown";
    f.publish();
    f.starts();
    f.answers(0, 0);
    f.passes(22s);
    REQUIRE(f.asked(0) == 2);
    CHECK(f.question(0, 1).request.target == "/shutdown");
    CHECK(f.question(0, 1).request.method == "POST");
    f.answers(0, 1);
    CHECK(!f.has_signal(0, SIGTERM));
  }
  SUBCASE("by its signal too, if it does not answer") {
    f.spec.push->drain_path = "/shutdown";
    f.publish();
    f.starts();
    f.answers(0, 0);
    f.passes(22s);
    f.answers(0, 1, 500);
    CHECK(f.has_signal(0, SIGTERM));
  }
  f.passes(40s);
  CHECK(!f.lives(0));
}

TEST_CASE("a server that is replaced answers what it was asked before it is told to end") {
  ServerHouse f;
  f.spec.scaling.max_concurrent_inputs = 2;
  f.publish();
  f.starts();
  const auto lease = f.passage();
  REQUIRE(lease);
  f.publish();
  f.fleet->refresh(f.spec.id);
  f.passes(10s);
  CHECK(!f.has_signal(0, SIGTERM));
  f.answers(0, 0);
  f.passes(10s);
  CHECK(!f.has_signal(0, SIGTERM));
  f.fleet->return_port(*lease);
  f.passes(1s);
  CHECK(f.has_signal(0, SIGTERM));
  CHECK(f.result_of("fc-1")->outcome == OutcomeKind::success);
}

TEST_CASE("a server that stops takes no input, though somebody passes through it still") {
  ServerHouse f;
  f.spec.scaling.max_concurrent_inputs = 3;
  f.publish();
  f.starts();
  f.answers(0, 0);
  const auto stays = f.passage();
  const auto leaves = f.passage();
  REQUIRE(stays);
  REQUIRE(leaves);
  const std::size_t before = f.asked(0);
  f.publish();
  f.fleet->refresh(f.spec.id);
  f.passes(1s);
  f.asks("fc-2");
  f.passes(2s);
  CHECK(f.asked(0) == before);
  // Its poll wakes now, while the input waits for the server of the new version.
  f.fleet->return_port(*leaves);
  f.passes(2s);
  CHECK(f.asked(0) == before);
  CHECK(f.worker.running.size() == 2);
  f.fleet->return_port(*stays);
}

TEST_CASE("a server that never is ready is told of with what was seen of it") {
  ServerHouse f;
  SUBCASE("it says so") {
    f.asks("fc-1");
    f.passes(1s);
    f.port(0).is_ready(Error::failed_precondition("it says that it cannot start: /status = X"));
    f.passes(1s);
    CHECK(told(*f.result_of("fc-1")).find("/status = X") != std::string::npos);
    CHECK(f.result_of("fc-1")->outcome == OutcomeKind::failure);
  }
  SUBCASE("it is past its time") {
    f.spec.startup_timeout = 20s;
    f.publish();
    f.asks("fc-1");
    f.passes(22s);
    CHECK(told(*f.result_of("fc-1")).find("startup timeout of 20") != std::string::npos);
    CHECK(told(*f.result_of("fc-1")).find("it was looked at") != std::string::npos);
    CHECK(f.result_of("fc-1")->outcome == OutcomeKind::timeout);
  }
  CHECK(!f.lives(0));
}

TEST_CASE("a server that ends while it starts is started again, and in the end told of") {
  ServerHouse f;
  f.asks("fc-1");
  for (std::size_t i = 0; i < 3; ++i) {
    f.passes(5s);
    REQUIRE(f.worker.running.size() == i + 1);
    f.container(i).fake.end(exited(0));
  }
  f.passes(1s);
  const auto result = f.result_of("fc-1");
  REQUIRE(result);
  CHECK(result->outcome == OutcomeKind::failure);
  CHECK(told(*result).find("server ended by itself") != std::string::npos);
  CHECK(told(*result).find("thaw logs") != std::string::npos);
}

TEST_CASE("a server whose dialect says that it is ready is not looked at") {
  ServerHouse f;
  f.spec.push->ready.by = model::PushContract::Ready::By::said;
  f.publish();
  f.asks("fc-1");
  f.passes(5s);
  CHECK(f.asked(0) == 0);
  f.fleet->said_ready(f.worker.launched.at(0));
  f.passes(100ms);
  CHECK(f.asked(0) == 1);
}

TEST_CASE("a server that is stopped while it starts is told so at once") {
  ServerHouse f;
  f.asks("fc-1");
  f.passes(1s);
  REQUIRE(f.fleet->stop_container(f.worker.launched.at(0), Fleet::StopHow::graceful));
  f.passes(100ms);
  CHECK(f.has_signal(0, SIGTERM));
}

TEST_CASE("a server that is not well twice in a row is replaced, but not while it works") {
  ServerHouse f;
  f.spec.push->health_path = "/health";
  f.spec.scaling.scaledown_window = 10min;
  f.spec.scaling.freezing = model::Scaling::Freezing::never;
  f.publish();
  f.starts();
  f.port(0).health = Error::unavailable("GET /health was answered with 500");
  f.passes(30s);
  CHECK(f.port(0).health_checks == 0);  // it works
  f.answers(0, 0);
  SUBCASE("twice") {
    f.passes(20s);
    CHECK(f.port(0).health_checks == 2);
    CHECK(f.has_signal(0, SIGTERM));
    CHECK(f.fleet->containers().at(0).status == Status::stopping);
  }
  SUBCASE("once") {
    f.port(0).health = ok();
    f.passes(1min);
    CHECK(f.port(0).health_checks > 3);
    CHECK(f.fleet->containers().at(0).status == Status::warm);
  }
}

TEST_CASE("who had a passage through a container that ended is told what it ended of") {
  ServerHouse f;
  f.starts();
  f.answers(0, 0);
  const auto lease = f.passage();
  REQUIRE(lease);
  std::string end;
  const auto asks = [](ServerHouse& at, model::ContainerId id, std::string& out,
                       Duration patience) -> async::Task<void> {
    THAW_CO_TRY(out, co_await at.fleet->end_of(id, monotonic_now() + patience));
    co_return ok();
  };
  f.await(asks(f, lease->container, end, 1s));
  CHECK(end.empty());
  f.tasks.start("asks", asks(f, lease->container, end, 1min));
  f.passes(1s);
  f.container(0).fake.end(exited(7));
  f.passes(1s);
  CHECK(end == "the container exited with code 7");
  f.fleet->return_port(*lease);
  f.await(asks(f, lease->container, end, 1min));
  CHECK(end == "the container exited with code 7");
}

TEST_CASE("a server that nothing could reach is not started") {
  ServerHouse f;
  SUBCASE("its network is blocked") { f.spec.network = model::NetworkAccess::blocked; }
  SUBCASE("its image runs nothing") { f.spec.push->arguments.clear(); }
  f.publish();
  f.asks("fc-1");
  f.passes(1s);
  CHECK(f.worker.launched.empty());
  const auto result = f.result_of("fc-1");
  REQUIRE(result);
  CHECK(result->outcome == OutcomeKind::failure);
}

TEST_CASE("a server that stops itself with the server of Thaw leaves nothing") {
  ServerHouse f;
  f.starts();
  f.await(f.fleet->shut_down(f.time.now() + 5s));
  CHECK(f.fleet->containers().empty());
}

namespace {

enum class State { starting, idle, frozen, driven, passed_through };

// Brings the first container there; the call "fc-1" waits for it, was answered by it, or is in it.
std::optional<PortLease> bring(ServerHouse& f, State state) {
  f.spec.scaling.scaledown_window = 10min;
  f.publish();
  f.asks("fc-1");
  f.passes(1s);
  REQUIRE(f.worker.running.size() == 1);
  if (state == State::starting) {
    return std::nullopt;
  }
  f.port(0).is_ready();
  f.passes(100ms);
  if (state == State::driven) {
    return std::nullopt;
  }
  f.answers(0, 0);
  if (state == State::passed_through) {
    return f.passage();
  }
  f.passes(state == State::frozen ? Duration(5s) : Duration(500ms));
  REQUIRE(f.container(0).fake.is_frozen == (state == State::frozen));
  return std::nullopt;
}

// How the call ended; nothing: it waits for another container.
using Ended = std::optional<OutcomeKind>;

// In each state, the same event; a minute later the first container is gone, and the call is so.
void in_each_state(const std::function<void(ServerHouse&)>& event, Ended starting, Ended driven) {
  const OutcomeKind answered = OutcomeKind::success;
  const std::vector<std::pair<State, Ended>> rows = {{State::starting, starting},
                                                     {State::idle, answered},
                                                     {State::frozen, answered},
                                                     {State::driven, driven},
                                                     {State::passed_through, answered}};
  for (const auto& [state, expected] : rows) {
    ServerHouse f;
    const std::optional<PortLease> lease = bring(f, state);
    CHECK(lease.has_value() == (state == State::passed_through));
    event(f);
    f.passes(1min);
    CAPTURE(static_cast<int>(state));
    CHECK(!f.lives(0));
    const auto result = f.result_of("fc-1");
    CHECK(result.has_value() == expected.has_value());
    if (result && expected) {
      CHECK(result->outcome == *expected);
    }
    if (lease) {
      f.fleet->return_port(*lease);
    }
  }
}

}  // namespace

TEST_CASE("whatever ends a server, its call is answered, ended or delivered again") {
  SUBCASE("it crashes") {
    in_each_state([](ServerHouse& f) { f.container(0).fake.end(exited(3)); }, std::nullopt,
                  OutcomeKind::failure);
  }
  SUBCASE("it is killed from outside") {
    const auto kill = [](ServerHouse& f) {
      sandbox::ExitStatus status;
      status.code = 137;
      status.signal = SIGKILL;
      status.killed_as_a_whole = true;
      f.container(0).fake.end(status);
    };
    in_each_state(kill, std::nullopt, std::nullopt);
  }
  SUBCASE("it is stopped by request") {
    const auto stop = [](ServerHouse& f) {
      REQUIRE(f.fleet->stop_container(f.worker.launched.at(0), Fleet::StopHow::now));
    };
    in_each_state(stop, std::nullopt, std::nullopt);
  }
  SUBCASE("its app ends") {
    const auto stop = [](ServerHouse& f) {
      f.await(f.fleet->stop_functions({f.spec.id}, "the app was stopped"));
    };
    in_each_state(stop, OutcomeKind::terminated, OutcomeKind::terminated);
  }
}
