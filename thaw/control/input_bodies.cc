// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/input_bodies.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace thaw::control {

namespace {

constexpr std::size_t piece_bytes = 256u << 10;
constexpr std::uint64_t most_in_memory = 16u << 20;  // of an answer that nobody keeps
constexpr std::uint64_t most_kept = 256u << 20;
constexpr std::size_t most_unwritten = 1u << 20;

}  // namespace

Result<std::unique_ptr<InputBodies>> InputBodies::open(queue::Payloads& payloads,
                                                       const queue::LeasedInput& input) {
  std::unique_ptr<InputBodies> bodies(new InputBodies(payloads, input));
  THAW_TRY(bodies->reader_, payloads.open_rest(input.workspace, input.payload));
  return bodies;
}

async::Task<std::string> InputBodies::next() {
  if (!reader_) {
    co_return std::string();
  }
  co_return co_await reader_->read(piece_bytes);
}

async::Task<void> InputBodies::take(std::string piece) {
  const bool is_kept = durability_ == model::Durability::durable && payloads_.has_place();
  const std::uint64_t most = is_kept ? most_kept : most_in_memory;
  bytes_ += piece.size();
  if (bytes_ > most) {
    co_return Error::resource_exhausted("the answer is larger than " + std::to_string(most) +
                                        " bytes");
  }
  if (taken_.empty()) {
    taken_ = std::move(piece);
  } else {
    taken_ += piece;
  }
  if (is_kept && !writer_ && taken_.size() > payloads_.largest_inline() / 2) {
    THAW_CO_TRY(writer_, payloads_.create(workspace_));
  }
  if (writer_ && taken_.size() >= most_unwritten) {
    co_return co_await write_out();
  }
  co_return ok();
}

// A disk that is full for a moment loses no answer: it is waited for as long as the input may run.
async::Task<void> InputBodies::write_out() {
  const std::string piece = std::exchange(taken_, {});
  Duration pause = 100ms;
  while (true) {
    Result<void> written = co_await writer_->write(piece);
    if (written || written.error().code() != Code::resource_exhausted ||
        !payloads_.has_quota(workspace_, piece.size())) {
      co_return written;
    }
    THAW_CO_TRY_VOID(co_await async::sleep_for(pause));
    pause = std::min<Duration>(pause * 2, 5s);
  }
}

async::Task<model::Payload> InputBodies::finish(codec::HttpResponseMessage answer) {
  if (writer_) {
    THAW_CO_TRY_VOID(co_await write_out());
  }
  answer.body = std::move(taken_);
  model::Payload payload;
  payload.content_type = codec::http_content_type;
  THAW_CO_TRY(payload.bytes, codec::write_http(answer));
  if (writer_ && payload.bytes.size() > payloads_.largest_inline()) {
    co_return Error::resource_exhausted("the answer has a head of " +
                                        std::to_string(payload.bytes.size()) + " bytes");
  }
  if (writer_) {
    THAW_CO_TRY(payload.rest, co_await payloads_.seal(workspace_, std::move(writer_)));
  }
  co_return payload;
}

Result<codec::HttpRequestMessage> request_of(const model::PushContract& contract,
                                             const queue::LeasedInput& input) {
  codec::HttpRequestMessage request;
  if (input.payload.content_type == codec::http_content_type) {
    THAW_TRY(request, codec::read_http_request(input.payload.bytes));
  } else {
    request.method = "POST";
    request.target = contract.target;
    request.body = input.payload.bytes;
    if (!input.payload.content_type.empty()) {
      request.headers.emplace_back("content-type", input.payload.content_type);
    }
    if (!input.payload.encoding.empty()) {
      request.headers.emplace_back("content-encoding", input.payload.encoding);
    }
  }
  // By these a server can tell a second delivery from a second input; nobody else says them.
  const std::vector<std::pair<std::string, std::string>> own = {
      {"thaw-call-id", input.call.str()},
      {"thaw-input-id", input.input.str()},
      {"thaw-attempt", std::to_string(input.attempt)}};
  std::erase_if(request.headers, [&](const auto& field) {
    const auto& dropped = contract.drop_headers;
    return std::find(dropped.begin(), dropped.end(), field.first) != dropped.end() ||
           std::any_of(own.begin(), own.end(),
                       [&field](const auto& one) { return one.first == field.first; });
  });
  request.headers.insert(request.headers.end(), own.begin(), own.end());
  return request;
}

}  // namespace thaw::control
