// SPDX-License-Identifier: Apache-2.0
// The stored form of volumes, and how they are found by name.
#include "thaw/catalog/catalog.h"
#include "thaw/catalog/detail/decode.h"

namespace thaw::catalog {

using model::Volume;

template <>
StoredRecord to_record(const Volume& v) {
  return {codec::dump_json({{"id", v.id},
                            {"workspace", v.workspace},
                            {"environment", v.environment},
                            {"name", v.name},
                            {"life", static_cast<int>(v.life)},
                            {"format", v.format},
                            {"created_us", detail::micros(v.created_at)}}),
          {}};
}

template <>
Result<Volume> from_record(const StoredRecord& record) {
  return detail::decode<Volume>(record, [](codec::Fields& fields, Volume& v) {
    fields.read("id", v.id);
    fields.read("workspace", v.workspace);
    fields.read("environment", v.environment);
    fields.read("name", v.name);
    fields.read_enum("life", v.life, Volume::Life::doomed);
    fields.read_within("format", v.format, 1, 2);
    fields.read_time("created_us", v.created_at);
  });
}

template <>
Weight weight_of(const Volume& v) {
  return {v.workspace.str(), 0};
}

std::shared_ptr<const Volume> Catalog::named_volume(const model::EnvironmentId& environment,
                                                    const std::string& name) const {
  const auto found = volumes.find_by_key(named_key(environment, name));
  return found.empty() ? nullptr : found.front();
}

}  // namespace thaw::catalog
