// SPDX-License-Identifier: Apache-2.0
//
// Orphans: calls whose function is gone, or the version that they are pinned to, or whose app was
// stopped, and that were not ended with it: the server died in between, the disk did not take their
// end, or a record was lost. Nobody would ever run them. Loop thread only.
#pragma once

#include "thaw/catalog/catalog.h"
#include "thaw/queue/call_queue.h"

namespace thaw::control {

class Orphans {
 public:
  Orphans(catalog::Catalog& catalog, queue::CallQueue& queue) : catalog_(catalog), queue_(queue) {}

  // Ends them at once and then now and then; runs until it is cancelled.
  static async::Task<void> loop(Orphans& self);

 private:
  static async::Task<void> end_all(Orphans& self);

  catalog::Catalog& catalog_;
  queue::CallQueue& queue_;
};

}  // namespace thaw::control
