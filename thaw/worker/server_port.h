// SPDX-License-Identifier: Apache-2.0
//
// ServerPort: the port of a plain HTTP server inside a container, as its contract says
// (model/runner.h): what control asks of it, since the program inside tells nothing by itself. An
// interface: local_server_port.h speaks to containers of this machine. Every wait ends with the
// container. Loop thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "thaw/async/task.h"
#include "thaw/base/time.h"
#include "thaw/codec/http_message.h"

namespace thaw::worker {

// The two bodies of one request, for one that is not to be in memory as a whole.
class Bodies {
 public:
  virtual ~Bodies() = default;
  // So many bytes follow those that the request has itself.
  virtual std::uint64_t request_bytes() const = 0;
  // The next of them; empty at their end. Its Error ends the request, and is the answer.
  virtual async::Task<std::string> next() = 0;
  // The next piece of the answer's body. Its Error ends the request, and is the answer.
  virtual async::Task<void> take(std::string piece) = 0;
};

class ServerPort {
 public:
  virtual ~ServerPort() = default;
  // Resumes when it is ready for requests. failed_precondition: it says that it never will be, or
  // it cannot be reached at all; unavailable: the container has ended.
  virtual async::Task<void> until_ready() = 0;
  // What it was seen to do while it was not ready, for people; empty: it was not asked yet.
  virtual std::string last_look() const = 0;
  // Asks its health path once; an Error says what it did instead of being well.
  virtual async::Task<void> check_health() = 0;
  // One request and its whole answer, of at most `most_bytes` (resource_exhausted). unavailable:
  // the connection broke, or what came was no HTTP; deadline_exceeded. A cancelled task closes the
  // connection, by which the server sees that nobody waits any more.
  virtual async::Task<codec::HttpResponseMessage> ask(codec::HttpRequestMessage request,
                                                      std::size_t most_bytes, Instant deadline) = 0;
  // The same in pieces. What it returns has no body: `bodies`, which outlives it, was given that. A
  // server that does not read what it is sent is not sent more.
  virtual async::Task<codec::HttpResponseMessage> ask_in_pieces(codec::HttpRequestMessage request,
                                                                Bodies& bodies);
  // Closes the connections that are kept for later requests.
  virtual void close_kept() = 0;
};

}  // namespace thaw::worker
