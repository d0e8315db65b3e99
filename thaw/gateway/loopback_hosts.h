// SPDX-License-Identifier: Apache-2.0
//
// LoopbackHosts: a host for each function where no name leads to one. A server that is reached on
// its own machine only can listen on any address of the loopback network, 127.64.0.0/10, so each
// label gets one: what answers there is that function, whatever the request says. The address
// follows from the label, so that it is the same after a restart. Bounded, with a share for each
// workspace; who gets none is reached below a path. Loop thread only.
#pragma once

#include <functional>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "thaw/model/ids.h"
#include "thaw/net/http.h"

namespace thaw::gateway {

class LoopbackHosts {
 public:
  // Listens on an address, at the server's own port.
  using Listen = std::function<Result<void>(const std::string& address, net::HttpHandler handler)>;

  LoopbackHosts(Listen listen, std::size_t most, std::size_t most_of_a_workspace)
      : listen_(std::move(listen)), most_(most), most_of_a_workspace_(most_of_a_workspace) {}

  // The address of the label's own host, which is listening; empty if it has none.
  std::string address_of(const std::string& label, const model::WorkspaceId& workspace,
                         const std::function<net::HttpHandler()>& handler);

 private:
  Listen listen_;
  std::size_t most_;
  std::size_t most_of_a_workspace_;
  std::unordered_map<std::string, std::string> addresses_;  // by label
  std::unordered_set<std::string> taken_;
  std::unordered_map<model::WorkspaceId, std::size_t> counts_;
};

}  // namespace thaw::gateway
