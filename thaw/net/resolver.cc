// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/resolver.h"

#include <netdb.h>
#include <resolv.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>

#include "thaw/async/event.h"

namespace thaw::net {

namespace {

constexpr std::size_t most_addresses = 8;

using Addresses = std::vector<IpAddress>;

// Of this thread, with what is configured by now: a silent name server holds it for some seconds
// at most.
void be_quick() {
  ::res_init();
  _res.retrans = 1;  // seconds
  _res.retry = 2;
}

Result<Addresses> ask(const std::string& host) {
  be_quick();
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int failure = ::getaddrinfo(host.c_str(), nullptr, &hints, &found);
  if (failure != 0) {
    return Error::unavailable("the host " + host + " has no address: " + ::gai_strerror(failure));
  }
  Addresses addresses;
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    const auto address = IpAddress::of(*one->ai_addr);
    const bool is_new =
        address && std::find(addresses.begin(), addresses.end(), *address) == addresses.end();
    if (is_new && addresses.size() < most_addresses) {
      addresses.push_back(*address);
    }
  }
  ::freeaddrinfo(found);
  if (addresses.empty()) {
    return Error::unavailable("the host " + host + " has no address");
  }
  return addresses;
}

struct Question {
  std::atomic<bool> is_abandoned = false;
  std::atomic<bool> has_begun = false;
  // Loop thread.
  async::Event done;
  std::optional<Result<Addresses>> answer;
};

class Asking final : public async::Pool::Work {
 public:
  Asking(async::Loop& loop, std::string host, std::shared_ptr<Question> question)
      : loop_(loop), host_(std::move(host)), question_(std::move(question)) {}

  void run() override {
    if (question_->is_abandoned) {
      return;
    }
    question_->has_begun = true;
    loop_.post([question = question_, answer = ask(host_)]() mutable {
      question->answer.emplace(std::move(answer));
      question->done.notify_all();
    });
  }

 private:
  async::Loop& loop_;
  std::string host_;
  std::shared_ptr<Question> question_;
};

}  // namespace

Resolver::Resolver(async::Loop& loop, unsigned threads) : loop_(loop), pool_(threads) {}

Resolver::~Resolver() { pool_.join(); }

async::Task<Addresses> Resolver::resolve(std::string host, std::string share, Duration limit) {
  if (const auto literal = IpAddress::parse(host)) {
    co_return Addresses{*literal};
  }
  const Instant until = monotonic_now() + limit;
  auto question = std::make_shared<Question>();
  pool_.post(share, std::make_unique<Asking>(loop_, host, question));
  while (!question->answer) {
    const Result<bool> woken = co_await question->done.wait(until);
    if (!woken || (!*woken && !question->answer)) {
      question->is_abandoned = true;
      if (!woken) {
        co_return woken.error();
      }
      if (!question->has_begun) {
        co_return Error::resource_exhausted(
            "so many names are being asked for that there was no "
            "turn for " +
            host + "; try it again");
      }
      co_return Error::deadline_exceeded("no name server has told the address of " + host);
    }
  }
  co_return std::move(*question->answer);
}

}  // namespace thaw::net
