// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/definition.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <map>

#include "thaw/codec/encoding.h"
#include "thaw/codec/utf8.h"
#include "thaw/dialect/modal/bucket_mounts.h"
#include "thaw/dialect/modal/numbers.h"
#include "thaw/dialect/modal/placement.h"
#include "thaw/gateway/function_hosts.h"
#include "thaw/store/blob_store.h"
#include "thaw/worker/volume_paths.h"

namespace thaw::dialect::modal {

namespace {

constexpr std::uint64_t mebibyte = 1u << 20;
// Of calls that are kept on disk until their result is fetched.
constexpr std::uint64_t most_durable_inline_bytes = 1u << 20;

// A part of a host name: letters, digits and single dashes between them. What has none of these
// gets a digest, since it still must be told from another.
std::string slug(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0) {
      out += static_cast<char>(std::tolower(byte));
    } else if (!out.empty() && out.back() != '-') {
      out += '-';
    }
  }
  if (out.ends_with('-')) {
    out.pop_back();
  }
  return out.empty() ? "x" + store::sha256_hex(std::string(text)).substr(0, 10) : out;
}

// The client sends every experimental option as a string: "off", or False as Python prints it.
bool is_off(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text == "off" || text == "false" || text == "0" || text == "no";
}

void read_scaling(const pb::Function& f, model::Scaling& scaling) {
  const auto& settings = f.autoscaler_settings();
  const auto pick = [](bool has, std::uint32_t value, std::uint32_t legacy) {
    return static_cast<int>(std::min<std::uint32_t>(has ? value : legacy, 100'000));
  };
  scaling.min_containers =
      pick(settings.has_min_containers(), settings.min_containers(), f.warm_pool_size());
  scaling.max_containers =
      pick(settings.has_max_containers(), settings.max_containers(), f.concurrency_limit());
  scaling.buffer_containers = pick(settings.has_buffer_containers(), settings.buffer_containers(),
                                   f._experimental_buffer_containers());
  const int window = pick(settings.has_scaledown_window(), settings.scaledown_window(),
                          f.task_idle_timeout_secs());
  scaling.scaledown_window = window > 0 ? std::chrono::seconds(window) : 60s;
  scaling.window_by =
      window > 0 ? model::Scaling::WindowBy::user : model::Scaling::WindowBy::policy;
  scaling.max_concurrent_inputs = std::max(1, static_cast<int>(f.max_concurrent_inputs()));
  scaling.target_concurrent_inputs = static_cast<int>(f.target_concurrent_inputs());
  scaling.batch_max_size = static_cast<int>(f.batch_max_size());
  scaling.batch_linger = std::chrono::milliseconds(f.batch_linger_ms());
  scaling.use = f.single_use_containers() || f.max_inputs() == 1 ? model::Scaling::Use::single
                                                                 : model::Scaling::Use::many;
  const auto freezing = f.experimental_options().find("thaw_freeze");
  if (freezing != f.experimental_options().end() && is_off(freezing->second)) {
    scaling.freezing = model::Scaling::Freezing::never;
  }
}

void read_resources(const pb::Resources& r, model::Resources& out) {
  out.memory_bytes = r.memory_mb() * mebibyte;
  out.memory_limit_bytes = r.memory_mb_max() * mebibyte;
  out.cpu_millis = r.milli_cpu();
  out.cpu_limit_millis = r.milli_cpu_max();
  out.disk_bytes = r.ephemeral_disk_mb() * mebibyte;
  if (r.has_gpu_config() && (!r.gpu_config().gpu_type().empty() || r.gpu_config().count() > 0)) {
    const auto& gpu = r.gpu_config();
    const std::string name = gpu.gpu_type().empty() ? "any" : gpu.gpu_type();
    out.gpu = gpu.count() > 1 ? name + ":" + std::to_string(gpu.count()) : name;
  }
}

// Of what an error repeats; and of a function's name, which many errors repeat whole.
constexpr std::size_t longest_told = 200;
constexpr std::size_t longest_name = 1000;

std::string beginning_of(std::string_view text) {
  return std::string(text.substr(0, codec::cut_utf8(text, longest_told)));
}

// Folders that are the sandbox's own.
constexpr std::string_view own_folders[] = {"proc",           "sys",    "dev", "run/thaw",
                                            "run/thaw-start", "__modal"};

Result<std::string> mount_path_from(const std::string& given) {
  THAW_TRY(const std::string path, worker::volume_path(given));
  const bool absolute = given.starts_with("/");
  for (const std::string_view own : own_folders) {
    if (path.empty() || !absolute || path == own || path.starts_with(std::string(own) + "/")) {
      return Error::invalid_argument("a volume cannot be mounted at '" + beginning_of(given) +
                                     "'; give an absolute path that is not the system's own");
    }
  }
  return "/" + path;
}

pb::FunctionHandleMetadata method_metadata(const pb::Function& f, const model::FunctionSpec& spec,
                                           const std::string& method,
                                           const pb::MethodDefinition& definition,
                                           const WebAddresses& addresses) {
  pb::FunctionHandleMetadata out;
  out.set_function_name(definition.function_name());
  out.set_function_type(definition.function_type());
  out.set_is_method(true);
  out.set_use_method_name(method);
  out.set_app_id(spec.app.str());
  *out.mutable_function_schema() = definition.function_schema();
  *out.mutable_supported_input_formats() = definition.supported_input_formats();
  *out.mutable_supported_output_formats() = definition.supported_output_formats();
  *out.mutable_class_parameter_info() = f.class_parameter_info();
  out.set_max_object_size_bytes(addresses.inline_bytes);
  out.set_max_async_object_size_bytes(std::min(addresses.inline_bytes, most_durable_inline_bytes));
  for (const auto& web : spec.web) {
    if (web.method == method) {
      out.set_web_url(web_url(addresses, spec, web.label));
    }
  }
  return out;
}

// How far a container acts: in its environment, unless the function asks for more or for less.
Result<model::Reach> reach_from(const pb::Function& f) {
  if (f.untrusted()) {
    return model::Reach::inputs;
  }
  const auto asked = f.experimental_options().find("thaw_reach");
  if (asked == f.experimental_options().end() || asked->second == "environment") {
    return model::Reach::environment;
  }
  if (asked->second == "workspace") {
    return model::Reach::workspace;
  }
  return Error::invalid_argument("experimental_options thaw_reach of " + f.function_name() +
                                 " is 'environment' (the default) or 'workspace', not '" +
                                 asked->second.substr(0, 80) + "'");
}

}  // namespace

Result<std::string> folder_for_mount(const std::string& given) { return mount_path_from(given); }

Result<model::VolumeMount> volume_mount_from(const pb::VolumeMount& mount) {
  model::VolumeMount out;
  out.volume = model::VolumeId(mount.volume_id());
  THAW_TRY(out.path, mount_path_from(mount.mount_path()));
  out.access = mount.read_only() ? model::VolumeMount::Access::read_only
                                 : model::VolumeMount::Access::read_write;
  THAW_TRY(out.sub_path, worker::volume_path(mount.sub_path()));
  return out;
}

Result<pb::Function> parse_definition(const model::FunctionSpec& spec) {
  pb::Function definition;
  if (!definition.ParseFromString(spec.definition)) {
    return Error::data_loss("the stored definition of function " + spec.name + " is damaged");
  }
  return definition;
}

Result<model::FunctionSpec> spec_from(const pb::Function& f) {
  model::FunctionSpec spec;
  spec.dialect = dialect_name;
  spec.name = f.function_name();
  if (spec.name.empty()) {
    return Error::invalid_argument("a function needs a name");
  }
  if (spec.name.size() > longest_name) {
    return Error::invalid_argument("a function's name has at most " + std::to_string(longest_name) +
                                   " bytes, and '" + beginning_of(spec.name) + "…' has " +
                                   std::to_string(spec.name.size()));
  }
  if (f.is_server()) {
    return Error::unimplemented("app.server functions are not served by this version of Thaw");
  }
  if (f.has_http_config()) {
    return Error::unimplemented(
        "modal.experimental.http_server is not served by this version of Thaw; a method with "
        "@modal.web_server(port) does the same");
  }
  const auto has_domain = [](const pb::WebhookConfig& web) {
    return web.custom_domains_size() > 0;
  };
  if (has_domain(f.webhook_config()) ||
      std::any_of(f.method_definitions().begin(), f.method_definitions().end(),
                  [&](const auto& method) { return has_domain(method.second.webhook_config()); })) {
    return Error::unimplemented(
        "custom_domains= is not served by this version of Thaw; `[web] domain` of the server's "
        "configuration gives all functions names below one domain");
  }
  if (f._experimental_group_size() > 1) {
    return Error::unimplemented("clustered functions are not served by this version of Thaw");
  }
  THAW_TRY_VOID(check_numbers(f));
  THAW_TRY_VOID(check_placement(f));
  THAW_TRY(spec.reach, reach_from(f));
  spec.snapshot_at =
      f.checkpointing_enabled() ? model::SnapshotAt::asked : model::SnapshotAt::never;
  spec.image = model::ImageId(f.image_id());
  for (const std::string& id : f.mount_ids()) {
    spec.mounts.emplace_back(id);
  }
  for (const std::string& id : f.secret_ids()) {
    spec.secrets.emplace_back(id);
  }
  for (const auto& mount : f.volume_mounts()) {
    THAW_TRY(model::VolumeMount volume, volume_mount_from(mount));
    spec.volumes.push_back(std::move(volume));
  }
  for (const auto& mount : f.shared_volume_mounts()) {
    model::VolumeMount volume;
    volume.volume = model::VolumeId(mount.shared_volume_id());
    THAW_TRY(volume.path, mount_path_from(mount.mount_path()));
    spec.volumes.push_back(std::move(volume));
  }
  THAW_TRY(spec.buckets, bucket_mounts_from(f.cloud_bucket_mounts()));
  if (!spec.buckets.empty()) {
    spec.snapshot_at = model::SnapshotAt::never;  // what serves them is no part of the program
  }
  read_resources(f.resources(), spec.resources);
  read_scaling(f, spec.scaling);
  spec.timeout = f.timeout_secs() > 0 ? std::chrono::seconds(f.timeout_secs()) : 300s;
  spec.startup_timeout = f.startup_timeout_secs() > 0
                             ? std::chrono::seconds(f.startup_timeout_secs())
                             : std::max<Duration>(spec.timeout, 300s);
  if (f.has_retry_policy()) {
    const auto& retry = f.retry_policy();
    spec.retry.max_retries = static_cast<int>(std::min(retry.retries(), 100u));
    spec.retry.initial_delay = std::chrono::milliseconds(retry.initial_delay_ms());
    spec.retry.max_delay =
        retry.max_delay_ms() > 0 ? std::chrono::milliseconds(retry.max_delay_ms()) : 60s;
    spec.retry.backoff = retry.backoff_coefficient() > 0 ? retry.backoff_coefficient() : 1.0;
  }
  const bool blocked =
      f.block_network() || (f.has_network_access() &&
                            f.network_access().network_access_type() == pb::NetworkAccess::BLOCKED);
  spec.network = blocked ? model::NetworkAccess::blocked : model::NetworkAccess::open;
  f.SerializeToString(&spec.definition);
  return spec;
}

bool wants_gpu_snapshot(const pb::Function& f) {
  const auto option = f.experimental_options().find("enable_gpu_snapshot");
  return f.enable_gpu_snapshot() || f._experimental_enable_gpu_snapshot() ||
         (option != f.experimental_options().end() && !is_off(option->second));
}

bool has_schedule(const pb::Schedule& schedule) {
  return schedule.schedule_oneof_case() != pb::Schedule::SCHEDULE_ONEOF_NOT_SET;
}

model::Schedule schedule_from(const pb::Schedule& schedule) {
  if (schedule.has_cron()) {
    const pb::Schedule::Cron& cron = schedule.cron();
    return model::CronSchedule{cron.cron_string(), cron.timezone()};
  }
  const pb::Schedule::Period& period = schedule.period();
  // The seconds travel as 32 bits: 0.1 is to be 0.1 again.
  const double seconds = std::round(static_cast<double>(period.seconds()) * 1e6) / 1e6;
  return model::PeriodSchedule{period.years(), period.months(),  period.weeks(), period.days(),
                               period.hours(), period.minutes(), seconds};
}

std::string schedule_warning(const std::string& function) {
  return "function '" + function +
         "' has a schedule; schedules are kept once their app is deployed (`modal deploy`): while "
         "the app is only run, the function runs when it is called";
}

pb::Function with_options(pb::Function f, const pb::FunctionOptions& o) {
  if (o.replace_secret_ids()) {
    f.clear_secret_ids();
  }
  for (const std::string& id : o.secret_ids()) {
    f.add_secret_ids(id);
  }
  for (const std::string& id : o.mount_ids()) {
    f.add_mount_ids(id);
  }
  if (o.replace_volume_mounts()) {
    f.clear_volume_mounts();
  }
  f.mutable_volume_mounts()->MergeFrom(o.volume_mounts());
  auto* scaling = f.mutable_autoscaler_settings();
  if (o.has_resources()) {
    f.mutable_resources()->MergeFrom(o.resources());
  }
  if (o.has_scheduler_placement()) {
    *f.mutable_scheduler_placement() = o.scheduler_placement();
  }
  if (o.has_cloud_provider_str()) {
    f.set_cloud_provider_str(o.cloud_provider_str());
  }
  if (o.has_routing_region()) {
    f.set_routing_region(o.routing_region());
  }
  if (o.replace_cloud_bucket_mounts()) {
    f.clear_cloud_bucket_mounts();
  }
  f.mutable_cloud_bucket_mounts()->MergeFrom(o.cloud_bucket_mounts());
  if (o.has_retry_policy()) {
    *f.mutable_retry_policy() = o.retry_policy();
  }
  if (o.has_concurrency_limit()) {
    scaling->set_max_containers(o.concurrency_limit());
  }
  if (o.has_warm_pool_size()) {
    scaling->set_min_containers(o.warm_pool_size());
  }
  if (o.has_buffer_containers()) {
    scaling->set_buffer_containers(o.buffer_containers());
  }
  if (o.has_task_idle_timeout_secs()) {
    scaling->set_scaledown_window(o.task_idle_timeout_secs());
  }
  if (o.has_timeout_secs()) {
    f.set_timeout_secs(o.timeout_secs());
  }
  if (o.has_max_concurrent_inputs()) {
    f.set_max_concurrent_inputs(o.max_concurrent_inputs());
  }
  if (o.has_target_concurrent_inputs()) {
    f.set_target_concurrent_inputs(o.target_concurrent_inputs());
  }
  if (o.has_batch_max_size()) {
    f.set_batch_max_size(o.batch_max_size());
  }
  if (o.has_batch_linger_ms()) {
    f.set_batch_linger_ms(o.batch_linger_ms());
  }
  return f;
}

Result<std::string> web_label(const std::string& app_name, const std::string& function_name,
                              const pb::WebhookConfig& config, bool ephemeral,
                              const LabelPlace& place) {
  if (config.type() == pb::WEBHOOK_TYPE_UNSPECIFIED) {
    return std::string();
  }
  const std::string own = gateway::lower_case(config.requested_suffix());
  if (!own.empty()) {
    if (const Result<void> checked = gateway::check_label(own); !checked) {
      return Error::invalid_argument("label= of " + function_name + ": " +
                                     checked.error().message());
    }
  }
  std::string label = own.empty() ? slug(app_name) + "-" + slug(function_name) : own;
  if (ephemeral) {
    label += config.ephemeral_suffix().empty() ? "-dev" : "-" + slug(config.ephemeral_suffix());
  }
  // Two dashes only ever stand between these parts: whose a label is can be read from it.
  if (!place.workspace.empty()) {
    const std::string environment = place.environment.empty() ? "main" : slug(place.environment);
    label = place.workspace + "--" + environment + "--" + label;
  } else if (!place.environment.empty()) {
    label = slug(place.environment) + "--" + label;
  }
  // A label is one DNS label, so that it can be the first part of a host name. What is too long
  // ends with a digest of the whole: names that begin alike keep addresses of their own.
  constexpr std::size_t longest = 63;
  constexpr std::size_t digest_size = 10;
  if (label.size() <= longest) {
    return label;
  }
  std::string shortened = label.substr(0, longest - digest_size - 1);
  shortened.erase(shortened.find_last_not_of('-') + 1);
  return shortened + "-" + store::sha256_hex(label).substr(0, digest_size);
}

namespace {

// The first value of each name, as it is written there. A class may have as many parameters as a
// query has names: it is gone through once, and not for each of them.
std::map<std::string, std::string_view> values_in(std::string_view query) {
  std::map<std::string, std::string_view> values;
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), pair.size() + 1));
    const std::size_t equals = pair.find('=');
    if (equals != std::string_view::npos) {
      values.emplace(codec::percent_decode(pair.substr(0, equals)), pair.substr(equals + 1));
    }
  }
  return values;
}

