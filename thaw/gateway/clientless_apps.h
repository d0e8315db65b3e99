// SPDX-License-Identifier: Apache-2.0
//
// ClientlessApps: apps that live for a client end without it. One that is not finished being made,
// or is its client's only, ends a minute after the client's last sign of life; a detached one goes
// on until its last call has ended and nobody can ask it for more. Who says that a client lives is
// its dialect; after a restart each app has its minute anew. Loop thread only.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <unordered_map>

#include "thaw/async/task_group.h"
#include "thaw/gateway/deployments.h"

namespace thaw::gateway {

struct ClientlessAppsParts {
  async::Loop& loop;
  catalog::Catalog& catalog;
  queue::CallQueue& queue;
  Deployments& deployments;
};

class ClientlessApps {
 public:
  explicit ClientlessApps(ClientlessAppsParts parts) : parts_(parts), tasks_(parts.loop) {}

  void start();
  async::Task<void> stop() { return tasks_.stop(); }

  // A sign of life of its client. Of one that is about to be made, before it is to be seen.
  void beats(const model::AppId& app);
  // The client has gone, and the app goes on without it.
  void leaves(const model::AppId& app) { left_alone_.emplace(app, monotonic_now()); }
  // Ends it behind the caller, who does not wait.
  void end(const model::AppId& app, std::string why);

 private:
  async::Task<void> look();
  bool has_no_work(const model::AppId& app) const;
  static async::Task<void> end_one(ClientlessApps& self, model::AppId app, std::string why);

  ClientlessAppsParts parts_;
  Instant began_ = monotonic_now();
  std::unordered_map<model::AppId, Instant> last_beat_;
  std::unordered_map<model::AppId, Instant> left_alone_;  // since when they have nothing to do
  std::set<model::AppId> ending_;
  async::TaskGroup tasks_;  // last: ended first
};

}  // namespace thaw::gateway
