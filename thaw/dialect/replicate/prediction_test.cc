// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/replicate/prediction.h"

#include <doctest/doctest.h>

using namespace thaw;
using namespace thaw::dialect::replicate;
using codec::Json;
using model::LogEntry;

namespace {

LogEntry piece(std::string bytes) {
  LogEntry entry;
  entry.kind = LogEntry::Kind::chunk;
  entry.payload = {std::move(bytes), gateway::pieces_type};
  return entry;
}

LogEntry end(model::OutcomeKind outcome, const gateway::Ending& ending) {
  LogEntry entry;
  entry.kind = LogEntry::Kind::final_;
  entry.outcome = outcome;
  entry.payload = {gateway::write_ending(ending), gateway::prediction_type};
  return entry;
}

queue::CallInfo info_of(const char* id) {
  queue::CallInfo info;
  info.call.id = model::CallId(id);
  return info;
}

std::string output(const char* text) {
  return gateway::write_item({gateway::Item::Kind::output, text, {}});
}

}  // namespace

TEST_CASE("a memo is read as it was written, and no other dialect's options are one") {
  Memo memo;
  memo.id = "mine";
  memo.model = "a/b";
  memo.version = "v";
  memo.input = {{"prompt", "ä"}};
  memo.gives_list = true;
  memo.cancel_after = WallTime(std::chrono::microseconds(5));
  const auto read = read_memo(write_memo(memo));
  REQUIRE(read);
  CHECK(read->id == "mine");
  CHECK(read->model == "a/b");
  CHECK(read->input == memo.input);
  CHECK(read->gives_list);
  CHECK(read->cancel_after == memo.cancel_after);
  CHECK(read->webhook.empty());
  for (const char* other : {"", "{}", "replicate/1 ", "replicate/1 {\"model\":1}", "\x0a\x02"}) {
    CHECK_FALSE(read_memo(other));
  }
}

TEST_CASE("pieces are outputs and logs, in their order, until the end tells all") {
  Fold fold(true);
  fold.add(piece(output("a") + gateway::write_item({gateway::Item::Kind::logs, {}, "one\n"})));
  fold.add(piece(output("b") + "no JSON\n[1]\n" + output("c")));
  CHECK(fold.output == Json{"a", "b", "c"});
  CHECK(fold.outputs == 3);
  CHECK(fold.logs == "one\n");
  CHECK(fold.end() == nullptr);
  gateway::Ending ending;
  ending.status = "succeeded";
  ending.output = {"a", "b", "c", "d"};
  ending.logs = "one\ntwo\n";
  ending.metrics = {{"predict_time", 1.5}};
  fold.add(end(model::OutcomeKind::success, ending));
  CHECK(fold.output == ending.output);
  CHECK(fold.logs == "one\ntwo\n");
  CHECK(fold.status(info_of("p"), {}) == "succeeded");
  CHECK_FALSE(fold.is_removed());
}

TEST_CASE("an output that is no list is the last of its pieces") {
  Fold fold(false);
  fold.add(piece(output("a") + output("b")));
  CHECK(fold.output == "b");
}

TEST_CASE("what a delivery told that came to nothing is told no more") {
  Fold fold(true);
  fold.add(piece(output("a")));
  LogEntry again = piece(output("b"));
  again.attempts = 2;
  fold.add(again);
  CHECK(fold.output == Json{"b"});
}

TEST_CASE("each end has its status") {
  const auto status_of = [](model::OutcomeKind outcome, const char* ended_as, bool is_cancelled) {
    Fold fold(false);
    gateway::Ending ending;
    ending.status = ended_as;
    fold.add(end(outcome, ending));
    queue::CallInfo info = info_of("p");
    info.cancelled = is_cancelled;
    return fold.status(info, {});
  };
  using model::OutcomeKind;
  CHECK(status_of(OutcomeKind::success, "succeeded", false) == "succeeded");
  CHECK(status_of(OutcomeKind::success, "succeeded", true) == "succeeded");
  CHECK(status_of(OutcomeKind::failure, "failed", false) == "failed");
  CHECK(status_of(OutcomeKind::terminated, "canceled", true) == "canceled");
  CHECK(status_of(OutcomeKind::terminated, "failed", false) == "failed");
  CHECK(status_of(OutcomeKind::expired, "", false) == "canceled");
  CHECK(status_of(OutcomeKind::timeout, "", false) == "failed");
  Fold late(false);
  LogEntry entry;
  entry.kind = LogEntry::Kind::final_;
  entry.outcome = OutcomeKind::timeout;
  entry.at = WallTime(std::chrono::microseconds(10));
  late.add(entry);
  Memo memo;
  memo.cancel_after = WallTime(std::chrono::microseconds(9));
  CHECK(late.status(info_of("p"), memo) == "canceled");
}

TEST_CASE("of a result that is not kept neither input nor output is told") {
  Fold fold(true);
  LogEntry entry;
  entry.kind = LogEntry::Kind::final_;
  fold.add(entry);
  CHECK(fold.is_removed());
  Memo memo;
  memo.input = {{"prompt", "secret"}};
  const Json told = json_of(info_of("p"), memo, fold, {"http://h/v1", ""});
  CHECK(told["data_removed"] == true);
  CHECK(told["input"] == Json::object());
  CHECK(told["output"].is_null());
}

TEST_CASE("a prediction is told with addresses, and without an error that it does not have") {
  Fold fold(true);
  Memo memo;
  memo.streams = true;
  const Json told = json_of(info_of("p"), memo, fold, {"http://h/v1", "http://h/stream"});
  CHECK(told["status"] == "starting");
  CHECK(told["urls"]["get"] == "http://h/v1/predictions/p");
  CHECK(told["urls"]["cancel"] == "http://h/v1/predictions/p/cancel");
  CHECK(told["urls"]["stream"] == "http://h/stream");
  CHECK(told["completed_at"].is_null());
  CHECK(told["error"].is_null());
  memo.streams = false;
  CHECK_FALSE(json_of(info_of("p"), memo, fold, {"http://h/v1", "x"})["urls"].contains("stream"));
}

TEST_CASE("times are told as clients read them") {
  CHECK(time_text(WallTime(std::chrono::microseconds(1'000'002))) == "1970-01-01T00:00:01.000002Z");
}
