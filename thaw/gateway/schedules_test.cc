// SPDX-License-Identifier: Apache-2.0
// Schedules in virtual time, with the real catalog, queue and database.
#include "thaw/gateway/schedules.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "thaw/control/fleet_house_test.h"

using namespace thaw;
using namespace thaw::gateway;

namespace {

constexpr model::PeriodSchedule every_minute{.minutes = 1};

struct House : control::FleetHouse {
  TimeZones zones;
  KeptVersions versions{{loop, *catalog, *queue, *fleet}};
  Invoke invoke{{*catalog, *queue, *fleet, versions}};
  std::unique_ptr<Schedules> schedules;
  Result<void> can_call = ok();
  int made = 0;
  std::vector<WallTime> asked;
  std::vector<std::string> askers;

  House() { start(); }
  ~House() { stop(); }

  void start(ScheduleOptions options = {}) {
    const auto call_for = [this](const Route& route, WallTime tick) -> Result<CallbackCall> {
      asked.push_back(tick);
      askers.push_back(route.spec->workspace.str());
      THAW_TRY_VOID(can_call);
      CallbackCall out;
      out.call = Invoke::new_call(route);
      out.call.id = model::CallId("fc-scheduled-" + std::to_string(++made));
      out.inputs.push_back({0, {"nothing"}});
      return out;
    };
    schedules = std::make_unique<Schedules>(
        ScheduleParts{loop, *catalog, *queue, invoke, versions, zones, call_for}, options);
    schedules->start();
  }
  void stop() {
    if (schedules) {
      await(schedules->stop());
      schedules.reset();
    }
  }
  model::FunctionId function(const std::string& name, std::optional<model::Schedule> schedule,
                             const std::string& workspace = "ac-1") {
    model::App app;
    app.id = model::AppId("ap-" + name);
    app.workspace = model::WorkspaceId(workspace);
    app.name = name;
    app.state = model::AppState::deployed;
    app.deployed_at = wall_now();
    app.functions[name] = model::FunctionId("fu-" + name);
    await(catalog->apps.put(app));
    auto made_spec = std::make_shared<model::FunctionSpec>(spec);
    made_spec->id = model::FunctionId("fu-" + name);
    made_spec->app = app.id;
    made_spec->workspace = app.workspace;
    made_spec->version = "de-" + std::to_string(++published);
    made_spec->name = name;
    made_spec->schedule = std::move(schedule);
    catalog::Function record;
    record.id = made_spec->id;
    record.app = app.id;
    record.workspace = app.workspace;
    record.tag = name;
    record.live_version = made_spec->version;
    record.versions[made_spec->version] = made_spec;
    await(catalog->functions.put(record));
    if (schedules) {
      schedules->look_at({record.id});
    }
    return record.id;
  }
  void app_is(const std::string& name, model::AppState state) {
    model::App app = *catalog->apps.find("ap-" + name);
    app.state = state;
    await(catalog->apps.put(app));
    schedules->look_at({model::FunctionId("fu-" + name)});
  }
  std::vector<catalog::ScheduleRun> runs(const model::FunctionId& id) {
    const auto state = catalog->schedules.find(catalog::schedule_id(id).str());
    return state ? state->runs : std::vector<catalog::ScheduleRun>();
  }
  std::size_t calls(const model::FunctionId& id) { return queue->demand({id, {}}).unfinished; }

  int published = 0;
};

}  // namespace

TEST_CASE("a period's first call comes a period after its app was deployed, and then again") {
  House house;
  const auto id = house.function("tick", every_minute);
  house.passes(59s);
  CHECK(house.made == 0);
  house.passes(2s);
  CHECK(house.made == 1);
  house.passes(10min);
  CHECK(house.made == 11);
  const auto runs = house.runs(id);
  REQUIRE(runs.size() == 10);
  CHECK(runs[0].tick - runs[1].tick == 1min);
  CHECK(runs[0].call == model::CallId("fc-scheduled-11"));
}

TEST_CASE("an app that is deployed again begins its periods anew, and its hours not") {
  House house;
  house.function("period", model::PeriodSchedule{.minutes = 3});
  house.function("cron", model::CronSchedule{"*/3 * * * *", ""});
  house.passes(2min);
  house.function("period", model::PeriodSchedule{.minutes = 3});
  house.function("cron", model::CronSchedule{"*/3 * * * *", ""});
  house.passes(2min);
  house.function("period", model::PeriodSchedule{.minutes = 3});
  house.function("cron", model::CronSchedule{"*/3 * * * *", ""});
  house.passes(2min);
  CHECK(house.runs(model::FunctionId("fu-period")).empty());
  CHECK(house.runs(model::FunctionId("fu-cron")).size() == 2);
  CHECK(house.made == 2);
}

TEST_CASE("a tick has one call, though the server dies between the call and the note of it") {
  House house;
  const auto id = house.function("tick", every_minute);
  house.passes(61s);
  REQUIRE(house.made == 1);
  house.stop();
  // As if nothing had been noted.
  house.await(house.catalog->schedules.erase(catalog::schedule_id(id).str()));
  house.start();
  house.passes(5s);
  CHECK(house.asked.size() == 2);
  CHECK(house.calls(id) == 1);
  REQUIRE(house.runs(id).size() == 1);
  CHECK(house.runs(id)[0].call == model::CallId("fc-scheduled-1"));
}

