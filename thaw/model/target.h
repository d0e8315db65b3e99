// SPDX-License-Identifier: Apache-2.0
//
// Target: what a call, a container or a request is for: a function, and one version of it if it is
// pinned. Without a version it follows the function's live one, whichever that is by then. Plain
// value; may be the key of a map.
#pragma once

#include <compare>
#include <functional>
#include <string>
#include <utility>

#include "thaw/model/ids.h"

namespace thaw::model {

struct Target {
  Target() = default;
  // A function alone is a target: whoever says no more follows its live version.
  Target(FunctionId of) : function(std::move(of)) {}
  Target(FunctionId of, std::string pinned) : function(std::move(of)), version(std::move(pinned)) {}

  FunctionId function;
  std::string version;  // empty: follows the live one

  bool is_pinned() const { return !version.empty(); }
  // For people: "fu-1", "fu-1@de-2". Neither part has an @.
  std::string str() const { return is_pinned() ? function.str() + "@" + version : function.str(); }

  friend bool operator==(const Target&, const Target&) = default;
  friend std::strong_ordering operator<=>(const Target& a, const Target& b) {
    const auto by_function = a.function <=> b.function;
    return by_function != 0 ? by_function : a.version.compare(b.version) <=> 0;
  }
};

}  // namespace thaw::model

template <>
struct std::hash<thaw::model::Target> {
  std::size_t operator()(const thaw::model::Target& target) const noexcept {
    const std::size_t function = std::hash<thaw::model::FunctionId>{}(target.function);
    return target.is_pinned() ? function * 31 + std::hash<std::string>{}(target.version) : function;
  }
};
