// SPDX-License-Identifier: Apache-2.0
// The stored form of the names of images, and how they are found.
#include "thaw/catalog/catalog.h"
#include "thaw/catalog/detail/decode.h"

namespace thaw::catalog {

using codec::Fields;
using codec::Json;

template <>
StoredRecord to_record(const model::ImageName& n) {
  Json revisions = Json::array();
  for (const auto& revision : n.revisions) {
    revisions.push_back({{"id", revision.id},
                         {"image", revision.image},
                         {"at_us", detail::micros(revision.at)},
                         {"by", revision.by}});
  }
  return {codec::dump_json({{"id", n.id},
                            {"workspace", n.workspace},
                            {"environment", n.environment},
                            {"name", n.name},
                            {"created_us", detail::micros(n.created_at)},
                            {"revisions", revisions}}),
          {}};
}

template <>
Result<model::ImageName> from_record(const StoredRecord& record) {
  return detail::decode<model::ImageName>(record, [](Fields& fields, model::ImageName& n) {
    fields.read("id", n.id);
    fields.read("workspace", n.workspace);
    fields.read("environment", n.environment);
    fields.read("name", n.name);
    fields.read_time("created_us", n.created_at);
    for (const Json& item : fields.items("revisions")) {
      model::ImageName::Revision revision;
      Fields part(item);
      part.read("id", revision.id);
      part.read("image", revision.image);
      part.read_time("at_us", revision.at);
      part.read("by", revision.by);
      fields.include(part);
      n.revisions.push_back(std::move(revision));
    }
  });
}

template <>
Weight weight_of(const model::ImageName& n) {
  std::size_t bytes = n.name.size();
  for (const auto& revision : n.revisions) {
    bytes += revision.id.size() + revision.image.str().size() + revision.by.size();
  }
  return {n.workspace.str(), bytes};
}

std::shared_ptr<const model::ImageName> Catalog::image_name(const model::EnvironmentId& environment,
                                                            const std::string& name) const {
  const auto found = image_names.find_by_key(named_key(environment, name));
  return found.empty() ? nullptr : found.front();
}

}  // namespace thaw::catalog
