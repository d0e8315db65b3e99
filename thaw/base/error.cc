// SPDX-License-Identifier: Apache-2.0
#include "thaw/base/error.h"

#include <cerrno>
#include <cstring>

namespace thaw {

std::string_view code_name(Code code) {
  switch (code) {
    case Code::ok: return "ok";
    case Code::cancelled: return "cancelled";
    case Code::unknown: return "unknown";
    case Code::invalid_argument: return "invalid_argument";
    case Code::deadline_exceeded: return "deadline_exceeded";
    case Code::not_found: return "not_found";
    case Code::already_exists: return "already_exists";
    case Code::permission_denied: return "permission_denied";
    case Code::resource_exhausted: return "resource_exhausted";
    case Code::failed_precondition: return "failed_precondition";
    case Code::aborted: return "aborted";
    case Code::out_of_range: return "out_of_range";
    case Code::unimplemented: return "unimplemented";
    case Code::internal: return "internal";
    case Code::unavailable: return "unavailable";
    case Code::data_loss: return "data_loss";
    case Code::unauthenticated: return "unauthenticated";
  }
  return "unknown";
}

namespace {

Code code_of_errno(int error_number) {
  switch (error_number) {
    case ENOENT:
    case ESRCH: return Code::not_found;
    case EEXIST: return Code::already_exists;
    case EACCES:
    case EPERM: return Code::permission_denied;
    case ENOSPC:
    case EDQUOT:
    case ENOMEM: return Code::resource_exhausted;
    case EINVAL:
    case ENAMETOOLONG: return Code::invalid_argument;
    case EBUSY:
    case EADDRINUSE:
    case ENOTEMPTY: return Code::failed_precondition;
    case ETIMEDOUT: return Code::deadline_exceeded;
    case EPIPE:
    case ECONNREFUSED:
    case ECONNRESET:
    case EMFILE:  // of this process or machine, for now: whoever asks again may find some free
    case ENFILE:
    case EAGAIN: return Code::unavailable;
    case ECANCELED: return Code::cancelled;
    case EIO: return Code::data_loss;
    default: return Code::internal;
  }
}

}  // namespace

Error Error::from_errno(int error_number, std::string_view what) {
  return {code_of_errno(error_number), std::string(what) + ": " + std::strerror(error_number)};
}

Error Error::with(std::string_view key, std::string_view value) && {
  context_.emplace_back(key, value);
  return std::move(*this);
}

Error& Error::with(std::string_view key, std::string_view value) & {
  context_.emplace_back(key, value);
  return *this;
}

std::string Error::to_string() const {
  std::string text = message_;
  for (const auto& [key, value] : context_) {
    text += " [" + key + "=" + value + "]";
  }
  return text;
}

}  // namespace thaw
