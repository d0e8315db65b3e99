// SPDX-License-Identifier: Apache-2.0
//
// UrlVariants: which bound variants were made because somebody asked for their parameters by an
// address, and when each was asked for last. Anybody can ask, so that one more than there may be
// takes the place of the one that was asked for longest ago; those that a client holds by its id
// are none of them. In memory: after a restart nothing is known of those from before. Loop thread
// only.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <utility>

#include "thaw/model/ids.h"

namespace thaw::dialect::modal {

class UrlVariants {
 public:
  // Asked for by an address, and made for it; or asked for once more.
  void asked(const model::FunctionId& base, const model::FunctionId& variant, bool is_made) {
    const auto own = functions_.find(base);
    if (is_made || (own != functions_.end() && own->second.contains(variant))) {
      functions_[base][variant] = ++turn_;
    }
  }
  // A client holds it, or it has gone.
  void forget(const model::FunctionId& base, const model::FunctionId& variant) {
    const auto own = functions_.find(base);
    if (own != functions_.end() && own->second.erase(variant) > 0 && own->second.empty()) {
      functions_.erase(own);
    }
  }
  // That was asked for longest ago, of those that may go.
  std::optional<model::FunctionId> oldest(
      const model::FunctionId& base,
      const std::function<bool(const model::FunctionId&)>& may_go) const {
    const auto own = functions_.find(base);
    if (own == functions_.end()) {
      return std::nullopt;
    }
    const std::pair<const model::FunctionId, std::uint64_t>* found = nullptr;
    for (const auto& entry : own->second) {
      if ((found == nullptr || entry.second < found->second) && may_go(entry.first)) {
        found = &entry;
      }
    }
    return found == nullptr ? std::nullopt : std::optional(found->first);
  }
  // Of functions that are gone nothing is kept.
  void keep_only(const std::function<bool(const model::FunctionId&)>& is_there) {
    for (auto own = functions_.begin(); own != functions_.end();) {
      std::erase_if(own->second, [&](const auto& entry) { return !is_there(entry.first); });
      own = own->second.empty() ? functions_.erase(own) : std::next(own);
    }
  }
  std::size_t size() const {
    std::size_t count = 0;
    for (const auto& [base, own] : functions_) {
      count += own.size();
    }
    return count;
  }

 private:
  std::map<model::FunctionId, std::map<model::FunctionId, std::uint64_t>> functions_;  // by base
  std::uint64_t turn_ = 0;
};

}  // namespace thaw::dialect::modal
