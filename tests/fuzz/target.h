// SPDX-License-Identifier: Apache-2.0
//
// What a fuzz target is: one file that defines run(), which gets any bytes and ends the program
// where a property does not hold. What calls it is linked to it: engine.cc, which replays a corpus
// and changes it by a seed, or libFuzzer (libfuzzer.cc), which looks for new ways through the code.
// Both bound the time and the memory of each input.
#pragma once

#include <cstdint>
#include <source_location>
#include <string>
#include <string_view>

#include "thaw/base/result.h"

namespace thaw::fuzz {

// Defined by each target. Called with one input after another, in one thread.
void run(std::string_view input);

// Inputs are at most so long: more tells nothing new, and is slow.
constexpr std::size_t most_input_bytes = 32u << 10;

// Prints the property and aborts unless it holds; whoever calls run() then keeps the input.
void expect(bool holds, std::string_view property,
            std::source_location where = std::source_location::current());
// An error is a sentence for people: it is there, of bounded length, and it has a code.
void expect_sentence(const Error& error,
                     std::source_location where = std::source_location::current());

// Takes an input apart. Where it is over there are zeros and empty texts.
class Bytes {
 public:
  explicit Bytes(std::string_view input) : rest_(input) {}

  std::uint8_t byte() {
    const auto value = static_cast<std::uint8_t>(rest_.empty() ? 0 : rest_.front());
    rest_.remove_prefix(rest_.empty() ? 0 : 1);
    return value;
  }
  std::uint64_t number() {
    std::uint64_t value = 0;
    for (int i = 0; i < 8; ++i) {
      value = value << 8 | byte();
    }
    return value;
  }
  // Up to the next NUL, which is taken too: seeds stay readable.
  std::string_view line() {
    const std::string_view text = rest_.substr(0, rest_.find('\0'));
    rest_.remove_prefix(text.size() < rest_.size() ? text.size() + 1 : text.size());
    return text;
  }
  // With its length in front: two bytes.
  std::string_view text() {
    const std::size_t high = byte();
    const std::string_view taken = rest_.substr(0, high << 8 | byte());
    rest_.remove_prefix(taken.size());
    return taken;
  }
  std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

}  // namespace thaw::fuzz
