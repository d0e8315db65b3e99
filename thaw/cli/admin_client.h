// SPDX-License-Identifier: Apache-2.0
//
// Requests of the verbs to a server: to its console and its API over the admin socket, where the
// caller is the administrator, and to its own address.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "thaw/async/loop.h"
#include "thaw/cli/running_servers.h"
#include "thaw/cli/verbs.h"
#include "thaw/codec/json.h"
#include "thaw/net/http_client.h"

namespace thaw::cli {

struct AdminRequest {
  std::string method = "GET";
  std::string target = {};  // "/admin/ps"
  std::string body = {};
  net::Headers headers = {};  // without a content-type a body is JSON
};

// Several requests to one server. On the loop's thread; the loop outlives it.
class ServerClient {
 public:
  ServerClient(async::Loop& loop, RunningServer server)
      : loop_(loop), server_(std::move(server)), client_(loop) {}

  async::Loop& loop() { return loop_; }

  // Over the admin socket; the answer has whatever status.
  async::Task<std::unique_ptr<net::ClientResponse>> send(net::ClientRequest request,
                                                         Duration limit);
  // To an address that the server gave, "http://host:port/…", at where it listens on this machine.
  async::Task<std::unique_ptr<net::ClientResponse>> send_to(std::string address,
                                                            net::ClientRequest request,
                                                            Duration limit);
  // The JSON of an answer of success; an Error says what the server said.
  async::Task<codec::Json> ask(AdminRequest request, Duration limit);

 private:
  async::Loop& loop_;
  RunningServer server_;
  net::HttpClient client_;
};

// The server that is meant. Of several the newest answers, which is said once on stderr.
Result<RunningServer> choose_server(const Where& where);

// One question; what it answers may take a minute, or `limit`.
Result<codec::Json> ask_server(const Where& where, const AdminRequest& request,
                               Duration limit = std::chrono::minutes(1));
// The same, for a verb that only shows what it was told: as JSON where that is wanted, else `show`
// prints it. Returns the exit code.
int ask_and_show(const Where& where, const AdminRequest& request,
                 const std::function<void(const codec::Json&)>& show,
                 Duration limit = std::chrono::minutes(1));

// unavailable with what an answer of no success says.
async::Task<void> check_success(net::ClientResponse& response);

// Of a name that becomes part of a target.
std::string percent_encoded(const std::string& text);

// Prints an Error to stderr and gives the exit code.
int fail(const Error& error);

}  // namespace thaw::cli
