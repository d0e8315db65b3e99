// SPDX-License-Identifier: Apache-2.0
// The stored form of what apps consisted of.

#include "thaw/catalog/detail/decode.h"
#include "thaw/catalog/records.h"

namespace thaw::catalog {

using codec::Fields;
using codec::Json;
using detail::decode;
using detail::most;

model::AppVersionId app_version_id(const model::AppId& app, int number) {
  return model::AppVersionId(app.str() + "/" + std::to_string(number));
}

template <>
StoredRecord to_record(const AppVersion& v) {
  Json functions = Json::array();
  for (const auto& [tag, target] : v.functions) {
    functions.push_back({{"tag", tag}, {"function", target.function}, {"version", target.version}});
  }
  return {codec::dump_json({{"id", v.id},
                            {"app", v.app},
                            {"workspace", v.workspace},
                            {"number", v.number},
                            {"functions", functions},
                            {"classes", v.classes}}),
          {}};
}

template <>
Result<AppVersion> from_record(const StoredRecord& record) {
  return decode<AppVersion>(record, [](Fields& fields, AppVersion& v) {
    fields.read("id", v.id);
    fields.read("app", v.app);
    fields.read("workspace", v.workspace);
    fields.read_within("number", v.number, 0, most);
    for (const Json& item : fields.items("functions")) {
      std::string tag;
      model::Target target;
      Fields part(item);
      part.read("tag", tag);
      part.read("function", target.function);
      part.read("version", target.version);
      fields.include(part);
      v.functions.emplace(std::move(tag), std::move(target));
    }
    fields.read("classes", v.classes);
    if (v.id != app_version_id(v.app, v.number)) {
      fields.wrong("id", "is not that of its app and its number");
    }
  });
}

template <>
std::vector<std::string> named_by(const AppVersion& version) {
  std::vector<std::string> names;
  names.reserve(version.functions.size());
  for (const auto& [tag, target] : version.functions) {
    names.push_back(target.str());
  }
  return names;
}

template <>
Weight weight_of(const AppVersion& v) {
  std::size_t bytes = 0;
  for (const auto& [tag, target] : v.functions) {
    bytes += tag.size() + target.function.str().size() + target.version.size();
  }
  for (const auto& [tag, id] : v.classes) {
    bytes += tag.size() + id.str().size();
  }
  return {v.workspace.str(), bytes};
}

}  // namespace thaw::catalog
