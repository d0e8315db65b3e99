// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/named_states.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "thaw/async/every.h"
#include "thaw/base/log.h"
#include "thaw/codec/ids.h"

namespace thaw::gateway {

using async::Task;

namespace {

constexpr std::size_t objects_at_once = 1'000;
constexpr Duration between_looks = 5s;

struct DictKind {
  using Thing = model::Dict;
  static constexpr const char* prefix = "di";
  static constexpr const char* word = "dict";
  static catalog::ObjectTable<Thing>& table(catalog::Catalog& catalog) { return catalog.dicts; }
  static catalog::Found<Thing> named(const catalog::Scope& scope,
                                     const model::EnvironmentId& environment,
                                     const std::string& name) {
    return scope.named_dict(environment, name);
  }
};

struct QueueKind {
  using Thing = model::ItemQueue;
  static constexpr const char* prefix = "qu";
  static constexpr const char* word = "queue";
  static catalog::ObjectTable<Thing>& table(catalog::Catalog& catalog) {
    return catalog.item_queues;
  }
  static catalog::Found<Thing> named(const catalog::Scope& scope,
                                     const model::EnvironmentId& environment,
                                     const std::string& name) {
    return scope.named_item_queue(environment, name);
  }
};

}  // namespace

template <class Kind>
Task<NamedStates::Found<typename Kind::Thing>> NamedStates::get_or_make(catalog::Scope scope,
                                                                        Wanted wanted) {
  using Thing = typename Kind::Thing;
  const bool is_ephemeral = wanted.making == Making::ephemeral;
  if (!is_ephemeral) {
    auto known = Kind::named(scope, wanted.environment->id, wanted.name);
    if (known && wanted.making == Making::new_only) {
      co_return Error::already_exists(std::string(Kind::word) + " '" + wanted.name +
                                      "' exists already");
    }
    if (known) {
      co_return Found<Thing>{std::move(known), false};
    }
    if (wanted.making == Making::find) {
      co_return Error::not_found(std::string(Kind::word) + " '" + wanted.name +
                                 "' not found in environment '" + wanted.environment->name +
                                 "'; create it first");
    }
  }
  Thing thing;
  thing.id = decltype(thing.id)(codec::random_id(Kind::prefix));
  thing.workspace = wanted.workspace;
  thing.environment = wanted.environment->id;
  thing.name = is_ephemeral ? "" : wanted.name;
  thing.life = is_ephemeral ? Thing::Life::ephemeral : Thing::Life::named;
  thing.created_at = wall_now();
  const auto made = std::make_shared<const Thing>(thing);
  if (is_ephemeral) {
    beats_[made->id.str()] = monotonic_now();
  }
  if (Result<void> stored = co_await Kind::table(parts_.catalog).put(std::move(thing)); !stored) {
    beats_.erase(made->id.str());
    co_return std::move(stored).error();
  }
  co_return Found<Thing>{made, true};
}

Task<NamedStates::Found<model::Dict>> NamedStates::dict(catalog::Scope scope, Wanted wanted) {
  return get_or_make<DictKind>(std::move(scope), std::move(wanted));
}
Task<NamedStates::Found<model::ItemQueue>> NamedStates::item_queue(catalog::Scope scope,
                                                                   Wanted wanted) {
  return get_or_make<QueueKind>(std::move(scope), std::move(wanted));
}

void NamedStates::beat(const model::Dict& dict) {
  if (dict.life == model::Dict::Life::ephemeral) {
    beats_[dict.id.str()] = monotonic_now();
  }
}
void NamedStates::beat(const model::ItemQueue& queue) {
  if (queue.life == model::ItemQueue::Life::ephemeral) {
    beats_[queue.id.str()] = monotonic_now();
  }
}

template <class Kind>
Task<void> NamedStates::erase_thing(typename Kind::Thing thing) {
  THAW_CO_TRY_VOID(co_await Kind::table(parts_.catalog).erase(thing.id.str()));
  beats_.erase(thing.id.str());
  // If this fails, what is left of it is found later.
  tasks_.start("removing a dict or a queue", parts_.state.erase(state::object_of(thing)));
  co_return ok();
}

Task<void> NamedStates::erase(model::Dict dict) { return erase_thing<DictKind>(std::move(dict)); }
Task<void> NamedStates::erase(model::ItemQueue queue) {
  return erase_thing<QueueKind>(std::move(queue));
}

void NamedStates::start() {
  const Instant now = monotonic_now();
  // all workspaces: those that were stored
  for (const auto& [id, dict] : parts_.catalog.dicts.all()) {
    beat(*dict);
  }
  // all workspaces: those that were stored
  for (const auto& [id, queue] : parts_.catalog.item_queues.all()) {
    beat(*queue);
  }
  next_leftovers_ = now;
  parts_.state.start();
  const async::Pace pace{.period = std::min<Duration>(options_.ephemeral_limit, between_looks)};
  tasks_.start("dicts and queues",
               async::every(pace, "dicts and queues", [this] { return look_after(); }));
}

template <class Kind>
Task<void> NamedStates::end_abandoned() {
  std::vector<std::shared_ptr<const typename Kind::Thing>> abandoned;
  for (const auto& [id, beat] : beats_) {
    // all workspaces: what has ended anywhere
    auto thing = Kind::table(parts_.catalog).find(id);
    if (thing && beat + options_.ephemeral_limit < monotonic_now()) {
      abandoned.push_back(std::move(thing));
    }
  }
  for (const auto& thing : abandoned) {
    log_info("an ephemeral one ended", {{Kind::word, thing->id.str()}});
    THAW_CO_TRY_VOID(co_await erase_thing<Kind>(*thing));
  }
  co_return ok();
}

Task<void> NamedStates::look_after() {
  THAW_CO_TRY_VOID(co_await end_abandoned<DictKind>());
  THAW_CO_TRY_VOID(co_await end_abandoned<QueueKind>());
  if (monotonic_now() >= next_leftovers_) {
    THAW_CO_TRY_VOID(co_await erase_leftovers());
    next_leftovers_ = monotonic_now() + options_.look_for_leftovers;
  }
  co_return ok();
}

// What is stored of those that are gone: a crash came between, or a request was under way.
Task<void> NamedStates::erase_leftovers() {
  std::string after;
  while (true) {
    THAW_CO_TRY(const std::vector<state::Object> page,
                co_await parts_.state.objects(after, objects_at_once));
    if (page.empty()) {
      co_return ok();
    }
    after = page.back().id;
    for (const state::Object& object : page) {
      // all workspaces: whether anybody has it
      const bool is_there =
          parts_.catalog.dicts.find(object.id) || parts_.catalog.item_queues.find(object.id);
      if (!is_there) {
        THAW_CO_TRY_VOID(co_await parts_.state.erase(object));
      }
    }
  }
}

}  // namespace thaw::gateway
