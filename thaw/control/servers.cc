// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/servers.h"

#include <csignal>
#include <string>
#include <utility>

#include "thaw/base/log.h"
#include "thaw/control/container_log.h"
#include "thaw/control/restored_server.h"

namespace thaw::control {

namespace {

constexpr Duration health_pause = 10s;
constexpr Duration second_look_after = 1s;  // of one that missed
constexpr int most_misses = 2;
constexpr Duration drain_answer_within = 5s;
constexpr std::size_t most_drain_bytes = 64u << 10;

// One that works may be too busy to answer; one that is frozen is asked nothing.
bool may_be_asked(const Container& container) {
  return container.status == Status::warm && container.freezing.state == Freezing::State::no;
}

}  // namespace

void Servers::watch(const ContainerPtr& container) {
  tasks_.start("server " + container->id.str(), watch_one(*this, container));
}

void Servers::said_ready(const model::ContainerId& id) {
  const ContainerPtr container = parts_.pools.find(id);
  if (container && container->spec->push && !container->in_background() &&
      container->status != Status::stopped) {
    parts_.starts.became_ready(parts_.pools.of(container->target), *container);
    container->wake.notify_all();
  }
}

async::Task<void> Servers::watch_one(Servers& self, ContainerPtr container) {
  async::TaskGroup beside(self.parts_.loop);
  beside.start("serve", serve(self, container));
  if (!container->spec->push->health_path.empty()) {
    beside.start("health", look_after(self, container));
  }
  const Result<void> ended = co_await self.until_ended(container);
  co_await async::forget_cancellation();
  THAW_CO_TRY_VOID(co_await beside.stop());
  co_return ended;
}

// One that is to stop before it is ready has nobody to tell it so but this.
async::Task<void> Servers::until_ended(ContainerPtr container) {
  bool is_told = false;
  while (container->status != Status::stopped) {
    if (container->stopping() && !container->start.reached_ready && !is_told) {
      is_told = true;
      (void)container->running->signal(container->spec->push->stop_signal);
    }
    THAW_CO_TRY([[maybe_unused]] const bool n, co_await container->wake.wait(Instant::max()));
  }
  co_return ok();
}

async::Task<void> Servers::serve(Servers& self, ContainerPtr container) {
  const Result<void> ready = co_await self.until_ready(container);
  if (!ready) {
    if (ready.error().code() == Code::failed_precondition) {
      container->start.restored_from ? self.restore_failed(*container, ready.error().message())
                                     : self.start_failed(*container, ready.error().message());
    }
    co_return ok();  // otherwise it has ended, or this server does
  }
  if (container->stands_by) {
    self.parts_.starts.became_standby(*container);
  } else {
    self.parts_.starts.became_ready(self.parts_.pools.of(container->target), *container);
  }
  auto is_useless = [&self](Container& lost, const std::string& why) { self.replace(lost, why); };
  Driver driver(
      {self.parts_.loop, self.parts_.inputs, self.parts_.queue, self.talks_, std::move(is_useless)},
      container);
  THAW_CO_TRY_VOID(co_await driver.run());
  if (container->status == Status::stopped) {
    co_return ok();
  }
  co_return co_await self.tell_to_end(container);
}

async::Task<void> Servers::until_ready(ContainerPtr container) {
  if (container->spec->push->ready.by != model::PushContract::Ready::By::said) {
    THAW_CO_TRY_VOID(co_await container->running->server()->until_ready());
    co_return container->start.restored_from ? co_await tell_restored(container) : ok();
  }
  while (!container->start.reached_ready) {
    THAW_CO_TRY([[maybe_unused]] const bool n, co_await container->wake.wait(Instant::max()));
    if (container->status == Status::stopped) {
      co_return Error::unavailable("the container has ended");
    }
  }
  co_return ok();
}

void Servers::start_failed(Container& container, const std::string& why) {
  if (container.stopping()) {
    return;
  }
  const std::string message = "the container of " + container.spec->name +
                              " could not start: " + why + "; `thaw logs` shows what it printed";
  parts_.starts.failed(
      container.id, model::failed(model::OutcomeKind::failure,
                                  {.type = model::failure_type::start_failed, .message = message}));
  say_in_log(parts_.logs, container, message);
  (void)container.running->signal(SIGKILL);
}

// Its snapshot is to blame (Starts::ended), and the next start goes on without it.
void Servers::restore_failed(Container& container, const std::string& why) {
  if (!container.stopping()) {
    say_in_log(
        parts_.logs, container,
        "it was restored from a memory snapshot and is of no use: " + why + "; it is started anew");
    container.start.was_unfit = true;
    (void)container.running->signal(SIGKILL);
  }
}

void Servers::replace(Container& container, const std::string& why) {
  if (container.stopping()) {
    return;
  }
  log_warning(
      "a container is not well",
      {{"container", container.id.str()}, {"function", container.spec->name}, {"reason", why}});
  say_in_log(parts_.logs, container, "it is replaced, since it is not well: " + why);
  parts_.pools.stop(container, StopReason::unhealthy, parts_.pools.graces().stop);
  parts_.pools.looks().want_now(container.target);
}

async::Task<void> Servers::look_after(Servers& self, ContainerPtr container) {
  int misses = 0;
  while (container->status != Status::stopped) {
    THAW_CO_TRY_VOID(co_await async::sleep_for(misses > 0 ? second_look_after : health_pause));
    if (!may_be_asked(*container)) {
      misses = 0;
      continue;
    }
    const std::size_t answers = container->work.answers;
    const Result<void> health = co_await container->running->server()->check_health();
    if (!health && health.error().code() == Code::cancelled) {
      co_return health;
    }
    if (health || !may_be_asked(*container) || container->work.answers != answers) {
      misses = 0;
      continue;
    }
    if (++misses >= most_misses) {
      self.replace(*container, health.error().message());
      co_return ok();
    }
  }
  co_return ok();
}

async::Task<void> Servers::tell_to_end(ContainerPtr container) {
  const model::PushContract& contract = *container->spec->push;
  if (!contract.drain_path.empty()) {
    codec::HttpRequestMessage request;
    request.method = "POST";
    request.target = contract.drain_path;
    const Instant deadline =
        std::min(container->ending.kill_at, monotonic_now() + drain_answer_within);
    const auto answer =
        co_await container->running->server()->ask(std::move(request), most_drain_bytes, deadline);
    if (answer && answer->status >= 200 && answer->status < 300) {
      co_return ok();
    }
    if (!answer && answer.error().code() == Code::cancelled) {
      co_return answer.error();
    }
  }
  (void)container->running->signal(contract.stop_signal);
  co_return ok();
}

}  // namespace thaw::control
