// SPDX-License-Identifier: Apache-2.0
//
// Dice: everything that a simulation leaves to chance, from one seed: the same seed gives the same
// throws on every machine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "thaw/base/time.h"

namespace thaw::sim {

class Dice {
 public:
  explicit Dice(std::uint64_t seed) : state_(seed) {}

  // splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
  }
  // Of [low, high].
  std::int64_t between(std::int64_t low, std::int64_t high) {
    const auto range = static_cast<std::uint64_t>(high - low) + 1;
    return low + static_cast<std::int64_t>(next() % range);
  }
  std::size_t below(std::size_t count) { return next() % count; }
  Duration between(Duration low, Duration high) {
    return Duration(between(low.count(), high.count()));
  }
  // Short ones are as likely as long ones, at every scale.
  Duration about(Duration low, Duration high) {
    Duration most = low;
    while (most < high && chance(60)) {
      most *= 3;
    }
    return between(low, most < high ? most : high);
  }
  bool chance(int percent) { return between(1, 100) <= percent; }
  template <class T>
  const T& one_of(const std::vector<T>& all) {
    return all[static_cast<std::size_t>(between(0, static_cast<std::int64_t>(all.size()) - 1))];
  }

 private:
  std::uint64_t state_;
};

}  // namespace thaw::sim
