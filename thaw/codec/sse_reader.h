// SPDX-License-Identifier: Apache-2.0
//
// SseReader: server-sent events out of the pieces in which they come. Bounded: an event that does
// not end is an error. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "thaw/base/result.h"

namespace thaw::codec {

struct SseEvent {
  std::string name;  // empty: it has none
  std::string data;
};

class SseReader {
 public:
  explicit SseReader(std::size_t most_event_bytes) : most_event_bytes_(most_event_bytes) {}

  // The events that end in this piece. resource_exhausted: one is too large.
  Result<std::vector<SseEvent>> take(std::string_view piece);

 private:
  void take_line(std::string_view line, std::vector<SseEvent>& events);

  std::size_t most_event_bytes_;
  std::string unread_;
  std::size_t looked_at_ = 0;  // of it: where no line ends
  SseEvent event_;
  bool has_data_ = false;
};

// One event as it is sent: each line of `data` is a line of its own.
std::string write_sse(std::string_view id, std::string_view name, std::string_view data);

}  // namespace thaw::codec
