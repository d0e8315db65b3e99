// SPDX-License-Identifier: Apache-2.0
//
// FakeServerPort: the port of a server that does what a test says. What it is asked waits until the
// test answers it, or breaks.
#pragma once

#include <functional>
#include <list>
#include <optional>
#include <string>
#include <utility>

#include "thaw/async/event.h"
#include "thaw/worker/server_port.h"

namespace thaw::worker::testing {

class FakeServerPort final : public ServerPort {
 public:
  using Answer = Result<codec::HttpResponseMessage>;

  async::Task<void> until_ready() override {
    const Instant begun = monotonic_now();
    while (!readiness && !(ready_after && monotonic_now() >= begun + *ready_after)) {
      if (has_ended && has_ended()) {
        co_return Error::unavailable("the container has ended");
      }
      THAW_CO_TRY([[maybe_unused]] const bool n,
                  co_await changed.wait(monotonic_now() + look_pause));
    }
    co_return readiness.value_or(ok());
  }
  std::string last_look() const override { return "it was looked at"; }
  async::Task<void> check_health() override {
    ++health_checks;
    co_return health;
  }
  async::Task<codec::HttpResponseMessage> ask(codec::HttpRequestMessage request, std::size_t,
                                              Instant deadline) override {
    Question& mine = questions.emplace_back();
    mine.request = std::move(request);
    if (at_question) {
      at_question(mine);
    }
    while (!mine.answer) {
      const Result<bool> notified = co_await changed.wait(deadline);
      if (!notified || !*notified) {
        mine.is_left = true;
        co_return notified ? Error::deadline_exceeded("no answer in time") : notified.error();
      }
    }
    co_return *mine.answer;
  }
  void close_kept() override { ++closings; }

  void is_ready(Result<void> outcome = ok()) {
    readiness = std::move(outcome);
    changed.notify_all();
  }
  struct Question {
    codec::HttpRequestMessage request;
    std::optional<Answer> answer;
    bool is_left = false;  // who asked waits no more
  };
  std::function<void(Question&)> at_question;  // may answer it at once
  void answer(std::size_t which, Answer answer) {
    std::next(questions.begin(), static_cast<std::ptrdiff_t>(which))->answer = std::move(answer);
    changed.notify_all();
  }

  static constexpr Duration look_pause = 1ms;
  std::function<bool()> has_ended;
  std::optional<Duration> ready_after;  // it is first asked
  std::optional<Result<void>> readiness;
  Result<void> health;
  int health_checks = 0;
  int closings = 0;
  std::list<Question> questions;  // in the order in which they came
  async::Event changed;
};

}  // namespace thaw::worker::testing
