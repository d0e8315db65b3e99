// SPDX-License-Identifier: Apache-2.0
//
// FakeLedger: keeps what it is told in memory, or refuses it, and says what should hold of it and
// does not.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "thaw/meter/ledger.h"

namespace thaw::meter::testing {

class FakeLedger final : public Ledger {
 public:
  async::Task<void> write(std::shared_ptr<const Group> group) override {
    if (error) {
      co_return *error;
    }
    lines.insert(lines.end(), group->lines.begin(), group->lines.end());
    for (const SpanView& span : group->spans) {
      spans[span.facts.container] = span;
      for (std::size_t i = 0; i < parts; ++i) {
        sums[i] += span.more[i];
      }
    }
    co_return ok();
  }

  // Calls, kept warm, background and what is under way are the spans, and the lines are the calls.
  std::vector<std::string> check() const {
    std::vector<std::string> broken;
    const auto compare = [&broken](const char* what, std::int64_t a, std::int64_t b) {
      if (a != b) {
        broken.push_back(std::string(what) + ": " + std::to_string(a) + " and not " +
                         std::to_string(b));
      }
    };
    Amount all;
    std::int64_t lived = 0;
    std::int64_t cpu = 0;
    std::int64_t bytes = 0;
    for (const auto& [id, span] : spans) {
      lived += span.totals.life_us();
      cpu += span.totals.cpu_us;
      bytes += span.totals.byte_seconds + span.totals.frozen_byte_seconds;
    }
    for (const Amount& one : sums) {
      all += one;
    }
    std::int64_t shares = 0;
    std::int64_t starts = 0;
    for (const Line& line : lines) {
      shares += line.share_us;
      starts += line.cold_us;
    }
    compare("all parts are the spans' time", all.us, lived);
    compare("all parts are the spans' processor time", all.cpu_us, cpu);
    compare("all parts are the spans' memory", all.byte_seconds + all.frozen_byte_seconds, bytes);
    compare("the shares of lines are the part of calls", shares, of(sums, Part::calls).us);
    compare("the starts of lines are the cold part", starts, of(sums, Part::cold).us);
    return broken;
  }

  std::optional<Error> error;
  std::vector<Line> lines;
  std::map<model::ContainerId, SpanView> spans;
  Parts sums{};
};

}  // namespace thaw::meter::testing
