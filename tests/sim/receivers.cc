// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/receivers.h"

#include <algorithm>

namespace thaw::sim {

using gateway::CallbackAnswer;

namespace {

std::string key_of(const std::string& call, int ordinal) {
  return call + " " + std::to_string(ordinal);
}

}  // namespace

std::vector<model::Callback> Receivers::draw() {
  std::vector<model::Callback> callbacks;
  if (!dice_.chance(50)) {
    return callbacks;
  }
  for (auto n = dice_.between(1, 2); n > 0; --n) {
    model::Callback& one = callbacks.emplace_back();
    one.receiver = "http://receiver-" + std::to_string(dice_.between(1, 3));
    one.sink = one.receiver + "/x";
    one.wants = {dice_.chance(30), dice_.chance(40), dice_.chance(90)};
    one.wants.final_ = one.wants.final_ || !one.wants.output;
    one.try_for = dice_.between(Duration(1min), Duration(30min));
    one.dialect = "sim";
  }
  return callbacks;
}

async::Task<CallbackAnswer> Receivers::send(gateway::CallbackMessage message) {
  using Kind = CallbackAnswer::Kind;
  const bool* const server_is_dead = is_dead;
  THAW_CO_TRY_VOID(co_await async::sleep_for(dice_.about(1ms, 20s)));
  if (*server_is_dead) {
    co_return Error::cancelled("the server was killed");
  }
  // cb_CALL_ORDINAL_NUMBER
  const std::size_t number_at = message.id.rfind('_');
  const std::size_t ordinal_at = message.id.rfind('_', number_at - 1);
  const std::string call = message.id.substr(3, ordinal_at - 3);
  const int ordinal = std::stoi(message.id.substr(ordinal_at + 1));
  const std::uint64_t number = std::stoull(message.id.substr(number_at + 1));
  Heard& heard = heard_[key_of(call, ordinal)];
  // What the disk did not take, a server that is to go on does not know.
  if (heard.was_refused && !may_forget) {
    judge_.blame(message.id + " is told to who has refused it");
  }
  Instant& deaf_until = deaf_until_[message.sink];
  if (!is_calm_ && dice_.chance(10)) {
    deaf_until = monotonic_now() + dice_.about(1s, 10min);
  }
  if (!is_calm_ && deaf_until > monotonic_now()) {
    judge_.hear(message.id + " is not heard");
    co_return CallbackAnswer{Kind::later, "nobody is there"};
  }
  if (!is_calm_ && dice_.chance(3)) {
    judge_.hear(message.id + " is refused");
    heard.was_refused = true;
    co_return CallbackAnswer{Kind::never, "it answered 410"};
  }
  judge_.hear(message.id + " is taken");
  if (number < heard.last) {
    judge_.blame(message.id + " is told after number " + std::to_string(heard.last));
  }
  heard.last = number;
  // A disk that is full for a while, and connections that break, make it hear some of it again.
  constexpr int often = 30;
  if (++heard.taken[number] > often) {
    judge_.blame(message.id + " is told again and again");
  }
  if (!is_calm_ && dice_.chance(10)) {
    co_return CallbackAnswer{Kind::later, "the connection broke before its answer"};
  }
  co_return CallbackAnswer{};
}

gateway::CallbackRendering Receivers::render(queue::DueCallback /*callback*/,
                                             queue::CallbackTurn turn) {
  return [this, turn = std::move(turn)]() -> Result<std::optional<gateway::RenderedCallback>> {
    if (*is_dead) {
      return Error::cancelled("the server was killed");
    }
    // What is told outside must be what everybody else reads, whatever dies.
    judge_.reads(turn.call.str(), *turn.entry);
    return std::optional(gateway::RenderedCallback{"text/plain", {}, turn.entry->payload.bytes});
  };
}

Result<gateway::CallbackCall> Receivers::call_for(const model::WorkspaceId&, const std::string&,
                                                  gateway::RenderedCallback) {
  return Error::not_found("there are no functions here");
}

void Receivers::judge(const std::string& call, const queue::CallbackView& view,
                      const std::map<int, model::LogEntry>& results) {
  const Heard& heard = heard_[key_of(call, view.ordinal)];
  const std::string what = "callback " + std::to_string(view.ordinal) + " of " + call;
  switch (view.state) {
    case queue::CallbackState::pending:
      judge_.blame(what + " is pending still: " + view.why);
      return;
    case queue::CallbackState::given_up:
      if (!heard.was_refused && !view.why.starts_with("its time is over")) {
        judge_.blame(what + " was given up though nothing ends it: " + view.why);
      }
      return;
    case queue::CallbackState::delivered: break;
  }
  for (const auto& [index, result] : results) {
    if (view.wants.final_ && !heard.taken.contains(result.number)) {
      judge_.blame(what + " counts as delivered, and nobody was told of entry " +
                   std::to_string(result.number));
    }
  }
}

}  // namespace thaw::sim
