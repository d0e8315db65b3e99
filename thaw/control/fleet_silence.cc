// SPDX-License-Identifier: Apache-2.0
// Containers that cannot answer any more: what they run has closed the connection by which inputs
// come and outputs go, as a program does that closes descriptors which it has not opened.
#include "thaw/base/log.h"
#include "thaw/control/fleet.h"

namespace thaw::control {

using model::OutcomeKind;

namespace {

// A new connection is made at once where one is made at all.
constexpr Duration reconnect_patience = 15s;

}  // namespace

async::Task<void> Fleet::end_if_cut_off(ContainerPtr container, Instant now) {
  if (!container->running || !container->reached_ready || container->inputs.empty() ||
      container->stopping() || container->running->traffic().connections > 0) {
    container->cut_off_since = Instant{};
    co_return ok();
  }
  if (container->cut_off_since == Instant{}) {
    container->cut_off_since = now;
  }
  if (now < container->cut_off_since + reconnect_patience) {
    co_return ok();
  }
  const std::string message =
      container->spec->name +
      " has closed its container's connection to the server, so that no result can come; does it "
      "close descriptors that it has not opened (os.closerange)?";
  log_warning("container cut off",
              {{"container", container->id.str()}, {"function", container->spec->name}});
  std::vector<model::InputId> lost;
  for (const auto& [input, work] : container->inputs) {
    lost.push_back(input);
  }
  for (const model::InputId& input : lost) {
    model::Outcome verdict{OutcomeKind::failure,
                           parts_.runtime.outcome_payload(OutcomeKind::failure, message)};
    const Result<void> told =
        co_await parts_.queue.complete(input, container->id, std::move(verdict));
    if (!told) {
      // It is the container's still, and is looked at again: a disk may have room by then.
      container->cut_off_since = monotonic_now() - reconnect_patience + 1s;
      co_return told;
    }
    container->inputs.erase(input);
  }
  stop(*container, StopReason::timeout, Duration::zero());
  co_return ok();
}

}  // namespace thaw::control
