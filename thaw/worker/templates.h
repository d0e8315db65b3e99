// SPDX-License-Identifier: Apache-2.0
//
// Templates: running interpreters with their imports done, from which containers are forked. One
// for each workspace, image, client and whatever else shapes an interpreter (ForkPlan); and once
// forks of a function were seen to import more of the image, one that has that too. One is made in
// the background after the first boot that could have used it; they are few, the least recently
// used goes first, and all go when memory is short. A template that goes ends its program at once,
// so that its memory is free; its sandbox stays until the last container that was forked from it
// has ended. A template in use has spares: forks made ahead that wait for their work order. They
// are made while nobody starts, and go first when memory is short. Loop thread only.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "thaw/async/event.h"
#include "thaw/async/loop.h"
#include "thaw/async/task_group.h"
#include "thaw/sandbox/sandbox.h"
#include "thaw/worker/fork_plan.h"
#include "thaw/worker/kit.h"
#include "thaw/worker/sources.h"

namespace thaw::worker {

struct TemplateSettings {
  bool enabled = true;
  std::size_t max = 16;
  std::uint64_t min_free_bytes = std::uint64_t{1} << 30;  // of the machine's available memory
  Duration delay = 1s;           // after the boot that asked for one: that one goes first
  bool learns = true;            // what forks import is imported by the next template
  std::size_t spares = 1;        // forks that each template has made ahead
  Duration spare_delay = 300ms;  // after the last start from it: those go first
};

class Templates {
 public:
  class Entry;
  // Holds a template's sandbox while a container that was forked from it lives.
  using Lease = std::shared_ptr<Entry>;

  // `kits` and `sources` outlive it; plans of other kits, or of one without a fork program, get no
  // template.
  Templates(async::Loop& loop, sandbox::Spawner& spawner, const Kits& kits, const Sources& sources,
            std::string run_folder, TemplateSettings settings);
  ~Templates();

  // A template that can fork now; otherwise the reason: "no_template", "template_starting",
  // "template_failed", "no_fork_program" (its kit has none), "not_fit" (this `user` of it was
  // refused before), "switched_off".
  struct Offer {
    Lease lease;
    model::ContainerId id;
    std::string reason;
    bool failed_before = false;  // there is none because making it failed
  };
  Offer offer(const ForkPlan& plan, const std::string& user);
  // Makes one in the background, unless there is one, or it failed shortly before.
  void want(const ForkPlan& plan);
  // The same for one that nobody has asked for yet: never in the place of another one.
  void expect(const ForkPlan& plan);
  // Many wait for containers of this plan: if there is none that can fork, one is made without any
  // delay. Whether it is on its way, and has not been for longer than such a thing takes.
  bool hasten(const ForkPlan& plan);
  // Names of modules, with commas, that a fork has imported; they are a stranger's words. The next
  // template of this workspace, image and environment imports them too.
  void saw(const ForkPlan& plan, std::string_view modules);
  // What became of a fork. A template that fails again and again is replaced; a refusal is about
  // the `user` alone.
  enum class Outcome { forked, failed, refused };
  void note(const Lease& lease, const std::string& user, Outcome outcome);

  std::size_t count() const { return entries_.size(); }
  // Ends all; containers must be gone.
  async::Task<void> shut_down();

 private:
  struct Failure {
    int count = 0;
    Instant not_before{};
  };

  static async::Task<void> run(Templates& self, Lease entry);
  static async::Task<void> live(Templates& self, Lease entry);
  static async::Task<void> watch_memory(Templates& self);
  static async::Task<void> keep_spares(Templates& self, Entry& entry);
  bool can_fork(const ForkPlan& plan) const;
  // With what forks of such plans were seen to import; the plan itself if that is nothing.
  ForkPlan enriched(const ForkPlan& plan) const;
  Lease ready(const std::string& key) const;
  void make(ForkPlan plan);
  Result<sandbox::SandboxSpec> spec_for(const Entry& entry) const;
  void retire(Entry& entry);
  void retire_older(const Entry& entry);
  void make_room(std::size_t room);

  async::Loop& loop_;
  sandbox::Spawner& spawner_;
  const Kits& kits_;
  const Sources& sources_;
  std::string run_folder_;
  TemplateSettings settings_;
  std::uint64_t made_ = 0;
  std::map<std::string, Lease> entries_;  // by key; retired ones are their task's alone
  std::map<std::string, Failure> failures_;
  std::map<std::string, Instant> unfit_;                  // key and user, until when
  std::map<std::string, std::vector<std::string>> seen_;  // modules, by key with the whole env
  std::map<std::string, std::set<std::string>> denied_;   // those that end a template, likewise
  bool shutting_down_ = false;
  async::TaskGroup tasks_;
};

}  // namespace thaw::worker
