// SPDX-License-Identifier: Apache-2.0
// The stored form of volumes, and how they are found by name.
#include "thaw/catalog/catalog.h"
#include "thaw/codec/json.h"

namespace thaw::catalog {

using codec::Json;
using model::Volume;

template <>
StoredRecord to_record(const Volume& v) {
  return {codec::dump_json({{"id", v.id},
                            {"workspace", v.workspace},
                            {"environment", v.environment},
                            {"name", v.name},
                            {"life", static_cast<int>(v.life)},
                            {"format", v.format},
                            {"created_us", v.created_at.time_since_epoch().count()}}),
          {}};
}

template <>
Result<Volume> from_record(const StoredRecord& record) {
  try {
    const Json json = Json::parse(record.json);
    Volume v;
    v.id = json.at("id").get<model::VolumeId>();
    v.workspace = json.at("workspace").get<model::WorkspaceId>();
    v.environment = json.at("environment").get<model::EnvironmentId>();
    v.name = json.value("name", std::string());
    v.life = static_cast<Volume::Life>(json.value("life", 0));
    v.format = json.value("format", 2);
    v.created_at = WallTime(std::chrono::microseconds(json.value("created_us", std::int64_t{0})));
    return v;
  } catch (const Json::exception& failure) {
    return Error::data_loss(std::string("a catalog record cannot be read: ") + failure.what());
  }
}

std::shared_ptr<const Volume> Catalog::named_volume(const model::EnvironmentId& environment,
                                                    const std::string& name) const {
  const auto found = volumes.find_by_key(named_key(environment, name));
  return found.empty() ? nullptr : found.front();
}

}  // namespace thaw::catalog
