// SPDX-License-Identifier: Apache-2.0
//
// Schedules: calls functions of deployed apps when their schedules say so. The newest version says
// when; who is called is whom a request to the function's plain address would be for. A tick is a
// durable call that is made once: its key says which tick of which function it is, so that a death
// between the call and the note of it makes no second one. Of ticks that a server was not there for
// the last one is made good if it is not too long ago, and none before it. A function that does not
// come along with its ticks has some left out, which its list of runs says. Workspaces take turns.
// Loop thread only.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "thaw/async/event.h"
#include "thaw/async/task_group.h"
#include "thaw/catalog/catalog.h"
#include "thaw/catalog/scope.h"
#include "thaw/gateway/callback_dialect.h"
#include "thaw/gateway/invoke.h"
#include "thaw/gateway/kept_versions.h"
#include "thaw/gateway/time_zones.h"
#include "thaw/queue/call_queue.h"

namespace thaw::gateway {

// invalid_argument says what of it is wrong.
Result<void> check(const model::Schedule& schedule, TimeZones& zones);
// For people: "0 2 * * * Europe/Paris", "every 5 hours".
std::string text_of(const model::Schedule& schedule);

struct ScheduleOptions {
  Duration make_good = 1h;            // ticks that were missed; a minute at least, 12 h at most
  std::size_t most_unfinished = 100;  // inputs of a function; with so many a tick is left out
  std::size_t at_once = 16;           // calls that are being made
  std::size_t per_workspace = 4;      // of these
  std::size_t runs_kept = 10;         // of each function
};

struct ScheduleParts {
  async::Loop& loop;
  catalog::Catalog& catalog;
  queue::CallQueue& queue;
  Invoke& invoke;
  KeptVersions& versions;
  TimeZones& zones;
  // A durable call without arguments, as the function's dialect puts it.
  std::function<Result<CallbackCall>(const Route& route, WallTime tick)> call_for;
};

class Schedules {
 public:
  explicit Schedules(ScheduleParts parts, ScheduleOptions options = {});

  void start();
  async::Task<void> stop() { return tasks_.stop(); }

  // Their versions, or their apps, have changed.
  void look_at(const std::vector<model::FunctionId>& functions);

  struct View {
    std::shared_ptr<const model::App> app;
    std::shared_ptr<const model::FunctionSpec> spec;
    std::vector<WallTime> next;  // ticks
    std::vector<catalog::ScheduleRun> runs;
  };
  struct Page {
    std::vector<View> views;  // by app and name
    bool has_more = false;
  };
  // Of the functions of a workspace that are seen in `scope`: `most` of them behind the first
  // `skip`, each with so many ticks to come.
  Page list(const model::WorkspaceId& workspace, const catalog::Scope& scope, std::size_t skip,
            std::size_t most, std::size_t ticks) const;
  // Makes a call now, beside the ticks. not_found: no function of that id has a schedule there.
  async::Task<model::CallId> run_now(catalog::Scope scope, model::FunctionId function);

  struct Counters {
    std::uint64_t calls = 0;     // made
    std::uint64_t left_out = 0;  // ticks
  };
  const Counters& counters() const { return counters_; }
  std::size_t size() const { return entries_.size(); }

 private:
  using Next = std::function<WallTime(WallTime)>;
  struct Entry {
    std::shared_ptr<const model::FunctionSpec> spec;
    WallTime deployed_at{};  // its app
    std::string of;          // which schedule it is, as ScheduleState has it
    Next next;
    WallTime told_until{};  // later than what is on disk, if the disk did not take it; or earlier,
                            // if that was told by a clock that was ahead
    WallTime look_at{};     // its place in what its workspace awaits
    int failures = 0;       // in a row
    bool is_under_way = false;
  };
  struct Tenant {
    std::set<std::pair<WallTime, model::FunctionId>> awaited;
    std::size_t under_way = 0;
  };

  // Brings the entry up to date; null: it has no schedule that is to be kept.
  Entry* refresh(const model::FunctionId& function);
  Result<Next> ticks_of(const model::FunctionSpec& spec, WallTime deployed) const;
  void look_at_all();
  static void correct(Entry& entry);
  static WallTime due(const Entry& entry);
  void await(Entry& entry, WallTime when);
  void forget(const model::FunctionId& function);
  void forget_state(const model::FunctionId& function);
  // The workspace whose turn it is and has a tick that is due; null: nobody's, until `wake`.
  Tenant* next_tenant(WallTime now, WallTime& wake);
  std::size_t unfinished(const model::FunctionId& function) const;
  Result<CallbackCall> call_for(const model::FunctionSpec& spec, WallTime tick) const;
  void ended(const model::FunctionId& function, const model::WorkspaceId& workspace, bool is_over);

  static async::Task<void> run(Schedules& self);
  static async::Task<void> fire(Schedules& self, model::FunctionId function,
                                model::WorkspaceId workspace);
  // Whether it is done with, for better or worse; else it is to be tried again.
  static async::Task<bool> fire_due(Schedules& self, model::FunctionId function);
  // none: it is to be tried again.
  static async::Task<std::optional<catalog::ScheduleRun>> make_call(
      Schedules& self, std::shared_ptr<const model::FunctionSpec> spec, WallTime tick);
  static async::Task<void> note(Schedules& self, std::shared_ptr<const model::FunctionSpec> spec,
                                std::string of, WallTime told_until, catalog::ScheduleRun made);

  ScheduleParts parts_;
  ScheduleOptions options_;
  std::map<model::FunctionId, Entry> entries_;
  std::map<model::WorkspaceId, Tenant> tenants_;
  model::WorkspaceId last_turn_;
  WallTime latest_{};  // that the wall's clock has shown
  std::size_t under_way_ = 0;
  Counters counters_;
  async::Event changed_;
  async::TaskGroup tasks_;
};

}  // namespace thaw::gateway
