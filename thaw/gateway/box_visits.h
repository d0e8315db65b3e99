// SPDX-License-Identifier: Apache-2.0
//
// BoxVisits: a client's exchange goes through to a port of a box, bytes untouched, if the box lets
// its network in. A box whose ports are visited is in use. A workspace has so many visits at a
// time. Loop thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "thaw/control/boxes.h"
#include "thaw/gateway/web_origin.h"
#include "thaw/net/http_client.h"

namespace thaw::gateway {

struct BoxVisit {
  control::BoxPtr box;
  model::BoxPort to;
  std::string target;     // path and query, as the server inside is to see them
  std::string root_path;  // below which the caller reaches it; empty on a host of its own
  WebOrigin origin;       // who really asks
  net::Headers adds;      // for the server inside
  // Headers of the caller, by their lower-case names with dashes, that the server does not see;
  // forwarding headers never are. May be empty.
  std::function<bool(std::string_view)> withholds;
  std::function<void(net::Headers&)> edit_answer;  // may be empty
};

class BoxVisits {
 public:
  static constexpr std::size_t most_of_workspace = 500;

  // Both outlive it.
  BoxVisits(control::Boxes& boxes, net::HttpClient& http) : boxes_(boxes), http_(http) {}

  // permission_denied: the box does not let its caller's network in; resource_exhausted;
  // unavailable: it has not started, or nobody listens; not_found: it has ended. They are the
  // caller's to answer, if it has not responded.
  async::Task<void> lead(net::HttpExchange& exchange, BoxVisit visit);

 private:
  control::Boxes& boxes_;
  net::HttpClient& http_;
  std::map<model::WorkspaceId, std::size_t> counts_;  // of those that have some
};

}  // namespace thaw::gateway
