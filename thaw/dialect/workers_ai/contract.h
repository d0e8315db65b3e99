// SPDX-License-Identifier: Apache-2.0
//
// Contract: what a model takes and gives, as far as an adapter needs to know it: the fields of its
// input with their kinds, and whether a file comes out. From its OpenAPI document, which is a
// stranger's: what makes no sense in it is a field of any kind. Pure; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace thaw::dialect::workers_ai {

struct InputField {
  enum class Kind { text, number, flag, file, list, any };
  std::string name;
  Kind kind = Kind::any;
};

struct Contract {
  enum class Gives { text, file, other };

  std::vector<InputField> fields;  // as their maker ordered them
  Gives gives = Gives::other;

  // nullptr: it has none of that name.
  const InputField* find(std::string_view name) const;
  // The first of that kind.
  const InputField* first(InputField::Kind kind) const;
  // "prompt, count, mode"
  std::string names() const;
};

Contract read_contract(std::string_view schema);

}  // namespace thaw::dialect::workers_ai
