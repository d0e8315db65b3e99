// SPDX-License-Identifier: Apache-2.0
#include "thaw/catalog/records.h"

#include "thaw/codec/encoding.h"
#include "thaw/codec/json.h"

namespace thaw::catalog {

using codec::Json;

namespace {

std::int64_t micros(WallTime time) { return time.time_since_epoch().count(); }
std::int64_t nanos(Duration duration) { return duration.count(); }

template <class T>
void read(const Json& json, const char* name, T& out) {
  if (const auto found = json.find(name); found != json.end()) {
    out = found->template get<T>();
  }
}
void read_time(const Json& json, const char* name, WallTime& out) {
  out = WallTime(std::chrono::microseconds(json.value(name, std::int64_t{0})));
}
void read_duration(const Json& json, const char* name, Duration& out) {
  out = Duration(json.value(name, std::int64_t{out.count()}));
}
template <class E>
void read_enum(const Json& json, const char* name, E& out) {
  out = static_cast<E>(json.value(name, static_cast<int>(out)));
}

// The seam for the JSON library's exceptions: a damaged record is data loss, never a crash.
template <class T, class F>
Result<T> decode(const StoredRecord& record, F fill) {
  try {
    T value;
    fill(Json::parse(record.json), value);
    return value;
  } catch (const Json::exception& failure) {
    return Error::data_loss(std::string("a catalog record cannot be read: ") + failure.what());
  }
}

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

void read_scaling(const Json& json, model::Scaling& s) {
  read(json, "min", s.min_containers);
  read(json, "max", s.max_containers);
  read(json, "buffer", s.buffer_containers);
  read_duration(json, "window_ns", s.scaledown_window);
  read(json, "inputs", s.max_concurrent_inputs);
  read(json, "target_inputs", s.target_concurrent_inputs);
  read(json, "batch", s.batch_max_size);
  read_duration(json, "linger_ns", s.batch_linger);
  read_enum(json, "use", s.use);
  read_enum(json, "freezing", s.freezing);
  read_enum(json, "window_by", s.window_by);
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

model::FunctionSpec spec_from(const Json& json, const Function& function, std::string_view& bytes) {
  model::FunctionSpec f;
  f.id = function.id;
  f.app = function.app;
  f.base = function.base;
  read(json, "version", f.version);
  read(json, "workspace", f.workspace);
  read(json, "environment", f.environment);
  read(json, "name", f.name);
  read(json, "image", f.image);
  read(json, "mounts", f.mounts);
  read(json, "secrets", f.secrets);
  for (const Json& item : json.value("volumes", Json::array())) {
    model::VolumeMount mount;
    read(item, "volume", mount.volume);
    read(item, "path", mount.path);
    read_enum(item, "access", mount.access);
    read(item, "sub_path", mount.sub_path);
    f.volumes.push_back(std::move(mount));
  }
  read(json, "memory", f.resources.memory_bytes);
  read(json, "memory_limit", f.resources.memory_limit_bytes);
  read(json, "cpu", f.resources.cpu_millis);
  read(json, "cpu_limit", f.resources.cpu_limit_millis);
  read(json, "disk", f.resources.disk_bytes);
  read(json, "gpu", f.resources.gpu);
  read_scaling(json.value("scaling", Json::object()), f.scaling);
  read_duration(json, "timeout_ns", f.timeout);
  read_duration(json, "startup_ns", f.startup_timeout);
  read(json, "retries", f.retry.max_retries);
  read_duration(json, "retry_initial_ns", f.retry.initial_delay);
  read_duration(json, "retry_max_ns", f.retry.max_delay);
  read(json, "retry_backoff", f.retry.backoff);
  read_enum(json, "network", f.network);
  read_enum(json, "reach", f.reach);
  for (const Json& item : json.value("web", Json::array())) {
    model::WebEndpoint web;
    read(item, "label", web.label);
    read(item, "method", web.method);
    read_enum(item, "kind", web.kind);
    read(item, "port", web.port);
    read_enum(item, "callers", web.callers);
    f.web.push_back(std::move(web));
  }
  if (auto parameters = codec::base64_decode(json.value("parameters", std::string()))) {
    f.parameters = std::move(*parameters);
  }
  const std::size_t size = std::min(json.value("definition_bytes", std::size_t{0}), bytes.size());
  f.definition = std::string(bytes.substr(0, size));
  bytes.remove_prefix(size);
  return f;
}

}  // namespace

template <>
StoredRecord to_record(const model::Environment& e) {
  return {Json{{"id", e.id},
               {"workspace", e.workspace},
               {"name", e.name},
               {"created_us", micros(e.created_at)}}
              .dump(),
          {}};
}
template <>
Result<model::Environment> from_record(const StoredRecord& record) {
  return decode<model::Environment>(record, [](const Json& json, model::Environment& e) {
    read(json, "id", e.id);
    read(json, "workspace", e.workspace);
    read(json, "name", e.name);
    read_time(json, "created_us", e.created_at);
  });
}

template <>
StoredRecord to_record(const model::Workspace& w) {
  return {Json{{"id", w.id}, {"name", w.name}}.dump(), {}};
}
template <>
Result<model::Workspace> from_record(const StoredRecord& record) {
  return decode<model::Workspace>(record, [](const Json& json, model::Workspace& w) {
    read(json, "id", w.id);
    read(json, "name", w.name);
  });
}

template <>
StoredRecord to_record(const model::Token& t) {
  return {Json{{"id", t.id},
               {"workspace", t.workspace},
               {"name", t.name},
               {"secret_sha256", t.secret_sha256_hex},
               {"created_us", micros(t.created_at)}}
              .dump(),
          {}};
}
template <>
Result<model::Token> from_record(const StoredRecord& record) {
  return decode<model::Token>(record, [](const Json& json, model::Token& t) {
    read(json, "id", t.id);
    read(json, "workspace", t.workspace);
    read(json, "name", t.name);
    read(json, "secret_sha256", t.secret_sha256_hex);
    read_time(json, "created_us", t.created_at);
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
  return decode<model::App>(record, [](const Json& json, model::App& a) {
    read(json, "id", a.id);
    read(json, "workspace", a.workspace);
    read(json, "environment", a.environment);
    read(json, "name", a.name);
    read(json, "description", a.description);
    read_enum(json, "state", a.state);
    read_time(json, "created_us", a.created_at);
    read_time(json, "deployed_us", a.deployed_at);
    read_time(json, "stopped_us", a.stopped_at);
    read(json, "version", a.version);
    read(json, "functions", a.functions);
    read(json, "classes", a.classes);
    read(json, "tags", a.tags);
    for (const Json& item : json.value("history", Json::array())) {
      model::Deployment d;
      read(item, "version", d.version);
      read_time(item, "at_us", d.at);
      read(item, "tag", d.tag);
      read(item, "client", d.client_version);
      a.history.push_back(std::move(d));
    }
  });
}

template <>
StoredRecord to_record(const model::Class& c) {
  return {Json{{"id", c.id}, {"app", c.app}, {"tag", c.tag}}.dump(), {}};
}
template <>
Result<model::Class> from_record(const StoredRecord& record) {
  return decode<model::Class>(record, [](const Json& json, model::Class& c) {
    read(json, "id", c.id);
    read(json, "app", c.app);
    read(json, "tag", c.tag);
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
                            {"tag", f.tag},
                            {"base", f.base},
                            {"live", f.live_version},
                            {"versions", versions}}),
          std::move(bytes)};
}
template <>
Result<Function> from_record(const StoredRecord& record) {
  return decode<Function>(record, [&](const Json& json, Function& f) {
    read(json, "id", f.id);
    read(json, "app", f.app);
    read(json, "tag", f.tag);
    read(json, "base", f.base);
    read(json, "live", f.live_version);
    std::string_view bytes = record.bytes;
    for (const Json& item : json.value("versions", Json::array())) {
      auto spec = std::make_shared<model::FunctionSpec>(spec_from(item, f, bytes));
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
  return decode<model::Mount>(record, [](const Json& json, model::Mount& m) {
    read(json, "id", m.id);
    read(json, "workspace", m.workspace);
    read(json, "name", m.name);
    read(json, "checksum", m.checksum);
    read_time(json, "used_us", m.used_at);
    for (const Json& item : json.value("files", Json::array())) {
      m.files.push_back({item.at(0).get<std::string>(), item.at(1).get<std::string>(),
                         item.at(2).get<std::uint32_t>()});
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
  return decode<model::Secret>(record, [&](const Json& json, model::Secret& s) {
    read(json, "id", s.id);
    read(json, "workspace", s.workspace);
    read(json, "environment", s.environment);
    read(json, "name", s.name);
    read(json, "owner", s.owner);
    read_time(json, "created_us", s.created_at);
    read(json, "keys", s.keys);
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
  return decode<model::Image>(record, [&](const Json& json, model::Image& i) {
    read(json, "id", i.id);
    read(json, "workspace", i.workspace);
    read(json, "key", i.key);
    read(json, "builder", i.builder_version);
    i.recipe = record.bytes;
  });
}

// Ids have no slash, so two pairs never give one key.
std::string named_key(const model::EnvironmentId& environment, const std::string& name) {
  return name.empty() ? std::string() : environment.str() + "/" + name;
}

std::string owned_key(const model::AppId& app) {
  return app.str().empty() ? "" : "of " + app.str();
}

}  // namespace thaw::catalog
