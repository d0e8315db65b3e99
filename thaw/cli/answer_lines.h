// SPDX-License-Identifier: Apache-2.0
//
// The lines of an answer as they come, for answers of one JSON value a line. The answer outlives
// it; one reader, on the loop's thread.
#pragma once

#include <optional>
#include <string>

#include "thaw/net/http_client.h"

namespace thaw::cli {

class AnswerLines {
 public:
  static constexpr std::size_t most_line_bytes = 4u << 20;

  explicit AnswerLines(net::ClientResponse& response) : response_(response) {}

  // Without its end; nullopt behind the last. resource_exhausted for a line that is too long.
  async::Task<std::optional<std::string>> next();

 private:
  net::ClientResponse& response_;
  std::string buffer_;
  std::size_t looked_at_ = 0;  // of the buffer; there is no line's end in it
  bool ended_ = false;
};

}  // namespace thaw::cli
