// SPDX-License-Identifier: Apache-2.0
#include "thaw/catalog/records.h"

#include <limits>

#include "thaw/codec/encoding.h"
#include "thaw/codec/fields.h"

namespace thaw::catalog {

using codec::Fields;
using codec::Json;

namespace {

std::int64_t micros(WallTime time) { return time.time_since_epoch().count(); }
std::int64_t nanos(Duration duration) { return duration.count(); }

// A damaged record is data loss, never a crash.
template <class T, class F>
Result<T> decode(const StoredRecord& record, F fill) {
  const auto json = codec::parse_json(record.json);
  if (!json) {
    return Error::data_loss("the record cannot be read: it is " + json.error().message());
  }
  T value;
  Fields fields(*json);
  fill(fields, value);
  THAW_TRY_VOID(fields.outcome());
  return value;
}

// No machine has more; beyond it sums of them would not fit.
constexpr int most = 1'000'000'000;

Json scaling_json(const model::Scaling& s) {
  return {{"min", s.min_containers},
          {"max", s.max_containers},
          {"buffer", s.buffer_containers},
          {"window_ns", nanos(s.scaledown_window)},
          {"inputs", s.max_concurrent_inputs},
          {"target_inputs", s.target_concurrent_inputs},
          {"batch", s.batch_max_size},
          {"linger_ns", nanos(s.batch_linger)},
          {"use", static_cast<int>(s.use)},
          {"freezing", static_cast<int>(s.freezing)},
          {"window_by", static_cast<int>(s.window_by)}};
}

void read_scaling(const Json& json, Fields& all, model::Scaling& s) {
  Fields fields(json);
  fields.read_within("min", s.min_containers, 0, most);
  fields.read_within("max", s.max_containers, 0, most);
  fields.read_within("buffer", s.buffer_containers, 0, most);
  fields.read_duration("window_ns", s.scaledown_window);
  fields.read_within("inputs", s.max_concurrent_inputs, 1, most);
  fields.read_within("target_inputs", s.target_concurrent_inputs, 0, most);
  fields.read_within("batch", s.batch_max_size, 0, most);
  fields.read_duration("linger_ns", s.batch_linger);
  fields.read_enum("use", s.use, model::Scaling::Use::single);
  fields.read_enum("freezing", s.freezing, model::Scaling::Freezing::never);
  fields.read_enum("window_by", s.window_by, model::Scaling::WindowBy::policy);
  all.include(fields);
}

Json spec_json(const model::FunctionSpec& f) {
  Json volumes = Json::array();
  for (const auto& v : f.volumes) {
    volumes.push_back({{"volume", v.volume},
                       {"path", v.path},
                       {"access", static_cast<int>(v.access)},
                       {"sub_path", v.sub_path}});
  }
  Json web = Json::array();
  for (const auto& w : f.web) {
    web.push_back({{"label", w.label},
                   {"method", w.method},
                   {"kind", static_cast<int>(w.kind)},
                   {"port", w.port},
                   {"callers", static_cast<int>(w.callers)}});
  }
  return {{"version", f.version},
          {"workspace", f.workspace},
          {"environment", f.environment},
          {"name", f.name},
          {"image", f.image},
          {"mounts", f.mounts},
          {"secrets", f.secrets},
          {"volumes", volumes},
          {"memory", f.resources.memory_bytes},
          {"memory_limit", f.resources.memory_limit_bytes},
          {"cpu", f.resources.cpu_millis},
          {"cpu_limit", f.resources.cpu_limit_millis},
          {"disk", f.resources.disk_bytes},
          {"gpu", f.resources.gpu},
          {"scaling", scaling_json(f.scaling)},
          {"timeout_ns", nanos(f.timeout)},
          {"startup_ns", nanos(f.startup_timeout)},
          {"retries", f.retry.max_retries},
          {"retry_initial_ns", nanos(f.retry.initial_delay)},
          {"retry_max_ns", nanos(f.retry.max_delay)},
          {"retry_backoff", f.retry.backoff},
          {"network", static_cast<int>(f.network)},
          {"reach", static_cast<int>(f.reach)},
          {"web", web},
          {"parameters", codec::base64_encode(f.parameters)},
          {"definition_bytes", f.definition.size()}};
}

model::VolumeMount volume_from(const Json& json, Fields& all) {
  model::VolumeMount mount;
  Fields fields(json);
  fields.read("volume", mount.volume);
  fields.read("path", mount.path);
  fields.read_enum("access", mount.access, model::VolumeMount::Access::read_only);
  fields.read("sub_path", mount.sub_path);
  all.include(fields);
  return mount;
}

model::WebEndpoint web_from(const Json& json, Fields& all) {
  model::WebEndpoint web;
  Fields fields(json);
  fields.read("label", web.label);
  fields.read("method", web.method);
  fields.read_enum("kind", web.kind, model::WebEndpoint::Kind::server_port);
  fields.read("port", web.port);
  fields.read_enum("callers", web.callers, model::WebEndpoint::Callers::token_holders);
  all.include(fields);
  return web;
}

// Takes its definition from the front of `bytes`.
model::FunctionSpec spec_from(const Json& json, const Function& function, std::string_view& bytes,
                              Fields& all) {
  model::FunctionSpec f;
  f.id = function.id;
  f.app = function.app;
  f.base = function.base;
  Fields fields(json);
  fields.read("version", f.version);
  fields.read("workspace", f.workspace);
  fields.read("environment", f.environment);
  fields.read("name", f.name);
  fields.read("image", f.image);
  fields.read("mounts", f.mounts);
  fields.read("secrets", f.secrets);
  for (const Json& item : fields.items("volumes")) {
    f.volumes.push_back(volume_from(item, fields));
  }
  fields.read("memory", f.resources.memory_bytes);
  fields.read("memory_limit", f.resources.memory_limit_bytes);
  fields.read("cpu", f.resources.cpu_millis);
  fields.read("cpu_limit", f.resources.cpu_limit_millis);
  fields.read("disk", f.resources.disk_bytes);
  fields.read("gpu", f.resources.gpu);
  read_scaling(fields.object("scaling"), fields, f.scaling);
  fields.read_duration("timeout_ns", f.timeout);
  fields.read_duration("startup_ns", f.startup_timeout);
  fields.read_within("retries", f.retry.max_retries, 0, most);
  fields.read_duration("retry_initial_ns", f.retry.initial_delay);
  fields.read_duration("retry_max_ns", f.retry.max_delay);
  fields.read("retry_backoff", f.retry.backoff);
  fields.read_enum("network", f.network, model::NetworkAccess::blocked);
  fields.read_enum("reach", f.reach, model::Reach::inputs);
  for (const Json& item : fields.items("web")) {
    f.web.push_back(web_from(item, fields));
  }
  std::string parameters;
  fields.read("parameters", parameters);
  if (auto decoded = codec::base64_decode(parameters)) {
    f.parameters = std::move(*decoded);
  } else {
    fields.wrong("parameters", "is no base64");
  }
  std::size_t size = 0;
  fields.read("definition_bytes", size);
  if (size > bytes.size()) {
    fields.wrong("definition_bytes", "is more than there is");
    size = bytes.size();
  }
  f.definition = std::string(bytes.substr(0, size));
  bytes.remove_prefix(size);
  all.include(fields);
  return f;
}

}  // namespace

template <>
StoredRecord to_record(const model::Environment& e) {
  return {codec::dump_json({{"id", e.id},
                            {"workspace", e.workspace},
                            {"name", e.name},
                            {"created_us", micros(e.created_at)}}),
          {}};
}
template <>
Result<model::Environment> from_record(const StoredRecord& record) {
  return decode<model::Environment>(record, [](Fields& fields, model::Environment& e) {
    fields.read("id", e.id);
    fields.read("workspace", e.workspace);
    fields.read("name", e.name);
    fields.read_time("created_us", e.created_at);
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

template <>
StoredRecord to_record(const model::Token& t) {
  return {codec::dump_json({{"id", t.id},
                            {"workspace", t.workspace},
                            {"name", t.name},
                            {"secret_sha256", t.secret_sha256_hex},
                            {"created_us", micros(t.created_at)}}),
          {}};
}
template <>
Result<model::Token> from_record(const StoredRecord& record) {
  return decode<model::Token>(record, [](Fields& fields, model::Token& t) {
    fields.read("id", t.id);
    fields.read("workspace", t.workspace);
    fields.read("name", t.name);
    fields.read("secret_sha256", t.secret_sha256_hex);
    fields.read_time("created_us", t.created_at);
  });
}

template <>
StoredRecord to_record(const model::App& a) {
  Json history = Json::array();
  for (const auto& d : a.history) {
    history.push_back({{"version", d.version},
                       {"at_us", micros(d.at)},
                       {"tag", d.tag},
                       {"client", d.client_version}});
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
StoredRecord to_record(const Function& f) {
  Json versions = Json::array();
  std::string bytes;
  for (const auto& [version, spec] : f.versions) {
    versions.push_back(spec_json(*spec));
    bytes += spec->definition;
  }
  return {codec::dump_json({{"id", f.id},
                            {"app", f.app},
                            {"workspace", f.workspace},
                            {"tag", f.tag},
                            {"base", f.base},
                            {"live", f.live_version},
                            {"versions", versions}}),
          std::move(bytes)};
}
template <>
Result<Function> from_record(const StoredRecord& record) {
  return decode<Function>(record, [&](Fields& fields, Function& f) {
    fields.read("id", f.id);
    fields.read("app", f.app);
    fields.read("workspace", f.workspace);
    fields.read("tag", f.tag);
    fields.read("base", f.base);
    fields.read("live", f.live_version);
    std::string_view bytes = record.bytes;
    for (const Json& item : fields.items("versions")) {
      auto spec = std::make_shared<model::FunctionSpec>(spec_from(item, f, bytes, fields));
      const std::string version = spec->version;
      f.versions[version] = std::move(spec);
    }
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
                            {"builder", i.builder_version}}),
          i.recipe};
}
template <>
Result<model::Image> from_record(const StoredRecord& record) {
  return decode<model::Image>(record, [&](Fields& fields, model::Image& i) {
    fields.read("id", i.id);
    fields.read("workspace", i.workspace);
    fields.read("key", i.key);
    fields.read("builder", i.builder_version);
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
  return {t.workspace.str(), 0};
}
// An app that stops must never be in the way of its own end: what grows with it counts elsewhere.
template <>
Weight weight_of(const model::App& a) {
  std::size_t bytes = 0;
  for (const auto& [key, value] : a.tags) {
    bytes += key.size() + value.size();
  }
  return {a.workspace.str(), bytes};
}
template <>
Weight weight_of(const Function& f) {
  Weight weight{f.workspace.str(), 0};
  for (const auto& [version, spec] : f.versions) {
    weight.bytes += spec->definition.size() + spec->parameters.size();
    if (weight.workspace.empty()) {
      weight.workspace = spec->workspace.str();  // of an older record
    }
  }
  return weight;
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
