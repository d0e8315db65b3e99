// SPDX-License-Identifier: Apache-2.0
#include "thaw/base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cstdio>

#include "thaw/base/time.h"

namespace thaw {

namespace {

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  for (const char raw : text) {
    const auto c = static_cast<unsigned char>(raw);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += raw;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", c);
      out += escape;
    } else {
      out += raw;
    }
  }
  out += '"';
}

std::shared_ptr<spdlog::logger> make_logger() {
  auto logger = spdlog::stderr_logger_mt("thaw");
  logger->set_pattern(isatty(STDERR_FILENO) != 0 ? "%H:%M:%S.%e %l %v" : "%v");
  logger->flush_on(spdlog::level::debug);
  return logger;
}

spdlog::logger& logger() {
  static const std::shared_ptr<spdlog::logger> instance = make_logger();
  return *instance;
}

spdlog::level::level_enum spd_level(LogLevel level) {
  switch (level) {
    case LogLevel::debug: return spdlog::level::debug;
    case LogLevel::info: return spdlog::level::info;
    case LogLevel::warning: return spdlog::level::warn;
    case LogLevel::error: return spdlog::level::err;
    case LogLevel::none: return spdlog::level::off;
  }
  return spdlog::level::info;
}

std::string as_text(std::string_view event, LogFields fields) {
  std::string line(event);
  for (const auto& [key, value] : fields) {
    line.append(" ").append(key).append("=").append(value);
  }
  return line;
}

std::string as_json(LogLevel level, std::string_view event, LogFields fields) {
  const auto spd = spdlog::level::to_string_view(spd_level(level));
  std::string line = "{\"time\":" + std::to_string(to_seconds(wall_now())) + ",\"level\":\"";
  line.append(spd.data(), spd.size()).append("\",\"event\":");
  append_json_string(line, event);
  for (const auto& [key, value] : fields) {
    line += ',';
    append_json_string(line, key);
    line += ':';
    append_json_string(line, value);
  }
  return line + "}";
}

}  // namespace

void set_log_level(LogLevel level) { logger().set_level(spd_level(level)); }

void log_event(LogLevel level, std::string_view event, LogFields fields) {
  if (!logger().should_log(spd_level(level))) {
    return;
  }
  static const bool terminal = isatty(STDERR_FILENO) != 0;
  const std::string line = terminal ? as_text(event, fields) : as_json(level, event, fields);
  logger().log(spd_level(level), spdlog::string_view_t(line));
}

}  // namespace thaw
