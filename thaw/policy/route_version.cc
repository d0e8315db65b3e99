// SPDX-License-Identifier: Apache-2.0
#include "thaw/policy/route_version.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace thaw::policy {

using model::WeightedVersion;

namespace {

// So large that a hundredth of it is still a hundred steps.
constexpr std::uint64_t whole = model::largest_weight;

std::uint64_t sum_of(const std::vector<WeightedVersion>& versions) {
  std::uint64_t sum = 0;
  for (const WeightedVersion& one : versions) {
    sum += one.weight;
  }
  return sum;
}

}  // namespace

const WeightedVersion* route_version(const std::vector<WeightedVersion>& versions,
                                     std::uint64_t random) {
  const std::uint64_t sum = sum_of(versions);
  if (sum == 0) {
    return nullptr;
  }
  std::uint64_t place = random % sum;
  for (const WeightedVersion& one : versions) {
    if (place < one.weight) {
      return &one;
    }
    place -= one.weight;
  }
  return nullptr;
}

std::vector<WeightedVersion> give_share(const std::vector<WeightedVersion>& before,
                                        const std::string& version, unsigned percent) {
  std::vector<WeightedVersion> after;
  std::copy_if(
      before.begin(), before.end(), std::back_inserter(after),
      [&](const WeightedVersion& one) { return one.version != version && one.weight > 0; });
  const std::uint64_t others = sum_of(after);
  const std::uint64_t own = whole * std::clamp(percent, 1U, 100U) / 100;
  if (others == 0 || own == whole) {
    return {{version, static_cast<std::uint32_t>(others == 0 ? 1 : whole)}};
  }
  for (WeightedVersion& one : after) {
    one.weight = static_cast<std::uint32_t>(one.weight * (whole - own) / others);
  }
  // So no alias fills up with what nobody is sent to any more.
  std::erase_if(after, [](const WeightedVersion& one) { return one.weight == 0; });
  if (after.size() >= model::most_versions_of_an_alias) {
    after.erase(after.begin());
  }
  after.push_back({version, static_cast<std::uint32_t>(own)});
  return after;
}

std::vector<std::size_t> spread(const std::vector<WeightedVersion>& versions, std::size_t all) {
  std::vector<std::size_t> kept(versions.size(), 0);
  std::vector<std::size_t> by_weight;
  for (std::size_t i = 0; i < versions.size(); ++i) {
    if (versions[i].weight > 0) {
      by_weight.push_back(i);
    }
  }
  std::stable_sort(by_weight.begin(), by_weight.end(), [&](std::size_t a, std::size_t b) {
    return versions[a].weight > versions[b].weight;
  });
  for (const std::size_t i : by_weight) {
    kept[i] = all > 0 ? 1 : 0;
    all -= kept[i];
  }
  const std::uint64_t sum = sum_of(versions);
  if (all == 0 || sum == 0) {
    return kept;
  }
  // What is left of each part is a fraction of one: the largest of them get what is left of all.
  std::size_t rest = all;
  std::vector<std::pair<std::uint64_t, std::size_t>> fractions;
  for (const std::size_t i : by_weight) {
    const std::uint64_t part = std::uint64_t{all} * versions[i].weight;
    kept[i] += static_cast<std::size_t>(part / sum);
    rest -= static_cast<std::size_t>(part / sum);
    fractions.emplace_back(part % sum, i);
  }
  std::stable_sort(fractions.begin(), fractions.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  for (std::size_t n = 0; n < rest; ++n) {
    ++kept[fractions[n].second];
  }
  return kept;
}

}  // namespace thaw::policy
