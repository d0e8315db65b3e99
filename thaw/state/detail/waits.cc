// SPDX-License-Identifier: Apache-2.0
#include "thaw/state/detail/waits.h"

namespace thaw::state::detail {

namespace {

std::string name_of(const std::string& workspace, const std::string& asker) {
  return workspace + '\0' + asker;
}

}  // namespace

void Line::wake_next() {
  if (sleepers.empty()) {
    return;
  }
  const std::shared_ptr<Sleeper> first = sleepers.begin()->second;
  sleepers.erase(sleepers.begin());
  first->is_woken = true;
  first->woken.notify_all();
}

void Line::noticed_put(std::size_t items) {
  ++puts;
  for (std::size_t i = 0; i < items && !sleepers.empty(); ++i) {
    wake_next();
  }
  news.notify_all();
}

std::shared_ptr<Line> Waits::line(const Place& place) const {
  const auto found = lines_.find(place);
  return found == lines_.end() ? nullptr : found->second.lock();
}

void Waits::end(const std::string& queue) {
  for (auto at = lines_.lower_bound({queue, ""}); at != lines_.end() && at->first.first == queue;
       ++at) {
    if (const std::shared_ptr<Line> line = at->second.lock()) {
      line->has_ended = true;
      line->noticed_put(line->sleepers.size());
    }
  }
}

std::size_t Waits::count_of(const std::string& name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? 0 : found->second;
}

Result<void> Waits::admit(const StateLimits& limits, const model::WorkspaceId& workspace,
                          const std::string& asker) const {
  if (count_of(name_of(workspace.str(), asker)) >= limits.waits_of_asker) {
    return Error::resource_exhausted(
        "too many requests of one asker wait for items of queues; "
        "the most is " +
        std::to_string(limits.waits_of_asker));
  }
  if (count_of(workspace.str()) >= limits.waits) {
    return Error::resource_exhausted(
        "too many requests of the workspace wait for items of queues; the most is " +
        std::to_string(limits.waits));
  }
  return ok();
}

void Waits::give_back(const std::string& name) {
  const auto found = by_name_.find(name);
  if (--found->second == 0) {
    by_name_.erase(found);
  }
}

Waits::Visit::Visit(Shared waits, Place place)
    : waits_(std::move(waits)), place_(std::move(place)), line_(waits_->line(place_)) {
  if (!line_) {
    line_ = std::make_shared<Line>();
    waits_->lines_[place_] = line_;
  }
}

Waits::Visit::~Visit() {
  line_.reset();
  const auto found = waits_->lines_.find(place_);
  if (found != waits_->lines_.end() && found->second.expired()) {
    waits_->lines_.erase(found);
  }
}

Waits::Counted::Counted(Shared waits, const model::WorkspaceId& workspace, const std::string& asker)
    : waits_(std::move(waits)),
      workspace_(workspace.str()),
      asker_(name_of(workspace.str(), asker)) {
  ++waits_->by_name_[workspace_];
  ++waits_->by_name_[asker_];
  ++waits_->count_;
}

Waits::Counted::~Counted() {
  waits_->give_back(workspace_);
  waits_->give_back(asker_);
  --waits_->count_;
}

}  // namespace thaw::state::detail
