// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/standbys.h"

#include <algorithm>
#include <csignal>
#include <set>
#include <tuple>
#include <utility>

#include "thaw/base/log.h"
#include "thaw/control/app_state.h"
#include "thaw/control/restored_server.h"
#include "thaw/policy/backoff.h"
#include "thaw/store/blob_store.h"

namespace thaw::control {

namespace {

constexpr Duration look_pause = 500ms;
// Whoever calls has the processors first: what they have just started is running by then.
constexpr Duration quiet_for = 1s;
// A program that is not at rest by then keeps connections open, or works by itself.
constexpr Duration rest_patience = 15s;
constexpr Duration compare_pause = 10s;
constexpr Duration shortest_pause = 1s;
constexpr Duration longest_pause = 10min;
constexpr Duration not_again = 1h;
// Nothing was asked of it yet: its exit hooks are all that it has to do.
constexpr Duration end_grace = 5s;

// Its time is a restored server's, whatever its function gives a start: nobody waits for it, and
// what it does until it is frozen takes processors from who does.
bool is_late(const Container& container, Instant now) {
  const StartMoments& moments = container.start.moments;
  if (!container.running || container.freezing.state == Freezing::State::yes) {
    return false;
  }
  return container.start.reached_ready ? now - moments.ready > rest_patience
                                       : now - moments.hello > restored_patience;
}

bool can_be_had(const Container& container) {
  return container.stands_by && container.start.reached_ready && !container.stopping() &&
         container.status != Status::stopped && container.running &&
         !container.running->has_ended();
}

}  // namespace

bool Standbys::is_eligible(const model::FunctionSpec& spec) const {
  const auto function = parts_.catalog.functions.find(spec.id.str());
  // Those that `min_containers` keeps are warm.
  return function && !app_is_stopped(parts_.catalog, *function) &&
         spec.snapshot_at != model::SnapshotAt::never && spec.scaling.min_containers == 0 &&
         spec.scaling.freezing == model::Scaling::Freezing::allowed &&
         parts_.snapshots.is_there(spec) &&
         std::none_of(spec.volumes.begin(), spec.volumes.end(), [this](const auto& mount) {
           const auto volume = parts_.catalog.volumes.find(mount.volume.str());
           return !volume || volume->life == model::Volume::Life::doomed;
         });
}

Result<std::string> Standbys::made_of(const model::FunctionSpec& spec) const {
  worker::LaunchPlan plan;
  THAW_TRY_VOID(parts_.plans.outline(spec, plan));
  std::string text;
  for (const auto* list : {&plan.layers, &plan.env}) {
    for (const std::string& entry : *list) {
      text += std::to_string(entry.size()) + ":" + entry;
    }
  }
  return store::sha256_hex(text);  // values may be secret
}

std::size_t Standbys::take(Pool& pool, const model::FunctionSpec& spec, std::size_t most) {
  std::size_t taken = 0;
  std::vector<ContainerPtr> ready;
  for (const auto& [id, container] : parts_.pools.containers()) {
    if (can_be_had(*container) && container->spec->id == spec.id &&
        container->spec->version == spec.version) {
      ready.push_back(container);
    }
  }
  if (ready.empty() || most == 0) {
    return 0;
  }
  std::sort(ready.begin(), ready.end(),
            [](const auto& a, const auto& b) { return a->created_at < b->created_at; });
  for (const ContainerPtr& container : ready) {
    if (!is_still(*container)) {
      end(*container, StopReason::replaced, How::at_once);
      continue;
    }
    if (taken == most) {
      break;
    }
    ++taken;
    ++counters_.taken;
    made_of_.erase(container->id);
    frozen_.erase(container->id);
    known_[spec.version].failures = 0;
    log_info("a container that stood by is had by a call",
             {{"container", container->id.str()}, {"function", spec.name}});
    parts_.starts.adopt(pool, container);
  }
  quiet_since_ = monotonic_now();
  look_soon();
  return taken;
}

std::map<std::string, Standbys::Group> Standbys::find_groups(Instant now) {
  std::map<std::string, Group> groups;
  for (const auto& [target, pool] : parts_.pools.all()) {
    // Most have not been called for long.
    if (pool->containers.empty() && now - pool->last_active >= options_.rules.unused) {
      continue;
    }
    const auto spec = parts_.catalog.spec_of(target);
    if (!spec || spec->snapshot_at == model::SnapshotAt::never) {
      continue;
    }
    Instant called = pool->last_active;
    for (const model::ContainerId& id : pool->containers) {
      called = parts_.pools.find(id)->idle() ? called : now;
    }
    Group& group = groups[spec->version];
    group.spec = spec;
    policy::StandbyCandidate& candidate = group.candidate;
    candidate.workspace = spec->workspace.str();
    candidate.function = spec->id.str();
    candidate.last_called = std::max(candidate.last_called, called);
    candidate.at_once = std::max(candidate.at_once, pool->wanted_at_once());
    const auto live = parts_.catalog.spec_of(model::Target(spec->id));
    const int most = live ? live->scaling.max_containers : spec->scaling.max_containers;
    const std::size_t held = parts_.pools.count(spec->id);
    const std::size_t may = most > 0 ? static_cast<std::size_t>(most) : options_.most_containers;
    candidate.room = may - std::min(may, held);
  }
  return groups;
}

// Compared with what a start would be made of now.
bool Standbys::is_still(const Container& container) const {
  const Result<std::string> now = made_of(*container.spec);
  const auto then = made_of_.find(container.id);
  return now && then != made_of_.end() && then->second == *now;
}

// One that is to end whatever is wanted is told so here.
void Standbys::find_those_that_stand_by(std::map<std::string, Group>& groups, Instant now) {
  const bool compares = now - compared_ >= compare_pause;
  compared_ = compares ? now : compared_;
  for (const auto& [id, container] : parts_.pools.containers()) {
    if (!container->stands_by || container->stopping() || container->status == Status::stopped) {
      continue;
    }
    if (container->freezing.state == Freezing::State::yes && container->running->has_ended()) {
      // Where that waits for its thaw, nobody else would hear of it.
      container->ending.why = "it was killed while it stood by";
      end(*container, StopReason::limit, How::at_once);
      continue;
    }
    const model::FunctionSpec& spec = *container->spec;
    const auto group = groups.find(spec.version);
    // What may be changed of a version while it is called is the group's.
    if (group == groups.end() || !is_eligible(*group->second.spec) ||
        (compares && !is_still(*container))) {
      const bool is_called = parts_.catalog.spec_of({spec.id, spec.version}) != nullptr;
      end(*container, is_called ? StopReason::idle : StopReason::replaced, How::in_order);
      continue;
    }
    if (is_late(*container, now)) {
      known_[spec.version].none_before = now + not_again;
      log_info("a container does not stand by, since it does not become ready and come to rest",
               {{"container", id.str()}, {"function", spec.name}});
      end(*container, StopReason::idle, How::in_order);
      continue;
    }
    if (container->freezing.state == Freezing::State::yes) {
      note_frozen(*container);
    }
    group->second.standing.push_back(container);
  }
}

// What it holds is what it holds from now on: nothing of it runs.
void Standbys::note_frozen(Container& container) {
  Known& known = known_[container.spec->version];
  known.bytes = container.running->memory_bytes();
  if (frozen_.try_emplace(container.id, monotonic_now()).second) {
    ++counters_.made;
    log_info("a container stands by", {{"container", container.id.str()},
                                       {"function", container.spec->name},
                                       {"kb", std::to_string(known.bytes >> 10)}});
  }
}

void Standbys::look(Instant now) {
  const bool somebody_waits =
      std::any_of(parts_.pools.all().begin(), parts_.pools.all().end(),
                  [](const auto& entry) { return entry.second->demanded != Instant{}; });
  quiet_since_ = somebody_waits ? now : quiet_since_;
  if (now < look_at_ || !parts_.snapshots.enabled() || parts_.pools.shutting_down()) {
    return;
  }
  look_at_ = now + look_pause;
  std::map<std::string, Group> groups = find_groups(now);
  for (auto& [version, known] : known_) {
    known.is_called = groups.contains(version);
  }
  std::erase_if(known_, [](const auto& entry) { return !entry.second.is_called; });
  find_those_that_stand_by(groups, now);
  std::erase_if(groups, [this](const auto& entry) { return !is_eligible(*entry.second.spec); });
  if (groups.empty()) {
    return;
  }
  std::vector<policy::StandbyCandidate> candidates;
  for (auto& [version, group] : groups) {
    group.candidate.have = group.standing.size();
    group.candidate.bytes = known_[version].bytes;
    candidates.push_back(group.candidate);
  }
  const worker::MachineMemory memory = parts_.worker.memory();
  policy::StandbyMachine machine;
  machine.now = now;
  machine.memory_bytes = memory.total_bytes;
  machine.available_bytes = memory.available_bytes;
  machine.most = options_.most_containers;
  machine.serving = static_cast<std::size_t>(
      std::count_if(parts_.pools.containers().begin(), parts_.pools.containers().end(),
                    [](const auto& c) { return c.second->has_place && !c.second->stands_by; }));
  machine.is_shared = parts_.catalog.workspaces.all().size() > 1;
  const std::vector<std::size_t> plan = policy::plan_standbys(candidates, options_.rules, machine);
  const bool is_at_once = policy::is_memory_wanted(machine);
  std::size_t i = 0;
  for (const auto& [version, group] : groups) {
    for (std::size_t n = plan[i]; n < group.standing.size(); ++n) {
      end(*group.standing[n], StopReason::idle, is_at_once ? How::at_once : How::in_order);
    }
    ++i;
  }
  make_one(groups, plan, now);
}

// One at a time of each workspace, and few of all: it is of no hurry, and takes processors that
// calls may want. Whose turn was longest ago is next, so that nobody's slow ones keep others
// waiting.
void Standbys::make_one(const std::map<std::string, Group>& groups,
                        const std::vector<std::size_t>& plan, Instant now) {
  std::set<std::string> busy;  // workspaces
  for (const auto& [id, container] : parts_.pools.containers()) {
    if (container->stands_by && !container->stopping() &&
        container->freezing.state != Freezing::State::yes) {
      busy.insert(container->spec->workspace.str());
    }
  }
  if (busy.size() >= parts_.worker.processor_count() || now - quiet_since_ < quiet_for ||
      parts_.pools.places_taken() >= options_.most_containers) {
    return;
  }
  const auto turn_of = [this](const Group& group) {
    const auto made = made_of_workspace_.find(group.candidate.workspace);
    return made == made_of_workspace_.end() ? Instant{} : made->second;
  };
  const auto is_before = [&turn_of](const Group& a, const Group& b) {
    return std::tuple(turn_of(a), a.standing.size(), b.candidate.last_called) <
           std::tuple(turn_of(b), b.standing.size(), a.candidate.last_called);
  };
  std::size_t i = 0;
  const Group* chosen = nullptr;
  for (const auto& [version, group] : groups) {
    const bool wants = group.standing.size() < plan[i++] && known_[version].none_before <= now &&
                       !busy.contains(group.candidate.workspace);
    chosen = wants && (chosen == nullptr || is_before(group, *chosen)) ? &group : chosen;
  }
  if (chosen == nullptr) {
    return;
  }
  std::erase_if(made_of_workspace_,
                [now](const auto& entry) { return now - entry.second > not_again; });
  made_of_workspace_[chosen->candidate.workspace] = now;
  Result<std::string> of = made_of(*chosen->spec);
  if (!of) {
    put_off(known_[chosen->spec->version], now);  // the next call is told why
    return;
  }
  const ContainerPtr container = parts_.starts.start_standby(chosen->spec);
  made_of_[container->id] = std::move(*of);
}

void Standbys::give_way(const model::FunctionId& function, std::size_t room) {
  std::vector<ContainerPtr> own;
  for (const auto& [id, container] : parts_.pools.containers()) {
    if (container->stands_by && !container->stopping() && container->spec->id == function &&
        container->status != Status::stopped) {
      own.push_back(container);
    }
  }
  for (std::size_t n = room; n < own.size(); ++n) {
    end(*own[n], StopReason::made_way, How::at_once);
  }
}

// One that is not ready hears of nothing, and has nothing to bring to its end.
void Standbys::end(Container& container, StopReason reason, How how) {
  const bool is_at_once = how == How::at_once || !container.start.reached_ready;
  parts_.pools.stop(container, reason, is_at_once ? Duration::zero() : end_grace);
  if (is_at_once && container.running) {
    (void)container.running->signal(SIGKILL);
  }
}

void Standbys::put_off(Known& known, Instant now) {
  known.none_before = std::max(
      known.none_before, now + policy::backoff(++known.failures, shortest_pause, longest_pause));
}

void Standbys::note_end(const Container& container, const Result<void>& how) {
  made_of_.erase(container.id);
  const bool was_made = frozen_.erase(container.id) > 0;
  look_soon();
  const Instant now = monotonic_now();
  Known& known = known_[container.spec->version];
  if (how) {
    counters_.unused += was_made ? 1 : 0;
    if (container.ending.reason == StopReason::made_room) {
      known.none_before = std::max(known.none_before, now + longest_pause / 10);
    }
    return;
  }
  ++counters_.failed;
  put_off(known, now);
  log_info("a container that was to stand by has ended", {{"container", container.id.str()},
                                                          {"function", container.spec->name},
                                                          {"reason", how.error().to_string()}});
}

}  // namespace thaw::control