std::string decoded_value(std::string_view written) {
  std::string value(written);
  std::replace(value.begin(), value.end(), '+', ' ');
  return codec::percent_decode(value);
}

Result<void> read_value(const std::string& text, pb::ClassParameterValue& out) {
  const auto wrong = [&](std::string_view type) {
    return Error::invalid_argument("the class parameter '" + beginning_of(out.name()) + "' is no " +
                                   std::string(type));
  };
  switch (out.type()) {
    case pb::PARAM_TYPE_STRING:
      if (codec::valid_utf8(text) != text) {
        return wrong("UTF-8 text");
      }
      out.set_string_value(text);
      return ok();
    case pb::PARAM_TYPE_BYTES: out.set_bytes_value(text); return ok();
    case pb::PARAM_TYPE_BOOL:
      if (text != "true" && text != "True" && text != "1" && !is_off(text)) {
        return wrong("bool: true or false");
      }
      out.set_bool_value(!is_off(text));
      return ok();
    case pb::PARAM_TYPE_INT: {
      std::int64_t number = 0;
      const char* end = text.data() + text.size();
      const auto [stop, failure] = std::from_chars(text.data(), end, number);
      if (failure != std::errc{} || stop != end) {
        return wrong("integer");
      }
      out.set_int_value(number);
      return ok();
    }
    default: return wrong("text, integer, bool or bytes, and cannot be given in a URL");
  }
}

