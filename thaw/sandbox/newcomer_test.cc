// SPDX-License-Identifier: Apache-2.0
#include "thaw/sandbox/detail/newcomer.h"

#include <doctest/doctest.h>

#include <string>
#include <utility>

using namespace thaw;
using namespace thaw::sandbox;

TEST_CASE("what may run user code is a child of PID 1 with a function's powers") {
  const std::string good =
      "Name:\tprogram\nUid:\t0\t0\t0\t0\nPPid:\t1\nCapInh:\t0000000000000000\n"
      "CapPrm:\t000000000000002b\nCapEff:\t000000000000002b\nCapBnd:\t000000000000002b\n"
      "CapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t2\n";
  CHECK(detail::check_newcomer(good, 0x2b, 0));
  const std::pair<const char*, const char*> changes[] = {
      {"CapPrm:\t000000000000002b", "CapPrm:\t000000000020002b"},
      {"CapBnd:\t000000000000002b", "CapBnd:\t000001ffffffffff"},
      {"CapAmb:\t0000000000000000", "CapAmb:\t0000000000200000"},
      {"CapEff:\t", "CapEf:\t"},
      {"PPid:\t1\n", "PPid:\t0\n"},
      {"PPid:\t1\n", "PPid:\t11\n"},
      {"NoNewPrivs:\t1", "NoNewPrivs:\t0"},
      {"Seccomp:\t2", "Seccomp:\t0"},
      {"Seccomp_filters:\t2", "Seccomp_filters:\t1"},
      {"Uid:\t0\t0\t0\t0", "Uid:\t0\t0\t0\t5"}};
  for (const auto& [from, to] : changes) {
    CAPTURE(to);
    std::string bad = good;
    bad.replace(bad.find(from), std::string(from).size(), to);
    CHECK(!detail::check_newcomer(bad, 0x2b, 0));
  }
  CHECK(!detail::check_newcomer(good, 0x2b, 1001));
  // As this machine sees it, root of a range is another user.
  const detail::IdRange range{524288};
  CHECK(!detail::check_newcomer(good, 0x2b, 0, range));
  std::string shifted = good;
  shifted.replace(shifted.find("0\t0\t0\t0"), 7, "524288\t524288\t524288\t524288");
  CHECK(detail::check_newcomer(shifted, 0x2b, 0, range));
  CHECK(!detail::check_newcomer("", 0x2b, 0));
}
