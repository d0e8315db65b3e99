// SPDX-License-Identifier: Apache-2.0
#include "thaw/policy/give_back.h"

#include <doctest/doctest.h>

using namespace thaw;
using namespace thaw::policy;

TEST_CASE("memory is given back in quiet moments, and in others when it is much") {
  const std::uint64_t mb = 1u << 20;
  CHECK(gives_memory_back({300 * mb, 40 * mb, 0, 10s}));
  CHECK_FALSE(gives_memory_back({300 * mb, 40 * mb, 0, 5s}));
  CHECK_FALSE(gives_memory_back({45 * mb, 40 * mb, 0, 100s}));
  CHECK_FALSE(gives_memory_back({40 * mb, 300 * mb, 0, 100s}));
  CHECK_FALSE(gives_memory_back({300 * mb, 40 * mb, 1'000, 100s}));
  CHECK(gives_memory_back({700 * mb, 40 * mb, 1'000, 60s}));
  CHECK_FALSE(gives_memory_back({700 * mb, 40 * mb, 1'000, 30s}));
}

TEST_CASE("what was in use at the last time is given back in a quiet moment minutes later") {
  const std::uint64_t mb = 1u << 20;
  CHECK(gives_memory_back({60 * mb, 60 * mb, 0, 300s}));
  CHECK_FALSE(gives_memory_back({60 * mb, 60 * mb, 0, 299s}));
  CHECK_FALSE(gives_memory_back({60 * mb, 60 * mb, 1'000, 300s}));
}

TEST_CASE("who may have little gives memory back before it is killed for it") {
  const std::uint64_t mb = 1u << 20;
  CHECK(gives_memory_back({160 * mb, 40 * mb, 1'000, 5s, 300 * mb}));
  CHECK_FALSE(gives_memory_back({160 * mb, 40 * mb, 1'000, 4s, 300 * mb}));
  CHECK_FALSE(gives_memory_back({140 * mb, 40 * mb, 1'000, 30s, 300 * mb}));
  CHECK_FALSE(gives_memory_back({160 * mb, 155 * mb, 1'000, 30s, 300 * mb}));
}