Result<void> read_default(const pb::ClassParameterSpec& parameter, pb::ClassParameterValue& out) {
  switch (parameter.default_oneof_case()) {
    case pb::ClassParameterSpec::kStringDefault:
      out.set_string_value(parameter.string_default());
      return ok();
    case pb::ClassParameterSpec::kIntDefault:
      out.set_int_value(parameter.int_default());
      return ok();
    case pb::ClassParameterSpec::kBytesDefault:
      out.set_bytes_value(parameter.bytes_default());
      return ok();
    case pb::ClassParameterSpec::kBoolDefault:
      out.set_bool_value(parameter.bool_default());
      return ok();
    case pb::ClassParameterSpec::kPickleDefault:
      out.set_pickle_value(parameter.pickle_default());
      return ok();
    case pb::ClassParameterSpec::DEFAULT_ONEOF_NOT_SET: break;
  }
  return Error::invalid_argument("the query lacks the class parameter '" +
                                 beginning_of(parameter.name()) + "'");
}

}  // namespace

Result<std::optional<std::string>> parameters_in_query(const pb::Function& definition,
                                                       std::string_view query) {
  pb::ClassParameterSet set;
  bool named = false;
  const std::map<std::string, std::string_view> values = values_in(query);
  for (const pb::ClassParameterSpec& parameter : definition.class_parameter_info().schema()) {
    pb::ClassParameterValue& value = *set.add_parameters();
    value.set_name(parameter.name());
    const pb::ParameterType full = parameter.full_type().base_type();
    value.set_type(full == pb::PARAM_TYPE_UNSPECIFIED ? parameter.type() : full);
    if (const auto written = values.find(parameter.name()); written != values.end()) {
      THAW_TRY_VOID(read_value(decoded_value(written->second), value));
      named = true;
    } else {
      THAW_TRY_VOID(read_default(parameter, value));
    }
  }
  return named ? std::optional(set.SerializeAsString()) : std::nullopt;
}

