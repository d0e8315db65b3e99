// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/documents.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "thaw/async/every.h"
#include "thaw/codec/fields.h"
#include "thaw/codec/ids.h"
#include "thaw/codec/sha256.h"

namespace thaw::catalog {

namespace {

std::string key_of(const model::DocumentPlace& place) {
  return place.workspace.str() + '\n' + place.dialect + '\n' + place.kind;
}

std::int64_t micros(WallTime at) { return at.time_since_epoch().count(); }

}  // namespace

template <>
StoredRecord to_record(const model::Document& v) {
  codec::Json json = {{"id", v.id},
                      {"workspace", v.place.workspace},
                      {"dialect", v.place.dialect},
                      {"kind", v.place.kind},
                      {"name", v.name},
                      {"blobs", v.blobs},
                      {"created_us", micros(v.created_at)}};
  if (v.expires_at) {
    json["expires_us"] = micros(*v.expires_at);
  }
  return {codec::dump_json(json), v.text};
}

template <>
Result<model::Document> from_record(const StoredRecord& record) {
  THAW_TRY(const codec::Json json, codec::parse_json(record.json));
  model::Document v;
  codec::Fields fields(json);
  fields.read("id", v.id);
  fields.read("workspace", v.place.workspace);
  fields.read("dialect", v.place.dialect);
  fields.read("kind", v.place.kind);
  fields.read("name", v.name);
  fields.read("blobs", v.blobs);
  fields.read_time("created_us", v.created_at);
  if (json.is_object() && json.contains("expires_us")) {
    fields.read_time("expires_us", v.expires_at.emplace());
  }
  THAW_TRY_VOID(fields.outcome());
  v.text = record.bytes;
  return v;
}

template <>
std::string index_key(const model::Document& v) {
  return key_of(v.place);
}

template <>
Weight weight_of(const model::Document& v) {
  return {v.place.workspace.str(), v.name.size() + v.text.size()};
}

}  // namespace thaw::catalog

namespace thaw::gateway {

namespace {

constexpr const char* row_kind = "document";
constexpr Duration erase_period = std::chrono::minutes(1);

model::DocumentId id_of(const model::DocumentPlace& place, const std::string& name) {
  codec::Sha256 digest;
  digest.update(catalog::key_of(place) + '\n' + name);
  return model::DocumentId("do-" + digest.hex().substr(0, 40));
}

bool has_expired(const model::Document& document, WallTime now) {
  return document.expires_at && *document.expires_at <= now;
}

}  // namespace

Documents::Documents(async::Loop& loop, store::Database& database, catalog::Shares& shares)
    : table_(database, shares, row_kind), tasks_(loop) {}

Result<std::unique_ptr<Documents>> Documents::open(async::Loop& loop, store::Database& database,
                                                   catalog::Shares& shares) {
  std::unique_ptr<Documents> documents(new Documents(loop, database, shares));
  THAW_TRY_VOID(documents->table_.load());
  return documents;
}

void Documents::start() {
  std::function<async::Task<void>()> round = [this] { return erase_expired(); };
  tasks_.start("documents", async::every(erase_period, "erasing documents", std::move(round)));
}

Documents::Found Documents::find(const model::DocumentPlace& place, const std::string& name) const {
  Found found = table_.find(id_of(place, name).str());
  return found && !has_expired(*found, wall_now()) ? found : nullptr;
}

std::vector<Documents::Found> Documents::list(const model::DocumentPlace& place) const {
  std::vector<Found> all = table_.find_by_key(catalog::key_of(place));
  const WallTime now = wall_now();
  std::erase_if(all, [&](const Found& one) { return has_expired(*one, now); });
  std::sort(all.begin(), all.end(), [](const Found& a, const Found& b) {
    return std::tie(b->created_at, a->name) < std::tie(a->created_at, b->name);
  });
  return all;
}

async::Task<Documents::Found> Documents::put(model::Document document) {
  document.id = id_of(document.place, document.name);
  if (document.text.size() > most_text_bytes) {
    co_return Error::resource_exhausted("what is kept of '" + document.name.substr(0, 100) +
                                        "' has at most " + std::to_string(most_text_bytes) +
                                        " bytes");
  }
  const std::string id = document.id.str();
  if (!table_.find(id) &&
      table_.find_by_key(catalog::key_of(document.place)).size() >= most_of_a_kind) {
    co_return Error::resource_exhausted("the workspace has " + std::to_string(most_of_a_kind) +
                                        " of these already, and may have no more; remove some");
  }
  THAW_CO_TRY_VOID(co_await table_.put(std::move(document)));
  co_return table_.find(id);
}

async::Task<void> Documents::erase(model::Document document) {
  return table_.erase(document.id.str());
}

void Documents::visit_references(const queue::NoteReference& note) const {
  for (const auto& [id, document] : table_.all()) {
    for (const std::string& blob : document->blobs) {
      note(document->place.workspace, blob);
    }
  }
}

async::Task<void> Documents::erase_expired() {
  const WallTime now = wall_now();
  std::vector<std::string> expired;
  for (const auto& [id, document] : table_.all()) {
    if (has_expired(*document, now)) {
      expired.push_back(id);
    }
  }
  for (const std::string& id : expired) {
    THAW_CO_TRY_VOID(co_await table_.erase(id));
  }
  co_return ok();
}

}  // namespace thaw::gateway
