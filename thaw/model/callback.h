// SPDX-License-Identifier: Apache-2.0
//
// Callback: what somebody outside is to be told of one call, as its log grows. It is a reader of
// that log with a place of its own in it, and as durable as the call. The core knows neither how
// an entry is put into words nor what its receiver makes of it. A plain value.
#pragma once

#include <string>
#include <string_view>

#include "thaw/base/time.h"

namespace thaw::model {

// Which entries of the log are told.
struct CallbackWants {
  bool started = false;  // a container has an input
  bool output = false;   // pieces of output
  bool final_ = true;    // how an input ended

  bool operator==(const CallbackWants&) const = default;
};

struct Callback {
  std::string sink;      // the address that is told, as its caller wrote it
  std::string receiver;  // whose address that is: what is bounded and rested together
  CallbackWants wants;
  Duration try_for = std::chrono::hours(24);  // after the call's end; then it is given up
  std::string dialect;                        // that puts entries into words
  std::string options;                        // opaque to all but that dialect
};

// A sink of this kind is a function of the call's workspace: its input is what is told.
constexpr std::string_view function_sink = "function:";

}  // namespace thaw::model
