// SPDX-License-Identifier: Apache-2.0
//
// CompletionTalk: how a server is spoken to that has no schema, but answers POSTs of JSON with JSON
// or with server-sent events of it, as servers of language models do. An input is the path, a line
// end, and the body; what comes as events goes to the log as it comes, a JSON value in each line.
// Who leaves closes the connection. Loop thread only.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "thaw/codec/sse_reader.h"
#include "thaw/control/talk.h"

namespace thaw::dialect::workers_ai {

// Of a call's input, and of its result: the status, a line end, and what was not sent as events.
inline constexpr const char* completion_type = "application/x-completion+json";
inline constexpr const char* completion_pieces_type = "application/x-completion-pieces";

std::string write_completion_input(std::string_view path, std::string_view body);

struct CompletionEnding {
  int status = 0;
  std::string body;
};
// data_loss: it is none.
Result<CompletionEnding> read_completion_ending(std::string_view bytes);

class CompletionConversation final : public control::Conversation {
 public:
  explicit CompletionConversation(std::string_view input);

  Result<codec::HttpRequestMessage> request() override;
  Result<std::string> take(std::string_view piece) override;
  std::string_view piece_type() const override { return completion_pieces_type; }
  async::Task<control::Reply> end(Result<int> status) override;
  std::optional<codec::HttpRequestMessage> leave() override { return std::nullopt; }

 private:
  std::string path_;
  std::string body_;
  codec::SseReader events_;
  std::string plain_;  // an answer that is no stream
  bool is_plain_ = false;
  bool has_ended_ = false;  // its stream says so
  bool is_first_ = true;
};

class CompletionTalk final : public control::Talk {
 public:
  std::unique_ptr<control::Conversation> begin(const queue::LeasedInput& input) override;
};

}  // namespace thaw::dialect::workers_ai
