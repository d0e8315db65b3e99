// SPDX-License-Identifier: Apache-2.0
//
// InputBodies: the two bodies of one input of a server. What it is sent is the rest of the input's
// payload, from its blob; what it answers is gathered, and becomes a blob on its way as soon as it
// is large, if its call is durable. So neither is in memory as a whole. An answer that breaks off
// leaves nothing. For one delivery; loop thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "thaw/codec/http_message.h"
#include "thaw/model/runner.h"
#include "thaw/queue/call_queue.h"
#include "thaw/worker/server_port.h"

namespace thaw::control {

class InputBodies final : public worker::Bodies {
 public:
  // `payloads` outlives it. data_loss: the input's blob is gone.
  static Result<std::unique_ptr<InputBodies>> open(queue::Payloads& payloads,
                                                   const queue::LeasedInput& input);

  std::uint64_t request_bytes() const override { return reader_ ? reader_->size() : 0; }
  async::Task<std::string> next() override;
  async::Task<void> take(std::string piece) override;

  // What was taken, behind the head of `answer`: the payload of an outcome. resource_exhausted:
  // there is no room for it.
  async::Task<model::Payload> finish(codec::HttpResponseMessage answer);

 private:
  InputBodies(queue::Payloads& payloads, const queue::LeasedInput& input)
      : payloads_(payloads), workspace_(input.workspace), durability_(input.durability) {}
  async::Task<void> write_out();

  queue::Payloads& payloads_;
  model::WorkspaceId workspace_;
  model::Durability durability_;
  std::unique_ptr<store::BlobStore::Reader> reader_;
  std::string taken_;  // while it is small, or nobody keeps it
  std::uint64_t bytes_ = 0;
  std::unique_ptr<store::BlobStore::Writer> writer_;
};

// What an input asks of a server: the request that its payload begins with, or a POST of whatever
// else it is to the target of the contract. What follows the payload's bytes is not in it.
// invalid_argument: it is said to be a request, and is none.
Result<codec::HttpRequestMessage> request_of(const model::PushContract& contract,
                                             const queue::LeasedInput& input);

}  // namespace thaw::control
