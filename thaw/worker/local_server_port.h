// SPDX-License-Identifier: Apache-2.0
//
// LocalServerPort: the port of a server in a container of this machine, reached at the address of
// its own network. Loop thread only.
#pragma once

#include <functional>
#include <string>

#include "thaw/model/runner.h"
#include "thaw/net/http_client.h"
#include "thaw/worker/port_watch.h"
#include "thaw/worker/server_port.h"

namespace thaw::worker {

class LocalServerPort final : public ServerPort {
 public:
  // `client` outlives it; `address` is empty for a container without a network.
  LocalServerPort(net::HttpClient& client, const std::string& address, model::PushContract contract,
                  std::function<bool()> has_ended);
  ~LocalServerPort() override { close_kept(); }

  async::Task<void> until_ready() override;
  std::string last_look() const override { return watch_.last_look(); }
  async::Task<void> check_health() override { return watch_.check_health(); }
  async::Task<codec::HttpResponseMessage> ask(codec::HttpRequestMessage request,
                                              std::size_t most_bytes, Instant deadline) override;
  async::Task<codec::HttpResponseMessage> ask_in_pieces(codec::HttpRequestMessage request,
                                                        Bodies& bodies) override;
  void close_kept() override { client_.forget(endpoint_); }

 private:
  async::Task<codec::HttpResponseMessage> carry(codec::HttpRequestMessage request, Bodies& bodies);
  net::ClientRequest to_send(codec::HttpRequestMessage request) const;

  net::HttpClient& client_;
  net::Endpoint endpoint_;
  model::PushContract contract_;
  std::function<bool()> has_ended_;
  PortWatch watch_;
};

}  // namespace thaw::worker
