// SPDX-License-Identifier: Apache-2.0
#include "thaw/worker/port_watch.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "thaw/codec/json_field.h"

namespace thaw::worker {

namespace {

using Ready = model::PushContract::Ready;
using Verdict = Look::Verdict;

// A server that does no more for so long is not ready, whatever it does later.
constexpr Duration look_limit = 2s;
constexpr Duration longest_pause = 50ms;
// What tells how it is stands at the beginning; the rest (logs of its setup, say) is not taken.
constexpr std::size_t most_body_bytes = 64u << 10;
constexpr std::size_t most_told_bytes = 200;

bool has(const std::vector<std::string>& list, const std::string& value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

Verdict by_value(const Ready& ready, const std::string& value, bool is_good) {
  return has(ready.bad, value) ? Verdict::never : is_good ? Verdict::ready : Verdict::not_yet;
}

std::string get_of(const std::string& path) { return "GET " + path + " was answered with "; }

}  // namespace

Look judge(const Ready& ready, int status, std::string_view body) {
  const std::string number = std::to_string(status);
  if (ready.by == Ready::By::status) {
    const bool is_good =
        ready.good.empty() ? status >= 200 && status < 300 : has(ready.good, number);
    return {by_value(ready, number, is_good), get_of(ready.path) + number};
  }
  const Result<std::string> value = codec::find_json_field(body, ready.pointer);
  if (!value) {
    return {Verdict::not_yet, get_of(ready.path) + number + " and no " + ready.pointer};
  }
  return {by_value(ready, *value, has(ready.good, *value)),
          get_of(ready.path) + ready.pointer + " = " + value->substr(0, most_told_bytes)};
}

async::Task<PortWatch::Answer> PortWatch::get(const std::string& path) {
  const Instant deadline = monotonic_now() + look_limit;
  net::ClientRequest request;
  request.target = path;
  request.authority = endpoint_.host + ":" + std::to_string(endpoint_.port);
  request.headers.add("accept", "*/*");
  request.headers.add("user-agent", "thaw-probe");
  THAW_CO_TRY(const auto response, co_await client_.send(endpoint_, std::move(request), deadline));
  Answer answer;
  answer.status = response->status;
  while (answer.body.size() < most_body_bytes) {
    THAW_CO_TRY(const std::optional<std::string> piece, co_await response->read());
    if (!piece) {
      break;
    }
    answer.body += *piece;
  }
  co_return answer;
}

// A server of HTTP/2 says something by itself: one that listens and speaks another protocol would
// get requests that it cannot read.
async::Task<Look> PortWatch::look_for_http2(Instant deadline) {
  const Result<void> greeted = co_await client_.greets(endpoint_, deadline);
  if (!greeted && greeted.error().code() == Code::cancelled) {
    co_return greeted.error();
  }
  if (!greeted && greeted.error().code() == Code::failed_precondition) {
    co_return Error::failed_precondition(greeted.error().message() +
                                         ", which its function says that it speaks (wire h2c)");
  }
  co_return Look{greeted ? Verdict::ready : Verdict::not_yet,
                 greeted ? "" : greeted.error().message()};
}

async::Task<Look> PortWatch::look() {
  if (contract_.ready.by == Ready::By::accepts) {
    const Instant deadline = monotonic_now() + look_limit;
    if (endpoint_.wire == net::Endpoint::Wire::h2c) {
      co_return co_await look_for_http2(deadline);
    }
    THAW_CO_TRY(const bool connected, co_await client_.connects(endpoint_, deadline));
    co_return Look{connected ? Verdict::ready : Verdict::not_yet,
                   "nothing listens on port " + std::to_string(endpoint_.port)};
  }
  const Result<Answer> answer = co_await get(contract_.ready.path);
  if (!answer && answer.error().code() == Code::cancelled) {
    co_return answer.error();
  }
  if (!answer) {
    co_return Look{Verdict::not_yet,
                   "GET " + contract_.ready.path + ": " + answer.error().message()};
  }
  co_return judge(contract_.ready, answer->status, answer->body);
}

async::Task<void> PortWatch::until_ready(std::function<bool()> has_ended) {
  Duration pause = 1ms;
  while (!has_ended()) {
    THAW_CO_TRY(const Look found, co_await look());
    last_look_ = found.seen;
    if (found.verdict == Verdict::ready) {
      co_return ok();
    }
    if (found.verdict == Verdict::never) {
      co_return Error::failed_precondition("it says that it cannot start: " + found.seen);
    }
    THAW_CO_TRY_VOID(co_await async::sleep_for(pause));
    pause = std::min<Duration>(pause * 2, longest_pause);
  }
  co_return Error::unavailable("the container has ended");
}

// A server whose health is told by a field says it where it says that it is ready.
async::Task<void> PortWatch::check_health() {
  const std::string& path = contract_.health_path;
  THAW_CO_TRY(const Answer answer, co_await get(path));
  const Ready& ready = contract_.ready;
  if (ready.by == Ready::By::field && ready.path == path) {
    const Look found = judge(ready, answer.status, answer.body);
    if (found.verdict == Verdict::never || answer.status >= 400) {
      co_return Error::unavailable(found.seen);
    }
    co_return ok();
  }
  if (answer.status >= 400) {
    co_return Error::unavailable(get_of(path) + std::to_string(answer.status));
  }
  co_return ok();
}

}  // namespace thaw::worker
