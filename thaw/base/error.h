// SPDX-License-Identifier: Apache-2.0
//
// One vocabulary of failure. An Error carries a code (the sixteen canonical gRPC codes, so that
// every dialect owns one small table to its own wire form), a message for a person (what failed,
// with which thing, what to do next) and the context that callers add on the way up. Programs tell
// failures apart by the code. A plain value: copy it freely.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace thaw {

enum class Code : int {
  ok = 0,
  cancelled = 1,
  unknown = 2,
  invalid_argument = 3,
  deadline_exceeded = 4,
  not_found = 5,
  already_exists = 6,
  permission_denied = 7,
  resource_exhausted = 8,
  failed_precondition = 9,
  aborted = 10,
  out_of_range = 11,
  unimplemented = 12,
  internal = 13,
  unavailable = 14,
  data_loss = 15,
  unauthenticated = 16,
};

// The canonical lower-case name, such as "not_found".
std::string_view code_name(Code code);

class [[nodiscard]] Error {
 public:
  Error(Code code, std::string message) : code_(code), message_(std::move(message)) {}

  static Error cancelled(std::string m) { return {Code::cancelled, std::move(m)}; }
  static Error invalid_argument(std::string m) { return {Code::invalid_argument, std::move(m)}; }
  static Error deadline_exceeded(std::string m) { return {Code::deadline_exceeded, std::move(m)}; }
  static Error not_found(std::string m) { return {Code::not_found, std::move(m)}; }
  static Error already_exists(std::string m) { return {Code::already_exists, std::move(m)}; }
  static Error permission_denied(std::string m) { return {Code::permission_denied, std::move(m)}; }
  static Error resource_exhausted(std::string m) {
    return {Code::resource_exhausted, std::move(m)};
  }
  static Error failed_precondition(std::string m) {
    return {Code::failed_precondition, std::move(m)};
  }
  static Error aborted(std::string m) { return {Code::aborted, std::move(m)}; }
  static Error out_of_range(std::string m) { return {Code::out_of_range, std::move(m)}; }
  static Error unimplemented(std::string m) { return {Code::unimplemented, std::move(m)}; }
  static Error internal(std::string m) { return {Code::internal, std::move(m)}; }
  static Error unavailable(std::string m) { return {Code::unavailable, std::move(m)}; }
  static Error data_loss(std::string m) { return {Code::data_loss, std::move(m)}; }
  static Error unauthenticated(std::string m) { return {Code::unauthenticated, std::move(m)}; }
  // From errno at the place of failure: maps ENOENT, EEXIST, EACCES, ENOSPC … to their codes and
  // appends the system's own text. `what` says which operation on which thing.
  static Error from_errno(int error_number, std::string_view what);

  Code code() const { return code_; }
  const std::string& message() const { return message_; }

  // Adds "key=value" to the context; rvalue form keeps `return Error::x(…).with(…)` one line.
  Error with(std::string_view key, std::string_view value) &&;
  Error& with(std::string_view key, std::string_view value) &;

  // message plus context, for logs and for people.
  std::string to_string() const;

 private:
  Code code_;
  std::string message_;
  std::vector<std::pair<std::string, std::string>> context_;
};

}  // namespace thaw
