// SPDX-License-Identifier: Apache-2.0
#include "thaw/codec/json_field.h"

#include <optional>
#include <utility>
#include <vector>

#include "thaw/codec/json.h"

namespace thaw::codec {

namespace {

std::vector<std::string> tokens_of(std::string_view pointer) {
  std::vector<std::string> tokens;
  while (!pointer.empty()) {
    pointer.remove_prefix(1);
    const std::size_t end = std::min(pointer.find('/'), pointer.size());
    std::string token;
    for (std::size_t i = 0; i < end; ++i) {
      const bool is_escape = pointer[i] == '~' && i + 1 < end;
      token += !is_escape ? pointer[i] : pointer[++i] == '1' ? '/' : '~';
    }
    tokens.push_back(std::move(token));
    pointer.remove_prefix(end);
  }
  return tokens;
}

// Walks along and stops at the value. `on_way_`: so many containers, from the outermost one, are at
// the child that the pointer names.
class Finder : public nlohmann::json_sax<Json> {
 public:
  explicit Finder(std::string_view pointer) : tokens_(tokens_of(pointer)) {}

  const std::optional<std::string>& found() const { return found_; }
  bool is_no_value() const { return is_no_value_; }
  bool is_at_the_end(std::size_t size) const { return !failed_at_ || *failed_at_ >= size; }

  bool null() override { return value("null"); }
  bool boolean(bool given) override { return value(given ? "true" : "false"); }
  bool number_integer(number_integer_t given) override { return value(dump_json(given)); }
  bool number_unsigned(number_unsigned_t given) override { return value(dump_json(given)); }
  bool number_float(number_float_t, const string_t& written) override { return value(written); }
  bool string(string_t& given) override { return value(given); }
  bool binary(binary_t&) override { return value(""); }
  bool start_object(std::size_t) override { return start(false); }
  bool start_array(std::size_t) override { return start(true); }
  bool key(string_t& name) override {
    child(name);
    return true;
  }
  bool end_object() override { return end(); }
  bool end_array() override { return end(); }
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    failed_at_ = position;
    return false;
  }

 private:
  // The innermost container is at its child of that name.
  void child(std::string_view name) {
    const std::size_t level = inside_.size() - 1;
    on_way_ = std::min(on_way_, level);
    if (on_way_ == level && level < tokens_.size() && tokens_[level] == name) {
      ++on_way_;
    }
  }
  bool is_wanted() {
    if (!inside_.empty() && inside_.back() >= 0) {
      child(std::to_string(inside_.back()++));
    }
    return inside_.size() == tokens_.size() && on_way_ == tokens_.size();
  }
  bool value(std::string text) {
    if (is_wanted()) {
      found_ = std::move(text);
    }
    return !found_;
  }
  bool start(bool is_array) {
    is_no_value_ = is_wanted();
    inside_.push_back(is_array ? 0 : -1);
    return !is_no_value_;
  }
  bool end() {
    inside_.pop_back();
    on_way_ = std::min(on_way_, inside_.size());
    return true;
  }

  std::vector<std::string> tokens_;
  std::vector<std::int64_t> inside_;  // of a list the number of its next item; of an object -1
  std::size_t on_way_ = 0;
  std::optional<std::string> found_;
  bool is_no_value_ = false;
  std::optional<std::size_t> failed_at_;
};

}  // namespace

Result<std::string> find_json_field(std::string_view text, std::string_view pointer) {
  Finder finder(pointer);
  (void)Json::sax_parse(text, &finder);
  if (finder.found()) {
    return *finder.found();
  }
  if (finder.is_no_value()) {
    return Error::invalid_argument("it is no plain value");
  }
  if (!finder.is_at_the_end(text.size())) {
    return Error::invalid_argument("it is no JSON");
  }
  return Error::not_found("it is not there");
}

}  // namespace thaw::codec
