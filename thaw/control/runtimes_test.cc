// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/runtimes.h"

#include <doctest/doctest.h>

#include "thaw/async/loop.h"
#include "thaw/async/task_group.h"

using namespace thaw;
using control::Runtimes;

namespace {

// Says its name in each plan.
class NamedRuntime final : public control::Runtime {
 public:
  explicit NamedRuntime(std::string name) : name_(std::move(name)) {}
  async::Task<void> complete_plan(std::shared_ptr<const model::FunctionSpec>,
                                  worker::LaunchPlan& plan) override {
    plan.argv = {name_};
    co_return ok();
  }

 private:
  std::string name_;
};

Result<std::string> started_by(Runtimes& runtimes, const std::string& dialect) {
  auto spec = std::make_shared<model::FunctionSpec>();
  spec->name = "f";
  spec->dialect = dialect;
  async::Loop loop;
  worker::LaunchPlan plan;
  Result<void> planned = Error::internal("it has not ended");
  const auto body = [](Runtimes& all, std::shared_ptr<const model::FunctionSpec> of,
                       worker::LaunchPlan& into, Result<void>& out,
                       async::Loop& until) -> async::Task<void> {
    out = co_await all.complete_plan(std::move(of), into);
    until.stop();
    co_return ok();
  };
  async::TaskGroup tasks(loop);
  tasks.start("plan", body(runtimes, spec, plan, planned, loop));
  loop.run();
  if (!planned) {
    return planned.error();
  }
  return plan.argv.at(0);
}

}  // namespace

TEST_CASE("each version is started as its own dialect says") {
  NamedRuntime red("red");
  NamedRuntime blue("blue");
  Runtimes runtimes;
  runtimes.add("red", red);
  runtimes.add("blue", blue);
  CHECK(started_by(runtimes, "red").value() == "red");
  CHECK(started_by(runtimes, "blue").value() == "blue");
  SUBCASE("one that names none is from before there were others: the first") {
    CHECK(started_by(runtimes, "").value() == "red");
  }
  SUBCASE("one of a dialect that is not served is told what is") {
    const auto planned = started_by(runtimes, "green");
    REQUIRE_FALSE(planned);
    CHECK(planned.error().code() == Code::failed_precondition);
    CHECK(planned.error().message().find("\"green\"") != std::string::npos);
    CHECK(planned.error().message().find("blue, red") != std::string::npos);
  }
}
