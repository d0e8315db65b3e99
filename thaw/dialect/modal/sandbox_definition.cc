// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/sandbox_definition.h"

#include <algorithm>
#include <cctype>
#include <limits>

#include "thaw/dialect/modal/box_ports.h"
#include "thaw/dialect/modal/definition.h"
#include "thaw/dialect/modal/older_clients.h"
#include "thaw/dialect/modal/volumes.h"

namespace thaw::dialect::modal {

namespace {

constexpr std::size_t most_tags = 50;
constexpr std::size_t longest_tag = 256;
constexpr std::size_t longest_name = 64;
constexpr std::size_t most_argument_bytes = 128u << 10;
constexpr std::size_t most_sources = 1'000;  // each is read, and decrypted

Result<void> check_served(const pb::Sandbox& d) {
  if (d.has_proxy_id() || d.i6pn_enabled() || !d.custom_domain().empty()) {
    return Error::unimplemented(
        "proxies, i6pn and custom domains of sandboxes are not served by this version of Thaw");
  }
  if (d.include_oidc_identity_token()) {
    return Error::unimplemented("identity tokens are not served by this version of Thaw");
  }
  if (d.enable_snapshot()) {
    return Error::unimplemented(
        "memory snapshots of sandboxes are not served by this version of Thaw");
  }
  return ok();
}

Result<void> check_sizes(const pb::Sandbox& d) {
  std::size_t bytes = 0;
  for (const std::string& argument : d.entrypoint_args()) {
    bytes += argument.size() + 1;
  }
  if (bytes > most_argument_bytes) {
    return Error::invalid_argument("the command of a sandbox has at most 128 KiB");
  }
  const auto harmless = [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.';
  };
  // The client for Go gives empty texts for what it was not given.
  if (d.name().size() > longest_name || !std::all_of(d.name().begin(), d.name().end(), harmless)) {
    return Error::invalid_argument(
        "a sandbox's name has 1 to 64 letters, digits, dashes, dots and underscores");
  }
  if (!d.workdir().empty() && !d.workdir().starts_with("/")) {
    return Error::invalid_argument("workdir is to be an absolute path");
  }
  return ok();
}

Result<control::ReadyProbe> probe_from(const pb::Probe& asked) {
  control::ReadyProbe probe;
  if (asked.has_tcp_port()) {
    if (asked.tcp_port() == 0 || asked.tcp_port() > std::numeric_limits<std::uint16_t>::max()) {
      return Error::invalid_argument("the port of a readiness probe is between 1 and 65535");
    }
    probe.port = static_cast<std::uint16_t>(asked.tcp_port());
  } else {
    THAW_TRY(probe.argv, command_from(asked.exec_command().argv()));
  }
  if (asked.interval_ms() > 0) {
    probe.pause = std::chrono::milliseconds(asked.interval_ms());
  }
  return probe;
}

// Its container is described as that of a function would be.
pb::Function as_function(const pb::Sandbox& d) {
  pb::Function f;
  f.set_function_name("the sandbox");
  f.set_image_id(d.image_id());
  *f.mutable_mount_ids() = d.mount_ids();
  *f.mutable_secret_ids() = d.secret_ids();
  *f.mutable_volume_mounts() = d.volume_mounts();
  *f.mutable_shared_volume_mounts() = d.nfs_mounts();
  *f.mutable_cloud_bucket_mounts() = d.cloud_bucket_mounts();
  *f.mutable_resources() = d.resources();
  in_todays_words(f);
  // Its list of networks is its own.
  f.set_block_network(d.block_network() ||
                      d.network_access().network_access_type() == pb::NetworkAccess::BLOCKED);
  return f;
}

}  // namespace

Result<control::BoxSpec> box_from(const pb::Sandbox& d) {
  THAW_TRY_VOID(check_served(d));
  THAW_TRY_VOID(check_sizes(d));
  THAW_TRY(model::FunctionSpec like, spec_from(as_function(d)));
  if (!like.resources.gpu.empty()) {
    return Error::unimplemented("GPUs of sandboxes are not served by this version of Thaw");
  }
  control::BoxSpec spec;
  spec.record.image = like.image;
  spec.record.name = d.name();
  spec.record.time_limit = std::chrono::seconds(d.timeout_secs() > 0 ? d.timeout_secs() : 300);
  spec.record.idle_limit = std::chrono::seconds(d.idle_timeout_secs());
  spec.arguments.assign(d.entrypoint_args().begin(), d.entrypoint_args().end());
  spec.cwd = d.workdir();
  spec.mounts = std::move(like.mounts);
  spec.volumes = std::move(like.volumes);
  for (model::BucketMount& mount : like.buckets) {
    control::BucketUse use;
    if (!mount.secret.empty()) {
      use.credentials.emplace_back(mount.secret);
    }
    use.mount = std::move(mount);
    spec.buckets.push_back(std::move(use));
  }
  spec.resources = std::move(like.resources);
  spec.network = like.network;
  THAW_TRY_VOID(network_from(d, spec));
  spec.terminal = terminal_from(d.pty_info(), spec.environment);
  if (d.has_readiness_probe()) {
    THAW_TRY(spec.probe, probe_from(d.readiness_probe()));
  }
  return spec;
}

Result<void> check_references(Context& cx, const gateway::Identity& who,
                              const control::BoxSpec& spec) {
  const catalog::Scope scope = scope_of(cx, who);
  if (!scope.image(spec.record.image.str())) {
    return Error::not_found("image '" + spec.record.image.str() + "' does not exist");
  }
  for (const auto& id : spec.mounts) {
    if (!scope.mount(id.str())) {
      return Error::not_found("mount '" + id.str() + "' does not exist");
    }
  }
  for (const auto& use : spec.buckets) {
    if (!use.mount.secret.empty() && !scope.secret(use.mount.secret.str())) {
      return Error::not_found("secret '" + use.mount.secret.str() + "' does not exist");
    }
  }
  for (const auto& mount : spec.volumes) {
    THAW_TRY([[maybe_unused]] const auto volume, find_any_volume(cx, who, mount.volume.str()));
  }
  return ok();
}

Result<Tags> tags_from(const google::protobuf::RepeatedPtrField<pb::SandboxTag>& tags) {
  Tags found;
  for (const pb::SandboxTag& tag : tags) {
    if (tag.tag_name().empty() || tag.tag_name().size() > longest_tag ||
        tag.tag_value().size() > longest_tag) {
      return Error::invalid_argument("a tag's name has 1 to 256 bytes, and its value at most 256");
    }
    found[tag.tag_name()] = tag.tag_value();
  }
  if (found.size() > most_tags) {
    return Error::invalid_argument("a sandbox has at most 50 tags");
  }
  return found;
}

void add_tags(const Tags& tags, google::protobuf::RepeatedPtrField<pb::SandboxTag>& out) {
  for (const auto& [name, value] : tags) {
    pb::SandboxTag* tag = out.Add();
    tag->set_tag_name(name);
    tag->set_tag_value(value);
  }
}

Result<std::string> variable_from(const std::string& name, const std::string& value) {
  if (name.empty() || name.find('=') != std::string::npos ||
      (name + value).find('\0') != std::string::npos) {
    return Error::invalid_argument("'" + name.substr(0, 80) +
                                   "' cannot be a variable of an environment");
  }
  return name + "=" + value;
}

namespace {

Result<control::EnvSource> secret_from(const catalog::Scope& scope, const std::string& id) {
  if (!scope.secret(id)) {
    return Error::not_found("secret '" + id.substr(0, 80) + "' does not exist");
  }
  return control::EnvSource(model::SecretId(id));
}

Error too_many_sources() {
  return Error::invalid_argument("an environment is made of at most " +
                                 std::to_string(most_sources) + " secrets and dictionaries");
}

}  // namespace

Result<std::vector<control::EnvSource>> environment_from(
    const catalog::Scope& scope, const google::protobuf::RepeatedPtrField<std::string>& secrets) {
  std::vector<control::EnvSource> environment;
  if (static_cast<std::size_t>(secrets.size()) > most_sources) {
    return too_many_sources();
  }
  for (const std::string& id : secrets) {
    THAW_TRY(control::EnvSource secret, secret_from(scope, id));
    environment.push_back(std::move(secret));
  }
  return environment;
}

Result<std::vector<control::EnvSource>> environment_from(
    const catalog::Scope& scope,
    const google::protobuf::RepeatedPtrField<pb::SecretSource>& sources) {
  std::vector<control::EnvSource> environment;
  if (static_cast<std::size_t>(sources.size()) > most_sources) {
    return too_many_sources();
  }
  std::size_t bytes = 0;
  for (const pb::SecretSource& source : sources) {
    if (source.has_secret_id()) {
      THAW_TRY(control::EnvSource secret, secret_from(scope, source.secret_id()));
      environment.push_back(std::move(secret));
      continue;
    }
    for (const auto& [name, value] : source.env().contents()) {
      THAW_TRY(std::string variable, variable_from(name, value));
      bytes += variable.size();
      environment.emplace_back(std::move(variable));
    }
  }
  if (bytes > most_env_bytes) {
    return Error::invalid_argument("an environment has at most 1 MiB");
  }
  return environment;
}

Result<std::vector<std::string>> command_from(
    const google::protobuf::RepeatedPtrField<std::string>& words) {
  std::size_t bytes = 0;
  for (const std::string& word : words) {
    bytes += word.size() + 1;
  }
  if (words.empty() || words[0].empty() || bytes > most_argument_bytes) {
    return Error::invalid_argument("a command has a program, and at most 128 KiB");
  }
  return std::vector<std::string>(words.begin(), words.end());
}

std::optional<sandbox::TerminalSize> terminal_from(const pb::PTYInfo& info,
                                                   std::vector<control::EnvSource>& env) {
  if (!info.enabled()) {
    return std::nullopt;
  }
  const auto said = [](std::uint32_t value, std::uint16_t otherwise) {
    return value == 0 || value > std::numeric_limits<std::uint16_t>::max()
               ? otherwise
               : static_cast<std::uint16_t>(value);
  };
  const auto add = [&env](const char* name, const std::string& value) {
    if (!value.empty() && value.size() < 256 && value.find('\0') == std::string::npos) {
      env.emplace_back(std::string(name) + "=" + value);
    }
  };
  add("TERM", info.env_term());
  add("COLORTERM", info.env_colorterm());
  add("TERM_PROGRAM", info.env_term_program());
  return sandbox::TerminalSize{said(info.winsz_rows(), 24), said(info.winsz_cols(), 80)};
}

void tell_result(const model::Box& box, pb::GenericResult& result) {
  using Result = pb::GenericResult;
  result.set_exitcode(box.exit_code);
  result.set_exception(box.why);
  switch (box.end) {
    case model::BoxEnd::none: result.Clear(); break;
    case model::BoxEnd::exited:
      result.set_status(box.exit_code == 0 ? Result::GENERIC_STATUS_SUCCESS
                                           : Result::GENERIC_STATUS_FAILURE);
      break;
    case model::BoxEnd::terminated: result.set_status(Result::GENERIC_STATUS_TERMINATED); break;
    case model::BoxEnd::timed_out: result.set_status(Result::GENERIC_STATUS_TIMEOUT); break;
    case model::BoxEnd::idle: result.set_status(Result::GENERIC_STATUS_IDLE_TIMEOUT); break;
    case model::BoxEnd::out_of_memory:
      result.set_status(Result::GENERIC_STATUS_KERNEL_OOM_KILL);
      break;
    case model::BoxEnd::start_failed: result.set_status(Result::GENERIC_STATUS_INIT_FAILURE); break;
    case model::BoxEnd::server_gone:
      result.set_status(Result::GENERIC_STATUS_INTERNAL_FAILURE);
      break;
  }
}

pb::SandboxHandleMetadata handle_metadata(const model::Box& box) {
  pb::SandboxHandleMetadata metadata;
  metadata.set_app_id(box.app.str());
  if (box.has_ended()) {
    tell_result(box, *metadata.mutable_result());
  }
  return metadata;
}

Result<FoundBox> find_box(Context& cx, const gateway::Identity& who, const std::string& id) {
  const auto record = scope_of(cx, who).box(id);
  if (!record) {
    return Error::not_found("sandbox '" + id.substr(0, 80) + "' does not exist");
  }
  FoundBox found{*record, cx.parts.boxes.find(record->id)};
  if (!found.box && !record->has_ended()) {
    found.record = cx.parts.boxes.ended_without_server(*record);
  }
  return found;
}

control::BoxPtr box_of_container(Context& cx, const gateway::Identity& who,
                                 const std::string& container) {
  control::BoxPtr box = cx.parts.boxes.find(model::ContainerId(container));
  return box && scope_of(cx, who).box(box->record.id.str()) ? box : nullptr;
}

}  // namespace thaw::dialect::modal
