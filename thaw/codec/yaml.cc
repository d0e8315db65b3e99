// SPDX-License-Identifier: Apache-2.0
#include "thaw/codec/yaml.h"

#include <yaml.h>

#include <algorithm>
#include <set>
#include <utility>

namespace thaw::codec {

namespace {

constexpr std::size_t most_told_bytes = 100;

Error at_line(int line, std::string_view what) {
  return Error::invalid_argument("line " + std::to_string(line) + ": " + std::string(what));
}

class Event {
 public:
  Event() = default;
  ~Event() { yaml_event_delete(&event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  yaml_event_t* get() { return &event_; }
  const yaml_event_t* operator->() const { return &event_; }
  int line() const { return static_cast<int>(event_.start_mark.line) + 1; }

 private:
  yaml_event_t event_{};
};

// One pass over the events; the reader knows no more of the text than it has taken.
class Reader {
 public:
  Reader(std::string_view text, const YamlLimits& limits) : limits_(limits) {
    ready_ = yaml_parser_initialize(&parser_) == 1;
    if (ready_) {
      yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(text.data()),
                                   text.size());
      yaml_parser_set_encoding(&parser_, YAML_UTF8_ENCODING);
    }
  }
  ~Reader() {
    if (ready_) {
      yaml_parser_delete(&parser_);
    }
  }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  Result<YamlNode> document() {
    YamlNode root;
    for (int documents = 0;;) {
      Event event;
      THAW_TRY_VOID(next(event));
      switch (event->type) {
        case YAML_STREAM_END_EVENT: return root;
        case YAML_STREAM_START_EVENT:
        case YAML_DOCUMENT_END_EVENT: break;
        case YAML_DOCUMENT_START_EVENT:
          if (++documents > 1) {
            return at_line(event.line(), "a second document begins; there is to be one");
          }
          break;
        default: {
          THAW_TRY(root, node(event, 1));
        }
      }
    }
  }

 private:
  Result<void> next(Event& event) {
    if (!ready_) {
      return Error::resource_exhausted("no memory for a reader of YAML");
    }
    if (yaml_parser_parse(&parser_, event.get()) == 1) {
      return ok();
    }
    const bool has_place =
        parser_.error == YAML_SCANNER_ERROR || parser_.error == YAML_PARSER_ERROR;
    const std::string what = parser_.problem != nullptr ? parser_.problem : "it is no YAML";
    if (parser_.error == YAML_MEMORY_ERROR) {
      return Error::resource_exhausted("no memory for what the YAML says");
    }
    return has_place ? at_line(static_cast<int>(parser_.problem_mark.line) + 1, what)
                     : Error::invalid_argument(what);
  }

  Result<YamlNode> node(const Event& event, std::size_t depth) {
    if (++nodes_ > limits_.nodes) {
      return Error::resource_exhausted("line " + std::to_string(event.line()) + ": more than " +
                                       std::to_string(limits_.nodes) + " values");
    }
    if (depth > limits_.depth) {
      return Error::resource_exhausted("line " + std::to_string(event.line()) + ": more than " +
                                       std::to_string(limits_.depth) + " levels");
    }
    YamlNode made;
    made.line = event.line();
    switch (event->type) {
      case YAML_ALIAS_EVENT:
        return at_line(made.line, "aliases (*name) are not read; write it out");
      case YAML_SCALAR_EVENT: return scalar(event);
      case YAML_SEQUENCE_START_EVENT: {
        THAW_TRY_VOID(list(made, depth));
        return made;
      }
      case YAML_MAPPING_START_EVENT: {
        THAW_TRY_VOID(map(made, depth));
        return made;
      }
      default: return at_line(made.line, "a value is missing");
    }
  }

  static Result<YamlNode> scalar(const Event& event) {
    const auto& scalar = event->data.scalar;
    YamlNode made;
    made.line = event.line();
    made.text.assign(reinterpret_cast<const char*>(scalar.value), scalar.length);
    made.kind = YamlNode::Kind::text;
    const bool is_plain = scalar.style == YAML_PLAIN_SCALAR_STYLE;
    made.written = is_plain ? YamlNode::Written::plain : YamlNode::Written::quoted;
    const std::string& text = made.text;
    if (is_plain && (text.empty() || text == "~" || text == "null" || text == "Null")) {
      made.kind = YamlNode::Kind::empty;
      made.text.clear();
    }
    return made;
  }

  Result<void> list(YamlNode& made, std::size_t depth) {
    made.kind = YamlNode::Kind::list;
    while (true) {
      Event event;
      THAW_TRY_VOID(next(event));
      if (event->type == YAML_SEQUENCE_END_EVENT) {
        return ok();
      }
      THAW_TRY(YamlNode item, node(event, depth + 1));
      made.items.push_back(std::move(item));
    }
  }

  Result<void> map(YamlNode& made, std::size_t depth) {
    made.kind = YamlNode::Kind::map;
    std::set<std::string, std::less<>> keys;
    while (true) {
      Event event;
      THAW_TRY_VOID(next(event));
      if (event->type == YAML_MAPPING_END_EVENT) {
        return ok();
      }
      if (event->type != YAML_SCALAR_EVENT) {
        return at_line(event.line(), "a key is to be a text");
      }
      THAW_TRY(YamlNode key, scalar(event));
      if (!keys.insert(key.text).second) {
        return at_line(key.line, "'" + key.text.substr(0, most_told_bytes) + "' is there twice");
      }
      Event value;
      THAW_TRY_VOID(next(value));
      THAW_TRY(YamlNode entry, node(value, depth + 1));
      entry.key = std::move(key.text);
      made.items.push_back(std::move(entry));
    }
  }

  const YamlLimits& limits_;
  yaml_parser_t parser_{};
  bool ready_ = false;
  std::size_t nodes_ = 0;
};

}  // namespace

const YamlNode* YamlNode::find(std::string_view name) const {
  const auto found = std::find_if(items.begin(), items.end(),
                                  [name](const YamlNode& item) { return item.key == name; });
  return kind != Kind::map || found == items.end() ? nullptr : &*found;
}

Result<YamlNode> parse_yaml(std::string_view text, const YamlLimits& limits) {
  if (text.size() > limits.bytes) {
    return Error::resource_exhausted("more than " + std::to_string(limits.bytes >> 10) +
                                     " KiB of YAML");
  }
  return Reader(text, limits).document();
}

}  // namespace thaw::codec
