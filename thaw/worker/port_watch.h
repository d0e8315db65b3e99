// SPDX-License-Identifier: Apache-2.0
//
// PortWatch: finds out when a server that tells nobody is ready, by looking at its port: at once,
// and then after 1, 2, 4 … 50 ms, until it is, or says that it never will be, or has ended. What
// it sends is not trusted: each look has a time limit and takes a bounded answer, and whatever it
// does else means "not yet". Loop thread only.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "thaw/model/runner.h"
#include "thaw/net/http_client.h"

namespace thaw::worker {

// What one look found.
struct Look {
  enum class Verdict { ready, not_yet, never } verdict = Verdict::not_yet;
  std::string seen;  // for people: "GET /health was answered with 503"
};

// By the rule of the contract, which asks by status or by a field.
Look judge(const model::PushContract::Ready& ready, int status, std::string_view body);

class PortWatch {
 public:
  // `contract` has been checked; both outlive the watch.
  PortWatch(net::HttpClient& client, net::Endpoint endpoint, const model::PushContract& contract)
      : client_(client), endpoint_(std::move(endpoint)), contract_(contract) {}

  // failed_precondition: it says that it never will be; unavailable: `has_ended`.
  async::Task<void> until_ready(std::function<bool()> has_ended);
  const std::string& last_look() const { return last_look_; }
  // One look at the health path; an Error says what was seen.
  async::Task<void> check_health();

 private:
  async::Task<Look> look();
  async::Task<Look> look_for_http2(Instant deadline);
  // GET, with what is read of the answer.
  struct Answer {
    int status = 0;
    std::string body;
  };
  async::Task<Answer> get(const std::string& path);

  net::HttpClient& client_;
  net::Endpoint endpoint_;
  const model::PushContract& contract_;
  std::string last_look_;
};

}  // namespace thaw::worker
