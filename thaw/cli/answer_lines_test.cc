// SPDX-License-Identifier: Apache-2.0
#include "thaw/cli/answer_lines.h"

#include <doctest/doctest.h>

#include <utility>
#include <vector>

#include "thaw/async/loop.h"

using namespace thaw;

namespace {

struct Pieces final : net::ClientResponse {
  std::vector<std::string> pieces;
  std::size_t next = 0;

  explicit Pieces(std::vector<std::string> of) : pieces(std::move(of)) {}
  async::Task<std::optional<std::string>> read() override {
    co_return next < pieces.size() ? std::optional(pieces[next++]) : std::nullopt;
  }
};

async::Task<std::string> joined(Pieces& pieces) {
  cli::AnswerLines lines(pieces);
  std::string out;
  while (true) {
    THAW_CO_TRY(const std::optional<std::string> line, co_await lines.next());
    if (!line) {
      co_return out;
    }
    out += "<" + *line + ">";
  }
}

Result<std::string> lines_of(std::vector<std::string> pieces) {
  Pieces answer(std::move(pieces));
  async::Loop loop;
  return loop.run_task(joined(answer));
}

}  // namespace

TEST_CASE("lines of an answer do not depend on how it is cut") {
  CHECK(*lines_of({"a\nbc\nd"}) == "<a><bc><d>");
  CHECK(*lines_of({"a", "\n", "b", "c\nd", ""}) == "<a><bc><d>");
  CHECK(*lines_of({"\n\n"}) == "<><>");
  CHECK(*lines_of({}) == "");
}

TEST_CASE("a line without an end is refused") {
  CHECK_FALSE(lines_of({std::string(cli::AnswerLines::most_line_bytes + 1, 'a'), "\n"}));
}
