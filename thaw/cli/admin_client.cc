// SPDX-License-Identifier: Apache-2.0
#include "thaw/cli/admin_client.h"

#include <cctype>
#include <cstdio>

#include "thaw/async/loop.h"
#include "thaw/cli/running_servers.h"
#include "thaw/net/http_client.h"

namespace thaw::cli {

namespace {

async::Task<codec::Json> ask(net::HttpClient& client, std::string socket, AdminRequest request) {
  net::ClientRequest http;
  http.method = request.method;
  http.target = request.target;
  http.authority = "thaw";
  http.body = request.body;
  net::Endpoint endpoint;
  endpoint.unix_path = std::move(socket);
  const Instant deadline = monotonic_now() + 60s;
  THAW_CO_TRY(const std::unique_ptr<net::ClientResponse> response,
              co_await client.send(std::move(endpoint), std::move(http), deadline));
  THAW_CO_TRY(const std::string body, co_await response->read_all(256u << 20));
  THAW_CO_TRY(codec::Json json, codec::parse_json(body));
  if (response->status != 200) {
    co_return Error::unavailable(json.is_object() ? json.value("error", body) : body);
  }
  co_return json;
}

}  // namespace

namespace {

// Once: a verb may ask several times. On standard error, where no machine reads.
void say_which(const RunningServer& server) {
  static bool is_said = false;
  const std::size_t count = is_said ? 0 : running_servers().size();
  is_said = true;
  if (count > 1) {
    std::fprintf(stderr, "thaw: of %zu servers here the newest answers, %s; --data names another\n",
                 count, server.data.c_str());
  }
}

}  // namespace

Result<codec::Json> ask_server(const Where& where, const AdminRequest& request) {
  THAW_TRY(const RunningServer server, find_server(where.data));
  if (where.data.empty()) {
    say_which(server);
  }
  async::Loop loop;
  net::HttpClient client(loop);
  return loop.run_task(ask(client, server.admin_socket(), request));
}

std::string percent_encoded(const std::string& text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0 || c == '-' || c == '_' || c == '.') {
      out += c;
    } else {
      char escape[4];
      std::snprintf(escape, sizeof escape, "%%%02X", byte);
      out += escape;
    }
  }
  return out;
}

int fail(const Error& error) {
  std::fprintf(stderr, "thaw: %s\n", error.to_string().c_str());
  return 1;
}

}  // namespace thaw::cli
