// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/image_builds.h"

#include <algorithm>

#include "thaw/base/log.h"

namespace thaw::gateway {

namespace {

constexpr std::size_t most_running = 16;
constexpr std::size_t most_running_of_one = 6;  // workspace
constexpr std::size_t most_ended = 200;
// Of a log that stores nothing: a build does not hang with it.
constexpr Duration log_patience = 10s;

}  // namespace

std::shared_ptr<ImageBuilds::Build> ImageBuilds::find(const model::WorkspaceId& workspace,
                                                      const model::ImageId& id) const {
  const auto found = builds_.find(id);
  return found == builds_.end() || found->second->workspace != workspace ? nullptr : found->second;
}

std::set<model::WorkspaceId> ImageBuilds::builders() const {
  std::set<model::WorkspaceId> found;
  for (const auto& [workspace, count] : running_of_) {
    found.insert(workspace);
  }
  return found;
}

model::WorkspaceId ImageBuilds::builder_of(const model::ImageId& id) const {
  const auto found = builds_.find(id);
  return found == builds_.end() ? model::WorkspaceId() : found->second->workspace;
}

Result<void> ImageBuilds::start(model::Image image, image::Recipe recipe) {
  if (running_ >= most_running) {
    return Error::resource_exhausted(std::to_string(running_) +
                                     " images are being built already; try again when one is done");
  }
  std::size_t& running_of_one = running_of_[image.workspace];
  if (running_of_one >= most_running_of_one) {
    return Error::resource_exhausted(std::to_string(running_of_one) +
                                     " images of this workspace are being built already, as many "
                                     "as one may build at once; try again when one is done");
  }
  ++running_of_one;
  ++running_;
  auto build = std::make_shared<Build>();
  build->workspace = image.workspace;
  build->base = image.base;
  build->began_at = wall_now();
  builds_[image.id] = build;
  tasks_.start("image build", run(*this, build, std::move(image), std::move(recipe)));
  return ok();
}

void ImageBuilds::remember_end(const model::ImageId& id, const model::WorkspaceId& workspace) {
  --running_;
  if (const auto of_one = running_of_.find(workspace); --of_one->second == 0) {
    running_of_.erase(of_one);
  }
  ended_.push_back(id);
  if (ended_.size() > most_ended) {
    const model::ImageId oldest = ended_.front();
    ended_.pop_front();
    // One that was tried again since then is further back.
    const auto found = builds_.find(oldest);
    if (found != builds_.end() && found->second->state != State::running &&
        std::count(ended_.begin(), ended_.end(), oldest) == 0) {
      builds_.erase(found);
    }
  }
}

async::Task<void> ImageBuilds::run(ImageBuilds& self, std::shared_ptr<Build> build,
                                   model::Image image, image::Recipe recipe) {
  const std::string stream = image.id.str();
  const model::WorkspaceId workspace = image.workspace;
  logs::LogHub& hub = self.logs_;
  image::BuildLog log(
      [&hub, stream](logs::Channel channel, std::string text) {
        logs::Line line;
        line.time = wall_now();
        line.channel = channel;
        line.text = std::move(text);
        hub.append(stream, std::move(line));
      },
      [&hub, stream] { return hub.wait_for_room(stream, log_patience); });
  const Instant began = monotonic_now();
  auto result = co_await self.images_.build(std::move(recipe), log);
  Result<void> kept;
  image.began_at = build->began_at;
  image.built_at = wall_now();
  if (result) {
    kept = co_await self.catalog_.images.put(std::move(image));
  }
  if (result && kept) {
    build->state = State::done;
    log_info("image built", {{"image", stream},
                             {"layers_built", std::to_string(result->layers_built)},
                             {"seconds", std::to_string(to_seconds(monotonic_now() - began))}});
  } else {
    build->state = State::failed;
    build->failure = result ? kept.error().to_string() : result.error().to_string();
    log_warning("image build failed", {{"image", stream}, {"error", build->failure}});
  }
  build->ended_at = wall_now();
  hub.end(stream);
  self.remember_end(model::ImageId(stream), workspace);
  build->changed.notify_all();
  co_return ok();
}

}  // namespace thaw::gateway
