// SPDX-License-Identifier: Apache-2.0
#include "thaw/worker/local_server_port.h"

#include <utility>

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

}  // namespace thaw::worker
