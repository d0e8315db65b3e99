// SPDX-License-Identifier: Apache-2.0
#include "thaw/catalog/repository_records.h"

#include "thaw/catalog/detail/decode.h"

namespace thaw::catalog {

using codec::Fields;
using codec::Json;
using detail::micros;

namespace {

// Of a row, beside what it says.
constexpr std::size_t row_bytes = 200;

std::size_t bytes_of(const std::vector<std::string>& texts) {
  std::size_t bytes = 0;
  for (const std::string& text : texts) {
    bytes += text.size();
  }
  return bytes;
}

}  // namespace

std::string in_repository(const model::RepositoryId& repository, const std::string& name) {
  return repository.str() + "/" + name;
}

template <>
StoredRecord to_record(const model::Repository& r) {
  return {codec::dump_json({{"id", r.id},
                            {"workspace", r.workspace},
                            {"name", r.name},
                            {"created_us", micros(r.created_at)}}),
          {}};
}
template <>
Result<model::Repository> from_record(const StoredRecord& record) {
  return detail::decode<model::Repository>(record, [](Fields& fields, model::Repository& r) {
    fields.read("id", r.id);
    fields.read("workspace", r.workspace);
    fields.read("name", r.name);
    fields.read_time("created_us", r.created_at);
  });
}
template <>
Weight weight_of(const model::Repository& r) {
  return {r.workspace.str(), row_bytes + r.name.size()};
}

template <>
StoredRecord to_record(const model::RepositoryBlob& b) {
  return {codec::dump_json({{"id", b.id},
                            {"repository", b.repository},
                            {"workspace", b.workspace},
                            {"sha256", b.sha256_hex},
                            {"size", b.size},
                            {"linked_us", micros(b.linked_at)}}),
          {}};
}
template <>
Result<model::RepositoryBlob> from_record(const StoredRecord& record) {
  return detail::decode<model::RepositoryBlob>(record,
                                               [](Fields& fields, model::RepositoryBlob& b) {
                                                 fields.read("id", b.id);
                                                 fields.read("repository", b.repository);
                                                 fields.read("workspace", b.workspace);
                                                 fields.read("sha256", b.sha256_hex);
                                                 fields.read("size", b.size);
                                                 fields.read_time("linked_us", b.linked_at);
                                               });
}
template <>
Weight weight_of(const model::RepositoryBlob& b) {
  return {b.workspace.str(), row_bytes};
}

template <>
StoredRecord to_record(const model::RepositoryManifest& m) {
  return {codec::dump_json({{"id", m.id},
                            {"repository", m.repository},
                            {"workspace", m.workspace},
                            {"sha256", m.sha256_hex},
                            {"size", m.size},
                            {"media_type", m.media_type},
                            {"artifact_type", m.artifact_type},
                            {"subject", m.subject},
                            {"blobs", m.blobs},
                            {"children", m.children},
                            {"annotations", m.annotations},
                            {"pushed_us", micros(m.pushed_at)},
                            {"used_us", micros(m.used_at)}}),
          {}};
}
template <>
Result<model::RepositoryManifest> from_record(const StoredRecord& record) {
  return detail::decode<model::RepositoryManifest>(
      record, [](Fields& fields, model::RepositoryManifest& m) {
        fields.read("id", m.id);
        fields.read("repository", m.repository);
        fields.read("workspace", m.workspace);
        fields.read("sha256", m.sha256_hex);
        fields.read("size", m.size);
        fields.read("media_type", m.media_type);
        fields.read("artifact_type", m.artifact_type);
        fields.read("subject", m.subject);
        fields.read("blobs", m.blobs);
        fields.read("children", m.children);
        fields.read("annotations", m.annotations);
        fields.read_time("pushed_us", m.pushed_at);
        fields.read_time("used_us", m.used_at);
      });
}
template <>
Weight weight_of(const model::RepositoryManifest& m) {
  std::size_t bytes = row_bytes + m.media_type.size() + m.artifact_type.size() + bytes_of(m.blobs) +
                      bytes_of(m.children);
  for (const auto& [name, value] : m.annotations) {
    bytes += name.size() + value.size();
  }
  return {m.workspace.str(), bytes};
}
template <>
std::vector<std::string> named_by(const model::RepositoryManifest& m) {
  std::vector<std::string> names;
  for (const auto* digests : {&m.blobs, &m.children}) {
    for (const std::string& digest : *digests) {
      names.push_back(in_repository(m.repository, digest));
    }
  }
  return names;
}

template <>
StoredRecord to_record(const model::NamedManifest& t) {
  return {codec::dump_json({{"id", t.id},
                            {"repository", t.repository},
                            {"workspace", t.workspace},
                            {"tag", t.tag},
                            {"sha256", t.sha256_hex},
                            {"tagged_us", micros(t.tagged_at)}}),
          {}};
}
template <>
Result<model::NamedManifest> from_record(const StoredRecord& record) {
  return detail::decode<model::NamedManifest>(record, [](Fields& fields, model::NamedManifest& t) {
    fields.read("id", t.id);
    fields.read("repository", t.repository);
    fields.read("workspace", t.workspace);
    fields.read("tag", t.tag);
    fields.read("sha256", t.sha256_hex);
    fields.read_time("tagged_us", t.tagged_at);
  });
}
template <>
Weight weight_of(const model::NamedManifest& t) {
  return {t.workspace.str(), row_bytes + t.tag.size()};
}

}  // namespace thaw::catalog
