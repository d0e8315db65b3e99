// SPDX-License-Identifier: Apache-2.0
// Inputs that are worked on in a conversation: what is told as it comes, how one is left, and what
// becomes of a server that takes nothing any more.
#include "thaw/control/talk.h"

#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

#include "thaw/control/fleet_house_test.h"

using namespace thaw;
using namespace thaw::control;
using model::OutcomeKind;

namespace {

constexpr const char* talked = "application/x-talked";
constexpr const char* told_type = "text/x-told";

// What its server answers is what is told, and the status says how it stands.
class PlainConversation final : public Conversation {
 public:
  explicit PlainConversation(std::string call) : call_(std::move(call)) {}
  Result<codec::HttpRequestMessage> request() override {
    codec::HttpRequestMessage request;
    request.method = "PUT";
    request.target = "/work/" + call_;
    return request;
  }
  Result<std::string> take(std::string_view piece) override { return std::string(piece); }
  std::string_view piece_type() const override { return told_type; }
  async::Task<Reply> end(Result<int> status) override {
    if (!status) {
      co_return status.error();
    }
    Reply reply;
    reply.server = *status == 409   ? Reply::Server::busy
                   : *status == 503 ? Reply::Server::useless
                   : *status == 500 ? Reply::Server::doubtful
                                    : Reply::Server::well;
    const OutcomeKind kind = *status == 200   ? OutcomeKind::success
                             : *status == 500 ? OutcomeKind::failure
                                              : OutcomeKind::internal_failure;
    reply.outcome = {kind, {std::to_string(*status), talked}};
    co_return reply;
  }
  std::optional<codec::HttpRequestMessage> leave() override {
    codec::HttpRequestMessage request;
    request.method = "POST";
    request.target = "/leave/" + call_;
    return request;
  }

 private:
  std::string call_;
};

class PlainTalk final : public Talk {
 public:
  std::unique_ptr<Conversation> begin(const queue::LeasedInput& input) override {
    return std::make_unique<PlainConversation>(input.call.str());
  }
};

struct TalkHouse : FleetHouse {
  PlainTalk talk;

  TalkHouse() {
    fleet->add_talk(talked, talk);
    spec.push = model::PushContract{};
    spec.push->port = 5000;
    spec.push->arguments = {"serve"};
    publish();
  }
  worker::testing::FakeServerPort& port(std::size_t which) { return *container(which).port; }
  // The first call's container is there, and its server is asked.
  void starts() {
    call("fc-1", {"{}", talked});
    passes(1s);
    REQUIRE(worker.running.size() == 1);
    port(0).is_ready();
    passes(100ms);
    REQUIRE(targets(0) == std::vector<std::string>{"/work/fc-1"});
  }
  std::vector<std::string> targets(std::size_t which) {
    std::vector<std::string> all;
    for (const auto& question : port(which).questions) {
      all.push_back(question.request.target);
    }
    return all;
  }
  void answers(std::size_t which, std::size_t n, int status, const std::string& body = "") {
    port(which).answer(n, codec::HttpResponseMessage{status, {}, body});
    passes(100ms);
  }
  std::vector<model::LogEntry> log_of(const std::string& name) {
    std::vector<model::LogEntry> log;
    const auto body = [](FleetHouse& f, std::string id,
                         std::vector<model::LogEntry>& out) -> async::Task<void> {
      THAW_CO_TRY(out, co_await f.queue->read(model::CallId(std::move(id)), 0, 10, monotonic_now(),
                                              nullptr));
      co_return ok();
    };
    await(body(*this, name, log));
    return log;
  }
  void cancels(const std::string& name) {
    const auto body = [](FleetHouse& f, std::string id) -> async::Task<void> {
      THAW_CO_TRY(const auto running, co_await f.queue->cancel(model::CallId(std::move(id))));
      f.fleet->cancel_inputs(running, StopHow::graceful);
      co_return ok();
    };
    await(body(*this, name));
    passes(100ms);
  }
};

}  // namespace

TEST_CASE("what a server says is in the log before how it has ended") {
  TalkHouse f;
  f.starts();
  f.answers(0, 0, 200, "said");
  const auto log = f.log_of("fc-1");
  REQUIRE(log.size() == 2);
  CHECK(log[0].kind == model::LogEntry::Kind::chunk);
  CHECK(log[0].payload.bytes == "said");
  CHECK(log[0].payload.content_type == told_type);
  CHECK(log[1].kind == model::LogEntry::Kind::final_);
  CHECK(log[1].outcome == OutcomeKind::success);
  CHECK(f.lives(0));
}

