// SPDX-License-Identifier: Apache-2.0
#include "thaw/cli/admin_client.h"

#include <cctype>
#include <charconv>
#include <cstdio>
#include <utility>

namespace thaw::cli {

namespace {

constexpr std::size_t most_error_bytes = 1u << 20;

// On standard error, where no machine reads.
void say_which(const RunningServer& server) {
  static bool is_said = false;
  const std::size_t count = is_said ? 0 : running_servers().size();
  is_said = true;
  if (count > 1) {
    std::fprintf(stderr,
                 "thaw: of %zu servers here the newest answers, %s; --server names another\n",
                 count, server.data.c_str());
  }
}

struct Address {
  std::string authority;  // "127.0.0.1:8700"
  std::string target;     // "/blobs/…"
};

Result<Address> split_address(const std::string& address) {
  const std::size_t host = address.starts_with("http://")    ? 7
                           : address.starts_with("https://") ? 8
                                                             : 0;
  if (host == 0) {
    return Error::unavailable("the server gave the address " + address + ", which is none of its");
  }
  const std::size_t slash = std::min(address.find('/', host), address.size());
  Address parts;
  parts.authority = address.substr(host, slash - host);
  parts.target = slash == address.size() ? "/" : address.substr(slash);
  return parts;
}

Result<net::Endpoint> endpoint_of(const std::string& authority) {
  const std::size_t colon = authority.rfind(':');
  net::Endpoint endpoint;
  endpoint.host = authority.substr(0, colon);
  if (endpoint.host.starts_with('[') && endpoint.host.ends_with(']')) {
    endpoint.host = endpoint.host.substr(1, endpoint.host.size() - 2);
  }
  const char* end = authority.data() + authority.size();
  if (colon == std::string::npos ||
      std::from_chars(authority.data() + colon + 1, end, endpoint.port).ptr != end) {
    return Error::unavailable("the server listens at " + authority + ", which names no port");
  }
  return endpoint;
}

}  // namespace

async::Task<std::unique_ptr<net::ClientResponse>> ServerClient::send(net::ClientRequest request,
                                                                     Duration limit) {
  // By the name that it has at its own port: addresses in its answers begin with it.
  THAW_CO_TRY(const Address own, split_address(server_.url));
  request.authority = own.authority;
  net::Endpoint endpoint;
  endpoint.unix_path = server_.admin_socket();
  const Instant deadline = monotonic_now() + limit;
  co_return co_await client_.send(std::move(endpoint), std::move(request), deadline);
}

async::Task<std::unique_ptr<net::ClientResponse>> ServerClient::send_to(std::string address,
                                                                        net::ClientRequest request,
                                                                        Duration limit) {
  THAW_CO_TRY(const Address own, split_address(server_.url));
  THAW_CO_TRY(const Address parts, split_address(address));
  // On this machine nobody listens between the two: in plain words.
  THAW_CO_TRY(net::Endpoint endpoint,
              endpoint_of(server_.listens_at.empty() ? own.authority : server_.listens_at));
  request.target = parts.target;
  request.authority = parts.authority;
  const Instant deadline = monotonic_now() + limit;
  co_return co_await client_.send(std::move(endpoint), std::move(request), deadline);
}

async::Task<codec::Json> ServerClient::ask(AdminRequest request, Duration limit) {
  net::ClientRequest http;
  http.method = std::move(request.method);
  http.target = std::move(request.target);
  http.body = std::move(request.body);
  http.headers = std::move(request.headers);
  if (!http.body.empty() && !http.headers.find("content-type")) {
    http.headers.add("content-type", "application/json");
  }
  THAW_CO_TRY(const std::unique_ptr<net::ClientResponse> response,
              co_await send(std::move(http), limit));
  THAW_CO_TRY_VOID(co_await check_success(*response));
  THAW_CO_TRY(const std::string body, co_await response->read_all(256u << 20));
  co_return codec::parse_json(body);
}

async::Task<void> check_success(net::ClientResponse& response) {
  if (response.status >= 200 && response.status < 300) {
    co_return ok();
  }
  THAW_CO_TRY(const std::string body, co_await response.read_all(most_error_bytes));
  const auto json = codec::parse_json(body);
  if (json && json->is_object() && json->contains("error") && (*json)["error"].is_string()) {
    co_return Error::unavailable((*json)["error"].get<std::string>());
  }
  co_return Error::unavailable("the server answered " + std::to_string(response.status) +
                               (body.empty() ? "" : ": " + body));
}

Result<RunningServer> choose_server(const Where& where) {
  THAW_TRY(RunningServer server, find_server(where.data));
  if (where.data.empty()) {
    say_which(server);
  }
  return server;
}

Result<codec::Json> ask_server(const Where& where, const AdminRequest& request, Duration limit) {
  THAW_TRY(RunningServer server, choose_server(where));
  async::Loop loop;
  ServerClient client(loop, std::move(server));
  return loop.run_task(client.ask(request, limit));
}

int ask_and_show(const Where& where, const AdminRequest& request,
                 const std::function<void(const codec::Json&)>& show, Duration limit) {
  const auto answer = ask_server(where, request, limit);
  if (!answer) {
    return fail(answer.error());
  }
  if (where.output == Output::json) {
    std::printf("%s\n", answer->dump(2).c_str());
  } else {
    show(*answer);
  }
  return 0;
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
