// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/workers_ai/told.h"

#include <doctest/doctest.h>

#include "thaw/dialect/workers_ai/answers.h"
#include "thaw/dialect/workers_ai/completion_talk.h"
#include "thaw/dialect/workers_ai/openai_words.h"

using namespace thaw;
using namespace thaw::dialect::workers_ai;
using codec::Json;
using model::LogEntry;
using model::OutcomeKind;

namespace {

LogEntry chunk(std::string bytes, const char* type) {
  LogEntry entry;
  entry.payload = {std::move(bytes), type};
  return entry;
}

LogEntry of_model(const char* text) {
  return chunk(gateway::write_item({gateway::Item::Kind::output, text, {}}), gateway::pieces_type);
}

LogEntry of_server(const Json& json) {
  return chunk(codec::dump_json(json) + "\n", completion_pieces_type);
}

Json delta(const Json& delta, const Json& finish = nullptr) {
  return {{"model", "inner"},
          {"choices", Json::array({{{"delta", delta}, {"finish_reason", finish}}})}};
}

LogEntry end(OutcomeKind outcome, std::string bytes, const char* type) {
  LogEntry entry;
  entry.kind = LogEntry::Kind::final_;
  entry.outcome = outcome;
  entry.payload = {std::move(bytes), type};
  return entry;
}

LogEntry end_of_model(const Json& output, const Json& error = nullptr) {
  gateway::Ending ending;
  ending.status = error.is_null() ? "succeeded" : "failed";
  ending.output = output;
  ending.error = error;
  return end(error.is_null() ? OutcomeKind::success : OutcomeKind::failure,
             gateway::write_ending(ending), gateway::prediction_type);
}

std::string shown(Wording& wording, const LogEntry& entry) {
  std::string text;
  each_told(entry, [&](const Told& told) { text += wording.piece(told); });
  return text;
}

std::string error_of(const LogEntry& entry) {
  const auto ended = read_end(entry);
  return ended ? "none" : std::string(code_name(ended.error().code()));
}

}  // namespace

TEST_CASE("pieces of both kinds are told in the clients' own form") {
  NativeWording wording;
  CHECK(shown(wording, of_model("Hi")) == R"({"response":"Hi"})");
  CHECK(shown(wording, of_server(delta({{"content", "Hi"}}))) == R"({"response":"Hi"})");
  CHECK(shown(wording, of_server(delta({{"role", "assistant"}}))).empty());
  CHECK(shown(wording, of_server(delta(Json::object(), "stop"))).empty());
  CHECK(shown(wording, of_server(delta(Json::object(), "length"))) ==
        R"({"finish_reason":"length"})");
  CHECK(shown(wording, of_server({{"choices", Json::array()}, {"usage", {{"total_tokens", 3}}}}))
            .empty());
  CHECK(wording.end({}, 1) == "data: {\"response\":\"\",\"usage\":{\"total_tokens\":3}}\n\n");
}

TEST_CASE("a model that says all at its end is told then") {
  NativeWording native;
  const auto ended = read_end(end_of_model({"a", "b"}));
  REQUIRE(ended);
  CHECK(native.end(*ended, 0) == "data: {\"response\":\"ab\"}\n\n");
  CHECK(native.end(*ended, 2).empty());
  ChatWording chat({"id", "@cf/m", 1});
  CHECK(chat.end(*ended, 0).find(R"("content":"ab")") != std::string::npos);
  CHECK(chat.end(*ended, 2).find(R"("finish_reason":"stop")") != std::string::npos);
}

TEST_CASE("what a server tells in the other form goes on under the name that was asked for") {
  ChatWording wording({"id", "@cf/m", 1});
  const std::string told = shown(wording, of_server(delta({{"content", "Hi"}})));
  const auto json = codec::parse_json(told);
  REQUIRE(json);
  CHECK((*json)["model"] == "@cf/m");
  CHECK(wording.end({}, 1).empty());
  ChatWording own({"id", "@cf/m", 1});
  CHECK(shown(own, of_model("Hi")).find(R"("role":"assistant")") != std::string::npos);
  CHECK(shown(own, of_model("Hi")).find(R"("role")") == std::string::npos);
}

TEST_CASE("each end means something to its caller") {
  CHECK(error_of(end_of_model("a")) == "none");
  CHECK(error_of(end_of_model(nullptr, "it broke")) == code_name(Code::aborted));
  CHECK(error_of(end(OutcomeKind::success, "200\n{}", completion_type)) == "none");
  CHECK(error_of(end(OutcomeKind::success, "200\n", completion_type)) == "none");
  CHECK(error_of(end(OutcomeKind::success, "400\n{\"error\":{\"message\":\"no\"}}",
                     completion_type)) == code_name(Code::invalid_argument));
  CHECK(error_of(end(OutcomeKind::success, "200\nno JSON", completion_type)) ==
        code_name(Code::aborted));
  CHECK(error_of(end(OutcomeKind::timeout, "", "")) == code_name(Code::deadline_exceeded));
  CHECK(error_of(end(OutcomeKind::terminated, "", "")) == code_name(Code::cancelled));
  CHECK(error_of(end(OutcomeKind::internal_failure, "", "")) == code_name(Code::unavailable));
  CHECK(error_of(end(OutcomeKind::failure, "", "")) == code_name(Code::aborted));
  CHECK(error_of(end(OutcomeKind::success, "damaged", gateway::prediction_type)) != "none");
}

TEST_CASE("what makes no sense in a piece is nothing") {
  NativeWording wording;
  for (const char* bytes : {"", "\n\n", "7\n", "no JSON\n", "{}\n", "{\"choices\":7}\n",
                            "{\"choices\":[7]}\n", "{\"choices\":[{\"delta\":7}]}\n"}) {
    CHECK(shown(wording, chunk(bytes, completion_pieces_type)).empty());
  }
}

TEST_CASE("clients ask again only where that helps") {
  CHECK(refusal_of(Error::resource_exhausted("full")).may_retry);
  CHECK(refusal_of(Error::unavailable("gone")).may_retry);
  CHECK_FALSE(refusal_of(Error::aborted("it broke")).may_retry);
  CHECK_FALSE(refusal_of(Error::deadline_exceeded("late")).may_retry);
  const Refusal none = no_such_model("@cf/x");
  CHECK(none.status == 400);
  CHECK(none.code == 5007);
  CHECK(none.message.find("thaw model alias @cf/x OWNER/MODEL") != std::string::npos);
}
