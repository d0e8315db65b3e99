// SPDX-License-Identifier: Apache-2.0
//
// How work reaches a container. Pull: a program inside asks for inputs at its own door. Push: the
// program inside is a plain HTTP server that knows nothing of Thaw; what it promises stands in a
// PushContract, one for each version. Plain values.
#pragma once

#include <csignal>
#include <cstdint>
#include <string>
#include <vector>

#include "thaw/base/result.h"

namespace thaw::model {

enum class RunnerKind { pull, push };

struct PushContract {
  std::uint16_t port = 8080;  // where it listens; it is told so as PORT
  // What it speaks there; h2c: HTTP/2 without TLS, from the first byte on, as servers of gRPC do.
  enum class Wire { http1, h2c } wire = Wire::http1;

  // When it is ready for requests.
  struct Ready {
    enum class By {
      accepts,  // a connection succeeds
      status,   // the answer to GET `path` has one of the statuses `good`
      field,    // the JSON answer to GET `path` has at `pointer` one of the values `good`
      said,     // its dialect says so
    } by = By::accepts;
    std::string path;
    std::string pointer;            // RFC 6901, "/status"
    std::vector<std::string> good;  // by status, if empty: any from 200 to 299
    std::vector<std::string> bad;   // that say it never will be
  } ready;

  // Asked while it is idle; a container that misses twice in a row is replaced. Empty: not asked.
  std::string health_path;
  // Where inputs that name no path of their own go.
  std::string target = "/";
  // Headers of callers, lower-case, that the server does not see.
  std::vector<std::string> drop_headers;
  // POST to it tells a server that it was restored from a snapshot, before anybody else asks it
  // anything: it renews what no two restores may share. Empty: it is not told.
  std::string restored_path;
  // In place of the CMD of its image.
  std::vector<std::string> arguments;
  // POST to it asks the server to end; empty, or if it answers with no success: `stop_signal`.
  std::string drain_path;
  int stop_signal = SIGTERM;
};

// invalid_argument names the field. For a dialect's door; the catalog stores no other contract.
Result<void> check(const PushContract& contract);

}  // namespace thaw::model
