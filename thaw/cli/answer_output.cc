// SPDX-License-Identifier: Apache-2.0
#include "thaw/cli/answer_output.h"

#include <cstdio>

namespace thaw::cli {

async::Task<void> print_answer(net::ClientResponse& response, std::string who) {
  bool ends_line = true;
  while (true) {
    THAW_CO_TRY(const std::optional<std::string> piece, co_await response.read());
    if (!piece) {
      break;
    }
    if (std::fwrite(piece->data(), 1, piece->size(), stdout) != piece->size() ||
        std::fflush(stdout) != 0) {
      co_return Error::unavailable("standard output takes no more");
    }
    ends_line = piece->empty() ? ends_line : piece->back() == '\n';
  }
  if (response.status < 200 || response.status >= 300) {
    std::fputs(ends_line ? "" : "\n", stderr);
    co_return Error::unavailable(who + " answered with status " + std::to_string(response.status));
  }
  co_return ok();
}

}  // namespace thaw::cli
