// SPDX-License-Identifier: Apache-2.0
//
// ModelCard: what a version of a function says of itself as a model: whose it is and how it is
// called by those who look for models, what goes in and comes out. It belongs to the version and is
// as immutable; a function whose version has none is no model. Plain values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "thaw/base/result.h"

namespace thaw::model {

struct ModelCard {
  std::string owner;
  std::string name;
  std::string id;  // of the version, for those who name versions so: 64 digits of hex
  std::string description;
  enum class Visibility { everybody, owner } visibility = Visibility::owner;
  std::string schema;        // OpenAPI as JSON text; empty: nobody knows what goes in
  bool streams = false;      // it gives its output piece by piece
  bool trains = false;       // it says how it is trained
  std::string made_with;     // the version of what serves it, as that tells it: "0.23.1"
  std::uint32_t inputs = 1;  // that one container takes at once
};

constexpr std::size_t longest_model_word = 63;  // owner, name
constexpr std::size_t longest_model_description = 4'096;
constexpr std::size_t largest_model_schema = 512u << 10;

// invalid_argument names the field: a word has 1 to 63 letters, digits, dots, dashes and
// underscores, and begins and ends with a letter or a digit.
Result<void> check(const ModelCard& card);

// The name of the function that a model is: a part of a host name, so that several models may want
// the same one. `home`: the owner whose models are named without him.
std::string model_function(std::string_view owner, std::string_view name, std::string_view home);

}  // namespace thaw::model
