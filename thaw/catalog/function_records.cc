// SPDX-License-Identifier: Apache-2.0
// The stored form of functions, of versions that are kept and of aliases: JSON for each version,
// and their definitions as bytes behind it.

#include "thaw/base/check.h"
#include "thaw/catalog/detail/decode.h"
#include "thaw/catalog/records.h"
#include "thaw/codec/encoding.h"

namespace thaw::catalog {

using codec::Fields;
using codec::Json;
using detail::decode;
using detail::most;
using detail::nanos;

namespace {

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

Json push_json(const model::PushContract& push) {
  return {{"port", push.port},
          {"wire", static_cast<int>(push.wire)},
          {"ready", static_cast<int>(push.ready.by)},
          {"ready_path", push.ready.path},
          {"ready_pointer", push.ready.pointer},
          {"ready_good", push.ready.good},
          {"ready_bad", push.ready.bad},
          {"health_path", push.health_path},
          {"target", push.target},
          {"drop_headers", push.drop_headers},
          {"arguments", push.arguments},
          {"restored_path", push.restored_path},
          {"drain_path", push.drain_path},
          {"stop_signal", push.stop_signal}};
}

model::PushContract push_from(const Json& json, Fields& all) {
  model::PushContract push;
  Fields fields(json);
  fields.read("port", push.port);
  fields.read_enum("wire", push.wire, model::PushContract::Wire::h2c);
  fields.read_enum("ready", push.ready.by, model::PushContract::Ready::By::said);
  fields.read("ready_path", push.ready.path);
  fields.read("ready_pointer", push.ready.pointer);
  fields.read("ready_good", push.ready.good);
  fields.read("ready_bad", push.ready.bad);
  fields.read("health_path", push.health_path);
  fields.read("target", push.target);
  fields.read("drop_headers", push.drop_headers);
  fields.read("arguments", push.arguments);
  fields.read("restored_path", push.restored_path);
  fields.read("drain_path", push.drain_path);
  fields.read("stop_signal", push.stop_signal);
  if (const Result<void> checked = model::check(push); !checked) {
    fields.wrong("push", "is no contract that a server can keep");
  }
  all.include(fields);
  return push;
}

Json schedule_json(const model::Schedule& schedule) {
  if (const auto* cron = std::get_if<model::CronSchedule>(&schedule)) {
    return {{"cron", cron->expression}, {"zone", cron->zone}};
  }
  const auto& period = std::get<model::PeriodSchedule>(schedule);
  return {{"years", period.years},    {"months", period.months}, {"weeks", period.weeks},
          {"days", period.days},      {"hours", period.hours},   {"minutes", period.minutes},
          {"seconds", period.seconds}};
}

model::Schedule schedule_from(const Json& json, Fields& all) {
  Fields fields(json);
  model::CronSchedule cron;
  model::PeriodSchedule period;
  fields.read("cron", cron.expression);
  fields.read("zone", cron.zone);
  fields.read("years", period.years);
  fields.read("months", period.months);
  fields.read("weeks", period.weeks);
  fields.read("days", period.days);
  fields.read("hours", period.hours);
  fields.read("minutes", period.minutes);
  fields.read("seconds", period.seconds);
  all.include(fields);
  return cron.expression.empty() ? model::Schedule(period) : model::Schedule(std::move(cron));
}

Json spec_json(const model::FunctionSpec& f) {
  Json volumes = Json::array();
  for (const auto& v : f.volumes) {
    volumes.push_back({{"volume", v.volume},
                       {"path", v.path},
                       {"access", static_cast<int>(v.access)},
                       {"sub_path", v.sub_path}});
  }
  Json buckets = Json::array();
  for (const auto& b : f.buckets) {
    buckets.push_back({{"bucket", b.bucket},
                       {"endpoint", b.endpoint},
                       {"prefix", b.prefix},
                       {"path", b.path},
                       {"secret", b.secret},
                       {"access", static_cast<int>(b.access)},
                       {"payer", static_cast<int>(b.payer)}});
  }
  Json web = Json::array();
  for (const auto& w : f.web) {
    web.push_back({{"label", w.label},
                   {"method", w.method},
                   {"kind", static_cast<int>(w.kind)},
                   {"port", w.port},
                   {"callers", static_cast<int>(w.callers)}});
  }
  Json json = {{"version", f.version},
               {"workspace", f.workspace},
               {"environment", f.environment},
               {"name", f.name},
               {"dialect", f.dialect},
               {"image", f.image},
               {"mounts", f.mounts},
               {"secrets", f.secrets},
               {"volumes", volumes},
               {"buckets", buckets},
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
               {"snapshot_at", static_cast<int>(f.snapshot_at)},
               {"web", web},
               {"parameters", codec::base64_encode(f.parameters)},
               {"definition_bytes", f.definition.size()}};
  if (f.push) {
    json["push"] = push_json(*f.push);
  }
  if (f.schedule) {
    json["schedule"] = schedule_json(*f.schedule);
  }
  return json;
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

model::BucketMount bucket_from(const Json& json, Fields& all) {
  model::BucketMount mount;
  Fields fields(json);
  fields.read("bucket", mount.bucket);
  fields.read("endpoint", mount.endpoint);
  fields.read("prefix", mount.prefix);
  fields.read("path", mount.path);
  fields.read("secret", mount.secret);
  fields.read_enum("access", mount.access, model::BucketMount::Access::read_only);
  fields.read_enum("payer", mount.payer, model::BucketMount::Payer::requester);
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
  fields.read("dialect", f.dialect);
  if (const Json& push = fields.object("push"); !push.empty()) {
    f.push = push_from(push, fields);
  }
  fields.read("image", f.image);
  fields.read("mounts", f.mounts);
  fields.read("secrets", f.secrets);
  for (const Json& item : fields.items("volumes")) {
    f.volumes.push_back(volume_from(item, fields));
  }
  for (const Json& item : fields.items("buckets")) {
    f.buckets.push_back(bucket_from(item, fields));
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
  // Records of before this field: what its program says.
  f.snapshot_at = f.push ? model::SnapshotAt::never : model::SnapshotAt::asked;
  fields.read_enum("snapshot_at", f.snapshot_at, model::SnapshotAt::ready);
  if (const Json& schedule = fields.object("schedule"); !schedule.empty()) {
    f.schedule = schedule_from(schedule, fields);
  }
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

// What is asked for by those who look whether anything uses it.
std::vector<std::string> named_by_spec(const model::FunctionSpec& spec) {
  std::vector<std::string> names{spec.version, spec.image.str()};
  for (const model::SecretId& id : spec.secrets) {
    names.push_back(id.str());
  }
  for (const model::BucketMount& mount : spec.buckets) {
    if (!mount.secret.empty()) {
      names.push_back(mount.secret.str());
    }
  }
  return names;
}

}  // namespace

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
                            {"number", f.number},
                            {"published_us", detail::micros(f.published_at)},
                            {"keep", f.keep},
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
    fields.read("number", f.number);
    fields.read_time("published_us", f.published_at);
    fields.read("keep", f.keep);
    std::string_view bytes = record.bytes;
    for (const Json& item : fields.items("versions")) {
      auto spec = std::make_shared<model::FunctionSpec>(spec_from(item, f, bytes, fields));
      const std::string version = spec->version;
      f.versions[version] = std::move(spec);
    }
  });
}

template <>
Weight weight_of(const Function& f) {
  Weight weight{f.workspace.str(), f.tag.size()};
  for (const auto& [version, spec] : f.versions) {
    weight.bytes += spec->definition.size() + spec->parameters.size();
    if (weight.workspace.empty()) {
      weight.workspace = spec->workspace.str();  // of an older record
    }
  }
  return weight;
}

Version kept_version(const Function& function) {
  const auto live = function.live();
  THAW_CHECK(live != nullptr);
  return {version_id({function.id, live->version}),
          function.id,
          function.app,
          live->workspace,
          function.number,
          function.published_at,
          live};
}

template <>
std::vector<std::string> named_by(const Function& function) {
  std::vector<std::string> names;
  for (const auto& [version, spec] : function.versions) {
    for (std::string& name : named_by_spec(*spec)) {
      names.push_back(std::move(name));
    }
  }
  return names;
}

template <>
std::vector<std::string> named_by(const Version& version) {
  return named_by_spec(*version.spec);
}

template <>
StoredRecord to_record(const Version& v) {
  return {codec::dump_json({{"id", v.id},
                            {"function", v.function},
                            {"app", v.app},
                            {"workspace", v.workspace},
                            {"base", v.spec->base},
                            {"number", v.number},
                            {"published_us", detail::micros(v.published_at)},
                            {"spec", spec_json(*v.spec)}}),
          v.spec->definition};
}
template <>
Result<Version> from_record(const StoredRecord& record) {
  return decode<Version>(record, [&](Fields& fields, Version& v) {
    fields.read("id", v.id);
    fields.read("function", v.function);
    fields.read("app", v.app);
    fields.read("workspace", v.workspace);
    fields.read("number", v.number);
    fields.read_time("published_us", v.published_at);
    Function function;
    function.id = v.function;
    function.app = v.app;
    fields.read("base", function.base);
    std::string_view bytes = record.bytes;
    v.spec = std::make_shared<model::FunctionSpec>(
        spec_from(fields.object("spec"), function, bytes, fields));
    if (v.id != version_id({v.function, v.spec->version})) {
      fields.wrong("id", "is not that of its function and its version");
    }
  });
}
template <>
Weight weight_of(const Version& v) {
  return {v.workspace.str(), v.spec->definition.size() + v.spec->parameters.size()};
}

template <>
StoredRecord to_record(const model::Alias& a) {
  Json versions = Json::array();
  for (const model::WeightedVersion& one : a.versions) {
    versions.push_back({{"version", one.version}, {"weight", one.weight}});
  }
  return {codec::dump_json({{"id", a.id},
                            {"function", a.function},
                            {"workspace", a.workspace},
                            {"name", a.name},
                            {"versions", versions}}),
          {}};
}
template <>
Result<model::Alias> from_record(const StoredRecord& record) {
  return decode<model::Alias>(record, [](Fields& fields, model::Alias& a) {
    fields.read("id", a.id);
    fields.read("function", a.function);
    fields.read("workspace", a.workspace);
    fields.read("name", a.name);
    for (const Json& item : fields.items("versions")) {
      model::WeightedVersion one;
      Fields part(item);
      part.read("version", one.version);
      part.read("weight", one.weight);
      fields.include(part);
      a.versions.push_back(std::move(one));
    }
    if (const Result<void> checked = model::check(a);
        !checked || a.id != model::alias_id(a.function, a.name)) {
      fields.wrong("versions", "are not those of an alias");
    }
  });
}
template <>
Weight weight_of(const model::Alias& a) {
  std::size_t bytes = a.name.size();
  for (const model::WeightedVersion& one : a.versions) {
    bytes += one.version.size();
  }
  return {a.workspace.str(), bytes};
}

}  // namespace thaw::catalog
