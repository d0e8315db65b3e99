// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/clientless_apps.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "thaw/async/every.h"
#include "thaw/base/log.h"

namespace thaw::gateway {

using async::Task;
using model::AppState;

namespace {

constexpr Duration silence_limit = 60s;   // clients beat every 15 s
constexpr Duration detached_quiet = 10s;  // without work, after the client has gone

}  // namespace

void ClientlessApps::start() {
  began_ = monotonic_now();
  tasks_.start("apps", async::every(2s, "apps", [this] { return look(); }));
}

void ClientlessApps::beats(const model::AppId& app) {
  last_beat_[app] = monotonic_now();
  left_alone_.erase(app);
}

// Nothing of this app waits or runs, and nobody can ask it for more by a web address.
bool ClientlessApps::has_no_work(const model::AppId& app) const {
  // all workspaces: the app is one that this server ends by itself
  for (const auto& function : parts_.catalog.functions_of(app)) {
    const auto live = function->live();
    if (parts_.queue.demand(function->id).unfinished > 0 || (live && !live->web.empty())) {
      return false;
    }
  }
  return true;
}

// One that cannot be stopped now is found again at the next look.
Task<void> ClientlessApps::end_one(ClientlessApps& self, model::AppId id, std::string why) {
  const Result<void> ended = co_await self.parts_.deployments.stop_app(id, std::move(why));
  self.ending_.erase(id);
  if (ended) {
    self.left_alone_.erase(id);
  } else if (ended.error().code() != Code::cancelled) {
    log_warning("an app has not ended yet",
                {{"app", id.str()}, {"error", ended.error().to_string()}});
  }
  co_return ok();
}

// Behind the look that found it: a container may take long to end, and other apps do not wait.
void ClientlessApps::end(const model::AppId& id, std::string why) {
  if (ending_.insert(id).second) {
    tasks_.start("stop app", end_one(*this, id, std::move(why)));
  }
}

Task<void> ClientlessApps::look() {
  const Instant now = monotonic_now();
  std::vector<model::AppId> abandoned;
  // all workspaces: what has ended anywhere
  for (const auto& [id, app] : parts_.catalog.apps.all()) {
    const auto beat = last_beat_.find(app->id);
    // One whose client has never beaten has as long from when it was made.
    const Duration age = std::max<Duration>(Duration::zero(), wall_now() - app->created_at);
    const Instant last = beat == last_beat_.end() ? std::max(began_, now - age) : beat->second;
    const bool is_silent = last + silence_limit < now;
    if (is_silent && (app->state == AppState::ephemeral || app->state == AppState::initializing)) {
      abandoned.push_back(app->id);
    }
    if (is_silent && app->state == AppState::detached) {
      left_alone_.emplace(app->id, now);
    }
    if (app->state == AppState::stopped) {
      last_beat_.erase(app->id);
      left_alone_.erase(app->id);
    }
  }
  std::vector<model::AppId> done;
  for (auto& [id, quiet_since] : left_alone_) {
    if (!has_no_work(id)) {
      quiet_since = now;
    } else if (quiet_since + detached_quiet < now) {
      done.push_back(id);
    }
  }
  for (const model::AppId& id : done) {
    end(id, "its client is gone and its last call has ended");
  }
  for (const model::AppId& id : abandoned) {
    end(id, "its client is gone");
  }
  co_return ok();
}

}  // namespace thaw::gateway
