// SPDX-License-Identifier: Apache-2.0
//
// Aligned columns for a terminal: a heading, rows, two blanks between columns.
#pragma once

#include <string>
#include <vector>

namespace thaw::cli {

using TableRow = std::vector<std::string>;
std::string aligned_table(const TableRow& heading, const std::vector<TableRow>& rows);

// "4.2 ms", "1.5 s", "-" for a negative value.
std::string short_duration(double ms);
std::string short_bytes(double bytes);

// "2026-11-30 07:52:23" where the reader is; "-" for 0.
std::string local_time(double unix_seconds);

}  // namespace thaw::cli
