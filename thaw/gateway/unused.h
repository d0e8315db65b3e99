// SPDX-License-Identifier: Apache-2.0
//
// Unused: what the catalog and the logs keep for nobody any more goes: images that no version has,
// bound variants of versions that were replaced, functions and classes that were created for a
// deployment which never came, or was staged and never promoted, secrets without a name that no
// version has (the newest of an app stay, which programs may hold), logs whose app or image is
// gone, and what was learnt of functions that are gone. Each has been unused for as long as unused
// things are kept, counted from the first look that found it so. A look asks the catalog's indices;
// it walks over images, functions, classes and secrets, never over kept versions. Loop thread only.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "thaw/async/task_group.h"
#include "thaw/catalog/catalog.h"
#include "thaw/control/fleet.h"
#include "thaw/gateway/image_builds.h"
#include "thaw/logs/log_hub.h"
#include "thaw/queue/call_queue.h"

namespace thaw::gateway {

struct UnusedParts {
  async::Loop& loop;
  catalog::Catalog& catalog;
  queue::CallQueue& queue;
  logs::LogHub& logs;
  control::Fleet& fleet;
  ImageBuilds& builds;
};

class Unused {
 public:
  // All parts outlive it.
  Unused(UnusedParts parts, Duration keep) : parts_(parts), keep_(keep), tasks_(parts.loop) {}

  void start();
  async::Task<void> stop() { return tasks_.stop(); }

  // Somebody has asked for this image or variant: its time begins anew.
  void note_use(const std::string& id) { since_.erase(id); }

 private:
  async::Task<void> look();
  // Whether it has not been used for long enough.
  bool is_over(const std::string& id, bool is_used, Instant now);
  std::vector<std::string> unused_images(Instant now);
  std::vector<model::FunctionId> old_variants(Instant now);
  std::vector<model::FunctionId> old_drafts(Instant now);
  std::vector<std::string> old_classes(Instant now);
  std::vector<std::string> unused_secrets(Instant now);
  bool is_nameless(const std::string& stream) const;

  UnusedParts parts_;
  Duration keep_;
  std::unordered_map<std::string, Instant> since_;  // by id
  async::TaskGroup tasks_;                          // last: ended first
};

}  // namespace thaw::gateway
