// SPDX-License-Identifier: Apache-2.0
//
// The other form in which this cloud answers: that of chat completions and embeddings as clients of
// OpenAI read them. What a server tells in that form itself goes on as it is, under the name by
// which the model was asked for. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "thaw/dialect/workers_ai/stream.h"

namespace thaw::dialect::workers_ai {

// Of one answer.
struct AnswerNames {
  std::string id;
  std::string model;
  std::int64_t created = 0;  // seconds
};

codec::Json chat_answer(const AnswerNames& names, const Ended& ended);
// `rows`: embeddings_of() what came.
codec::Json embeddings_answer(const AnswerNames& names, const codec::Json& rows);

class ChatWording final : public Wording {
 public:
  explicit ChatWording(AnswerNames names) : names_(std::move(names)) {}
  std::string piece(const Told& told) override;
  std::string end(const Ended& ended, std::size_t pieces) override;

 private:
  codec::Json chunk(codec::Json delta, codec::Json finish) const;

  AnswerNames names_;
  bool is_first_ = true;
  bool is_servers_ = false;  // its server tells in this form itself
};

}  // namespace thaw::dialect::workers_ai
