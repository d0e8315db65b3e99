// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/unused.h"

#include <algorithm>
#include <map>
#include <memory>
#include <utility>

#include "thaw/async/every.h"

namespace thaw::gateway {

using async::Task;

namespace {

// Of an app; programs hold their ids and may start sandboxes with them at any time.
constexpr std::size_t kept_nameless_secrets = 100;

}  // namespace

void Unused::start() {
  const Duration period = std::clamp<Duration>(keep_ / 4, 1s, 60s);
  tasks_.start("what is unused", async::every(period, "what is unused", [this] { return look(); }));
}

bool Unused::is_over(const std::string& id, bool is_used, Instant now) {
  if (is_used) {
    since_.erase(id);
    return false;
  }
  return since_.emplace(id, now).first->second + keep_ <= now;
}

std::vector<std::string> Unused::unused_images(Instant now) {
  std::vector<std::string> unused;
  // all workspaces: what nothing uses anywhere
  for (const auto& [id, image] : parts_.catalog.images.all()) {
    if (is_over(id, parts_.catalog.is_image_in_use(id), now)) {
      unused.push_back(id);
    }
  }
  return unused;
}

// A bound variant of a version that was replaced serves those who hold its id; once nobody has for
// as long, it goes.
std::vector<model::FunctionId> Unused::old_variants(Instant now) {
  std::vector<model::FunctionId> old;
  // all workspaces: what nothing uses anywhere
  for (const auto& [id, function] : parts_.catalog.functions.all()) {
    if (function->base.empty()) {
      continue;
    }
    // all workspaces: the base is the variant's own
    const auto base = parts_.catalog.functions.find(function->base.str());
    const queue::Demand demand = parts_.queue.demand(function->id);
    const bool is_used = (base && base->live_version == function->live_version) ||
                         demand.ready + demand.leased > 0 ||
                         parts_.fleet.running_count(function->id) > 0;
    if (is_over(id, is_used, now)) {
      old.push_back(function->id);
    }
  }
  return old;
}

// What was created and has never been live. What was staged of it is a version, and is promoted
// without it.
std::vector<model::FunctionId> Unused::old_drafts(Instant now) {
  std::vector<model::FunctionId> old;
  // all workspaces: what nothing uses anywhere
  for (const auto& [id, function] : parts_.catalog.functions.all()) {
    if (!function->base.empty()) {
      continue;
    }
    bool is_used = function->live() != nullptr;
    if (!is_used) {
      // all workspaces: the app is the function's own. One whose record was lost may come back.
      const auto app = parts_.catalog.apps.find(function->app.str());
      is_used = !app || std::any_of(app->functions.begin(), app->functions.end(),
                                    [&function = function](const auto& entry) {
                                      return entry.second == function->id;
                                    });
    }
    if (is_over(id, is_used, now)) {
      old.push_back(function->id);
    }
  }
  return old;
}

// One that a deployment brings back is made anew.
std::vector<std::string> Unused::old_classes(Instant now) {
  std::vector<std::string> old;
  // all workspaces: what nothing uses anywhere
  for (const auto& [id, one] : parts_.catalog.classes.all()) {
    const auto app = parts_.catalog.apps.find(one->app.str());  // all workspaces: the class's own
    const bool is_used =
        !app || std::any_of(app->classes.begin(), app->classes.end(),
                            [&one = one](const auto& entry) { return entry.second == one->id; });
    if (is_over(id, is_used, now)) {
      old.push_back(id);
    }
  }
  return old;
}

std::vector<std::string> Unused::unused_secrets(Instant now) {
  std::vector<std::string> unused;
  using Secrets = std::vector<std::shared_ptr<const model::Secret>>;
  std::map<std::pair<std::string, std::string>, Secrets> nameless;  // by workspace and app
  // all workspaces: what nothing uses anywhere
  for (const auto& [id, secret] : parts_.catalog.secrets.all()) {
    if (!secret->name.empty()) {
      continue;
    }
    if (parts_.catalog.is_secret_of_a_version(id)) {
      since_.erase(id);
      continue;
    }
    nameless[{secret->workspace.str(), secret->owner.str()}].push_back(secret);
  }
  for (auto& [owner, secrets] : nameless) {
    std::sort(secrets.begin(), secrets.end(),
              [](const auto& a, const auto& b) { return a->created_at > b->created_at; });
    for (std::size_t i = 0; i < secrets.size(); ++i) {
      if (is_over(secrets[i]->id.str(), i < kept_nameless_secrets, now)) {
        unused.push_back(secrets[i]->id.str());
      }
    }
  }
  return unused;
}

bool Unused::is_nameless(const std::string& stream) const {
  // all workspaces: a log's name is its app's or its image's, whoever has it
  if (stream.starts_with("ap-")) {
    return !parts_.catalog.apps.find(stream);
  }
  const model::ImageId image(stream);
  // all workspaces: as above
  return !parts_.catalog.images.find(stream) &&
         !parts_.builds.find(parts_.builds.builder_of(image), image);
}

Task<void> Unused::look() {
  Result<void> outcome;
  const auto note = [&outcome](Result<void> one) {
    if (!one && outcome && one.error().code() != Code::failed_precondition) {
      outcome = std::move(one);
    }
  };
  const Instant now = monotonic_now();
  parts_.fleet.forget_gone();
  const auto images = unused_images(now);
  const std::vector<model::FunctionId> variants = old_variants(now);
  const std::vector<model::FunctionId> drafts = old_drafts(now);
  const std::vector<std::string> secrets = unused_secrets(now);
  const std::vector<std::string> classes = old_classes(now);
  catalog::Change change;
  for (const std::string& id : images) {
    change.erase(parts_.catalog.images, id);
  }
  for (const std::string& id : secrets) {
    change.erase(parts_.catalog.secrets, id);
  }
  for (const std::string& id : classes) {
    change.erase(parts_.catalog.classes, id);
  }
  for (const auto* functions : {&variants, &drafts}) {
    for (const model::FunctionId& id : *functions) {
      parts_.catalog.erase_function(change, id);
    }
  }
  if (!images.empty() || !secrets.empty() || !classes.empty() || !variants.empty() ||
      !drafts.empty()) {
    note(co_await parts_.catalog.apply(std::move(change)));
  }
  if (!variants.empty()) {
    note(co_await parts_.fleet.stop_functions(variants, "the function was replaced long ago"));
  }
  for (const std::string& stream : parts_.logs.streams()) {
    if (is_nameless(stream)) {
      note(co_await parts_.logs.erase(stream));
    }
  }
  std::erase_if(since_, [this](const auto& entry) {
    const std::string& id = entry.first;
    // all workspaces: what is gone anywhere
    return !parts_.catalog.images.find(id) && !parts_.catalog.functions.find(id) &&
           !parts_.catalog.secrets.find(id) && !parts_.catalog.classes.find(id);
  });
  co_return outcome;
}

}  // namespace thaw::gateway
