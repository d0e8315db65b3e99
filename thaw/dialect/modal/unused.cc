// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/unused.h"

#include <algorithm>
#include <set>
#include <utility>

#include "thaw/async/every.h"

namespace thaw::dialect::modal {

using async::Task;

namespace {

struct Used {
  std::set<std::string> images;
  std::set<std::string> versions;
};

Used used_by_functions(const catalog::Catalog& catalog) {
  Used used;
  // all workspaces: what is used anywhere
  catalog.each_spec([&used](const model::FunctionSpec& spec) {
    used.versions.insert(spec.version);
    used.images.insert(spec.image.str());
  });
  return used;
}

// Images that have not been in `used` for as long as unused things are kept.
std::vector<std::string> long_unused_images(Context& cx, const std::set<std::string>& used,
                                            Instant now) {
  std::vector<std::string> unused;
  // all workspaces: what nothing uses anywhere
  for (const auto& [id, image] : cx.parts.catalog.images.all()) {
    if (used.contains(id)) {
      cx.unused_since.erase(id);
    } else if (cx.unused_since.emplace(id, now).first->second + cx.options.keep_unused <= now) {
      unused.push_back(id);
    }
  }
  return unused;
}

// A bound variant of a version that was replaced serves those who hold its id; once nobody has for
// as long, it goes.
std::vector<model::FunctionId> old_variants(Context& cx, Instant now) {
  std::vector<model::FunctionId> old;
  // all workspaces: what nothing uses anywhere
  for (const auto& [id, function] : cx.parts.catalog.functions.all()) {
    if (function->base.empty()) {
      continue;
    }
    // all workspaces: the base is the variant's own
    const auto base = cx.parts.catalog.functions.find(function->base.str());
    const queue::Demand demand = cx.parts.queue.demand(function->id);
    const bool is_used = (base && base->live_version == function->live_version) ||
                         demand.ready + demand.leased > 0 ||
                         cx.fleet->running_count(function->id) > 0;
    if (is_used) {
      cx.unused_since.erase(id);
    } else if (cx.unused_since.emplace(id, now).first->second + cx.options.keep_unused <= now) {
      old.push_back(function->id);
    }
  }
  return old;
}

bool is_nameless(Context& cx, const std::string& stream) {
  // all workspaces: a log's name is its app's or its image's, whoever has it
  if (stream.starts_with("ap-")) {
    return !cx.parts.catalog.apps.find(stream);
  }
  const model::ImageId image(stream);
  // all workspaces: as above
  return !cx.parts.catalog.images.find(stream) &&
         !cx.parts.builds.find(cx.parts.builds.builder_of(image), image);
}

Task<void> forget_unused(Context& cx) {
  Result<void> outcome;
  const auto note = [&outcome](Result<void> one) {
    if (!one && outcome && one.error().code() != Code::failed_precondition) {
      outcome = std::move(one);
    }
  };
  const Instant now = monotonic_now();
  const Used used = used_by_functions(cx.parts.catalog);
  cx.fleet->forget_gone(used.versions);
  const auto images = long_unused_images(cx, used.images, now);
  const std::vector<model::FunctionId> variants = old_variants(cx, now);
  catalog::Change change;
  for (const std::string& id : images) {
    change.erase(cx.parts.catalog.images, id);
  }
  for (const model::FunctionId& id : variants) {
    cx.parts.catalog.erase_function(change, id);
  }
  if (!images.empty() || !variants.empty()) {
    note(co_await cx.parts.catalog.apply(std::move(change)));
  }
  if (!variants.empty()) {
    note(co_await cx.fleet->stop_functions(variants, "the function was replaced long ago"));
  }
  for (const std::string& stream : cx.parts.logs.streams()) {
    if (is_nameless(cx, stream)) {
      note(co_await cx.parts.logs.erase(stream));
    }
  }
  std::erase_if(cx.unused_since, [&cx](const auto& entry) {
    const std::string& id = entry.first;
    // all workspaces: what is gone anywhere
    return !cx.parts.catalog.images.find(id) && !cx.parts.catalog.functions.find(id);
  });
  co_return outcome;
}

}  // namespace

async::Task<void> unused_loop(Context& cx) {
  const Duration period = std::clamp<Duration>(cx.options.keep_unused / 4, 1s, 60s);
  return async::every(period, "what is unused", [&cx] { return forget_unused(cx); });
}

}  // namespace thaw::dialect::modal
