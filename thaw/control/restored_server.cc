// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/restored_server.h"

#include <string>
#include <utility>

namespace thaw::control {

namespace {

constexpr std::size_t most_answer_bytes = 64u << 10;
constexpr Duration answer_within = 5s;

}  // namespace

async::Task<void> tell_restored(ContainerPtr container) {
  const std::string& path = container->spec->push->restored_path;
  if (path.empty()) {
    co_return ok();
  }
  codec::HttpRequestMessage request;
  request.method = "POST";
  request.target = path;
  const auto answer = co_await container->running->server()->ask(
      std::move(request), most_answer_bytes, monotonic_now() + answer_within);
  if (answer && answer->status >= 200 && answer->status < 300) {
    co_return ok();
  }
  if (!answer && (answer.error().code() == Code::cancelled || container->running->has_ended())) {
    co_return answer.error().code() == Code::cancelled
        ? answer.error()
        : Error::unavailable("the container has ended");
  }
  co_return Error::failed_precondition(
      "POST " + path + ", which tells it that it was restored, was answered with " +
      (answer ? std::to_string(answer->status) : answer.error().message()));
}

}  // namespace thaw::control
