// SPDX-License-Identifier: Apache-2.0
#include "thaw/cli/table.h"

#include <algorithm>
#include <cstdio>
#include <ctime>

namespace thaw::cli {

std::string aligned_table(const TableRow& heading, const std::vector<TableRow>& rows) {
  std::vector<std::size_t> widths;
  const auto widen = [&](const TableRow& row) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], row[i].size());
    }
  };
  widen(heading);
  std::for_each(rows.begin(), rows.end(), widen);
  std::string text;
  const auto print = [&](const TableRow& row) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += row[i] + std::string(widths[i] - row[i].size() + 2, ' ');
    }
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  };
  print(heading);
  std::for_each(rows.begin(), rows.end(), print);
  return text;
}

namespace {

std::string formatted(const char* format, double value) {
  char buffer[48];
  std::snprintf(buffer, sizeof buffer, format, value);
  return buffer;
}

}  // namespace

std::string short_duration(double ms) {
  if (ms < 0) {
    return "-";
  }
  if (ms < 1000) {
    return formatted("%.1f ms", ms);
  }
  return ms < 120'000 ? formatted("%.1f s", ms / 1000) : formatted("%.0f min", ms / 60'000);
}

std::string short_bytes(double bytes) {
  return bytes < 1 << 20 ? formatted("%.0f KiB", bytes / 1024)
                         : formatted("%.0f MiB", bytes / (1 << 20));
}

std::string local_time(double unix_seconds) {
  if (unix_seconds <= 0) {
    return "-";
  }
  const auto time = static_cast<std::time_t>(unix_seconds);
  char when[32] = "";
  std::tm parts{};
  std::strftime(when, sizeof when, "%F %T", ::localtime_r(&time, &parts));
  return when;
}

}  // namespace thaw::cli
