// SPDX-License-Identifier: Apache-2.0
//
// Failure: what is said of an input that did not end well, in words that every dialect can put into
// its own form when a caller reads it. The platform says its failures only so; a program that fails
// may say it in a payload of its dialect instead. A plain value.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

namespace thaw::model {

// Of the platform's failures. A program's has the name of its error's type.
namespace failure_type {
inline constexpr const char* cancelled = "cancelled";
inline constexpr const char* timeout = "timeout";
inline constexpr const char* expired = "expired";
inline constexpr const char* app_stopped = "app_stopped";
inline constexpr const char* start_failed = "start_failed";
inline constexpr const char* container_ended = "container_ended";
inline constexpr const char* out_of_memory = "out_of_memory";
inline constexpr const char* no_answer = "no_answer";  // of a server inside
inline constexpr const char* input_damaged = "input_damaged";
inline constexpr const char* result_not_kept = "result_not_kept";
}  // namespace failure_type

struct Failure {
  std::string type = {};
  std::string message = {};
  std::string trace = {};  // where, as the program's language writes it; may be empty
  // The same call may well succeed later, though nobody changes anything.
  bool retryable = false;

  std::size_t size() const { return type.size() + message.size() + trace.size(); }
};

// One failure may end a hundred thousand inputs: they share it. Null: there is none.
using FailurePtr = std::shared_ptr<const Failure>;

}  // namespace thaw::model
