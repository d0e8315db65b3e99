// SPDX-License-Identifier: Apache-2.0
//
// A line as text, as the queue keeps it with an outcome until the ledger has it. What is read is
// not believed.
#pragma once

#include <string>
#include <string_view>

#include "thaw/base/result.h"
#include "thaw/meter/records.h"

namespace thaw::meter {

std::string write_line(const Line& line);
// data_loss names the field.
Result<Line> read_line(std::string_view text);

}  // namespace thaw::meter
