// SPDX-License-Identifier: Apache-2.0
//
// Looks: the functions that scaling is to look at again, each once however often it was asked for.
// Whoever changes what a decision stands on asks for a look; the Scaler takes them. Loop thread
// only.
#pragma once

#include <set>
#include <utility>

#include "thaw/async/event.h"
#include "thaw/model/ids.h"

namespace thaw::control {

class Looks {
 public:
  void want_now(const model::FunctionId& function) {
    want(function);
    hurry();
  }
  // With the next look, whenever that is.
  void want(const model::FunctionId& function) { wanted_.insert(function); }
  void hurry() { hurried_.notify_one(); }
  void forget(const model::FunctionId& function) { wanted_.erase(function); }

  bool empty() const { return wanted_.empty(); }
  bool contains(const model::FunctionId& function) const { return wanted_.contains(function); }
  std::set<model::FunctionId> take() { return std::exchange(wanted_, {}); }
  // Until somebody is in a hurry.
  async::Task<bool> wait() { return hurried_.wait(Instant::max()); }

 private:
  std::set<model::FunctionId> wanted_;
  async::Event hurried_;
};

}  // namespace thaw::control
