// SPDX-License-Identifier: Apache-2.0
//
// The Dockerfile dialect as a list of instructions: comments dropped, continued lines joined,
// heredocs collected, flags split off. Pure and fuzzed; it knows the grammar, not what the
// instructions mean (that is plan.h). Every error names its line.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "thaw/base/result.h"

namespace thaw::image {

struct Heredoc {
  std::string name;
  std::string body;     // every line with its newline
  bool expand = false;  // the name was not quoted: variables are replaced
};

struct Instruction {
  int line = 0;                                            // where it begins, from 1
  std::string verb;                                        // upper case
  std::vector<std::pair<std::string, std::string>> flags;  // --chown=a:b is {"chown", "a:b"}
  std::string rest;                                        // what follows the flags
  std::optional<std::vector<std::string>> exec;            // rest, if it is the exec form
  std::vector<Heredoc> heredocs;

  // "RUN pip install x", shortened to one line for logs.
  std::string summary() const;
};

struct Dockerfile {
  std::vector<Instruction> instructions;
  char escape = '\\';
};

Result<Dockerfile> parse_dockerfile(std::string_view text);

// "line 7: <message>", as invalid_argument or the code given. What a message repeats of a recipe
// may be all of it: no more than a thousand bytes are told.
Error at_line(int line, Code code, std::string_view message);
Error at_line(int line, std::string_view message);

}  // namespace thaw::image
