// SPDX-License-Identifier: Apache-2.0
//
// A function is a name with policy; a version of it is immutable: image, code, resources, policy.
// The dialect's own definition travels along as opaque bytes. Plain values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "thaw/base/time.h"
#include "thaw/model/bucket_mount.h"
#include "thaw/model/call.h"
#include "thaw/model/ids.h"
#include "thaw/model/runner.h"
#include "thaw/model/schedule.h"

namespace thaw::model {

struct Resources {
  std::uint64_t memory_bytes = 0;        // asked for; 0: the default
  std::uint64_t memory_limit_bytes = 0;  // hard; 0: none
  std::uint64_t disk_bytes = 0;          // for its own root, at most; 0: the default
  std::uint32_t cpu_millis = 0;          // asked for
  std::uint32_t cpu_limit_millis = 0;    // hard; 0: none
  std::string gpu;                       // "A100:2", "any"; empty: none
};

struct Scaling {
  int min_containers = 0;
  int max_containers = 0;  // 0: the worker's capacity
  int buffer_containers = 0;
  Duration scaledown_window = 60s;
  enum class WindowBy { user, policy } window_by = WindowBy::user;  // policy: none was asked for
  int max_concurrent_inputs = 1;
  int target_concurrent_inputs = 0;  // 0: the maximum
  int batch_max_size = 0;
  Duration batch_linger{};
  enum class Use { many, single } use = Use::many;  // single: one input per container
  // never: its containers work in the background while they are idle.
  enum class Freezing { allowed, never } freezing = Freezing::allowed;
};

struct VolumeMount {
  VolumeId volume;
  std::string path;
  enum class Access { read_write, read_only } access = Access::read_write;
  std::string sub_path;  // only this folder of it; empty: all of it
};

// How one HTTP endpoint of a function (or of a method of a class) is reached.
struct WebEndpoint {
  std::string label;   // first part of the URL; unique per environment
  std::string method;  // name of the class's method; empty for a function
  enum class Kind { event_stream, server_port } kind = Kind::event_stream;
  std::uint16_t port = 0;  // server_port only
  enum class Callers { anyone, token_holders } callers = Callers::anyone;
};

enum class NetworkAccess { open, blocked };

// When the program of a function is written to disk, for later containers to be restored from.
enum class SnapshotAt {
  never,
  asked,  // where it says itself that it is at its snapshot point; a program without one: never
  ready,  // a server: once it is ready
};

// What a function's containers may do by this server: whatever their environment, or all of their
// workspace, allows; or only what their own inputs need.
enum class Reach { environment, workspace, inputs };

struct FunctionSpec {
  FunctionId id;
  std::string version;  // its definition's id
  AppId app;
  WorkspaceId workspace;
  EnvironmentId environment;
  std::string name;
  // By whose protocol it was published, and is started; empty: the one that was there first.
  std::string dialect;
  std::optional<PushContract> push;  // of a server; nothing: its program pulls
  ImageId image;
  std::vector<MountId> mounts;
  std::vector<SecretId> secrets;
  std::vector<VolumeMount> volumes;
  std::vector<BucketMount> buckets;
  Resources resources;
  Scaling scaling;
  Duration timeout = std::chrono::minutes(5);
  Duration startup_timeout = std::chrono::minutes(5);
  RetryPolicy retry;
  NetworkAccess network = NetworkAccess::open;
  Reach reach = Reach::environment;
  SnapshotAt snapshot_at = SnapshotAt::never;
  std::optional<Schedule> schedule = std::nullopt;
  std::vector<WebEndpoint> web;
  FunctionId base;         // of a bound variant: the function it was made from
  std::string parameters;  // of a bound variant: the dialect's serialised arguments
  std::string definition;  // the dialect's own bytes

  RunnerKind runner() const { return push ? RunnerKind::push : RunnerKind::pull; }
};

}  // namespace thaw::model
