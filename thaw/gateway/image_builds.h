// SPDX-License-Identifier: Apache-2.0
//
// ImageBuilds: the builds that clients wait for. A build goes on when its client goes away, since
// the next one will want it; what it prints is in the log stream named by the image's id; a failed
// build is tried again when asked again. So many run at once, and fewer of one workspace; the last
// of those that have ended are remembered for who still waits for their end. Loop thread only.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "thaw/async/event.h"
#include "thaw/async/task_group.h"
#include "thaw/catalog/catalog.h"
#include "thaw/image/image.h"
#include "thaw/logs/log_hub.h"

namespace thaw::gateway {

class ImageBuilds {
 public:
  enum class State { running, done, failed };
  struct Build {
    model::WorkspaceId workspace;
    State state = State::running;
    model::ImageId base;  // as the image has it
    WallTime began_at{};
    WallTime ended_at{};  // none: it runs
    std::string failure;
    async::Event changed;
  };

  // All of them outlive it.
  ImageBuilds(async::Loop& loop, catalog::Catalog& catalog, logs::LogHub& logs,
              image::Builder& images)
      : catalog_(catalog), logs_(logs), images_(images), tasks_(loop) {}

  // nullptr for another workspace's too.
  std::shared_ptr<Build> find(const model::WorkspaceId& workspace, const model::ImageId& id) const;
  // resource_exhausted: too many run.
  Result<void> start(model::Image image, image::Recipe recipe);
  // Whose builds are running.
  std::set<model::WorkspaceId> builders() const;
  // Whose build it is or was; empty if that is not remembered.
  model::WorkspaceId builder_of(const model::ImageId& id) const;
  async::Task<void> stop() { return tasks_.stop(); }

 private:
  static async::Task<void> run(ImageBuilds& self, std::shared_ptr<Build> build, model::Image image,
                               image::Recipe recipe);
  void remember_end(const model::ImageId& id, const model::WorkspaceId& workspace);

  catalog::Catalog& catalog_;
  logs::LogHub& logs_;
  image::Builder& images_;
  std::size_t running_ = 0;
  std::map<model::WorkspaceId, std::size_t> running_of_;  // those that have any
  std::deque<model::ImageId> ended_;                      // oldest first
  std::map<model::ImageId, std::shared_ptr<Build>> builds_;
  async::TaskGroup tasks_;
};

}  // namespace thaw::gateway
