// SPDX-License-Identifier: Apache-2.0
//
// Stored records of every kind: JSON, and behind a NUL the bytes beside it. What is read is written
// as what is read as the same again: the catalog stores nothing else. The first byte is the kind.
#include "thaw/catalog/records.h"

#include "tests/fuzz/target.h"
#include "thaw/image/image_record.h"

namespace thaw::fuzz {

namespace {

using namespace thaw::catalog;

template <class T>
void check(const StoredRecord& record) {
  const auto value = from_record<T>(record);
  if (!value) {
    expect_sentence(value.error());
    expect(value.error().code() == Code::data_loss, "a record that cannot be read is data loss");
    return;
  }
  const StoredRecord written = to_record(*value);
  const auto again = from_record<T>(written);
  expect(again.has_value(), "a record that was written can be read");
  const StoredRecord twice = to_record(*again);
  expect(twice.json == written.json && twice.bytes == written.bytes, "and is the same");
  expect(again->id == value->id && index_key(*again) == index_key(*value) &&
             weight_of(*again).bytes == weight_of(*value).bytes,
         "it is found and counted as the same");
}

void check_image(const StoredRecord& record) {
  if (const auto value = image::read_record(record.json)) {
    const std::string written = image::write_record(*value);
    const auto again = image::read_record(written);
    expect(again && image::write_record(*again) == written, "an image's record is the same again");
  }
}

}  // namespace

void run(std::string_view input) {
  Bytes bytes(input);
  const std::uint8_t kind = bytes.byte();
  StoredRecord record;
  record.json = bytes.line();
  record.bytes = bytes.rest();
  switch (kind % 16) {
    case 0: check<catalog::Function>(record); break;
    case 1: check<catalog::Version>(record); break;
    case 2: check<model::Alias>(record); break;
    case 3: check<model::Environment>(record); break;
    case 4: check<model::Workspace>(record); break;
    case 5: check<model::Token>(record); break;
    case 6: check<model::App>(record); break;
    case 7: check<model::Class>(record); break;
    case 8: check<model::Mount>(record); break;
    case 9: check<model::Secret>(record); break;
    case 10: check<model::Image>(record); break;
    case 11: check<model::Volume>(record); break;
    default: check_image(record);
  }
}

}  // namespace thaw::fuzz
