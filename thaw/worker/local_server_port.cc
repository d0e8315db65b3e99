// SPDX-License-Identifier: Apache-2.0
#include "thaw/worker/local_server_port.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "thaw/os/files.h"

namespace thaw::worker {

LocalServerPort::LocalServerPort(net::HttpClient& client, const std::string& address,
                                 model::PushContract contract, std::function<bool()> has_ended)
    : client_(client),
      endpoint_{address, contract.port, ""},
      contract_(std::move(contract)),
      has_ended_(std::move(has_ended)),
      watch_(client_, endpoint_, contract_) {}

async::Task<void> LocalServerPort::until_ready() {
  if (endpoint_.host.empty()) {
    co_return Error::failed_precondition(
        "its container has no network, by which its port would be reached");
  }
  co_return co_await watch_.until_ready(has_ended_);
}

async::Task<codec::HttpResponseMessage> LocalServerPort::ask(codec::HttpRequestMessage request,
                                                             std::size_t most_bytes,
                                                             Instant deadline) {
  net::ClientRequest out;
  out.method = std::move(request.method);
  out.target = std::move(request.target);
  out.authority = endpoint_.host + ":" + std::to_string(endpoint_.port);
  for (auto& [name, value] : request.headers) {
    if (name == "host") {
      out.authority = std::move(value);
    } else {
      out.headers.add(std::move(name), std::move(value));
    }
  }
  out.body = std::move(request.body);
  THAW_CO_TRY(const auto response, co_await client_.send(endpoint_, std::move(out), deadline));
  codec::HttpResponseMessage answer;
  answer.status = response->status;
  answer.headers = std::move(response->headers.fields);
  THAW_CO_TRY(answer.body, co_await response->read_all(most_bytes));
  co_return answer;
}

namespace {

// Of include/net/tcp_states.h, as they are written there.
constexpr unsigned established = 1;
constexpr unsigned syn_sent = 2;
constexpr unsigned syn_received = 3;
constexpr unsigned fin_wait_1 = 4;
constexpr unsigned close_wait = 8;
constexpr unsigned last_ack = 9;

bool is_open(unsigned state) {
  return state == established || state == syn_sent || state == syn_received ||
         state == fin_wait_1 || state == close_wait || state == last_ack;
}

// "0100007F:1F90" is 127.0.0.1, in words of this machine; one of IPv6 may stand for it.
bool is_loopback(std::string_view place) {
  constexpr std::string_view mapped = "0000000000000000FFFF0000";
  std::string_view address = place.substr(0, place.find(':'));
  if (address.starts_with(mapped)) {
    address.remove_prefix(mapped.size());
  }
  return (address.size() == 8 && address.ends_with("7F")) ||
         address == "00000000000000000000000001000000";
}

std::string_view take_word(std::string_view& line) {
  const std::size_t begin = std::min(line.find_first_not_of(' '), line.size());
  line.remove_prefix(begin);
  const std::size_t end = std::min(line.find(' '), line.size());
  const std::string_view word = line.substr(0, end);
  line.remove_prefix(end);
  return word;
}

}  // namespace

std::size_t count_connections_in(std::string_view table) {
  std::size_t count = 0;
  while (!table.empty()) {
    const std::size_t end = std::min(table.find('\n'), table.size());
    std::string_view line = table.substr(0, end);
    table.remove_prefix(std::min(end + 1, table.size()));
    (void)take_word(line);  // its number
    const std::string_view local = take_word(line);
    const std::string_view remote = take_word(line);
    const std::string_view state = take_word(line);
    unsigned number = 0;
    std::from_chars(state.data(), state.data() + state.size(), number, 16);
    const bool is_inside = is_loopback(local) && is_loopback(remote);
    count += state.size() == 2 && is_open(number) && !is_inside ? 1 : 0;
  }
  return count;
}

Result<std::size_t> count_connections(int pid) {
  std::size_t count = 0;
  for (const char* name : {"tcp", "tcp6"}) {
    const auto table = os::read_text("/proc/" + std::to_string(pid) + "/net/" + name);
    if (table) {
      count += count_connections_in(*table);
    } else if (name == std::string_view("tcp")) {
      return Error::unavailable("the connections of a container cannot be read: " +
                                table.error().message());
    }  // a machine without IPv6 has no tcp6
  }
  return count;
}

}  // namespace thaw::worker
