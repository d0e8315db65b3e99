// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/callback_rules.h"

#include <doctest/doctest.h>

using namespace thaw;
using namespace thaw::gateway;
using Kind = CallbackAnswer::Kind;

namespace {

const WallTime now = WallTime(std::chrono::seconds(1'893'456'000));  // 2030-01-01 00:00:00

}  // namespace

TEST_CASE("2xx takes a callback, 4xx ends it but for those that pass, all else is tried again") {
  for (const int status : {200, 201, 202, 204, 299}) {
    CHECK(judge_status(status, "", now).kind == Kind::taken);
  }
  for (const int status : {400, 401, 403, 404, 405, 410, 413, 422, 451}) {
    CAPTURE(status);
    CHECK(judge_status(status, "", now).kind == Kind::never);
  }
  for (const int status : {0, 100, 301, 302, 307, 408, 425, 429, 500, 502, 503, 504, 999}) {
    CAPTURE(status);
    CHECK(judge_status(status, "", now).kind == Kind::later);
  }
  CHECK(judge_status(302, "", now).why.find("redirect") != std::string::npos);
}

TEST_CASE("Retry-After is seconds or a date; what is neither is nothing") {
  CHECK(judge_status(429, "7", now).after == Duration(7s));
  CHECK(judge_status(503, "0", now).after == Duration(0));
  CHECK(judge_status(503, "Tue, 01 Jan 2030 00:01:00 GMT", now).after == Duration(1min));
  CHECK(judge_status(503, "Mon, 01 Jan 2029 00:01:00 GMT", now).after == Duration(0));
  CHECK(judge_status(503, "99999999999999999", now).after <= Duration(366 * 24h));
  CHECK(judge_status(503, "Fri, 31 Dec 9999 23:59:59 GMT", now).after == Duration(366 * 24h));
  for (const char* text : {"", "soon", "7 s", "-", "1e3", "Tue, 01 Jan 2030"}) {
    CAPTURE(text);
    CHECK(!judge_status(503, text, now).after);
  }
  CHECK(judge_status(503, "-5", now).after == Duration(0));
}

TEST_CASE("pauses grow to a bound, spread, and hold what a receiver asked for within it") {
  CHECK(callback_pause(1, std::nullopt, 1) == first_callback_pause);
  CHECK(callback_pause(1, std::nullopt, 0) == first_callback_pause / 2);
  CHECK(callback_pause(2, std::nullopt, 1) == 2 * first_callback_pause);
  CHECK(callback_pause(60, std::nullopt, 1) == longest_callback_pause);
  CHECK(callback_pause(1, 10min, 1) == Duration(10min));
  CHECK(callback_pause(1, 100h, 1) == longest_callback_pause);
  CHECK(callback_pause(8, 1s, 0) > Duration(1min));
}

TEST_CASE("a receiver that fails in a row rests, ever longer, to a bound") {
  CHECK(receiver_rest(0, 1) == Duration::zero());
  CHECK(receiver_rest(failures_to_rest - 1, 1) == Duration::zero());
  CHECK(receiver_rest(failures_to_rest, 1) > Duration::zero());
  CHECK(receiver_rest(failures_to_rest + 1, 1) > receiver_rest(failures_to_rest, 1));
  CHECK(receiver_rest(1'000, 1) == Duration(5min));
}
