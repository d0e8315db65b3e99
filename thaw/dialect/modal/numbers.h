// SPDX-License-Identifier: Apache-2.0
//
// The numbers that a client gives a function: what is no number, or more than any machine has, is
// refused by the name of its field before anything is kept of it.
// Numbers of containers are scaling_limits.h's.
#pragma once

#include <google/protobuf/message.h>

#include "thaw/base/result.h"
#include "thaw/dialect/modal/proto/functions.pb.h"

namespace thaw::dialect::modal {

// No number is out of its range, and no fraction infinite or no number at all.
Result<void> check_numbers(const ::modal::client::AutoscalerSettings& settings);
Result<void> check_numbers(const ::modal::client::Function& definition);

}  // namespace thaw::dialect::modal
