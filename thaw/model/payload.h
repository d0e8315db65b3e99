// SPDX-License-Identifier: Apache-2.0
//
// Payload: bytes that the core carries and never reads, and the name of what they are. A client's
// dialect, or the program in a container, makes them and gives them a content type; only who knows
// that type reads them. A plain value.
#pragma once

#include <cstddef>
#include <string>

namespace thaw::model {

struct Payload {
  std::string bytes = {};
  std::string content_type = {};  // as in HTTP; empty: nobody has said what they are

  // Nothing is there. A result of no bytes has a content type still.
  bool empty() const { return bytes.empty() && content_type.empty(); }
  std::size_t size() const { return bytes.size() + content_type.size(); }
};

}  // namespace thaw::model
