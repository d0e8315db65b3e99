// SPDX-License-Identifier: Apache-2.0
// The stored form of dicts and item queues, and how they are found by name.
#include "thaw/catalog/catalog.h"
#include "thaw/catalog/detail/decode.h"

namespace thaw::catalog {

namespace {

template <class Id>
StoredRecord record_of(const model::NamedState<Id>& v) {
  return {codec::dump_json({{"id", v.id},
                            {"workspace", v.workspace},
                            {"environment", v.environment},
                            {"name", v.name},
                            {"life", static_cast<int>(v.life)},
                            {"created_us", detail::micros(v.created_at)}}),
          {}};
}

template <class Id>
Result<model::NamedState<Id>> read_record(const StoredRecord& record) {
  using State = model::NamedState<Id>;
  return detail::decode<State>(record, [](codec::Fields& fields, State& v) {
    fields.read("id", v.id);
    fields.read("workspace", v.workspace);
    fields.read("environment", v.environment);
    fields.read("name", v.name);
    fields.read_enum("life", v.life, State::Life::ephemeral);
    fields.read_time("created_us", v.created_at);
  });
}

}  // namespace

template <>
StoredRecord to_record(const model::Dict& v) {
  return record_of(v);
}
template <>
StoredRecord to_record(const model::ItemQueue& v) {
  return record_of(v);
}
template <>
Result<model::Dict> from_record(const StoredRecord& record) {
  return read_record<model::DictId>(record);
}
template <>
Result<model::ItemQueue> from_record(const StoredRecord& record) {
  return read_record<model::ItemQueueId>(record);
}
template <>
Weight weight_of(const model::Dict& v) {
  return {v.workspace.str(), 0};
}
template <>
Weight weight_of(const model::ItemQueue& v) {
  return {v.workspace.str(), 0};
}

std::shared_ptr<const model::Dict> Catalog::named_dict(const model::EnvironmentId& environment,
                                                       const std::string& name) const {
  const auto found = dicts.find_by_key(named_key(environment, name));
  return found.empty() ? nullptr : found.front();
}

std::shared_ptr<const model::ItemQueue> Catalog::named_item_queue(
    const model::EnvironmentId& environment, const std::string& name) const {
  const auto found = item_queues.find_by_key(named_key(environment, name));
  return found.empty() ? nullptr : found.front();
}

}  // namespace thaw::catalog
