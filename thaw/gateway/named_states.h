// SPDX-License-Identifier: Apache-2.0
//
// NamedStates: which dicts and item queues there are: made, found by name, ended. Their names are
// in the catalog and what is in them is in the state store; one that is deleted is found by nobody
// from then on, and what was in it goes behind the answer, or with the next start after a crash. An
// ephemeral one ends when its client has been silent for a while. Loop thread only.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>

#include "thaw/async/task_group.h"
#include "thaw/catalog/scope.h"
#include "thaw/state/state_store.h"

namespace thaw::gateway {

struct NamedStateOptions {
  Duration ephemeral_limit = std::chrono::minutes(15);  // of silence
  Duration look_for_leftovers = std::chrono::hours(1);
};

struct NamedStateParts {
  async::Loop& loop;
  catalog::Catalog& catalog;
  state::StateStore& state;
};

class NamedStates {
 public:
  // All of `parts` outlive it.
  NamedStates(NamedStateParts parts, NamedStateOptions options)
      : parts_(parts), options_(options), tasks_(parts.loop) {}

  // Begins to end what is to end; all ephemeral ones that were stored have just been heard of.
  void start();
  async::Task<void> stop() { return tasks_.stop(); }

  // find: not_found if there is none. new_only: already_exists if there is one. ephemeral: it has
  // no name.
  enum class Making { find, if_missing, new_only, ephemeral };
  struct Wanted {
    model::WorkspaceId workspace;
    std::shared_ptr<const model::Environment> environment;
    std::string name;
    Making making = Making::find;
  };
  template <class Thing>
  struct Found {
    std::shared_ptr<const Thing> thing;
    bool is_new = false;
  };
  async::Task<Found<model::Dict>> dict(catalog::Scope scope, Wanted wanted);
  async::Task<Found<model::ItemQueue>> item_queue(catalog::Scope scope, Wanted wanted);

  // The client of an ephemeral one lives.
  void beat(const model::Dict& dict);
  void beat(const model::ItemQueue& queue);
  async::Task<void> erase(model::Dict dict);
  async::Task<void> erase(model::ItemQueue queue);

 private:
  template <class Kind>
  async::Task<Found<typename Kind::Thing>> get_or_make(catalog::Scope scope, Wanted wanted);
  template <class Kind>
  async::Task<void> erase_thing(typename Kind::Thing thing);
  template <class Kind>
  async::Task<void> end_abandoned();
  async::Task<void> look_after();
  async::Task<void> erase_leftovers();

  NamedStateParts parts_;
  NamedStateOptions options_;
  std::unordered_map<std::string, Instant> beats_;  // of ephemeral ones, by id
  Instant next_leftovers_{};
  async::TaskGroup tasks_;  // declared last: joined first
};

}  // namespace thaw::gateway
