// SPDX-License-Identifier: Apache-2.0
#include "thaw/worker/kit.h"

#include <algorithm>
#include <set>
#include <utility>

#include "thaw/base/check.h"
#include "thaw/worker/worker.h"

namespace thaw::worker {

namespace {

// The loader, the C library and its allocator read these before the first line of any program.
constexpr std::string_view of_every_program[] = {"PATH",   "HOME", "LANG", "LANGUAGE", "TZ",
                                                 "TMPDIR", "LD_*", "LC_*", "MALLOC_*", "GLIBC_*"};

bool matches(std::string_view pattern, std::string_view variable) {
  return pattern.ends_with('*') ? variable.starts_with(pattern.substr(0, pattern.size() - 1))
                                : variable == pattern;
}

}  // namespace

bool shapes(const Kit& kit, std::string_view variable) {
  const auto it_does = [variable](std::string_view pattern) { return matches(pattern, variable); };
  return std::any_of(std::begin(of_every_program), std::end(of_every_program), it_does) ||
         std::any_of(kit.shaping.begin(), kit.shaping.end(), it_does);
}

Kits::Kits(std::vector<Kit> all) : all_(std::move(all)) {
  std::set<std::string_view> names;
  for (const Kit& kit : all_) {
    THAW_CHECK(names.insert(kit.name).second);
  }
}

const Kit* Kits::find(std::string_view name) const {
  const auto found =
      std::find_if(all_.begin(), all_.end(), [name](const Kit& kit) { return kit.name == name; });
  return found == all_.end() ? nullptr : &*found;
}

void add_renewals(const Kits& kits, LaunchPlan& plan) {
  for (const Kit& kit : kits.all()) {
    if (!kit.renewal) {
      continue;
    }
    const Kit::Renewal& renewal = *kit.renewal;
    plan.files.insert(plan.files.end(), renewal.files.begin(), renewal.files.end());
    const std::string name = renewal.variable + "=";
    std::string value = renewal.value;
    for (const std::string& entry : plan.env) {
      if (entry.starts_with(name) && entry.size() > name.size()) {
        value += renewal.joint + entry.substr(name.size());
      }
    }
    plan.snapshot_env.push_back(name + value);
  }
}

}  // namespace thaw::worker
