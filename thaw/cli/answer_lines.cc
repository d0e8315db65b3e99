// SPDX-License-Identifier: Apache-2.0
#include "thaw/cli/answer_lines.h"

#include <utility>

namespace thaw::cli {

async::Task<std::optional<std::string>> AnswerLines::next() {
  while (true) {
    const std::size_t end = buffer_.find('\n', looked_at_);
    if (end != std::string::npos) {
      std::string line = buffer_.substr(0, end);
      buffer_.erase(0, end + 1);
      looked_at_ = 0;
      co_return line;
    }
    looked_at_ = buffer_.size();
    if (ended_) {
      looked_at_ = 0;
      co_return buffer_.empty() ? std::optional<std::string>()
                                : std::optional(std::exchange(buffer_, {}));
    }
    if (buffer_.size() > most_line_bytes) {
      co_return Error::resource_exhausted("the server sent a line of more than " +
                                          std::to_string(most_line_bytes) + " bytes");
    }
    THAW_CO_TRY(const std::optional<std::string> piece, co_await response_.read());
    ended_ = !piece;
    buffer_ += piece.value_or("");
  }
}

}  // namespace thaw::cli
