// SPDX-License-Identifier: Apache-2.0
#include "thaw/queue/detail/untold.h"

namespace thaw::queue::detail {

namespace {

model::FailurePtr made(model::Failure failure) {
  return std::make_shared<const model::Failure>(std::move(failure));
}

}  // namespace

model::FailurePtr untold_failure(model::OutcomeKind kind) {
  using enum model::OutcomeKind;
  static const model::FailurePtr cancelled =
      made({.type = model::failure_type::cancelled, .message = "the call was cancelled"});
  static const model::FailurePtr damaged =
      made({.type = model::failure_type::input_damaged,
            .message = "the stored input of the call is damaged, so it could not run; call the "
                       "function again",
            .retryable = true});
  static const model::FailurePtr late =
      made({.type = model::failure_type::timeout, .message = "the call ran past its time limit"});
  static const model::FailurePtr not_kept =
      made({.type = model::failure_type::result_not_kept,
            .message = "the result is not kept: it is past its time, or its workspace has as much "
                       "on the server's disk as it may"});
  static const model::FailurePtr waited =
      made({.type = model::failure_type::expired,
            .message = "no container had the call by the time that it allows; call again when "
                       "there is less to do, or allow it more time",
            .retryable = true});
  switch (kind) {
    case terminated: return cancelled;
    case internal_failure: return damaged;
    case timeout: return late;
    case failure: return not_kept;
    case expired: return waited;
    case success: break;
  }
  return nullptr;
}

}  // namespace thaw::queue::detail
