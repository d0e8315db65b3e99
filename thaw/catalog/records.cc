// SPDX-License-Identifier: Apache-2.0
#include "thaw/catalog/records.h"

#include <algorithm>
#include <limits>

#include "thaw/catalog/detail/decode.h"
#include "thaw/codec/encoding.h"

namespace thaw::catalog {

using codec::Fields;
using codec::Json;
using detail::decode;
using detail::micros;
using detail::most;

template <>
StoredRecord to_record(const model::Environment& e) {
  Json json = {{"id", e.id},
               {"workspace", e.workspace},
               {"name", e.name},
               {"created_us", micros(e.created_at)},
               {"builder", e.builder_version},
               {"life", static_cast<int>(e.life)}};
  if (e.web_suffix) {
    json["web_suffix"] = *e.web_suffix;
  }
  return {codec::dump_json(json), {}};
}
template <>
Result<model::Environment> from_record(const StoredRecord& record) {
  return decode<model::Environment>(record, [](Fields& fields, model::Environment& e) {
    fields.read("id", e.id);
    fields.read("workspace", e.workspace);
    fields.read("name", e.name);
    fields.read_time("created_us", e.created_at);
    fields.read("builder", e.builder_version);
    fields.read_enum("life", e.life, model::Environment::Life::ending);
    const std::string unset(1, '\0');  // no suffix is this
    std::string suffix = unset;
    fields.read("web_suffix", suffix);
    if (suffix != unset) {
      e.web_suffix = std::move(suffix);
    }
  });
}

template <>
StoredRecord to_record(const model::Workspace& w) {
  return {codec::dump_json({{"id", w.id}, {"name", w.name}}), {}};
}
template <>
Result<model::Workspace> from_record(const StoredRecord& record) {
  return decode<model::Workspace>(record, [](Fields& fields, model::Workspace& w) {
    fields.read("id", w.id);
    fields.read("name", w.name);
  });
}

// What all tokens had before there were scopes is not written, so that their records stay as they
// are.
template <>
StoredRecord to_record(const model::Token& t) {
  Json json = {{"id", t.id},
               {"workspace", t.workspace},
               {"name", t.name},
               {"secret_sha256", t.secret_sha256_hex},
               {"created_us", micros(t.created_at)}};
  if (t.grants.scopes != model::all_scopes) {
    json["scopes"] = model::scopes_text(t.grants.scopes, ",");
  }
  if (t.grants.is_narrow()) {
    json["only"] = t.grants.functions;
  }
  if (t.expires_at) {
    json["expires_us"] = micros(*t.expires_at);
  }
  if (t.last_used_at) {
    json["used_us"] = micros(*t.last_used_at);
  }
  if (t.old) {
    json["old"] = {{"secret_sha256", t.old->sha256_hex}, {"until_us", micros(t.old->good_until)}};
  }
  return {codec::dump_json(json), {}};
}

namespace {

std::optional<WallTime> read_moment(Fields& fields, const char* name) {
  WallTime time{};
  fields.read_time(name, time);
  return time == WallTime{} ? std::nullopt : std::optional(time);
}

}  // namespace

// What limits a token is in words, of which no other comes by one wrong letter, and is read
// strictly, the names of its fields too: one whose limits were damaged, or are of a later version
// of this program, is none.
template <>
Result<model::Token> from_record(const StoredRecord& record) {
  constexpr std::string_view known[] = {"id",         "workspace", "name", "secret_sha256",
                                        "created_us", "scopes",    "only", "expires_us",
                                        "used_us",    "old"};
  const auto json = codec::parse_json(record.json);
  const bool is_object = json && json->is_object();
  for (auto field = is_object ? json->begin() : Json::const_iterator();
       is_object && field != json->end(); ++field) {
    const std::string& name = field.key();
    if (std::find(std::begin(known), std::end(known), name) == std::end(known)) {
      return Error::data_loss("the token has a field '" + name.substr(0, 40) +
                              "' that is not known here");
    }
  }
  return decode<model::Token>(record, [](Fields& fields, model::Token& t) {
    fields.read("id", t.id);
    fields.read("workspace", t.workspace);
    fields.read("name", t.name);
    fields.read("secret_sha256", t.secret_sha256_hex);
    fields.read_time("created_us", t.created_at);
    std::string words = "all";
    fields.read("scopes", words);
    if (const auto scopes = model::parse_scopes(words)) {
      t.grants.scopes = *scopes;
    } else {
      fields.wrong("scopes", "are none that there are");
    }
    std::string only(1, '\0');  // no pattern is this
    fields.read("only", only);
    if (only != std::string(1, '\0')) {
      if (only.empty() || !model::check_function_pattern(only)) {
        fields.wrong("only", "names no functions");
      }
      t.grants.functions = std::move(only);
    }
    t.expires_at = read_moment(fields, "expires_us");
    t.last_used_at = read_moment(fields, "used_us");
    const Json& old = fields.object("old");
    if (!old.empty()) {
      Fields part(old);
      model::OldSecret& kept = t.old.emplace();
      part.read("secret_sha256", kept.sha256_hex);
      part.read_time("until_us", kept.good_until);
      fields.include(part);
    }
  });
}

template <>
StoredRecord to_record(const model::App& a) {
  Json history = Json::array();
  for (const auto& d : a.history) {
    history.push_back({{"version", d.version},
                       {"at_us", micros(d.at)},
                       {"tag", d.tag},
                       {"client", d.client_version},
                       {"by", d.by},
                       {"kind", static_cast<int>(d.kind)},
                       {"of", d.of},
                       {"system", d.revision.system},
                       {"branch", d.revision.branch},
                       {"hash", d.revision.hash},
                       {"modified", d.revision.is_modified},
                       {"key", d.key}});
  }
  return {codec::dump_json({{"id", a.id},
                            {"workspace", a.workspace},
                            {"environment", a.environment},
                            {"name", a.name},
                            {"description", a.description},
                            {"state", static_cast<int>(a.state)},
                            {"created_us", micros(a.created_at)},
                            {"deployed_us", micros(a.deployed_at)},
                            {"stopped_us", micros(a.stopped_at)},
                            {"created_by", a.created_by},
                            {"stopped_by", a.stopped_by},
                            {"version", a.version},
                            {"functions", a.functions},
                            {"classes", a.classes},
                            {"tags", a.tags},
                            {"history", history}}),
          {}};
}
template <>
Result<model::App> from_record(const StoredRecord& record) {
  return decode<model::App>(record, [](Fields& fields, model::App& a) {
    fields.read("id", a.id);
    fields.read("workspace", a.workspace);
    fields.read("environment", a.environment);
    fields.read("name", a.name);
    fields.read("description", a.description);
    fields.read_enum("state", a.state, model::AppState::stopped);
    fields.read_time("created_us", a.created_at);
    fields.read_time("deployed_us", a.deployed_at);
    fields.read_time("stopped_us", a.stopped_at);
    fields.read("created_by", a.created_by);
    fields.read("stopped_by", a.stopped_by);
    fields.read_within("version", a.version, 0, most);
    fields.read("functions", a.functions);
    fields.read("classes", a.classes);
    fields.read("tags", a.tags);
    for (const Json& item : fields.items("history")) {
      model::Deployment d;
      Fields part(item);
      part.read("version", d.version);
      part.read_time("at_us", d.at);
      part.read("tag", d.tag);
      part.read("client", d.client_version);
      part.read("by", d.by);
      part.read_enum("kind", d.kind, model::Deployment::Kind::promotion);
      part.read_within("of", d.of, 0, most);
      part.read("system", d.revision.system);
      part.read("branch", d.revision.branch);
      part.read("hash", d.revision.hash);
      part.read("modified", d.revision.is_modified);
      part.read("key", d.key);
      fields.include(part);
      a.history.push_back(std::move(d));
    }
  });
}

template <>
StoredRecord to_record(const model::Class& c) {
  return {codec::dump_json({{"id", c.id}, {"app", c.app}, {"tag", c.tag}}), {}};
}
template <>
Result<model::Class> from_record(const StoredRecord& record) {
  return decode<model::Class>(record, [](Fields& fields, model::Class& c) {
    fields.read("id", c.id);
    fields.read("app", c.app);
    fields.read("tag", c.tag);
  });
}

template <>
StoredRecord to_record(const model::Mount& m) {
  Json files = Json::array();
  for (const auto& file : m.files) {
    files.push_back({file.path, file.sha256_hex, file.mode});
  }
  return {codec::dump_json({{"id", m.id},
                            {"workspace", m.workspace},
                            {"name", m.name},
                            {"checksum", m.checksum},
                            {"used_us", micros(m.used_at)},
                            {"files", files}}),
          {}};
}
template <>
Result<model::Mount> from_record(const StoredRecord& record) {
  return decode<model::Mount>(record, [](Fields& fields, model::Mount& m) {
    fields.read("id", m.id);
    fields.read("workspace", m.workspace);
    fields.read("name", m.name);
    fields.read("checksum", m.checksum);
    fields.read_time("used_us", m.used_at);
    for (const Json& item : fields.items("files")) {
      if (!item.is_array() || item.size() != 3 || !item[0].is_string() || !item[1].is_string() ||
          !item[2].is_number_unsigned() ||
          item[2].get<std::uint64_t>() > std::numeric_limits<std::uint32_t>::max()) {
        fields.wrong("files", "holds something that is no file");
        return;
      }
      m.files.push_back(
          {item[0].get<std::string>(), item[1].get<std::string>(), item[2].get<std::uint32_t>()});
    }
  });
}

template <>
StoredRecord to_record(const model::Secret& s) {
  return {codec::dump_json({{"id", s.id},
                            {"workspace", s.workspace},
                            {"environment", s.environment},
                            {"name", s.name},
                            {"owner", s.owner},
                            {"created_us", micros(s.created_at)},
                            {"keys", s.keys}}),
          s.sealed};
}
template <>
Result<model::Secret> from_record(const StoredRecord& record) {
  return decode<model::Secret>(record, [&](Fields& fields, model::Secret& s) {
    fields.read("id", s.id);
    fields.read("workspace", s.workspace);
    fields.read("environment", s.environment);
    fields.read("name", s.name);
    fields.read("owner", s.owner);
    fields.read_time("created_us", s.created_at);
    fields.read("keys", s.keys);
    s.sealed = record.bytes;
  });
}

template <>
StoredRecord to_record(const model::Image& i) {
  return {codec::dump_json({{"id", i.id},
                            {"workspace", i.workspace},
                            {"key", i.key},
                            {"builder", i.builder_version},
                            {"base", i.base},
                            {"began_us", micros(i.began_at)},
                            {"built_us", micros(i.built_at)}}),
          i.recipe};
}
template <>
Result<model::Image> from_record(const StoredRecord& record) {
  return decode<model::Image>(record, [&](Fields& fields, model::Image& i) {
    fields.read("id", i.id);
    fields.read("workspace", i.workspace);
    fields.read("key", i.key);
    fields.read("builder", i.builder_version);
    fields.read("base", i.base);
    fields.read_time("began_us", i.began_at);
    fields.read_time("built_us", i.built_at);
    i.recipe = record.bytes;
  });
}

template <>
Weight weight_of(const model::Workspace&) {
  return {};
}
template <>
Weight weight_of(const model::Environment& e) {
  return {e.workspace.str(), 0};
}
template <>
Weight weight_of(const model::Token& t) {
  return {t.workspace.str(), t.name.size() + t.grants.functions.size()};
}
// An app that stops must never be in the way of its own end: what grows with that counts nowhere,
// and is bounded for each app.
template <>
Weight weight_of(const model::App& a) {
  std::size_t bytes = a.name.size() + a.description.size();
  for (const auto& [key, value] : a.tags) {
    bytes += key.size() + value.size();
  }
  for (const auto& [tag, id] : a.functions) {
    bytes += tag.size() + id.str().size();
  }
  for (const auto& [tag, id] : a.classes) {
    bytes += tag.size() + id.str().size();
  }
  return {a.workspace.str(), bytes};
}
// Bounded for each app.
template <>
Weight weight_of(const model::Class&) {
  return {};
}
template <>
Weight weight_of(const model::Mount& m) {
  std::size_t bytes = 0;
  for (const auto& file : m.files) {
    bytes += file.path.size() + file.sha256_hex.size();
  }
  return {m.workspace.str(), bytes};
}
template <>
Weight weight_of(const model::Secret& s) {
  return {s.workspace.str(), s.sealed.size()};
}
template <>
Weight weight_of(const model::Image& i) {
  return {i.workspace.str(), i.recipe.size()};
}

// Ids have no slash, so two pairs never give one key.
std::string named_key(const model::EnvironmentId& environment, const std::string& name) {
  return name.empty() ? std::string() : environment.str() + "/" + name;
}

std::string named_key(const model::WorkspaceId& workspace, const std::string& name) {
  return workspace.str() + "/" + name;
}

std::string owned_key(const model::AppId& app) {
  return app.str().empty() ? "" : "of " + app.str();
}

}  // namespace thaw::catalog
