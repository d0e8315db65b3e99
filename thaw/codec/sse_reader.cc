// SPDX-License-Identifier: Apache-2.0
#include "thaw/codec/sse_reader.h"

#include <algorithm>
#include <utility>

namespace thaw::codec {

Result<std::vector<SseEvent>> SseReader::take(std::string_view piece) {
  std::vector<SseEvent> events;
  unread_ += piece;
  std::size_t begun = 0;
  while (true) {
    const std::size_t end = unread_.find('\n', std::max(begun, looked_at_));
    if (end == std::string::npos) {
      break;
    }
    std::string_view line(unread_.data() + begun, end - begun);
    if (line.ends_with('\r')) {
      line.remove_suffix(1);
    }
    take_line(line, events);
    begun = end + 1;
    looked_at_ = begun;
  }
  unread_.erase(0, begun);
  looked_at_ = unread_.size();
  if (unread_.size() + event_.data.size() > most_event_bytes_) {
    return Error::resource_exhausted("what its server says at once is larger than " +
                                     std::to_string(most_event_bytes_) + " bytes");
  }
  return events;
}

void SseReader::take_line(std::string_view line, std::vector<SseEvent>& events) {
  if (line.empty()) {
    if (has_data_) {
      events.push_back(std::move(event_));
    }
    event_ = {};
    has_data_ = false;
    return;
  }
  const std::size_t colon = std::min(line.find(':'), line.size());
  const std::string_view field = line.substr(0, colon);
  std::string_view value = line.substr(std::min(colon + 1, line.size()));
  if (value.starts_with(' ')) {
    value.remove_prefix(1);
  }
  if (field == "event") {
    event_.name = value;
  } else if (field == "data") {
    event_.data += has_data_ ? "\n" : "";
    event_.data += value;
    has_data_ = true;
  }
}

std::string write_sse(std::string_view id, std::string_view name, std::string_view data) {
  std::string out;
  out.reserve(data.size() + id.size() + name.size() + 32);
  out.append("event: ").append(name).append("\nid: ").append(id).append("\n");
  while (true) {
    const std::size_t end = data.find_first_of("\r\n");
    out.append("data: ").append(data.substr(0, end)).append("\n");
    if (end == std::string_view::npos) {
      break;
    }
    const bool is_pair = data.substr(end, 2) == "\r\n";
    data.remove_prefix(end + (is_pair ? 2 : 1));
  }
  return out + "\n";
}

}  // namespace thaw::codec
