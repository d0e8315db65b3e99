// SPDX-License-Identifier: Apache-2.0
//
// One task sleeps until the first tick is due, and starts one for each function whose tick is. What
// a function's next tick is follows from its schedule and from how far it has come: so looking once
// more is always right.
#include "thaw/gateway/schedules.h"

#include <algorithm>
#include <cstdio>
#include <tuple>

#include "thaw/base/check.h"
#include "thaw/base/log.h"

namespace thaw::gateway {

using async::Task;
using catalog::ScheduleRun;

namespace {

// Of the wall's clock, which may be set: how long a jump of it goes unseen.
constexpr Duration longest_sleep = 10s;
constexpr Duration first_pause = 1s;
constexpr Duration longest_pause = 60s;
// A tick is made good however late this server is by itself.
constexpr Duration least_make_good = 1min;
// So far the wall's clock may have been ahead of what it is now. What was told of a time further
// ahead was told by a clock that was wrong.
constexpr Duration most_ahead = 2min;
// Of ticks that are left out one after the other for one reason the disk is told so often.
constexpr Duration note_left_out_every = 60s;

std::chrono::microseconds micros(Duration duration) {
  return std::chrono::duration_cast<std::chrono::microseconds>(duration);
}

bool may_pass(const Error& error) {
  return error.code() == Code::resource_exhausted || error.code() == Code::unavailable ||
         error.code() == Code::deadline_exceeded || error.code() == Code::cancelled;
}

// What a state on disk is the state of. A period begins anew with each publication.
std::string name_of(const model::Schedule& schedule, WallTime published) {
  const bool is_period = std::holds_alternative<model::PeriodSchedule>(schedule);
  return text_of(schedule) +
         (is_period ? " from " + std::to_string(published.time_since_epoch().count()) : "");
}

}  // namespace

Result<void> check(const model::Schedule& schedule, TimeZones& zones) {
  if (const auto* cron = std::get_if<model::CronSchedule>(&schedule)) {
    THAW_TRY([[maybe_unused]] const policy::Cron read, policy::Cron::parse(cron->expression));
    THAW_TRY([[maybe_unused]] const policy::Zone* zone, zones.find(cron->zone));
    return ok();
  }
  return policy::check(std::get<model::PeriodSchedule>(schedule));
}

std::string text_of(const model::Schedule& schedule) {
  if (const auto* cron = std::get_if<model::CronSchedule>(&schedule)) {
    return cron->expression + " " + (cron->zone.empty() ? "UTC" : cron->zone);
  }
  const auto& period = std::get<model::PeriodSchedule>(schedule);
  std::string text;
  const auto add = [&text](const std::string& number, const char* unit) {
    text += (text.empty() ? "every " : ", ") + number + " " + unit + (number == "1" ? "" : "s");
  };
  for (const auto& [number, unit] :
       {std::pair(period.years, "year"), std::pair(period.months, "month"),
        std::pair(period.weeks, "week"), std::pair(period.days, "day"),
        std::pair(period.hours, "hour"), std::pair(period.minutes, "minute")}) {
    if (number != 0) {
      add(std::to_string(number), unit);
    }
  }
  if (period.seconds != 0) {
    char seconds[40];
    std::snprintf(seconds, sizeof seconds, "%.10g", period.seconds);
    add(seconds, "second");
  }
  return text;
}

Schedules::Schedules(ScheduleParts parts, ScheduleOptions options)
    : parts_(std::move(parts)), options_(options), tasks_(parts_.loop) {
  options_.make_good = std::clamp<Duration>(options_.make_good, least_make_good, 12h);
}

void Schedules::start() {
  look_at_all();
  tasks_.start("schedules", run(*this));
}

void Schedules::look_at_all() {
  std::vector<model::FunctionId> all;
  // all workspaces: the server's own clock
  for (const auto& [id, function] : parts_.catalog.functions.all()) {
    all.push_back(function->id);
  }
  look_at(all);
}

void Schedules::await(Entry& entry, WallTime when) {
  auto& awaited = tenants_[entry.spec->workspace].awaited;
  awaited.erase({entry.look_at, entry.spec->id});
  entry.look_at = when;
  awaited.emplace(when, entry.spec->id);
  changed_.notify_all();
}

void Schedules::forget(const model::FunctionId& function) {
  const auto found = entries_.find(function);
  if (found == entries_.end()) {
    return;
  }
  const auto tenant = tenants_.find(found->second.spec->workspace);
  tenant->second.awaited.erase({found->second.look_at, function});
  entries_.erase(found);
  if (tenant->second.awaited.empty() && tenant->second.under_way == 0) {
    tenants_.erase(tenant);
  }
}

// A schedule that comes back later does not go on where it was: nothing was missed meanwhile.
void Schedules::forget_state(const model::FunctionId& function) {
  const std::string id = catalog::schedule_id(function).str();
  if (parts_.catalog.schedules.find(id)) {
    tasks_.start("schedule", parts_.catalog.schedules.erase(id));
  }
}

void Schedules::look_at(const std::vector<model::FunctionId>& functions) {
  for (const model::FunctionId& function : functions) {
    Entry* entry = refresh(function);
    if (entry == nullptr) {
      forget(function);
    } else if (!entry->is_under_way) {
      entry->failures = 0;
      await(*entry, due(*entry));
    }
  }
}

Result<Schedules::Next> Schedules::ticks_of(const model::FunctionSpec& spec,
                                            WallTime deployed) const {
  if (const auto* cron = std::get_if<model::CronSchedule>(&*spec.schedule)) {
    THAW_TRY(const policy::Cron read, policy::Cron::parse(cron->expression));
    THAW_TRY(const policy::Zone* zone, parts_.zones.find(cron->zone));
    return Next([read, zone](WallTime after) { return policy::next_tick(read, *zone, after); });
  }
  const auto& period = std::get<model::PeriodSchedule>(*spec.schedule);
  THAW_TRY_VOID(policy::check(period));
  return Next(
      [period, deployed](WallTime after) { return policy::next_tick(period, deployed, after); });
}

Schedules::Entry* Schedules::refresh(const model::FunctionId& id) {
  // all workspaces: the server's own clock
  const auto function = parts_.catalog.functions.find(id.str());
  const auto spec = function ? function->live() : nullptr;
  // A bound variant has its parameters from whoever calls it.
  if (!spec || !spec->schedule || !spec->base.empty()) {
    if (spec && !spec->schedule) {
      forget_state(id);
    }
    return nullptr;
  }
  const auto app = parts_.catalog.apps.find(function->app.str());
  if (!app || app->state != model::AppState::deployed) {
    return nullptr;
  }
  const auto known = entries_.find(id);
  if (known != entries_.end() && known->second.spec == spec &&
      known->second.deployed_at == app->deployed_at) {
    return &known->second;
  }
  auto next = ticks_of(*spec, app->deployed_at);
  if (!next) {  // refused at the door: the machine has lost its zones since
    log_warning("a schedule cannot be kept",
                {{"function", id.str()}, {"error", next.error().to_string()}});
    return nullptr;
  }
  Entry& entry = entries_[id];
  entry.spec = spec;
  entry.deployed_at = app->deployed_at;
  entry.next = std::move(*next);
  std::string of = name_of(*spec->schedule, app->deployed_at);
  if (of != entry.of) {
    entry.of = std::move(of);
    const auto state = parts_.catalog.schedules.find(catalog::schedule_id(id).str());
    entry.told_until = state && state->of == entry.of ? state->told_until : app->deployed_at;
    correct(entry);
  }
  return &entry;
}

// Its ticks have had their calls only as far as time has come.
void Schedules::correct(Entry& entry) {
  const WallTime now = wall_now();
  if (entry.told_until > now + micros(most_ahead)) {
    entry.told_until = now;
  }
}

WallTime Schedules::due(const Entry& entry) { return entry.next(entry.told_until); }

Schedules::Tenant* Schedules::next_tenant(WallTime now, WallTime& wake) {
  if (under_way_ >= options_.at_once || tenants_.empty()) {
    return nullptr;
  }
  auto turn = tenants_.upper_bound(last_turn_);
  for (std::size_t i = 0; i < tenants_.size(); ++i, ++turn) {
    turn = turn == tenants_.end() ? tenants_.begin() : turn;
    Tenant& tenant = turn->second;
    if (tenant.awaited.empty() || tenant.under_way >= options_.per_workspace) {
      continue;
    }
    if (tenant.awaited.begin()->first <= now) {
      last_turn_ = turn->first;
      return &tenant;
    }
    wake = std::min(wake, tenant.awaited.begin()->first);
  }
  return nullptr;
}

Task<void> Schedules::run(Schedules& self) {
  while (true) {
    const WallTime now = wall_now();
    if (now + micros(most_ahead) < self.latest_) {
      for (auto& [id, entry] : self.entries_) {  // reckoned from a clock that was ahead
        correct(entry);
      }
      self.look_at_all();
    }
    self.latest_ = now;
    WallTime wake = now + micros(longest_sleep);
    Tenant* tenant = self.next_tenant(now, wake);
    if (tenant == nullptr) {
      const Duration left = std::max<Duration>(wake - now, 1ms);
      THAW_CO_TRY([[maybe_unused]] const bool notified,
                  co_await self.changed_.wait(monotonic_now() + left));
      continue;
    }
    const model::FunctionId function = tenant->awaited.begin()->second;
    tenant->awaited.erase(tenant->awaited.begin());
    ++tenant->under_way;
    ++self.under_way_;
    self.entries_.at(function).is_under_way = true;
    self.tasks_.start("schedule", fire(self, function, self.last_turn_));
  }
}

void Schedules::ended(const model::FunctionId& function, const model::WorkspaceId& workspace,
                      bool is_over) {
  --under_way_;
  const auto tenant = tenants_.find(workspace);
  THAW_CHECK(tenant != tenants_.end() && tenant->second.under_way > 0);
  --tenant->second.under_way;
  changed_.notify_all();
  const auto found = entries_.find(function);
  if (found != entries_.end()) {
    found->second.is_under_way = false;
  }
  Entry* entry = refresh(function);
  if (entry == nullptr) {
    forget(function);
    if (const auto left = tenants_.find(workspace);
        left != tenants_.end() && left->second.awaited.empty() && left->second.under_way == 0) {
      tenants_.erase(left);
    }
    return;
  }
  entry->failures = is_over ? 0 : entry->failures + 1;
  WallTime when = due(*entry);
  if (!is_over) {
    const Duration pause = first_pause * (1 << std::min(entry->failures - 1, 6));
    when = std::max(when, wall_now() + micros(std::min(pause, longest_pause)));
  }
  await(*entry, when);
}

Task<void> Schedules::fire(Schedules& self, model::FunctionId function,
                           model::WorkspaceId workspace) {
  const Result<bool> is_over = co_await fire_due(self, function);
  if (!is_over && is_over.error().code() == Code::cancelled) {
    co_return is_over.error();
  }
  self.ended(function, workspace, is_over.value_or(false));
  co_return is_over ? ok() : Result<void>(is_over.error());
}

Task<bool> Schedules::fire_due(Schedules& self, model::FunctionId function) {
  const Entry* entry = self.refresh(function);
  const WallTime now = wall_now();
  if (entry == nullptr || self.due(*entry) > now) {
    co_return true;
  }
  const WallTime due = self.due(*entry);
  // Copies: what it is may change while this waits.
  const auto spec = entry->spec;
  const std::string of = entry->of;
  const auto tick = policy::last_missed(due, now, self.options_.make_good, entry->next);
  ScheduleRun made{due, {}, "the server was not there, and it is too long ago to be made good"};
  if (tick) {
    THAW_CO_TRY(std::optional<ScheduleRun> tried, co_await make_call(self, spec, *tick));
    if (!tried) {
      co_return false;
    }
    made = std::move(*tried);
  }
  ++(made.call.empty() ? self.counters_.left_out : self.counters_.calls);
  const Result<void> noted = co_await note(self, spec, of, tick.value_or(now), std::move(made));
  if (!noted) {
    // What memory knows is enough until the next start, and then the key is.
    if (noted.error().code() == Code::cancelled) {
      co_return noted.error();
    }
    log_warning("what a schedule did is not on disk",
                {{"function", function.str()}, {"error", noted.error().to_string()}});
  }
  co_return true;
}

// Of all its versions: those that are not asked for by name wait in one line.
std::size_t Schedules::unfinished(const model::FunctionId& function) const {
  std::size_t all = parts_.queue.demand({function, {}}).unfinished;
  // all workspaces: the server's own clock
  if (const auto record = parts_.catalog.functions.find(function.str())) {
    all += parts_.queue.demand({function, record->live_version}).unfinished;
  }
  for (const auto& version : parts_.catalog.versions_of(function)) {
    all += parts_.queue.demand({function, version->spec->version}).unfinished;
  }
  return all;
}

Result<CallbackCall> Schedules::call_for(const model::FunctionSpec& spec, WallTime tick) const {
  const catalog::Scope scope(parts_.catalog, spec.workspace);
  const auto function = scope.function(spec.id.str());
  if (!function) {
    return Error::not_found("the function has gone");
  }
  THAW_TRY(const Route route, parts_.versions.route(scope, *function, ""));
  THAW_TRY(CallbackCall call, parts_.call_for(route, tick));
  call.call.durability = model::Durability::durable;
  call.call.origin = model::Origin::schedule;
  return call;
}

Task<std::optional<ScheduleRun>> Schedules::make_call(
    Schedules& self, std::shared_ptr<const model::FunctionSpec> spec, WallTime tick) {
  ScheduleRun made{tick, {}, {}};
  const std::size_t most = self.options_.most_unfinished;
  if (self.unfinished(spec->id) >= most) {
    made.why = std::to_string(most) + " inputs of the function have not ended";
    co_return made;
  }
  auto call = self.call_for(*spec, tick);
  if (!call) {
    made.why = call.error().message();
    co_return made;
  }
  // The first character is none that a client can send as a key.
  const std::string key = "\x01tick " + std::to_string(tick.time_since_epoch().count());
  queue::Once once{key, key};
  const auto created = co_await self.parts_.invoke.create(std::move(call->call),
                                                          std::move(call->inputs), std::move(once));
  if (created) {
    made.call = created->id;
    co_return made;
  }
  if (created.error().code() == Code::cancelled) {
    co_return created.error();
  }
  log_warning("a scheduled call was not made",
              {{"function", spec->id.str()}, {"error", created.error().to_string()}});
  if (may_pass(created.error())) {
    co_return std::nullopt;
  }
  made.why = created.error().message();
  co_return made;
}

Task<void> Schedules::note(Schedules& self, std::shared_ptr<const model::FunctionSpec> spec,
                           std::string of, WallTime told_until, ScheduleRun made) {
  const model::FunctionId function = spec->id;
  const auto entry = self.entries_.find(function);
  if (entry == self.entries_.end() || entry->second.of != of) {
    co_return ok();  // it is another schedule by now
  }
  entry->second.told_until = told_until;
  // all workspaces: the server's own clock
  if (!self.parts_.catalog.functions.find(function.str())) {
    co_return ok();  // what is noted of it has gone with it
  }
  catalog::ScheduleState state;
  const std::string id = catalog::schedule_id(function).str();
  if (const auto before = self.parts_.catalog.schedules.find(id)) {
    state = *before;
  }
  if (made.call.empty() && !state.runs.empty() && state.runs.front().why == made.why &&
      made.tick - state.runs.front().tick < micros(note_left_out_every) &&
      made.tick > state.runs.front().tick) {
    co_return ok();
  }
  state.id = catalog::schedule_id(function);
  state.function = function;
  state.workspace = spec->workspace;
  state.of = of;
  state.told_until = told_until;
  state.runs.insert(state.runs.begin(), std::move(made));
  if (state.runs.size() > self.options_.runs_kept) {
    state.runs.resize(self.options_.runs_kept);
  }
  co_return co_await self.parts_.catalog.schedules.put(std::move(state));
}

Schedules::Page Schedules::list(const model::WorkspaceId& workspace, const catalog::Scope& scope,
                                std::size_t skip, std::size_t most, std::size_t ticks) const {
  Page page;
  // One that is under way is not awaited: it is among the entries.
  std::vector<std::pair<View, const Entry*>> seen;
  for (const auto& [id, entry] : entries_) {
    if (entry.spec->workspace != workspace || !scope.function(id.str())) {
      continue;
    }
    View view{scope.app(entry.spec->app.str()), entry.spec, {}, {}};
    if (view.app && view.app->state == model::AppState::deployed) {
      seen.emplace_back(std::move(view), &entry);
    }
  }
  std::sort(seen.begin(), seen.end(), [](const auto& a, const auto& b) {
    return std::tie(a.first.app->name, a.first.spec->name) <
           std::tie(b.first.app->name, b.first.spec->name);
  });
  page.has_more = seen.size() > skip && seen.size() - skip > most;
  for (std::size_t i = skip; i < seen.size() && i - skip < most; ++i) {
    auto& [view, entry] = seen[i];
    WallTime next = due(*entry);
    for (; view.next.size() < ticks && next < WallTime::max(); next = entry->next(next)) {
      view.next.push_back(next);
    }
    if (const auto state = scope.schedule_of(entry->spec->id)) {
      view.runs = state->runs;
    }
    page.views.push_back(std::move(view));
  }
  return page;
}

Task<model::CallId> Schedules::run_now(catalog::Scope scope, model::FunctionId id) {
  const auto found = scope.function(id.str()) ? entries_.find(id) : entries_.end();
  if (found == entries_.end()) {
    co_return Error::not_found("no function '" + id.str().substr(0, 100) +
                               "' has a schedule here; thaw schedule list tells which have");
  }
  THAW_CO_TRY(CallbackCall call, call_for(*found->second.spec, wall_now()));
  THAW_CO_TRY(const queue::Created made,
              co_await parts_.invoke.create(std::move(call.call), std::move(call.inputs)));
  co_return made.id;
}

}  // namespace thaw::gateway
