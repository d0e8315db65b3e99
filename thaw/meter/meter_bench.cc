// SPDX-License-Identifier: Apache-2.0
// What a call costs the meter on its way: its beginning, its end, and its part of a group.
#include <benchmark/benchmark.h>

#include "thaw/meter/meter.h"

namespace thaw::meter {

namespace {

constexpr std::int64_t lines_of_group = 256;

// range(0): lines that are open beside it.
void one_line(benchmark::State& state) {
  Meter meter;
  SpanFacts facts;
  facts.container = model::ContainerId("ta-0123456789abcdefghijkl");
  facts.workspace = model::WorkspaceId("ac-0123456789abcdefghijkl");
  facts.function = model::FunctionId("fu-0123456789abcdefghijkl");
  const model::ContainerId container = facts.container;
  meter.open(std::move(facts), 1 << 30);
  meter.enter(container, meter::State::idle, monotonic_now());
  LineStart start;
  start.id = "in-0123456789abcdefghijkl#1";
  start.call = model::CallId("fc-0123456789abcdefghijkl");
  start.token = model::TokenId("ak-0123456789abcdefghijkl");
  start.front = "native";
  for (std::int64_t i = 0; i < state.range(0); ++i) {
    (void)meter.begin(container, start, monotonic_now());
  }
  std::int64_t ended = 0;
  for (auto _ : state) {
    const LineNumber line = meter.begin(container, start, monotonic_now());
    meter.end(container, line, {.outcome = "success"}, monotonic_now());
    if (++ended % lines_of_group == 0) {
      meter.written(meter.take(Meter::Which::ended, monotonic_now(), wall_now()));
    }
  }
}

}  // namespace

BENCHMARK(one_line)->Arg(0)->Arg(15)->Arg(999);

}  // namespace thaw::meter
