// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/replicate/cog_talk.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "thaw/codec/data_url.h"
#include "thaw/control/fleet_house_test.h"

using namespace thaw;
using namespace thaw::dialect::replicate;
using codec::Json;
using control::Reply;
using model::OutcomeKind;

namespace {

struct Talker : control::FleetHouse {
  CogTalk talk{pool, *blobs};
  std::unique_ptr<control::Conversation> conversation;

  explicit Talker(const char* type = gateway::prediction_type) {
    queue::LeasedInput input;
    input.call = model::CallId("p1");
    input.workspace = spec.workspace;
    input.payload = {"{\"input\":{}}", type};
    conversation = talk.begin(input);
  }
  std::string take(std::string_view piece) { return control::must(conversation->take(piece)); }
  Reply end(Result<int> status = 200) {
    Reply reply;
    const auto body = [](control::Conversation& at, Result<int> given,
                         Reply& out) -> async::Task<void> {
      THAW_CO_TRY(out, co_await at.end(std::move(given)));
      co_return ok();
    };
    await(body(*conversation, std::move(status), reply));
    return reply;
  }
  Fold told(const Reply& reply) {
    Fold fold(true);
    model::LogEntry entry;
    entry.kind = model::LogEntry::Kind::final_;
    entry.outcome = reply.outcome.kind;
    entry.payload = reply.outcome.payload;
    entry.failure = reply.outcome.failure;
    fold.add(entry);
    return fold;
  }
};

std::string completed(const Json& json) {
  return "event: completed\ndata: " + codec::dump_json(json) + "\n\n";
}

}  // namespace

TEST_CASE("it asks for a stream, of its own id") {
  Talker f;
  const auto request = control::must(f.conversation->request());
  CHECK(request.method == "PUT");
  CHECK(request.target == "/predictions/p1");
  CHECK(request.body == "{\"input\":{}}");
  const codec::HttpFields::value_type accept{"accept", "text/event-stream"};
  CHECK(std::count(request.headers.begin(), request.headers.end(), accept) == 1);
  CHECK(f.conversation->leave()->target == "/predictions/p1/cancel");
}

TEST_CASE("outputs and logs are told as they come, and the end whole") {
  Talker f;
  std::string told = f.take(
      "event: start\ndata: {\"id\":\"p1\",\"status\":\"processing\"}\n\n"
      "event: log\ndata: {\"data\":\"begin\\n\",\"source\":\"stdout\"}\n\n"
      "event: output\ndata: {\"chunk\":\"hi\",\"ind");
  told += f.take("ex\":0}\n\n");
  const auto items = gateway::read_items(told);
  REQUIRE(items.size() == 2);
  CHECK(items[0].logs == "begin\n");
  CHECK(items[1].output == "hi");
  CHECK(f.take(completed({{"status", "succeeded"},
                          {"output", {"hi"}},
                          {"logs", "begin\n"},
                          {"metrics", {{"predict_time", 0.5}}}}))
            .empty());
  const Reply reply = f.end();
  CHECK(reply.server == Reply::Server::well);
  CHECK(reply.outcome.kind == OutcomeKind::success);
  const Fold fold = f.told(reply);
  CHECK(fold.output == Json{"hi"});
  CHECK(fold.metrics["predict_time"] == 0.5);
}

TEST_CASE("what says more than its stream takes is asked for once more, whole") {
  Talker f;
  control::must(f.conversation->request());
  f.take("event: log\ndata: {\"data\":\"a\"}\n\n");
  f.take("event: error\ndata: {\"error\":\"events were dropped\",\"skipped\":87}\n\n");
  CHECK(f.end().server == Reply::Server::busy);
  control::must(f.conversation->request());
  f.take(R"({"error":"at capacity"})");
  const Reply waits = f.end(409);  // the first one prints on
  CHECK(waits.server == Reply::Server::busy);
  CHECK(waits.busy_for > std::chrono::minutes(1));
  const auto again = control::must(f.conversation->request());
  CHECK(again.target == "/predictions/p1-whole");  // the first one is on its way out
  const codec::HttpFields::value_type accept{"accept", "application/json"};
  CHECK(std::count(again.headers.begin(), again.headers.end(), accept) == 1);
  f.take(R"({"status":"succeeded","output":["hi"],"logs":"a\n"})");
  const Reply reply = f.end();
  CHECK(reply.outcome.kind == OutcomeKind::success);
  CHECK(f.told(reply).output == Json{"hi"});
}

TEST_CASE("a stream that loses nothing and has no end is a failure at once") {
  Talker f;
  control::must(f.conversation->request());
  f.take("event: error\ndata: {\"error\":\"of another kind\"}\n\n");
  CHECK(f.end().server == Reply::Server::doubtful);
}

