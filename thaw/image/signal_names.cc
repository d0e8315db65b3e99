// SPDX-License-Identifier: Apache-2.0
#include "thaw/image/signal_names.h"

#include <charconv>
#include <csignal>
#include <cstring>
#include <string>

namespace thaw::image {

namespace {

constexpr int least = 1;
constexpr int most = 64;
// What user space calls the first and the last one that libc leaves to programs.
constexpr int first_realtime = 34;

std::optional<int> number(std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool is_whole = error == std::errc{} && end == text.data() + text.size();
  return is_whole && value >= least && value <= most ? std::optional(value) : std::nullopt;
}

// "+3" and "-2" behind RTMIN and RTMAX; nothing behind it is 0.
std::optional<int> realtime(int base, std::string_view offset, char sign) {
  if (offset.empty()) {
    return base;
  }
  const auto steps = offset.front() == sign ? number(offset.substr(1)) : std::nullopt;
  if (!steps) {
    return std::nullopt;
  }
  const int signal = sign == '+' ? base + *steps : base - *steps;
  return signal >= first_realtime && signal <= most ? std::optional(signal) : std::nullopt;
}

}  // namespace

std::optional<int> signal_number(std::string_view text) {
  if (const auto plain = number(text)) {
    return plain;
  }
  std::string name;
  for (const char c : text) {
    name += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  }
  const std::string_view bare = std::string_view(name).substr(name.starts_with("SIG") ? 3 : 0);
  if (bare.starts_with("RTMIN")) {
    return realtime(first_realtime, bare.substr(5), '+');
  }
  if (bare.starts_with("RTMAX")) {
    return realtime(most, bare.substr(5), '-');
  }
  for (int signal = least; signal < first_realtime; ++signal) {
    const char* known = ::sigabbrev_np(signal);
    if (known != nullptr && bare == known) {
      return signal;
    }
  }
  return std::nullopt;
}

}  // namespace thaw::image
