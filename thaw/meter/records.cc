// SPDX-License-Identifier: Apache-2.0
#include "thaw/meter/records.h"

#include <numeric>

namespace thaw::meter {

std::string_view cause_name(Cause cause) {
  switch (cause) {
    case Cause::call: return "call";
    case Cause::min: return "min";
    case Cause::buffer: return "buffer";
    case Cause::ahead: return "ahead";
    case Cause::snapshot: return "snapshot";
  }
  return "call";
}

std::string_view part_name(Part part) {
  switch (part) {
    case Part::calls: return "calls";
    case Part::cold: return "cold";
    case Part::kept_warm: return "kept_warm";
    case Part::background: return "background";
    case Part::under_way: return "under_way";
  }
  return "background";
}

std::int64_t Totals::life_us() const {
  return std::accumulate(us.begin(), us.end(), std::int64_t{0});
}

Amount& Amount::operator+=(const Amount& more) {
  us += more.us;
  cpu_us += more.cpu_us;
  byte_seconds += more.byte_seconds;
  frozen_byte_seconds += more.frozen_byte_seconds;
  return *this;
}

Amount Amount::operator-(const Amount& less) const {
  return {us - less.us, cpu_us - less.cpu_us, byte_seconds - less.byte_seconds,
          frozen_byte_seconds - less.frozen_byte_seconds};
}

}  // namespace thaw::meter
