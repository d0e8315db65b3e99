// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/unused.h"

#include <algorithm>
#include <utility>

#include "thaw/async/every.h"

namespace thaw::gateway {

using async::Task;

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
  catalog::Change change;
  for (const std::string& id : images) {
    change.erase(parts_.catalog.images, id);
  }
  for (const model::FunctionId& id : variants) {
    parts_.catalog.erase_function(change, id);
  }
  if (!images.empty() || !variants.empty()) {
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
    return !parts_.catalog.images.find(id) && !parts_.catalog.functions.find(id);
  });
  co_return outcome;
}

}  // namespace thaw::gateway
