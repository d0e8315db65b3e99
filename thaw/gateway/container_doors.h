// SPDX-License-Identifier: Apache-2.0
//
// ContainerDoors: requests that programs make at the doors of their containers. Each goes to the
// dialect of the function that the container runs, and to no other route of this server: the door
// is the container's identity, and says which function it is. Loop thread only.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "thaw/async/loop.h"
#include "thaw/control/by_dialect.h"
#include "thaw/control/fleet.h"
#include "thaw/model/function.h"
#include "thaw/net/http.h"

namespace thaw::gateway {

// Who asks at a door.
struct DoorVisit {
  model::ContainerId container;
  std::shared_ptr<const model::FunctionSpec> spec;  // that it runs
};

class ContainerDoors {
 public:
  using Serve = std::function<async::Task<void>(net::HttpExchange& exchange, DoorVisit visit)>;

  // It outlives this.
  explicit ContainerDoors(const control::Fleet& fleet) : fleet_(fleet) {}

  // Once for each dialect.
  void add(const std::string& dialect, Serve serve) { dialects_.add(dialect, std::move(serve)); }

  // not_found: the container has ended; failed_precondition: its dialect is not served here.
  async::Task<void> serve(net::HttpExchange& exchange) const;

 private:
  const control::Fleet& fleet_;
  control::ByDialect<Serve> dialects_;
};

// What a program gets that asks for inputs at its door: Fleet::next_inputs, as long as the program
// waits for the answer, whatever the options say of that. There is always something in it: inputs,
// or that it is to stop. cancelled once the program has gone; what it would have got is for its
// next poll then.
async::Task<control::Poll> next_inputs(async::Loop& loop, control::Fleet& fleet,
                                       net::HttpExchange& exchange, model::ContainerId container,
                                       control::PollOptions options);

}  // namespace thaw::gateway
