// SPDX-License-Identifier: Apache-2.0
#include "thaw/policy/route_version.h"

#include <doctest/doctest.h>

#include <map>
#include <random>

using namespace thaw;
using namespace thaw::policy;
using model::WeightedVersion;

namespace {

std::vector<WeightedVersion> random_versions(std::mt19937_64& random) {
  std::vector<WeightedVersion> versions;
  const std::size_t count = 1 + random() % 8;
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t most = random() % 2 == 0 ? 10 : model::largest_weight;
    versions.push_back(
        {"de-" + std::to_string(i), 1 + static_cast<std::uint32_t>(random() % most)});
  }
  return versions;
}

std::uint64_t sum_of(const std::vector<WeightedVersion>& versions) {
  std::uint64_t sum = 0;
  for (const WeightedVersion& one : versions) {
    sum += one.weight;
  }
  return sum;
}

const WeightedVersion* find(const std::vector<WeightedVersion>& versions, const std::string& name) {
  for (const WeightedVersion& one : versions) {
    if (one.version == name) {
      return &one;
    }
  }
  return nullptr;
}

}  // namespace

TEST_CASE("of all equally likely values each version gets as many as its weight") {
  std::mt19937_64 random(7);
  for (int round = 0; round < 200; ++round) {
    const std::vector<WeightedVersion> versions = random_versions(random);
    const std::uint64_t sum = sum_of(versions);
    const std::uint64_t from = (random() >> 1) / sum * sum;
    std::map<std::string, std::uint64_t> got;
    for (std::uint64_t value = from; value < from + sum; ++value) {
      const WeightedVersion* one = route_version(versions, value);
      REQUIRE(one != nullptr);
      ++got[one->version];
    }
    for (const WeightedVersion& one : versions) {
      CHECK(got[one.version] == one.weight);
    }
  }
}

TEST_CASE("where there is no weight there is no version") {
  CHECK(route_version({}, 17) == nullptr);
  CHECK(route_version({{"de-1", 0}}, 17) == nullptr);
  CHECK(route_version({{"de-1", 0}, {"de-2", 1}}, 17)->version == "de-2");
}

TEST_CASE("a version gets the part that it is given, and the others keep their proportions") {
  std::mt19937_64 random(11);
  for (int round = 0; round < 2'000; ++round) {
    const std::vector<WeightedVersion> before = random_versions(random);
    const auto percent = 1 + static_cast<unsigned>(random() % 100);
    const std::string version = "de-" + std::to_string(random() % 10);
    const std::vector<WeightedVersion> after = give_share(before, version, percent);
    const double sum = static_cast<double>(sum_of(after));
    const WeightedVersion* own = find(after, version);
    REQUIRE(own != nullptr);
    std::vector<WeightedVersion> others = before;
    std::erase_if(others, [&](const WeightedVersion& one) { return one.version == version; });
    const bool is_alone = others.empty() || percent == 100;
    CHECK(after.back().version == version);
    const double share = is_alone ? 1.0 : percent / 100.0;
    CHECK(std::abs(own->weight / sum - share) < 0.002);
    for (const WeightedVersion& one : after) {
      CHECK(one.weight >= 1);
      CHECK(one.weight <= model::largest_weight);
      const WeightedVersion* was = find(others, one.version);
      if (was != nullptr) {
        const double part = was->weight / static_cast<double>(sum_of(others)) * (1 - share);
        CHECK(std::abs(one.weight / sum - part) < 0.002);
      }
    }
    for (const WeightedVersion& one : others) {
      const double part = one.weight / static_cast<double>(sum_of(others)) * (1 - share);
      CHECK((find(after, one.version) != nullptr || part <= 1.0 / model::largest_weight));
    }
  }
}

TEST_CASE("an alias takes a new version for ever: those that nobody is sent to any more leave it") {
  for (const unsigned percent : {1U, 10U, 50U, 99U}) {
    CAPTURE(percent);
    std::vector<WeightedVersion> versions;
    for (int push = 0; push < 1'000; ++push) {
      const std::string version = "de-" + std::to_string(push);
      versions = give_share(versions, version, percent);
      REQUIRE(versions.size() <= model::most_versions_of_an_alias);
      REQUIRE(versions.back().version == version);
      if (push > 0) {
        const double share = versions.back().weight / static_cast<double>(sum_of(versions));
        CHECK(std::abs(share - percent / 100.0) < 0.01);
      }
    }
  }
}

TEST_CASE("what is kept without a call is spread over the versions that get requests") {
  using Kept = std::vector<std::size_t>;
  CHECK(spread({{"a", 1}, {"b", 1}}, 0) == Kept{0, 0});
  CHECK(spread({}, 3).empty());
  CHECK(spread({{"a", 7}}, 3) == Kept{3});
  CHECK(spread({{"a", 5}, {"b", 95}}, 1) == Kept{0, 1});
  CHECK(spread({{"a", 5}, {"b", 95}}, 2) == Kept{1, 1});
  CHECK(spread({{"a", 5}, {"b", 95}}, 10) == Kept{1, 9});
  CHECK(spread({{"a", 1}, {"b", 1}}, 3) == Kept{2, 1});
  CHECK(spread({{"a", 1}, {"b", 1}, {"c", 1}}, 2) == Kept{1, 1, 0});
  CHECK(spread({{"a", 0}, {"b", 3}}, 2) == Kept{0, 2});
  CHECK(spread({{"a", 0}}, 2) == Kept{0});
  std::mt19937_64 random(7);
  for (int i = 0; i < 1'000; ++i) {
    const std::vector<WeightedVersion> versions = random_versions(random);
    const std::size_t all = random() % 40;
    const Kept kept = spread(versions, all);
    std::size_t sum = 0;
    for (std::size_t n = 0; n < kept.size(); ++n) {
      sum += kept[n];
      CHECK((all < versions.size() || kept[n] > 0));
    }
    CHECK(sum == all);
  }
}
