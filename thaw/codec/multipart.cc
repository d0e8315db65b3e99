// SPDX-License-Identifier: Apache-2.0
#include "thaw/codec/multipart.h"

#include <algorithm>
#include <utility>

namespace thaw::codec {

namespace {

constexpr std::size_t longest_boundary = 200;
constexpr std::size_t largest_head = 16u << 10;

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return out;
}

// `name="…"` in a header's value; names are lower-case.
std::string parameter(std::string_view value, std::string_view name) {
  std::size_t at = value.find(';');
  while (at != std::string_view::npos) {
    value.remove_prefix(at + 1);
    value.remove_prefix(std::min(value.find_first_not_of(' '), value.size()));
    const std::size_t equals = std::min(value.find('='), value.size());
    const bool is_it = lower(value.substr(0, equals)) == name;
    value.remove_prefix(std::min(equals + 1, value.size()));
    std::string text;
    if (value.starts_with('"')) {
      std::size_t i = 1;
      for (; i < value.size() && value[i] != '"'; ++i) {
        i += value[i] == '\\' && i + 1 < value.size() ? 1 : 0;
        text += value[i];
      }
      value.remove_prefix(std::min(i + 1, value.size()));
    } else {
      text = value.substr(0, value.find(';'));
    }
    if (is_it) {
      return text;
    }
    at = value.find(';');
  }
  return {};
}

PartHead head_of(std::string_view text) {
  PartHead head;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find("\r\n"), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 2, text.size()));
    const std::size_t colon = std::min(line.find(':'), line.size());
    const std::string name = lower(line.substr(0, colon));
    std::string_view value = line.substr(std::min(colon + 1, line.size()));
    value.remove_prefix(std::min(value.find_first_not_of(" \t"), value.size()));
    if (name == "content-disposition") {
      head.name = parameter(value, "name");
      head.file_name = parameter(value, "filename");
    } else if (name == "content-type") {
      head.content_type = value;
    }
  }
  return head;
}

}  // namespace

Result<MultipartReader> MultipartReader::of_type(std::string_view content_type) {
  const bool is_form = lower(content_type).starts_with("multipart/form-data");
  std::string boundary = is_form ? parameter(content_type, "boundary") : std::string();
  if (boundary.empty() || boundary.size() > longest_boundary) {
    return Error::invalid_argument(
        "content-type: a file is sent as multipart/form-data with a boundary");
  }
  return MultipartReader(std::move(boundary));
}

Result<std::vector<PartEvent>> MultipartReader::take(std::string_view piece) {
  std::vector<PartEvent> events;
  held_ += piece;
  while (true) {
    THAW_TRY(const bool more, step(events));
    if (!more) {
      return events;
    }
  }
}

Result<bool> MultipartReader::step(std::vector<PartEvent>& events) {
  switch (state_) {
    case State::preamble: {
      const std::size_t at = held_.find(boundary_);
      if (at == std::string::npos) {
        if (held_.size() > largest_head) {
          return Error::invalid_argument("the body does not begin with its boundary");
        }
        return false;
      }
      held_.erase(0, at + boundary_.size());
      state_ = State::after_boundary;
      return true;
    }
    case State::after_boundary:
      if (held_.size() < 2) {
        return false;
      }
      if (!held_.starts_with("--") && !held_.starts_with("\r\n")) {
        return Error::invalid_argument(
            "the body's boundary is followed by neither a part nor an "
            "end");
      }
      state_ = held_.starts_with("--") ? State::done : State::head;
      // The empty line behind no headers at all begins with the end of this one.
      held_.erase(0, state_ == State::done ? 2 : 0);
      return true;
    case State::head: {
      const std::size_t end = held_.find("\r\n\r\n");
      if (end == std::string::npos || end > largest_head) {
        if (held_.size() > largest_head) {
          return Error::invalid_argument("a part of the body has a head that is too large");
        }
        return false;
      }
      const std::string_view lines = std::string_view(held_).substr(0, end);
      events.push_back({PartEvent::Kind::begin,
                        head_of(lines.substr(std::min<std::size_t>(2, lines.size()))),
                        {}});
      held_.erase(0, end + 4);
      state_ = State::body;
      return true;
    }
    case State::body: return step_body(events);
    case State::done: held_.clear(); return false;
  }
  return false;
}

bool MultipartReader::step_body(std::vector<PartEvent>& events) {
  const std::string mark = "\r\n" + boundary_;
  const std::size_t at = held_.find(mark);
  // What may be the beginning of the mark stays.
  const std::size_t sure =
      at != std::string::npos ? at : held_.size() - std::min(held_.size(), mark.size() - 1);
  if (sure > 0) {
    events.push_back({PartEvent::Kind::bytes, {}, held_.substr(0, sure)});
  }
  if (at == std::string::npos) {
    held_.erase(0, sure);
    return false;
  }
  held_.erase(0, at + mark.size());
  events.push_back({PartEvent::Kind::end, {}, {}});
  state_ = State::after_boundary;
  return true;
}

}  // namespace thaw::codec
