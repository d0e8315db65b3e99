// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/callback_rules.h"

#include <time.h>

#include <algorithm>
#include <charconv>

#include "thaw/policy/backoff.h"

namespace thaw::gateway {

namespace {

constexpr Duration first_rest = std::chrono::seconds(5);
constexpr Duration longest_rest = std::chrono::minutes(5);
// Nobody who asks for more is waited for; the nanoseconds of the year 9999 would not fit.
constexpr std::chrono::seconds longest_asked = std::chrono::hours(24 * 366);

std::optional<Duration> asked_pause(std::string_view text, WallTime now) {
  if (text.empty() || text.size() > 64) {
    return std::nullopt;
  }
  std::int64_t seconds = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error == std::errc() && rest == text.data() + text.size()) {
    return std::chrono::seconds(std::clamp<std::int64_t>(seconds, 0, longest_asked.count()));
  }
  tm parts{};
  const std::string date(text);
  const char* left = ::strptime(date.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
  if (left == nullptr || *left != '\0') {
    return std::nullopt;
  }
  const WallTime when(std::chrono::seconds(::timegm(&parts)));
  return std::clamp<WallTime::duration>(when - now, WallTime::duration::zero(), longest_asked);
}

Duration spread(Duration most, double random) {
  return std::chrono::duration_cast<Duration>(most * (0.5 + std::clamp(random, 0.0, 1.0) / 2));
}

}  // namespace

CallbackAnswer judge_status(int status, std::string_view retry_after, WallTime now) {
  if (status >= 200 && status < 300) {
    return {};
  }
  const std::string why = "it answered " + std::to_string(status);
  if (status >= 300 && status < 400) {
    return {CallbackAnswer::Kind::later, why + ", and callbacks follow no redirects"};
  }
  const bool is_final =
      status >= 400 && status < 500 && status != 408 && status != 425 && status != 429;
  if (is_final) {
    return {CallbackAnswer::Kind::never, why};
  }
  return {CallbackAnswer::Kind::later, why, asked_pause(retry_after, now)};
}

Duration callback_pause(int failures, std::optional<Duration> asked, double random) {
  const Duration own =
      spread(policy::backoff(failures, first_callback_pause, longest_callback_pause), random);
  return std::min(std::max(own, asked.value_or(Duration::zero())), longest_callback_pause);
}

Duration receiver_rest(int failures, double random) {
  const int beyond = failures - failures_to_rest + 1;
  return beyond <= 0 ? Duration::zero()
                     : spread(policy::backoff(beyond, first_rest, longest_rest), random);
}

}  // namespace thaw::gateway
