// SPDX-License-Identifier: Apache-2.0
//
// Stored records of what dialects keep of their own and of what is in the registry, and the card of
// a model in front of a version's definition: what is read is the same when it is written anew. The
// first byte is the kind.
#include "tests/fuzz/target.h"
#include "thaw/catalog/model_cards.h"
#include "thaw/catalog/repository_records.h"
#include "thaw/model/document.h"

namespace thaw::catalog {

// Defined in gateway/documents.cc, whose alone they are.
template <>
StoredRecord to_record(const model::Document& v);
template <>
Result<model::Document> from_record(const StoredRecord& record);
template <>
std::string index_key(const model::Document& v);
template <>
Weight weight_of(const model::Document& v);

}  // namespace thaw::catalog

namespace thaw::fuzz {

namespace {

using namespace thaw::catalog;

template <class T>
void check(const StoredRecord& record) {
  const auto value = from_record<T>(record);
  if (!value) {
    expect_sentence(value.error());
    return;
  }
  const StoredRecord written = to_record(*value);
  const auto again = from_record<T>(written);
  expect(again.has_value(), "a record that was written can be read");
  const StoredRecord twice = to_record(*again);
  expect(twice.json == written.json && twice.bytes == written.bytes, "and is the same");
  expect(again->id == value->id && index_key(*again) == index_key(*value) &&
             owner_key(*again) == owner_key(*value) && named_by(*again) == named_by(*value) &&
             weight_of(*again).bytes == weight_of(*value).bytes,
         "it is found and counted as the same");
}

void check_card(std::string_view definition) {
  const std::string own(own_definition(definition));
  expect(own.size() <= definition.size(), "a dialect's own bytes are a part of the definition");
  const auto card = model_card_of(definition);
  if (!card) {
    expect_sentence(card.error());
    expect(card.error().code() == Code::data_loss, "a card that cannot be read is data loss");
    return;
  }
  if (!*card) {
    expect(own == definition, "without a card all of it is the dialect's own");
    return;
  }
  const std::string written = with_model_card(**card, own);
  expect(own_definition(written) == own, "what is behind a card stays what it is");
  const auto again = model_card_of(written);
  expect(again && *again, "a card that was written can be read");
  expect(with_model_card(**again, own) == written, "and is the same");
}

}  // namespace

void run(std::string_view input) {
  Bytes bytes(input);
  const std::uint8_t kind = bytes.byte();
  if (kind % 8 == 0) {
    check_card(bytes.rest());
    return;
  }
  StoredRecord record;
  record.json = bytes.line();
  record.bytes = bytes.rest();
  switch (kind % 8) {
    case 1: check<model::Repository>(record); break;
    case 2: check<model::RepositoryBlob>(record); break;
    case 3: check<model::RepositoryManifest>(record); break;
    case 4: check<model::NamedManifest>(record); break;
    default: check<model::Document>(record);
  }
}

}  // namespace thaw::fuzz
