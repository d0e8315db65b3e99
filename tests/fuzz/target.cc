// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/target.h"

#include <cstdio>
#include <cstdlib>

namespace thaw::fuzz {

namespace {

// Room for what an error repeats of a stranger's words, which is cut.
constexpr std::size_t longest_sentence = 2000;

}  // namespace

void expect(bool holds, std::string_view property, std::source_location where) {
  if (!holds) {
    std::fprintf(stderr, "fuzz: %s:%u: this does not hold: %.*s\n", where.file_name(),
                 static_cast<unsigned>(where.line()), static_cast<int>(property.size()),
                 property.data());
    std::abort();
  }
}

void expect_sentence(const Error& error, std::source_location where) {
  expect(error.code() >= Code::cancelled && error.code() <= Code::unauthenticated,
         "an error has one of the codes of errors", where);
  expect(error.message().find(' ') != std::string::npos, "an error is a sentence", where);
  if (error.message().size() > longest_sentence) {
    std::fprintf(stderr, "fuzz: %.300s\n", error.message().c_str());
  }
  expect(error.message().size() <= longest_sentence, "an error's length is bounded", where);
}

}  // namespace thaw::fuzz
