// SPDX-License-Identifier: Apache-2.0
//
// LaunchPlan: all that a worker is told of a container that it is to start, as one plain value that
// launch_plan_codec.h writes and reads. It names what a container is made of and never says where
// that is: each worker finds it in its own folders (sources.h), or says that it has not got it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "thaw/model/ids.h"
#include "thaw/model/level.h"
#include "thaw/model/runner.h"
#include "thaw/sandbox/sandbox.h"
#include "thaw/worker/bind.h"
#include "thaw/worker/bucket_plan.h"
#include "thaw/worker/fork_plan.h"
#include "thaw/worker/injected_file.h"
#include "thaw/worker/snapshot_point.h"

namespace thaw::worker {

// A level that a launch tried in vain, or could not try.
struct Fallback {
  model::Level level;
  std::string reason;  // one of few, for counting: "no_template", "fork_failed", "restore_failed"…
  std::string detail;  // for the log
  // What it cost, and what it says of the level: a try of this start that took its time in vain or
  // failed; or one of before that failed. One that the machine could not do now was in vain.
  enum class Tried { no, in_vain, failed, failed_before } tried = Tried::no;
};

struct LaunchPlan {
  model::ContainerId id;
  std::vector<std::string> layers;  // sources, lowest first
  std::vector<Bind> binds;
  std::vector<BucketPlan> buckets;  // a container that has any is booted
  std::vector<InjectedFile> files;
  std::vector<std::string> argv;
  std::vector<std::string> env;
  std::string cwd;
  std::string user;
  sandbox::Limits limits;
  sandbox::SandboxSpec::Network network = sandbox::SandboxSpec::Network::bridge;
  // As SandboxSpec::reaches: of one that is booted.
  std::optional<std::vector<std::string>> reaches = std::nullopt;
  std::string log_stream;  // the app's id
  std::string function;
  bool wants_socket = true;
  // `possible`: RunningContainer::run() starts processes in it, and without argv it has no program
  // of its own. It is booted.
  sandbox::SandboxSpec::Guests guests = sandbox::SandboxSpec::Guests::none;
  std::string workspace;  // whose it is: what it makes this server hold counts to it
  // Not 0: its program finds this server at 127.0.0.1 and this port of its own network, by
  // HTTP/1.1, and nobody else does. Only for programs that look there: others may use the port.
  std::uint16_t door_port = 0;
  std::optional<model::PushContract> push;  // its program is a server
  // All, if the program may have another user than the one that it is started as, by what its image
  // runs before it.
  InsideUsers users = InsideUsers::root;
  // What may be tried, in this order. A level that the plan has nothing for is passed over; one
  // that fails gives way to the next in the same launch, which fails with the last.
  std::vector<model::Level> levels = {model::Level::forked, model::Level::restored,
                                      model::Level::booted};
  // What it takes to be forked from a template; none: it cannot be.
  std::optional<ForkPlan> fork;
  // The function's program has a snapshot point, or is a server that is written once it is ready.
  std::optional<SnapshotPoint> snapshot_point;
  // The container is to be checkpointed there; it and what it writes are kept in `staging`.
  enum class Purpose { serve, snapshot } purpose = Purpose::serve;
  std::string staging;                    // of the snapshot store, by name
  std::vector<std::string> snapshot_env;  // for that purpose, instead of those names in `env`
  std::string restore;  // the snapshot of Level::restored, by name; empty: none …
  std::optional<Fallback> not_restored;  // … and why
};

}  // namespace thaw::worker
