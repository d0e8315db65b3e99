// SPDX-License-Identifier: Apache-2.0
//
// A run as server-sent events: each piece as it comes, then [DONE]. Nothing is answered before the
// model has said something or has failed, so that a failure at its beginning has a status. One in
// the middle is an event, and no [DONE] follows it. Loop thread only.
#pragma once

#include <functional>
#include <string>

#include "thaw/dialect/workers_ai/answers.h"
#include "thaw/dialect/workers_ai/run.h"

namespace thaw::dialect::workers_ai {

// How clients are told; pure.
class Wording {
 public:
  virtual ~Wording() = default;
  // The data of the event for a piece; empty: it is none for them.
  virtual std::string piece(const Told& told) = 0;
  // Of a model that has said nothing on its way: all of it. Events, or nothing.
  virtual std::string end(const Ended& ended, std::size_t pieces) = 0;
};

// `data`: of one line.
std::string event_of(std::string_view data);

async::Task<void> stream_run(Run& run, net::HttpExchange& exchange, Wording& wording);

// {"response": "…"}, as this cloud's own clients read it.
class NativeWording final : public Wording {
 public:
  std::string piece(const Told& told) override;
  std::string end(const Ended& ended, std::size_t pieces) override;

 private:
  codec::Json usage_;
};

}  // namespace thaw::dialect::workers_ai
