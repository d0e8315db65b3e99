// SPDX-License-Identifier: Apache-2.0
//
// PollDialect: a cloud whose programs pull over HTTP. Inside a container the program finds the API
// at POLL_API, a constant address:
//   GET  /next          parks until there is an input: its bytes, and the headers input-id and
//                       attempt; 410: end
//   POST /piece/ID      a piece of its output
//   POST /answer/ID     its end, well; POST /error/ID: not so; POST /left/ID: as it was cancelled
//   GET  /cancelled     parks while an input runs: the ids of those that are to be left, a line
//   each POST /unfit         the program could not begin
// Its clients speak, with the header poll-key,
//   PUT    /poll/functions/NAME        {"program": Python, …}: publish
//   POST   /poll/functions/NAME        call, with the body as input: its result, as it comes with
//                                      ?pieces=1, or only the call's id with ?later=1
//   GET    /poll/calls/ID?wait_s=      what became of it; DELETE: cancel
// and a function with a label answers web requests by calls.
#pragma once

#include <memory>
#include <string>

#include "thaw/gateway/dialect.h"

namespace thaw::dialects_test {

class PollDialect final : public gateway::Dialect {
 public:
  explicit PollDialect(const gateway::Owners& owners);
  ~PollDialect() override;

  std::string name() const override { return "poll"; }
  control::Runtime& runtime() override { return *runtime_; }
  void add_routes(gateway::HttpRouter& routes) override;
  async::Task<void> serve_web(net::HttpExchange& exchange, gateway::WebTarget target) override;
  async::Task<void> serve_container(net::HttpExchange& exchange, gateway::DoorVisit visit) override;
  void start(const gateway::Surroundings&) override {}
  async::Task<void> stop() override { co_return ok(); }

 private:
  gateway::Owners owners_;
  std::unique_ptr<control::Runtime> runtime_;
};

}  // namespace thaw::dialects_test
