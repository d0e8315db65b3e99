// SPDX-License-Identifier: Apache-2.0
//
// Fields: reads a stored JSON object into plain values and trusts none of it. A field that is not
// there leaves its value as it was, so that a newer program reads what an older one wrote; one of
// another type, or of a number that the value cannot hold, is remembered (the first of them) and
// told by outcome(). No number is ever converted by chance: 1e300 is no int.
#pragma once

#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "thaw/base/time.h"
#include "thaw/codec/json.h"

namespace thaw::codec {

class Fields {
 public:
  // `json` outlives it.
  explicit Fields(const Json& json);

  void read(const char* name, std::string& out);
  void read(const char* name, bool& out);
  void read(const char* name, double& out);  // finite
  template <class Tag>
  void read(const char* name, StrongId<Tag>& out);
  template <std::integral T>
  void read(const char* name, T& out);
  template <class T>
  void read(const char* name, std::vector<T>& out);
  template <class T>
  void read(const char* name, std::map<std::string, T>& out);

  // Of a number that makes no sense beyond them: the nearest that does.
  template <std::integral T>
  void read_within(const char* name, T& out, T least, T most);
  // Microseconds since the epoch; before the year 10000.
  void read_time(const char* name, WallTime& out);
  // Nanoseconds; at least none, at most `longest`.
  void read_duration(const char* name, Duration& out);
  // 0 to `last`.
  template <class E>
  void read_enum(const char* name, E& out, E last);

  // The array's items, or an empty one; not an array: wrong.
  const Json& items(const char* name);
  // The object, or an empty one.
  const Json& object(const char* name);

  void wrong(const char* name, const char* what);
  // data_loss naming the field.
  Result<void> outcome() const;
  // Takes over what went wrong in a part of this object.
  void include(const Fields& part);

  static constexpr Duration longest = std::chrono::hours(24 * 366 * 50);

 private:
  const Json* find(const char* name) const;

  const Json& json_;
  std::string wrong_;
};

template <class Tag>
void Fields::read(const char* name, StrongId<Tag>& out) {
  std::string text = out.str();
  read(name, text);
  out = StrongId<Tag>(std::move(text));
}

template <std::integral T>
void Fields::read(const char* name, T& out) {
  const Json* found = find(name);
  if (found == nullptr) {
    return;
  }
  if (found->is_number_unsigned()) {
    const auto value = found->get<std::uint64_t>();
    if (std::in_range<T>(value)) {
      out = static_cast<T>(value);
      return;
    }
  } else if (found->is_number_integer()) {
    const auto value = found->get<std::int64_t>();
    if (std::in_range<T>(value)) {
      out = static_cast<T>(value);
      return;
    }
  }
  wrong(name, "is no whole number that fits");
}

template <std::integral T>
void Fields::read_within(const char* name, T& out, T least, T most) {
  read(name, out);
  out = out < least ? least : out > most ? most : out;
}

template <class T>
void Fields::read(const char* name, std::vector<T>& out) {
  for (const Json& item : items(name)) {
    if (!item.is_string()) {
      wrong(name, "holds something that is no text");
      return;
    }
    out.emplace_back(item.get<std::string>());
  }
}

template <class T>
void Fields::read(const char* name, std::map<std::string, T>& out) {
  for (const auto& [key, value] : object(name).items()) {
    if (!value.is_string()) {
      wrong(name, "holds something that is no text");
      return;
    }
    out.insert_or_assign(key, T(value.template get<std::string>()));
  }
}

template <class E>
void Fields::read_enum(const char* name, E& out, E last) {
  int value = static_cast<int>(out);
  read(name, value);
  if (value < 0 || value > static_cast<int>(last)) {
    wrong(name, "is none of its values");
    return;
  }
  out = static_cast<E>(value);
}

}  // namespace thaw::codec
