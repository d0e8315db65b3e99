// SPDX-License-Identifier: Apache-2.0
//
// InputSchema: what goes into a version of a model, from its OpenAPI document: the part of JSON
// Schema that such documents have, with references to their own components. Inputs are checked
// before anything is started for them. A document is a stranger's: references may go in circles,
// patterns are matched in linear time, and what makes no sense checks nothing. Pure; any thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "thaw/codec/json.h"

namespace thaw::gateway {

struct InvalidField {
  std::string field;  // "input.prompt", "input.words.3"
  std::string type;   // "required", "type", "enum", "minimum", …
  std::string what;   // a sentence of the field
};

class InputSchema {
 public:
  // `document`: JSON text. Whatever is wrong with it, that part checks nothing. `pieces_mark`: the
  // member by which its output says that it comes in pieces: "iterator".
  explicit InputSchema(std::string_view document, const char* pieces_mark = "");
  ~InputSchema();
  InputSchema(InputSchema&&) noexcept;

  // Takes out the fields that the model does not have, as the server inside does, and checks the
  // others. Not an object: one invalid field. At most 50 are told.
  std::vector<InvalidField> check(codec::Json& input) const;
  // Whether the value of a field is the address of a file.
  bool is_file(const std::string& field) const;

  // Whether the output comes in pieces that are a list together.
  bool gives_list() const { return gives_list_; }

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
  bool gives_list_ = false;
};

}  // namespace thaw::gateway
