// SPDX-License-Identifier: Apache-2.0
//
// PublicErrors: what a client is told of an Error. The sentence stays; where the server keeps its
// files does not leave the machine. What was left out is in the server's log. Loop thread only.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "thaw/base/error.h"
#include "thaw/base/time.h"

namespace thaw::gateway {

class PublicErrors {
 public:
  // Absolute paths of the server's own folders.
  explicit PublicErrors(std::vector<std::string> folders);
  std::string told(const Error& error);

 private:
  std::vector<std::string> folders_;
  Instant last_logged_{};
};

// Paths that begin with one of `folders` become "a file of the server".
std::string without_paths(std::string_view text, const std::vector<std::string>& folders);

}  // namespace thaw::gateway
