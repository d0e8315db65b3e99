// SPDX-License-Identifier: Apache-2.0
//
// StrongId: a string that knows whose name it is. Two ids of different things do not compare and
// do not convert. `str()` is the wire form.
#pragma once

#include <compare>
#include <functional>
#include <string>
#include <utility>

namespace thaw {

template <class Tag>
class StrongId {
 public:
  StrongId() = default;
  explicit StrongId(std::string value) : value_(std::move(value)) {}

  const std::string& str() const { return value_; }
  bool empty() const { return value_.empty(); }

  friend bool operator==(const StrongId&, const StrongId&) = default;
  friend std::strong_ordering operator<=>(const StrongId& a, const StrongId& b) {
    return a.value_.compare(b.value_) <=> 0;
  }

 private:
  std::string value_;
};

}  // namespace thaw

template <class Tag>
struct std::hash<thaw::StrongId<Tag>> {
  std::size_t operator()(const thaw::StrongId<Tag>& id) const noexcept {
    return std::hash<std::string>{}(id.str());
  }
};
