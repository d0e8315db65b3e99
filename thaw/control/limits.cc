// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/limits.h"

#include <algorithm>
#include <csignal>
#include <utility>

#include "thaw/base/log.h"
#include "thaw/control/container_log.h"
#include "thaw/control/metering.h"
#include "thaw/control/restored_server.h"

namespace thaw::control {

using model::OutcomeKind;

namespace {

// A new connection is made at once where one is made at all.
constexpr Duration reconnect_patience = 15s;

// A server that was restored was ready when it was written: it has its time from the moment that it
// runs again, however long its restore had to wait and took.
Instant late_from(const Container& container) {
  const Instant limit = container.start.moments.launching + container.spec->startup_timeout;
  const bool is_restored_server = container.spec->push && container.start.restored_from;
  return is_restored_server ? std::min(limit, container.start.moments.hello + restored_patience)
                            : limit;
}

std::string last_look(const Container& container) {
  worker::ServerPort* server = container.running->server();
  return server == nullptr ? "" : "; " + server->last_look();
}

std::string past_what(const RunningInput& work, Instant now) {
  if (work.end_by <= now) {
    return " had not ended by the time that its call allows";
  }
  const auto limit = std::chrono::duration_cast<std::chrono::seconds>(work.run_for);
  return " ran past its timeout of " + std::to_string(limit.count()) + " s";
}

}  // namespace

async::Task<void> Limits::enforce(ContainerPtr container, Instant now) {
  if (!container->running) {
    co_return ok();
  }
  if (container->ending.kill_at <= now) {
    container->ending.kill_at = Instant::max();
    (void)container->running->signal(SIGKILL);
    co_return ok();
  }
  const bool is_starting = !container->start.reached_ready && !container->start.at_snapshot_point;
  if (is_starting && !container->stopping() && late_from(*container) <= now) {
    container->start.was_late = true;
    if (!container->start.restored_from) {  // or its snapshot may be to blame
      container->start.failure =
          model::failed(OutcomeKind::timeout,
                        {.type = model::failure_type::start_failed,
                         .message = "the container of " + container->spec->name +
                                    " was not ready within its startup timeout of " +
                                    std::to_string(to_seconds(container->spec->startup_timeout)) +
                                    " s" + last_look(*container)});
    }
    (void)container->running->signal(SIGKILL);
    co_return ok();
  }
  std::vector<std::pair<model::InputId, std::string>> late;
  for (const auto& [input, work] : container->work.inputs) {
    if (work.deadline <= now) {
      late.emplace_back(input, container->spec->name + past_what(work, now));
    }
  }
  for (const auto& [input, message] : late) {
    model::Outcome verdict = model::failed(
        OutcomeKind::timeout, {.type = model::failure_type::timeout, .message = message});
    parts_.pools.metering().owe(*container, input, verdict);
    const Result<void> told =
        co_await parts_.queue.complete(input, container->id, std::move(verdict));
    if (!told) {
      // It is the container's still, and is looked at again: a disk may have room by then.
      if (const auto work = container->work.inputs.find(input);
          work != container->work.inputs.end()) {
        work->second.deadline = monotonic_now() + 1s;
      }
      if (told.error().code() == Code::cancelled) {
        co_return told;
      }
      log_warning("an input that ran past its timeout is not ended yet",
                  {{"input", input.str()}, {"reason", told.error().to_string()}});
      continue;
    }
    ++parts_.counters.input_timeouts;
    // Unless it was delivered here again meanwhile, and has its time before it.
    if (const auto work = container->work.inputs.find(input);
        work != container->work.inputs.end() && work->second.deadline <= now) {
      parts_.pools.metering().end(*container, work->second.line,
                                  {.outcome = model::outcome_name(model::OutcomeKind::timeout)});
      container->work.inputs.erase(work);
      std::erase_if(container->work.batch,
                    [&input = input](const auto& kept) { return kept.input == input; });
    }
    // Alone in its container a hung call is ended with it; beside others it is cancelled first.
    const bool alone = container->work.inputs.empty() && container->work.proxied == 0;
    container->work.cancels.push_back(input);
    parts_.pools.stop(*container, StopReason::timeout,
                      alone ? Duration::zero() : parts_.pools.graces().interrupt);
  }
  co_return ok();
}

void Limits::end_if_cut_off(const ContainerPtr& container, Instant now) {
  if (!container->running || container->spec->push || !container->start.reached_ready ||
      container->work.inputs.empty() || container->stopping() || container->running->has_door() ||
      container->running->traffic().connections > 0) {
    container->ending.cut_off_since = Instant{};
    return;
  }
  if (container->ending.cut_off_since == Instant{}) {
    container->ending.cut_off_since = now;
  }
  if (now < container->ending.cut_off_since + reconnect_patience) {
    return;
  }
  const std::string message =
      container->spec->name +
      " has closed its container's connection to the server, so that no result can come; does it "
      "close descriptors that it has not opened (os.closerange)?";
  log_warning("container cut off",
              {{"container", container->id.str()}, {"function", container->spec->name}});
  // It goes first, so that nothing runs twice; its end gives its inputs back as failed.
  end_for(container->id, message);
}

void Limits::end_for(const model::ContainerId& id, const std::string& why) {
  const ContainerPtr container = parts_.pools.find(id);
  if (!container || container->stopping()) {
    return;
  }
  container->ending.why = why;
  say_in_log(parts_.logs, *container, why);
  parts_.pools.stop(*container, StopReason::limit, Duration::zero());
  if (container->running) {
    (void)container->running->signal(SIGKILL);
  }
}

}  // namespace thaw::control
