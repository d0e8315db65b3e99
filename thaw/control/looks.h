// SPDX-License-Identifier: Apache-2.0
//
// Looks: the targets that scaling is to look at again, each once however often it was asked for.
// Whoever changes what a decision stands on asks for a look; the Scaler takes them. Loop thread
// only.
#pragma once

#include <set>
#include <utility>

#include "thaw/async/event.h"
#include "thaw/model/target.h"

namespace thaw::control {

class Looks {
 public:
  void want_now(const model::Target& target) {
    want(target);
    hurry();
  }
  // With the next look, whenever that is.
  void want(const model::Target& target) { wanted_.insert(target); }
  void hurry() { hurried_.notify_one(); }
  void forget(const model::Target& target) { wanted_.erase(target); }

  bool empty() const { return wanted_.empty(); }
  bool contains(const model::Target& target) const { return wanted_.contains(target); }
  std::set<model::Target> take() { return std::exchange(wanted_, {}); }
  // Until somebody is in a hurry.
  async::Task<bool> wait() { return hurried_.wait(Instant::max()); }

 private:
  std::set<model::Target> wanted_;
  async::Event hurried_;
};

}  // namespace thaw::control
