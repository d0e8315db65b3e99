// SPDX-License-Identifier: Apache-2.0
//
// The configuration of a stranger's image, and what its labels say of a model: what is taken of it
// is bounded and makes a card.
#include "thaw/dialect/native/cog_labels.h"

#include "tests/fuzz/target.h"
#include "thaw/image/image_manifest.h"
#include "thaw/model/model_card.h"

namespace thaw::fuzz {

void run(std::string_view input) {
  const auto file = image::read_config_file(input, {.architecture = "amd64"});
  if (!file) {
    expect_sentence(file.error());
    return;
  }
  const auto labels = dialect::native::read_cog_labels(file->notes.labels, file->config.env);
  if (!labels) {
    expect_sentence(labels.error());
    return;
  }
  if (!*labels) {
    return;
  }
  model::ModelCard card;
  card.owner = "ada";
  card.name = "x";
  card.id = std::string(64, '0');
  card.schema = (*labels)->schema;
  card.made_with = (*labels)->made_with;
  card.inputs = (*labels)->inputs;
  expect(model::check(card).has_value(), "what labels say makes a card");
}

}  // namespace thaw::fuzz