TEST_CASE("of what was missed the last tick is made good, unless it is too long ago") {
  House house;
  const auto id = house.function("tick", every_minute);
  const auto seldom = house.function("seldom", model::PeriodSchedule{.hours = 3});
  house.stop();
  house.passes(4h + 30s);
  house.start();
  house.passes(5s);
  CHECK(house.calls(id) == 1);
  CHECK(house.calls(seldom) == 0);
  REQUIRE(house.runs(seldom).size() == 1);
  CHECK(house.runs(seldom)[0].call.empty());
  CHECK(house.runs(seldom)[0].why.find("too long ago") != std::string::npos);
  house.passes(3min);
  CHECK(house.calls(id) == 4);
  house.passes(2h);
  CHECK(house.calls(seldom) == 1);
}

TEST_CASE("a schedule ends with its app, with its function, and with another version") {
  House house;
  const auto id = house.function("tick", every_minute);
  house.passes(61s);
  REQUIRE(house.made == 1);
  house.app_is("tick", model::AppState::stopped);
  CHECK(house.schedules->size() == 0);
  house.passes(5min);
  CHECK(house.made == 1);
  house.app_is("tick", model::AppState::ephemeral);
  house.passes(5min);
  CHECK(house.made == 1);
  house.function("tick", every_minute);
  house.passes(61s);
  CHECK(house.made == 2);
  catalog::Change change;
  house.catalog->erase_function(change, id);
  house.await(house.catalog->apply(std::move(change)));
  house.passes(3min);
  CHECK(house.made == 2);
  CHECK(house.catalog->schedules.all().empty());
  CHECK(house.schedules->size() == 0);
}

TEST_CASE("a function that does not come along has ticks left out, and says so") {
  House house;
  house.stop();
  ScheduleOptions options;
  options.most_unfinished = 3;
  house.start(options);
  const auto id = house.function("slow", every_minute);
  const auto other = house.function("other", every_minute);
  house.passes(10min);
  CHECK(house.calls(id) == 3);
  CHECK(house.calls(other) == 3);
  CHECK(house.runs(id)[0].why == "3 inputs of the function have not ended");
  CHECK(house.schedules->counters().left_out >= 12);
}

TEST_CASE("a tick is called however little is made good of what was missed") {
  House house;
  house.stop();
  ScheduleOptions options;
  options.make_good = Duration(0);
  house.start(options);
  house.function("tick", every_minute);
  house.passes(3min + 1s);
  CHECK(house.made == 3);
}

TEST_CASE("a clock that was wrong for a while silences nothing, and calls no tick again") {
  House house;
  const auto id = house.function("tick", model::CronSchedule{"* * * * *", ""});
  house.passes(90s);
  const int before = house.made;
  REQUIRE(before >= 1);
  house.time.jump_wall(std::chrono::hours(24 * 365));
  house.passes(90s);
  CHECK(house.made > before);
  house.time.jump_wall(-std::chrono::hours(24 * 365));
  house.passes(5min);
  CHECK(house.made >= before + 5);
  const auto backwards = house.calls(id);
  house.time.jump_wall(-30min);
  house.passes(10min);
  // These ticks have had their calls.
  CHECK(house.calls(id) <= backwards + 2);
  house.stop();
  house.start();
  const int then = house.made;
  house.passes(30min);
  CHECK(house.made > then + 5);
}

TEST_CASE("a schedule that was taken out and comes back has missed nothing meanwhile") {
  House house;
  const auto id = house.function("tick", model::CronSchedule{"*/10 * * * *", ""});
  house.passes(21min);
  REQUIRE(house.made == 2);
  house.function("tick", std::nullopt);
  house.passes(25min);
  CHECK(house.made == 2);
  CHECK(house.runs(id).empty());
  house.function("tick", model::CronSchedule{"*/10 * * * *", ""});
  house.passes(1min);
  CHECK(house.made == 2);
  house.passes(10min);
  CHECK(house.made == 3);
}

TEST_CASE("who is called is whom the plain address is for") {
  House house;
  const auto id = house.function("tick", every_minute);
  const auto kept = kept_version(*house.catalog->functions.find(id.str()));
  catalog::Change change;
  change.put(house.catalog->versions, kept);
  house.await(house.catalog->apply(std::move(change)));
  house.function("tick", every_minute);
  const auto alias = [](House& h, model::FunctionId function, std::string version,
                        Code& out) -> async::Task<void> {
    const catalog::Scope scope(*h.catalog, model::WorkspaceId("ac-1"));
    const auto done = co_await h.versions.set_alias(scope, std::move(function), model::live_alias,
                                                    {{std::move(version), 1}});
    out = done ? Code::ok : done.error().code();
    co_return ok();
  };
  Code code = Code::internal;
  house.await(alias(house, id, kept.spec->version, code));
  REQUIRE(code == Code::ok);
  house.passes(61s);
  CHECK(house.made == 1);
  CHECK(house.queue->demand({id, kept.spec->version}).unfinished == 1);
  CHECK(house.queue->demand({id, {}}).unfinished == 0);
}