TEST_CASE("inputs of other types are plain requests beside it") {
  TalkHouse f;
  f.call("fc-1", {"{}", "application/json"});
  f.passes(1s);
  f.port(0).is_ready();
  f.passes(100ms);
  CHECK(f.targets(0) == std::vector<std::string>{"/"});
}

TEST_CASE("a server that has no room yet is asked again") {
  TalkHouse f;
  f.starts();
  f.answers(0, 0, 409);
  REQUIRE(f.targets(0).size() == 2);
  f.answers(0, 1, 200);
  CHECK(f.result_of("fc-1")->outcome == OutcomeKind::success);
  CHECK(f.lives(0));
}

TEST_CASE("one that never has room is replaced, and its input goes to another") {
  TalkHouse f;
  f.starts();
  f.port(0).at_question = [](worker::testing::FakeServerPort::Question& question) {
    question.answer = codec::HttpResponseMessage{409, {}, ""};
  };
  f.answers(0, 0, 409);
  f.passes(15s);
  REQUIRE(f.worker.running.size() == 2);
  f.port(1).is_ready();
  f.passes(100ms);
  f.answers(1, 0, 200);
  CHECK(f.result_of("fc-1")->outcome == OutcomeKind::success);
}

TEST_CASE("after a failure a server's health is asked, and it stays if it is well") {
  TalkHouse f;
  f.starts();
  const int before = f.port(0).health_checks;
  f.answers(0, 0, 500);
  CHECK(f.port(0).health_checks == before + 1);
  CHECK(f.result_of("fc-1")->outcome == OutcomeKind::failure);
  f.call("fc-2", {"{}", talked});
  f.passes(1s);
  CHECK(f.worker.running.size() == 1);
  CHECK(f.targets(0).size() == 2);
}

TEST_CASE("one that is not well after a failure gets nothing more") {
  TalkHouse f;
  f.starts();
  f.port(0).health = Error::unavailable("its program has died");
  f.answers(0, 0, 500);
  CHECK(f.result_of("fc-1")->outcome == OutcomeKind::failure);
  f.call("fc-2", {"{}", talked});
  f.passes(1s);
  CHECK(f.targets(0).size() == 1);
  CHECK(f.worker.running.size() == 2);
}

TEST_CASE("who cancels has the server asked to leave it, and what it says then is told") {
  TalkHouse f;
  f.starts();
  f.cancels("fc-1");
  REQUIRE(f.targets(0) == std::vector<std::string>{"/work/fc-1", "/leave/fc-1"});
  f.answers(0, 1, 200);
  CHECK_FALSE(f.port(0).questions.front().is_left);
  f.answers(0, 0, 500);
  const auto result = f.result_of("fc-1");
  REQUIRE(result);
  CHECK(result->outcome == OutcomeKind::terminated);
  CHECK(result->payload.bytes == "500");
  CHECK(f.lives(0));
}

TEST_CASE("a server that does not leave an input is replaced, and the input ends") {
  TalkHouse f;
  f.starts();
  f.cancels("fc-1");
  f.answers(0, 1, 200);
  f.passes(15s);
  CHECK(f.port(0).questions.front().is_left);
  const auto result = f.result_of("fc-1");
  REQUIRE(result);
  CHECK(result->outcome == OutcomeKind::terminated);
  f.call("fc-2", {"{}", talked});
  f.passes(1s);
  CHECK(f.worker.running.size() == 2);
}

TEST_CASE("a server that does not know the input yet is asked to leave it again") {
  TalkHouse f;
  f.starts();
  f.cancels("fc-1");
  f.answers(0, 1, 404);
  f.passes(500ms);
  CHECK(f.targets(0).size() == 3);
  f.answers(0, 2, 200);
  f.answers(0, 0, 200);
  CHECK(f.lives(0));
}

TEST_CASE("a server that breaks off in the middle is a failure that says so") {
  TalkHouse f;
  f.starts();
  f.port(0).answer(0, Error::unavailable("the connection broke"));
  f.passes(5s);
  const auto result = f.result_of("fc-1");
  REQUIRE(result);
  CHECK(result->outcome == OutcomeKind::failure);
  REQUIRE(result->failure);
  CHECK(result->failure->message.find("broke") != std::string::npos);
}
