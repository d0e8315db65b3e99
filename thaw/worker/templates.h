// SPDX-License-Identifier: Apache-2.0
//
// Templates: running interpreters with their imports done, from which containers are forked. One
// for each workspace, image, client and whatever else shapes an interpreter before its first line
// (ForkPlan). One is made in the background after the first boot that could have used it; they are
// few, the least recently used goes first, and all go when memory is short. A template that goes
// ends its program at once, so that its memory is free; its sandbox stays until the last container
// that was forked from it has ended. A template in use has spares: forks made ahead that wait for
// their work order. They are made while nobody starts, and go first when memory is short. Loop
// thread only.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "thaw/async/event.h"
#include "thaw/async/loop.h"
#include "thaw/async/task_group.h"
#include "thaw/sandbox/sandbox.h"

namespace thaw::worker {

// What a container's plan says about being forked.
struct ForkPlan {
  std::string workspace;
  std::vector<std::string> layers;        // of the image alone, lowest first
  std::vector<sandbox::BindMount> binds;  // of the language runtime
  std::vector<std::string> env;           // what shapes the interpreter, and nothing secret else
  // To import; the first is what a fork runs.
  std::vector<std::string> modules;
};

// Whether an environment variable is read by an interpreter, a C library or a numerical library
// when it starts, so that changing it in a fork would come too late.
bool shapes_interpreter(std::string_view name);

struct TemplateSettings {
  bool enabled = true;
  std::size_t max = 8;
  std::uint64_t min_free_bytes = std::uint64_t{1} << 30;  // of the machine's available memory
  Duration delay = 1s;           // after the boot that asked for one: that one goes first
  std::size_t spares = 1;        // forks that each template has made ahead
  Duration spare_delay = 300ms;  // after the last start from it: those go first
};

class Templates {
 public:
  class Entry;
  // Holds a template's sandbox while a container that was forked from it lives.
  using Lease = std::shared_ptr<Entry>;

  Templates(async::Loop& loop, sandbox::Spawner& spawner, std::string run_folder,
            TemplateSettings settings);
  ~Templates();

  // A template that can fork now; otherwise the reason: "no_template", "template_starting",
  // "template_failed", "not_fit" (this `user` of it was refused before), "switched_off".
  struct Offer {
    Lease lease;
    model::ContainerId id;
    std::string reason;
  };
  Offer offer(const ForkPlan& plan, const std::string& user);
  // Makes one in the background, unless there is one, or it failed shortly before.
  void want(const ForkPlan& plan);
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
  sandbox::SandboxSpec spec_for(const Entry& entry) const;
  void retire(Entry& entry);
  void make_room(std::size_t room);

  async::Loop& loop_;
  sandbox::Spawner& spawner_;
  std::string run_folder_;
  TemplateSettings settings_;
  std::uint64_t made_ = 0;
  std::map<std::string, Lease> entries_;  // by key; retired ones are their task's alone
  std::map<std::string, Failure> failures_;
  std::map<std::string, Instant> unfit_;  // key and user, until when
  bool shutting_down_ = false;
  async::TaskGroup tasks_;
};

}  // namespace thaw::worker
