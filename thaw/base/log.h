// SPDX-License-Identifier: Apache-2.0
//
// Structured logs: one line per event, JSON on stderr (or text when stderr is a terminal).
//   log_info("container started", {{"container", id.str()}, {"ms", "4.2"}});
// Any thread. Values are strings; secrets and user payloads never go here.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace thaw {

// `none` is no event's: with it as the least level nothing is written.
enum class LogLevel { debug, info, warning, error, none };

using LogFields = std::initializer_list<std::pair<std::string_view, std::string>>;

// Sets the least level that is written (default: info). Call once, early.
void set_log_level(LogLevel level);  // tidy(unused): the simulator is quiet

void log_event(LogLevel level, std::string_view event, LogFields fields);

inline void log_debug(std::string_view e, LogFields f = {}) { log_event(LogLevel::debug, e, f); }
inline void log_info(std::string_view e, LogFields f = {}) { log_event(LogLevel::info, e, f); }
inline void log_warning(std::string_view e, LogFields f = {}) {
  log_event(LogLevel::warning, e, f);
}
inline void log_error(std::string_view e, LogFields f = {}) { log_event(LogLevel::error, e, f); }

}  // namespace thaw
