// SPDX-License-Identifier: Apache-2.0
//
// Servers: does for containers that are plain HTTP servers what a program that pulls does itself:
// finds out when one is ready, drives its inputs (driver.h), asks for its health while it is idle
// and replaces it after two misses, and tells it to end when it is to stop and has answered what
// it was asked: by its drain path, else by its stop signal. Whoever does not end in time is killed
// as any other container is (limits.h). Loop thread only.
#pragma once

#include "thaw/async/task_group.h"
#include "thaw/control/driver.h"
#include "thaw/control/pools.h"
#include "thaw/control/starts.h"
#include "thaw/logs/log_hub.h"

namespace thaw::control {

struct ServersParts {
  async::Loop& loop;
  Pools& pools;
  Starts& starts;
  Inputs& inputs;
  logs::LogHub& logs;
  queue::CallQueue& queue;
};

class Servers {
 public:
  explicit Servers(ServersParts parts) : parts_(parts), tasks_(parts.loop) {}
  async::Task<void> stop() { return tasks_.stop(); }

  // Its program runs; from now on until it has ended.
  void watch(const ContainerPtr& container);
  // How inputs of a content type are spoken of with servers; before the first of them comes.
  void add_talk(std::string content_type, Talk& talk) { talks_[std::move(content_type)] = &talk; }
  // Its dialect says that it is ready.
  void said_ready(const model::ContainerId& id);

 private:
  static async::Task<void> watch_one(Servers& self, ContainerPtr container);
  async::Task<void> until_ended(ContainerPtr container);
  static async::Task<void> serve(Servers& self, ContainerPtr container);
  async::Task<void> until_ready(ContainerPtr container);
  void start_failed(Container& container, const std::string& why);
  void restore_failed(Container& container, const std::string& why);
  void replace(Container& container, const std::string& why);
  static async::Task<void> look_after(Servers& self, ContainerPtr container);
  async::Task<void> tell_to_end(ContainerPtr container);

  ServersParts parts_;
  Talks talks_;
  async::TaskGroup tasks_;
};

}  // namespace thaw::control