TEST_CASE("a workspace with many schedules does not keep the ticks of another waiting") {
  House house;
  house.stop();
  for (int i = 0; i < 200; ++i) {
    house.function("many" + std::to_string(i), every_minute, "ac-1");
  }
  house.function("one", every_minute, "ac-2");
  house.passes(2min);
  house.start();
  house.passes(5s);
  const auto turn = std::find(house.askers.begin(), house.askers.end(), "ac-2");
  REQUIRE(turn != house.askers.end());
  CHECK(turn - house.askers.begin() <= 4);
}

TEST_CASE("a call that cannot be made now is tried again; one that never can be is left out") {
  House house;
  const auto id = house.function("tick", every_minute);
  house.can_call = Error::failed_precondition("its dialect is gone");
  house.passes(61s);
  CHECK(house.runs(id).at(0).why == "its dialect is gone");
  house.can_call = ok();
  house.passes(60s);
  CHECK(house.runs(id).at(0).call == model::CallId("fc-scheduled-1"));
}

TEST_CASE("a thousand that are due at once are all called, once each") {
  House house;
  for (int i = 0; i < 1'000; ++i) {
    house.function("f" + std::to_string(i), model::CronSchedule{"0 * * * *", "Europe/Paris"});
  }
  house.passes(1h);
  CHECK(house.made == 1'000);
  CHECK(house.schedules->counters().calls == 1'000);
}

TEST_CASE("a list tells what is seen there, and a call can be made beside the ticks") {
  House house;
  const auto id = house.function("tick", model::CronSchedule{"30 2 * * *", "Europe/Paris"});
  house.function("theirs", every_minute, "ac-2");
  const catalog::Scope mine(*house.catalog, model::WorkspaceId("ac-1"));
  const catalog::Scope theirs(*house.catalog, model::WorkspaceId("ac-2"));
  const model::WorkspaceId first("ac-1");
  const auto page = house.schedules->list(first, mine, 0, 10, 3);
  REQUIRE(page.views.size() == 1);
  CHECK_FALSE(page.has_more);
  CHECK(page.views[0].spec->id == id);
  CHECK(page.views[0].next.size() == 3);
  CHECK(text_of(*page.views[0].spec->schedule) == "30 2 * * * Europe/Paris");
  CHECK(house.schedules->list(model::WorkspaceId("ac-2"), theirs, 0, 10, 3).views.size() == 1);
  house.function("another", every_minute);
  CHECK(house.schedules->list(first, mine, 0, 1, 1).has_more);
  CHECK(house.schedules->list(first, mine, 1, 1, 1).views.at(0).spec->id == id);
  const auto run = [](House& h, catalog::Scope scope, model::FunctionId function,
                      Code& out) -> async::Task<void> {
    const auto done = co_await h.schedules->run_now(scope, std::move(function));
    out = done ? Code::ok : done.error().code();
    co_return ok();
  };
  Code code = Code::internal;
  house.await(run(house, theirs, id, code));
  CHECK(code == Code::not_found);
  house.await(run(house, mine, id, code));
  CHECK(code == Code::ok);
  CHECK(house.calls(id) == 1);
}

TEST_CASE("what a schedule says is checked, and told in words") {
  TimeZones zones;
  CHECK(check(model::CronSchedule{"0 6 * * *", "America/New_York"}, zones));
  CHECK(check(model::CronSchedule{"@daily", ""}, zones));
  CHECK(check(model::CronSchedule{"@daily", "UTC"}, zones));
  for (const char* zone : {"Mars/Olympus", "../../etc/passwd", "/etc/passwd", "Europe", " "}) {
    CHECK_MESSAGE(!check(model::CronSchedule{"@daily", zone}, zones), zone);
  }
  CHECK_FALSE(check(model::PeriodSchedule{}, zones));
  CHECK(text_of(model::PeriodSchedule{.days = 1, .hours = 2, .seconds = 1.5}) ==
        "every 1 day, 2 hours, 1.5 seconds");
}

TEST_CASE("a zone's clocks are those of the tz database") {
  TimeZones zones;
  const auto zone = zones.find("Europe/Berlin");
  REQUIRE(zone);
  const auto cron = policy::Cron::parse("30 2 * * *");
  const auto at = [](int month, int day, int hour, int minute) {
    return WallTime(std::chrono::sys_days(std::chrono::year(2026) / month / day) +
                    std::chrono::hours(hour) + std::chrono::minutes(minute));
  };
  CHECK(policy::next_tick(*cron, **zone, at(1, 10, 0, 0)) == at(1, 10, 1, 30));
  CHECK(policy::next_tick(*cron, **zone, at(3, 28, 12, 0)) == at(3, 29, 1, 0));     // skipped
  CHECK(policy::next_tick(*cron, **zone, at(10, 24, 12, 0)) == at(10, 25, 0, 30));  // shown twice
  CHECK(policy::next_tick(*cron, **zone, at(10, 25, 1, 0)) == at(10, 26, 1, 30));
}
