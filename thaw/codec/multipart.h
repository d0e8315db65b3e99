// SPDX-License-Identifier: Apache-2.0
//
// MultipartReader: the parts of a multipart/form-data body, out of the pieces in which it comes; a
// part's bytes are handed on as they come. What it holds back is bounded. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "thaw/base/result.h"

namespace thaw::codec {

struct PartHead {
  std::string name;
  std::string file_name;
  std::string content_type;
};

struct PartEvent {
  enum class Kind { begin, bytes, end } kind = Kind::begin;
  PartHead head;      // begin
  std::string bytes;  // bytes
};

class MultipartReader {
 public:
  // invalid_argument: the type is another, or names no boundary.
  static Result<MultipartReader> of_type(std::string_view content_type);

  Result<std::vector<PartEvent>> take(std::string_view piece);
  // Whether all parts have come.
  bool is_done() const { return state_ == State::done; }

 private:
  enum class State { preamble, after_boundary, head, body, done };
  explicit MultipartReader(std::string boundary) : boundary_("--" + std::move(boundary)) {}
  // false: it needs more.
  Result<bool> step(std::vector<PartEvent>& events);
  bool step_body(std::vector<PartEvent>& events);

  std::string boundary_;
  State state_ = State::preamble;
  std::string held_;
};

}  // namespace thaw::codec
