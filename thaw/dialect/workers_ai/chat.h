// SPDX-License-Identifier: Apache-2.0
//
// Chats: messages as clients send them, for models that take one text. Pure.
#pragma once

#include <string>

#include "thaw/codec/json.h"

namespace thaw::dialect::workers_ai {

struct Chat {
  std::string system;  // what is said to the model about its part
  std::string prompt;  // all that was said else, in its order; who spoke, where several did
  codec::Json image;   // of the last message that has one; null: none has
};

// invalid_argument names the message that is none.
Result<Chat> read_chat(const codec::Json& messages);

}  // namespace thaw::dialect::workers_ai
