// SPDX-License-Identifier: Apache-2.0
#include "thaw/codec/fields.h"

#include <algorithm>

namespace thaw::codec {

namespace {

constexpr std::int64_t year_10000_us = 253'402'300'800'000'000;

const Json no_items = Json::array();
const Json no_object = Json::object();

}  // namespace

Fields::Fields(const Json& json) : json_(json.is_object() ? json : no_object) {
  if (!json.is_object()) {
    wrong_ = "it is no JSON object";
  }
}

const Json* Fields::find(const char* name) const {
  const auto found = json_.find(name);
  return found == json_.end() ? nullptr : &*found;
}

void Fields::wrong(const char* name, const char* what) {
  if (wrong_.empty()) {
    wrong_ = std::string("its field '") + name + "' " + what;
  }
}

void Fields::include(const Fields& part) {
  if (wrong_.empty()) {
    wrong_ = part.wrong_;
  }
}

Result<void> Fields::outcome() const {
  if (!wrong_.empty()) {
    return Error::data_loss("the record cannot be read: " + wrong_);
  }
  return ok();
}

void Fields::read(const char* name, std::string& out) {
  if (const Json* found = find(name)) {
    if (found->is_string()) {
      out = found->get<std::string>();
    } else {
      wrong(name, "is no text");
    }
  }
}

void Fields::read(const char* name, bool& out) {
  if (const Json* found = find(name)) {
    if (found->is_boolean()) {
      out = found->get<bool>();
    } else {
      wrong(name, "is neither true nor false");
    }
  }
}

void Fields::read(const char* name, double& out) {
  if (const Json* found = find(name)) {
    const double value = found->is_number() ? found->get<double>() : std::nan("");
    if (std::isfinite(value)) {
      out = value;
    } else {
      wrong(name, "is no number");
    }
  }
}

void Fields::read_time(const char* name, WallTime& out) {
  std::int64_t micros = out.time_since_epoch().count();
  read(name, micros);
  if (micros < 0 || micros >= year_10000_us) {
    wrong(name, "is no time");
    return;
  }
  out = WallTime(std::chrono::microseconds(micros));
}

void Fields::read_duration(const char* name, Duration& out) {
  std::int64_t nanos = out.count();
  read(name, nanos);
  out = std::clamp(Duration(nanos), Duration::zero(), longest);
}

const Json& Fields::items(const char* name) {
  const Json* found = find(name);
  if (found == nullptr) {
    return no_items;
  }
  if (!found->is_array()) {
    wrong(name, "is no list");
    return no_items;
  }
  return *found;
}

const Json& Fields::object(const char* name) {
  const Json* found = find(name);
  if (found == nullptr) {
    return no_object;
  }
  if (!found->is_object()) {
    wrong(name, "is no object");
    return no_object;
  }
  return *found;
}

}  // namespace thaw::codec
