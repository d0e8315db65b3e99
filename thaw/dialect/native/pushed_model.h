// SPDX-License-Identifier: Apache-2.0
//
// PushedModel: what a push that is to become a model says of it: whose it is, and where in its
// image the schema of its inputs lies. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "thaw/codec/json.h"
#include "thaw/model/model_card.h"

namespace thaw::dialect::native {

struct PushedModel {
  std::string owner;  // empty: the workspace's name
  std::string name;
  std::optional<std::string> description;  // nothing: as the version before it
  std::optional<model::ModelCard::Visibility> visibility;
  std::string schema_path;  // absolute, in the image
  std::string schema;       // as the image's labels have it; empty: it is at schema_path
  std::string made_with;    // as its labels say, where the schema does not
  bool trains = false;
};

// invalid_argument names the field.
Result<PushedModel> read_pushed_model(const codec::Json& json);

std::string_view word_of(model::ModelCard::Visibility visibility);

}  // namespace thaw::dialect::native