TEST_CASE("each end of a prediction is an outcome, and says how its server stands") {
  const struct {
    Json told;
    OutcomeKind kind;
    Reply::Server server;
  } cases[] = {
      {{{"status", "failed"}, {"error", "no"}}, OutcomeKind::failure, Reply::Server::doubtful},
      {{{"status", "failed"}, {"error", "Worker crashed"}},
       OutcomeKind::failure,
       Reply::Server::useless},
      {{{"status", "canceled"}}, OutcomeKind::terminated, Reply::Server::well},
      {{{"status", 7}}, OutcomeKind::failure, Reply::Server::doubtful},
  };
  for (const auto& one : cases) {
    CAPTURE(codec::dump_json(one.told));
    Talker f;
    f.take(completed(one.told));
    const Reply reply = f.end();
    CHECK(reply.outcome.kind == one.kind);
    CHECK(reply.server == one.server);
  }
}

TEST_CASE("what a server refuses is asked again, told, or costs its container") {
  const struct {
    int status;
    OutcomeKind kind;
    Reply::Server server;
  } cases[] = {
      {409, OutcomeKind::internal_failure, Reply::Server::busy},
      {503, OutcomeKind::internal_failure, Reply::Server::useless},
      {422, OutcomeKind::failure, Reply::Server::well},
      {500, OutcomeKind::failure, Reply::Server::doubtful},
  };
  for (const auto& one : cases) {
    CAPTURE(one.status);
    Talker f;
    f.take("{\"error\":\"why\",\"status\":\"failed\"}");
    const Reply reply = f.end(one.status);
    CHECK(reply.outcome.kind == one.kind);
    CHECK(reply.server == one.server);
  }
}

TEST_CASE("a server without a stream is asked for the whole answer") {
  Talker f;
  f.take("{\"error\":\"no stream\"}");
  CHECK(f.end(406).server == Reply::Server::busy);
  const auto request = control::must(f.conversation->request());
  const codec::HttpFields::value_type accept{"accept", "application/json"};
  CHECK(std::count(request.headers.begin(), request.headers.end(), accept) == 1);
  CHECK(f.take("{\"status\":\"succeeded\",\"outp").empty());
  CHECK(f.take("ut\":[\"a\"]}").empty());
  const Reply reply = f.end(200);
  CHECK(reply.outcome.kind == OutcomeKind::success);
  CHECK(f.told(reply).output == Json{"a"});
}

TEST_CASE("a model whose card says that it has no stream is not asked for one") {
  Talker f(gateway::whole_prediction_type);
  const auto request = control::must(f.conversation->request());
  const codec::HttpFields::value_type accept{"accept", "application/json"};
  CHECK(std::count(request.headers.begin(), request.headers.end(), accept) == 1);
  f.take(R"({"status":"succeeded","output":"a"})");
  CHECK(f.told(f.end(200)).output == Json("a"));
}

TEST_CASE("a connection that breaks is no end, unless the end had come") {
  Talker f;
  f.take("event: output\ndata: {\"chunk\":\"hi\"}\n\n");
  Result<void> outcome;
  const auto body = [](control::Conversation& at, Result<void>& out) -> async::Task<void> {
    const auto reply = co_await at.end(Error::unavailable("it broke"));
    out = reply ? ok() : Result<void>(reply.error());
    co_return ok();
  };
  f.await(body(*f.conversation, outcome));
  REQUIRE_FALSE(outcome);
  CHECK(outcome.error().code() == Code::unavailable);
  f.take(completed({{"status", "succeeded"}}));
  CHECK(f.end(Error::unavailable("it broke")).outcome.kind == OutcomeKind::success);
}

TEST_CASE("a large file of an output is a blob, and a small one stays") {
  Talker f;
  const std::string bytes(100'000, 'x');
  const std::string small = codec::write_data_url("text/plain", "small");
  f.take(completed({{"status", "succeeded"},
                    {"output", {small, {{"a/b", codec::write_data_url("image/png", bytes)}}}}}));
  const Fold fold = f.told(f.end());
  CHECK(fold.output[0] == small);
  CHECK(fold.output[1]["a/b"].is_null());
  REQUIRE(fold.files.size() == 1);
  const auto& [pointer, file] = *fold.files.begin();
  CHECK(pointer == "/1/a~1b");
  CHECK(file.content_type == "image/png");
  CHECK(file.size == bytes.size());
  CHECK(f.blobs->contains(f.spec.workspace.str(), file.sha256_hex));
}

TEST_CASE("logs without an end are cut while they come, and the last of them are kept") {
  Talker f;
  std::string told;
  const std::string line = "event: log\ndata: {\"data\":\"" + std::string(1'000, 'l') + "\"}\n\n";
  for (int i = 0; i < 2'000; ++i) {
    told += f.take(line);
  }
  CHECK(told.size() < (2u << 20));
  CHECK(told.find("left out") != std::string::npos);
  std::string logs;
  for (int i = 0; i < 100'000; ++i) {
    logs += "line " + std::to_string(i) + "\n";
  }
  f.take(completed({{"status", "succeeded"}, {"logs", logs}}));
  const Fold fold = f.told(f.end());
  CHECK(fold.logs.size() < 200'000);
  CHECK(fold.logs.ends_with("line 99999\n"));
  CHECK(fold.logs.find("left out") != std::string::npos);
}
