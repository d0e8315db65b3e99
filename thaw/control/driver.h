// SPDX-License-Identifier: Apache-2.0
//
// Driver: polls on behalf of one container that is a plain HTTP server, through the same Inputs
// that programs poll which pull: leases, slots, time limits, cancellation, the stop and freezing
// are theirs. Each input becomes one request at the container's port, and its answer the outcome:
//   a status below 500      success, with the whole answer as its payload
//   500 and above           failure, with the answer: the call's retries apply
//   no answer, or too large failure; but if the container ended by it, its end says what that means
//   its payload is gone     terminated, and the failure says so
// An input that is cancelled or past its time has its connection closed. Inputs of a type that has
// a talk (talk.h) are spoken of with the server as that says. Owned by Servers; loop thread only.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "thaw/async/task_group.h"
#include "thaw/control/input_bodies.h"
#include "thaw/control/inputs.h"
#include "thaw/control/pools.h"
#include "thaw/control/talked_input.h"

namespace thaw::control {

struct DriverParts {
  async::Loop& loop;
  Inputs& inputs;
  queue::CallQueue& queue;
  const Talks& talks;
  // The server takes no inputs any more, and why.
  std::function<void(Container& container, const std::string& why)> is_useless;
};

class Driver {
 public:
  // The container's start has reached its ready server.
  Driver(DriverParts parts, ContainerPtr container)
      : parts_(parts), container_(std::move(container)), tasks_(parts.loop) {}

  // Until the container is to stop and has answered what it was asked, or has ended.
  async::Task<void> run();

 private:
  // A whole answer.
  struct Told {
    int status = 0;
    model::Payload payload;
  };
  using Answer = Result<Told>;

  async::Task<void> poll();
  static async::Task<void> hear_cancels(Driver& self);
  static async::Task<void> carry_out(Driver& self, queue::LeasedInput input);
  static async::Task<void> carry_on(Driver& self, queue::LeasedInput input,
                                    std::shared_ptr<TalkedInput> talked);
  static async::Task<void> look_after(Driver& self, Reply& reply);
  static async::Task<void> leave(Driver& self, std::shared_ptr<TalkedInput> talked,
                                 async::TaskGroup::Handle ask);
  void begin(queue::LeasedInput input);
  model::Outcome broken_off(const Error& error) const;
  async::Task<Told> ask(const queue::LeasedInput& input);
  // Whether the container has ended, as far as a moment tells.
  async::Task<bool> has_ended_meanwhile();
  model::Outcome outcome_of(const Answer& answer) const;
  async::Task<void> finish(const queue::LeasedInput& input, model::Outcome outcome);

  DriverParts parts_;
  ContainerPtr container_;
  // By delivery: an input's next one may be here before the last has let go.
  struct Ask {
    async::TaskGroup::Handle task;
    std::shared_ptr<TalkedInput> talked;  // null: it is one request
  };
  std::map<std::pair<model::InputId, int>, Ask> asks_;
  async::TaskGroup tasks_;
};

}  // namespace thaw::control