std::string web_url(const WebAddresses& addresses, const model::FunctionSpec& spec,
                    const std::string& label) {
  if (label.empty()) {
    return {};
  }
  if (!addresses.domain.empty()) {
    return addresses.scheme + "://" + label + "." + addresses.domain + addresses.port;
  }
  const std::string host =
      addresses.host_of ? addresses.host_of(label, spec.workspace) : std::string();
  return addresses.scheme + "://" +
         (host.empty() ? addresses.authority + "/web/" + label : host + addresses.port);
}

pb::FunctionHandleMetadata handle_metadata(const model::FunctionSpec& spec,
                                           const WebAddresses& addresses) {
  pb::FunctionHandleMetadata out;
  const auto parsed = parse_definition(spec);
  const pb::Function& f = parsed ? *parsed : pb::Function::default_instance();
  out.set_function_name(spec.name);
  out.set_function_type(f.function_type());
  out.set_is_method(f.is_method());
  out.set_definition_id(spec.version);
  out.set_app_id(spec.app.str());
  out.set_base_function_id(spec.base.str());
  *out.mutable_class_parameter_info() = f.class_parameter_info();
  *out.mutable_function_schema() = f.function_schema();
  *out.mutable_supported_input_formats() = f.supported_input_formats();
  *out.mutable_supported_output_formats() = f.supported_output_formats();
  out.set_max_object_size_bytes(addresses.inline_bytes);
  out.set_max_async_object_size_bytes(std::min(addresses.inline_bytes, most_durable_inline_bytes));
  for (const auto& [method, definition] : f.method_definitions()) {
    (*out.mutable_method_handle_metadata())[method] =
        method_metadata(f, spec, method, definition, addresses);
  }
  for (const auto& web : spec.web) {
    if (web.method.empty()) {
      out.set_web_url(web_url(addresses, spec, web.label));
    }
  }
  return out;
}

}  // namespace thaw::dialect::modal
