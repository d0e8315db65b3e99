// SPDX-License-Identifier: Apache-2.0
//
// Talk: how one kind of server is spoken to, where one request and its whole answer say too little:
// its answer comes in pieces that are told as they come, it is asked to leave an input instead of
// having its connection closed, and from its words it is known that it is of no more use. Whose
// inputs these are, their content type says (Fleet::add_talk); all others are plain requests
// (driver.h). Implemented in a dialect. Loop thread only.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "thaw/async/task.h"
#include "thaw/codec/http_message.h"
#include "thaw/model/call.h"
#include "thaw/queue/call_queue.h"

namespace thaw::control {

// How an exchange with a server has ended.
struct Reply {
  // busy: it took nothing, and is asked again in a moment. doubtful: it is asked for its health.
  // useless: nor will it take anything of others; its container is replaced.
  enum class Server { well, doubtful, busy, useless } server = Server::well;
  model::Outcome outcome;
  // busy: for how long it may stay so, from the first time on, before it counts as useless. It is
  // said to have room, and has none yet: the input before this one is on its way out.
  Duration busy_for = std::chrono::seconds(10);
};

// One input's exchange with its server.
class Conversation {
 public:
  virtual ~Conversation() = default;
  // What is asked; the rest of the input's payload follows it. Asked for once more when it was
  // busy.
  virtual Result<codec::HttpRequestMessage> request() = 0;
  // The next piece of the answer's body. Returns what of it is for the call's log: of one content
  // type, and two of them one after the other mean what each of them means. Empty: nothing. An
  // Error ends the exchange, and is its end.
  virtual Result<std::string> take(std::string_view piece) = 0;
  virtual std::string_view piece_type() const = 0;
  // The answer, of this status, has ended, or its connection broke. An Error ends the exchange too.
  virtual async::Task<Reply> end(Result<int> status) = 0;
  // Asks the server to leave it. None: its connection is closed.
  virtual std::optional<codec::HttpRequestMessage> leave() = 0;
};

class Talk {
 public:
  virtual ~Talk() = default;
  virtual std::unique_ptr<Conversation> begin(const queue::LeasedInput& input) = 0;
};

// By the content types of inputs. Not owned.
using Talks = std::map<std::string, Talk*, std::less<>>;

}  // namespace thaw::control
