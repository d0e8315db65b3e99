// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/driver.h"

#include <algorithm>
#include <string>
#include <utility>

namespace thaw::control {

using model::OutcomeKind;
namespace failure_type = model::failure_type;

namespace {

// A connection breaks before it is known that the program has ended; then its end says more.
constexpr Duration end_is_seen_within = 1s;
constexpr Duration end_is_told_within = 10s;

}  // namespace

async::Task<void> Driver::run() {
  tasks_.start("cancellations", hear_cancels(*this));
  Result<void> polled = co_await poll();
  while (polled && !asks_.empty() && container_->status != Status::stopped) {
    const Result<bool> notified = co_await container_->wake.wait(Instant::max());
    if (!notified) {
      polled = notified.error();
    }
  }
  co_await async::forget_cancellation();
  THAW_CO_TRY_VOID(co_await tasks_.stop());
  co_return polled;
}

async::Task<void> Driver::poll() {
  while (true) {
    PollOptions options;
    options.hold_until = Instant::max();
    options.payloads = PollOptions::Payloads::as_kept;
    Result<Poll> poll = co_await parts_.inputs.next(container_->id, options);
    if (!poll && poll.error().code() == Code::not_found) {
      co_return ok();  // it has ended
    }
    if (!poll) {
      co_return poll.error();
    }
    for (queue::LeasedInput& input : poll->inputs) {
      begin(std::move(input));
    }
    if (poll->stop) {
      co_return ok();
    }
  }
}

void Driver::begin(queue::LeasedInput input) {
  const std::pair delivery{input.input, input.attempt};
  const std::string name = "input " + input.input.str();
  std::shared_ptr<TalkedInput> talked;
  if (const auto talk = parts_.talks.find(input.payload.content_type); talk != parts_.talks.end()) {
    talked = std::make_shared<TalkedInput>(parts_.loop, parts_.queue, *container_, input,
                                           talk->second->begin(input));
  }
  const auto handle = talked ? tasks_.start(name, carry_on(*this, std::move(input), talked))
                             : tasks_.start(name, carry_out(*this, std::move(input)));
  if (handle.running()) {
    asks_[delivery] = {handle, std::move(talked)};
  }
}

async::Task<void> Driver::hear_cancels(Driver& self) {
  Container& container = *self.container_;
  while (container.status != Status::stopped) {
    if (container.work.inputs.empty() && container.work.cancels.empty()) {
      THAW_CO_TRY([[maybe_unused]] const bool n, co_await container.wake.wait(Instant::max()));
      continue;
    }
    THAW_CO_TRY(const std::vector<model::InputId> cancels,
                co_await self.parts_.inputs.wait_for_cancels(container.id, Instant::max()));
    for (const model::InputId& input : cancels) {
      for (auto ask = self.asks_.lower_bound({input, 0});
           ask != self.asks_.end() && ask->first.first == input; ++ask) {
        Ask& one = ask->second;
        if (one.talked && !one.talked->is_left()) {
          self.tasks_.start("leaving " + input.str(), leave(self, one.talked, one.task));
        } else if (!one.talked) {
          one.task.cancel();
        }
      }
    }
  }
  co_return ok();
}

async::Task<void> Driver::carry_out(Driver& self, queue::LeasedInput input) {
  const Answer answer = co_await self.ask(input);
  self.container_->work.answers += answer ? 1 : 0;
  bool is_told_by_end = false;
  if (!answer && answer.error().code() == Code::unavailable) {
    const Result<bool> ended = co_await self.has_ended_meanwhile();
    is_told_by_end = ended && *ended;
  }
  co_await async::forget_cancellation();
  if (!is_told_by_end) {
    (void)co_await self.finish(input, self.outcome_of(answer));
  }
  self.asks_.erase({input.input, input.attempt});
  self.container_->wake.notify_all();
  co_return ok();
}

async::Task<void> Driver::carry_on(Driver& self, queue::LeasedInput input,
                                   std::shared_ptr<TalkedInput> talked) {
  Result<Reply> reply = co_await talked->run();
  bool is_told_by_end = false;
  if (!reply && reply.error().code() == Code::unavailable) {
    const Result<bool> ended = co_await self.has_ended_meanwhile();
    is_told_by_end = ended && *ended;
  }
  co_await async::forget_cancellation();
  self.container_->work.answers += reply ? 1 : 0;
  if (reply) {
    (void)co_await look_after(self, *reply);
  }
  if (!is_told_by_end) {
    model::Outcome outcome = reply ? std::move(reply->outcome) : self.broken_off(reply.error());
    if (talked->is_left() && outcome.kind != OutcomeKind::success) {
      outcome.kind = OutcomeKind::terminated;
    }
    (void)co_await self.finish(input, std::move(outcome));
  }
  self.asks_.erase({input.input, input.attempt});
  self.container_->wake.notify_all();
  co_return ok();
}

async::Task<void> Driver::look_after(Driver& self, Reply& reply) {
  std::string why = "its server takes nothing any more";
  if (reply.server == Reply::Server::doubtful) {
    const Result<void> health = co_await self.container_->running->server()->check_health();
    if (!health && health.error().code() != Code::cancelled) {
      reply.server = Reply::Server::useless;
      why = health.error().message();
    }
  }
  if (reply.server == Reply::Server::useless) {
    self.parts_.is_useless(*self.container_, why);
  }
  co_return ok();
}

async::Task<void> Driver::leave(Driver& self, std::shared_ptr<TalkedInput> talked,
                                async::TaskGroup::Handle ask) {
  THAW_CO_TRY(const bool has_left, co_await talked->leave());
  if (!has_left) {
    self.parts_.is_useless(*self.container_,
                           "its server does not leave an input that was cancelled");
    ask.cancel();
  }
  co_return ok();
}

async::Task<Driver::Told> Driver::ask(const queue::LeasedInput& input) {
  // A request that was stored as a whole begins in its blob.
  queue::LeasedInput begun = input;
  if (begun.payload.rest && begun.payload.bytes.empty() &&
      begun.payload.content_type == codec::http_content_type) {
    THAW_CO_TRY(begun.payload,
                co_await parts_.queue.payloads().whole(begun.workspace, std::move(begun.payload)));
  }
  THAW_CO_TRY(codec::HttpRequestMessage request, request_of(*container_->spec->push, begun));
  THAW_CO_TRY(const std::unique_ptr<InputBodies> bodies,
              InputBodies::open(parts_.queue.payloads(), begun));
  // Its time limit is the input's, and cancels this.
  THAW_CO_TRY(codec::HttpResponseMessage answer,
              co_await container_->running->server()->ask_in_pieces(std::move(request), *bodies));
  Told told;
  told.status = answer.status;
  THAW_CO_TRY(told.payload, co_await bodies->finish(std::move(answer)));
  co_return told;
}

async::Task<bool> Driver::has_ended_meanwhile() {
  const Instant begun = monotonic_now();
  while (container_->status != Status::stopped) {
    const Instant until =
        begun + (container_->running->has_ended() ? end_is_told_within : end_is_seen_within);
    if (monotonic_now() >= until) {
      co_return false;
    }
    THAW_CO_TRY([[maybe_unused]] const bool n, co_await container_->wake.wait(until));
  }
  co_return true;
}

model::Outcome Driver::outcome_of(const Answer& answer) const {
  if (!answer) {
    return broken_off(answer.error());
  }
  return {answer->status < 500 ? OutcomeKind::success : OutcomeKind::failure, answer->payload};
}

model::Outcome Driver::broken_off(const Error& error) const {
  const auto failed = [this](OutcomeKind kind, const char* type, const std::string& why) {
    return model::failed(kind, {.type = type, .message = container_->spec->name + ": " + why});
  };
  const std::string& why = error.message();
  switch (error.code()) {
    case Code::cancelled:
      return failed(OutcomeKind::terminated, failure_type::cancelled, "the input was cancelled");
    case Code::invalid_argument:
    case Code::data_loss: return failed(OutcomeKind::terminated, failure_type::input_damaged, why);
    case Code::resource_exhausted:
      return failed(OutcomeKind::failure, failure_type::result_not_kept, why);
    default: return failed(OutcomeKind::failure, failure_type::no_answer, why);
  }
}

// A disk that is full for a moment loses no answer: it is told again while the input is its own.
async::Task<void> Driver::finish(const queue::LeasedInput& input, model::Outcome outcome) {
  Duration pause = 100ms;
  while (true) {
    const Result<void> told = co_await parts_.inputs.finish(container_->id, input.input, outcome);
    if (told || told.error().code() == Code::not_found || told.error().code() == Code::cancelled) {
      co_return told;
    }
    THAW_CO_TRY_VOID(co_await async::sleep_for(pause));
    pause = std::min<Duration>(pause * 2, 5s);
  }
}

}  // namespace thaw::control
