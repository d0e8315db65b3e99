// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/detail/http2_pool.h"

#include <algorithm>

namespace thaw::net::detail {

namespace {

constexpr std::size_t clients_per_server = 16;

}  // namespace

async::Task<std::shared_ptr<Http2Client>> Http2Pool::connect_to(Endpoint endpoint,
                                                                Instant deadline) {
  const auto timer = timer_;
  std::string name = name_of(endpoint);
  THAW_CO_TRY(Socket socket, co_await connect(loop_, *timer, std::move(endpoint), deadline));
  auto client = std::make_shared<Http2Client>(std::move(socket), std::move(name), timer);
  client->start();
  co_return client;
}

std::shared_ptr<Http2Client> Http2Pool::usable(Server& server) {
  // One that has rested may have been left by its server meanwhile.
  for (const auto& client : server.clients) {
    if (client->is_open() && client->calls() == 0) {
      client->look();
    }
  }
  std::erase_if(server.clients, [](const auto& client) { return !client->takes_calls(); });
  for (const auto& client : server.clients) {
    if (client->has_room()) {
      return client;
    }
  }
  if (server.clients.size() < clients_per_server) {
    return nullptr;
  }
  return *std::min_element(server.clients.begin(), server.clients.end(),
                           [](const auto& a, const auto& b) { return a->calls() < b->calls(); });
}

async::Task<std::shared_ptr<Http2Client>> Http2Pool::take(Endpoint endpoint, Instant deadline) {
  const std::string key = name_of(endpoint);
  while (true) {
    if (closed_) {
      co_return Error::cancelled("the client is closing");
    }
    auto& entry = servers_[key];
    if (!entry) {
      entry = std::make_shared<Server>();
    }
    const std::shared_ptr<Server> server = entry;
    if (auto client = usable(*server)) {
      co_return client;
    }
    if (server->is_connecting) {
      THAW_CO_TRY(const bool notified, co_await server->connected.wait(deadline));
      if (!notified) {
        co_return Error::deadline_exceeded("no connection in time to " + key);
      }
      continue;
    }
    // The others that ask now share what it gets, or try for themselves.
    struct Connecting {
      explicit Connecting(std::shared_ptr<Server> s) : server(std::move(s)) {
        server->is_connecting = true;
      }
      Connecting(const Connecting&) = delete;
      Connecting& operator=(const Connecting&) = delete;
      ~Connecting() {
        server->is_connecting = false;
        server->connected.notify_all();
      }
      std::shared_ptr<Server> server;
    } connecting(server);
    sweep();
    THAW_CO_TRY(auto client, co_await connect_to(endpoint, deadline));
    if (closed_) {
      client->close(Error::cancelled("the client is closing"));
      co_return Error::cancelled("the client is closing");
    }
    server->clients.push_back(client);
    if (client->takes_calls()) {
      co_return client;
    }
  }
}

async::Task<void> Http2Pool::greet(Endpoint endpoint, Instant deadline) {
  THAW_CO_TRY(const auto client, co_await connect_to(std::move(endpoint), deadline));
  const Result<void> greeted = co_await client->until_greeted(deadline);
  client->close(Error::cancelled("it was only looked at"));
  if (client->speaks_otherwise()) {
    co_return Error::failed_precondition(greeted.error().message());
  }
  co_return greeted;
}

void Http2Pool::forget(const Endpoint& endpoint) {
  const auto found = servers_.find(name_of(endpoint));
  if (found == servers_.end()) {
    return;
  }
  for (const auto& client : found->second->clients) {
    client->retire();
    if (client->calls() == 0) {
      client->close(Error::cancelled("the connection is not kept"));
    }
  }
  found->second->clients.clear();
  if (!found->second->is_connecting) {
    servers_.erase(found);
  }
}

void Http2Pool::sweep() {
  for (auto& [key, server] : servers_) {
    std::erase_if(server->clients, [](const auto& client) { return !client->takes_calls(); });
  }
  std::erase_if(servers_, [](const auto& entry) {
    return entry.second->clients.empty() && !entry.second->is_connecting;
  });
}

void Http2Pool::close() {
  closed_ = true;
  const auto servers = std::exchange(servers_, {});
  for (const auto& [key, server] : servers) {
    for (const auto& client : server->clients) {
      client->close(Error::cancelled("the client is closing"));
    }
    server->connected.notify_all();
  }
}

}  // namespace thaw::net::detail
