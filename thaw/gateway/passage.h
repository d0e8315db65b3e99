// SPDX-License-Identifier: Apache-2.0
//
// Passages: a client's exchange goes through to the port of one of a function's containers, bytes
// untouched. It waits for a container as long as its caller does, takes one of its slots, and has
// no log: once it has begun it is never tried again. Loop thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "thaw/async/loop.h"
#include "thaw/control/fleet.h"
#include "thaw/gateway/web_origin.h"
#include "thaw/model/function.h"
#include "thaw/net/http_client.h"

namespace thaw::gateway {

struct Passage {
  std::shared_ptr<const model::FunctionSpec> spec;
  model::Target served_by;  // of its spec
  std::uint16_t port = 0;   // 0: that of the function's contract
  std::string target;       // path and query, as the server inside is to see them
  std::string root_path;    // below which the caller reaches it; empty on a host of its own
  WebOrigin origin;         // who really asks
  // Headers of the caller, by their lower-case names, that the server does not see; forwarding
  // headers never are. May be empty.
  std::function<bool(std::string_view)> withholds;
  model::TokenId token;  // with which its caller came; empty: without one
  // By which the answer says what version gave it; empty: by none.
  std::string version_header;
};

class Passages {
 public:
  // All of them outlive it.
  Passages(async::Loop& loop, control::Fleet& fleet, net::HttpClient& http)
      : loop_(loop), fleet_(fleet), http_(http) {}

  // Answers the exchange; or, with nothing answered, how the start ended that it waited for.
  // Errors are the caller's to answer, if it has not responded: resource_exhausted (too many wait),
  // unavailable, aborted (the container ended by it, and how), deadline_exceeded (a start's or the
  // function's own time limit), cancelled (nobody is there any more).
  async::Task<std::optional<model::Outcome>> lead(net::HttpExchange& exchange, Passage passage);

 private:
  async::Loop& loop_;
  control::Fleet& fleet_;
  net::HttpClient& http_;
};

}  // namespace thaw::gateway
