// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/calls.h"

#include <doctest/doctest.h>

using namespace thaw;
using namespace thaw::dialect::modal;
using model::OutcomeKind;

namespace {

pb::FunctionGetOutputsItem told(const model::Outcome& outcome) {
  auto output = output_of(outcome, wall_now());
  REQUIRE(output);
  return std::move(*output);
}

}  // namespace

TEST_CASE("a failure of the platform gets this dialect's form when it is read") {
  const pb::FunctionGetOutputsItem late = told(model::failed(
      OutcomeKind::timeout, {.type = "timeout", .message = "f ran past its timeout of 1 s"}));
  CHECK(late.result().status() == pb::GenericResult::GENERIC_STATUS_TIMEOUT);
  CHECK(late.result().exception() == "f ran past its timeout of 1 s");
  const pb::FunctionGetOutputsItem cancelled =
      told(model::failed(OutcomeKind::terminated, {.message = "the call was cancelled"}));
  CHECK(cancelled.result().status() == pb::GenericResult::GENERIC_STATUS_TERMINATED);
}

TEST_CASE("what the container said is told as it said it") {
  pb::FunctionPutOutputsItem said;
  said.mutable_result()->set_status(pb::GenericResult::GENERIC_STATUS_FAILURE);
  said.mutable_result()->set_exception("ValueError('no')");
  model::Outcome outcome = outcome_of(said, model::ContainerId("ta-1"));
  CHECK(outcome.kind == OutcomeKind::failure);
  CHECK(outcome.payload.content_type == output_type);
  CHECK(told(outcome).result().exception() == "ValueError('no')");
  CHECK(told(outcome).task_id() == "ta-1");
  // Also where the platform has words of its own.
  outcome.failure = std::make_shared<const model::Failure>(model::Failure{.message = "it exited"});
  CHECK(told(outcome).result().exception() == "ValueError('no')");
}

TEST_CASE("an output from before payloads had a type is read; of another type it is said") {
  pb::FunctionGetOutputsItem old;
  old.mutable_result()->set_data("pickled");
  CHECK(told({OutcomeKind::success, {old.SerializeAsString(), ""}, nullptr}).result().data() ==
        "pickled");
  const auto foreign = told({OutcomeKind::success, {"{}", "application/json"}, nullptr});
  CHECK(foreign.result().exception().find("application/json") != std::string::npos);
  CHECK(told({OutcomeKind::success, {}, nullptr}).result().exception().find("not kept") !=
        std::string::npos);
  CHECK(!output_of(model::Outcome{OutcomeKind::success, {"\xff\xff", ""}, nullptr}, wall_now()));
}
