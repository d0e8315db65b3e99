// SPDX-License-Identifier: Apache-2.0
//
// One request to a server's console over its admin socket, for the verbs.
#pragma once

#include <string>

#include "thaw/cli/verbs.h"
#include "thaw/codec/json.h"

namespace thaw::cli {

struct AdminRequest {
  std::string method = "GET";
  std::string target;  // "/admin/ps"
  std::string body;
};

// The answer's JSON; an Error says what the server said, or that there is none.
Result<codec::Json> ask_server(const Where& where, const AdminRequest& request);

// Of a name that becomes part of a target.
std::string percent_encoded(const std::string& text);

// Prints an Error to stderr and gives the exit code.
int fail(const Error& error);

}  // namespace thaw::cli
