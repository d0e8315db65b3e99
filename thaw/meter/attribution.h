// SPDX-License-Identifier: Apache-2.0
//
// To whom the time of a span goes, and with it what was used meanwhile. Time is exact: the parts
// are the span's whole life, always. Memory and processor follow it: what has come since the last
// look is divided by the time that each part has got since then, whole numbers with nothing lost;
// frozen memory is all kept warm, and processor time is nobody's who only stands idle, while
// somebody works. Pure.
#pragma once

#include "thaw/meter/records.h"

namespace thaw::meter {

enum class Life : std::uint8_t { goes_on, over };

// The microseconds of each part.
std::array<std::int64_t, parts> time_of_parts(const Totals& totals, Cause cause, Life life);

// The parts at this moment, given what they were at the look before (nothing at the first).
Parts attribute(const Totals& totals, Cause cause, Life life, const Parts& before);

}  // namespace thaw::meter
