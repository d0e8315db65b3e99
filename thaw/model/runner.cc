// SPDX-License-Identifier: Apache-2.0
#include "thaw/model/runner.h"

#include <algorithm>
#include <string_view>

namespace thaw::model {

namespace {

constexpr std::size_t most_path_bytes = 2048;
constexpr std::size_t most_entries = 64;
constexpr std::size_t most_entry_bytes = 1024;

bool is_visible(char c) { return c > 0x20 && c < 0x7f; }

Result<void> check_path(const char* field, const std::string& path) {
  if (!path.starts_with('/') || path.size() > most_path_bytes ||
      !std::all_of(path.begin(), path.end(), is_visible)) {
    return Error::invalid_argument(
        std::string("the ") + field + " of a server has to begin with / and to be at most " +
        std::to_string(most_path_bytes) + " visible ASCII letters; encode others as %XX");
  }
  return ok();
}

Result<void> check_list(const char* field, const std::vector<std::string>& list) {
  const bool is_bounded =
      list.size() <= most_entries && std::all_of(list.begin(), list.end(), [](const auto& entry) {
        return entry.size() <= most_entry_bytes && entry.find('\0') == std::string::npos;
      });
  if (!is_bounded) {
    return Error::invalid_argument(std::string("the ") + field +
                                   " of a server are more than 64, longer than 1024 bytes, or "
                                   "hold a zero byte");
  }
  return ok();
}

bool is_status(std::string_view text) {
  return text.size() == 3 && text[0] >= '1' && text[0] <= '5' &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

Result<void> check_ready(const PushContract::Ready& ready) {
  using By = PushContract::Ready::By;
  THAW_TRY_VOID(check_list("values that mean ready", ready.good));
  THAW_TRY_VOID(check_list("values that mean never ready", ready.bad));
  if (ready.by == By::accepts || ready.by == By::said) {
    return ok();
  }
  THAW_TRY_VOID(check_path("path of readiness", ready.path));
  if (ready.by == By::field) {
    if (!ready.pointer.empty() && !ready.pointer.starts_with('/')) {
      return Error::invalid_argument("the pointer of readiness has to begin with /, as in /status");
    }
    if (ready.pointer.size() > most_entry_bytes || ready.good.empty()) {
      return Error::invalid_argument(
          "readiness by a field needs the values that mean ready, and a pointer of at most 1024 "
          "bytes");
    }
    return ok();
  }
  for (const auto* list : {&ready.good, &ready.bad}) {
    if (!std::all_of(list->begin(), list->end(), is_status)) {
      return Error::invalid_argument("readiness by a status has statuses as its values, as in 200");
    }
  }
  return ok();
}

}  // namespace

Result<void> check(const PushContract& contract) {
  if (contract.port == 0) {
    return Error::invalid_argument("a server needs a port from 1 to 65535");
  }
  THAW_TRY_VOID(check_ready(contract.ready));
  THAW_TRY_VOID(check_path("target", contract.target));
  if (!contract.health_path.empty()) {
    THAW_TRY_VOID(check_path("health path", contract.health_path));
  }
  if (!contract.restored_path.empty()) {
    THAW_TRY_VOID(check_path("path of restores", contract.restored_path));
  }
  if (!contract.drain_path.empty()) {
    THAW_TRY_VOID(check_path("drain path", contract.drain_path));
  }
  THAW_TRY_VOID(check_list("headers to drop", contract.drop_headers));
  THAW_TRY_VOID(check_list("arguments", contract.arguments));
  if (contract.stop_signal < 1 || contract.stop_signal >= 65) {
    return Error::invalid_argument("the stop signal of a server has to be from 1 to 64");
  }
  return ok();
}

}  // namespace thaw::model
