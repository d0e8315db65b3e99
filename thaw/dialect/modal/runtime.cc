// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/runtime.h"

#include <algorithm>

#include "thaw/codec/encoding.h"
#include "thaw/codec/json.h"
#include "thaw/dialect/modal/apps.h"
#include "thaw/dialect/modal/calls.h"
#include "thaw/dialect/modal/client_packages.h"
#include "thaw/dialect/modal/definition.h"
#include "thaw/dialect/modal/older_clients.h"
#include "thaw/dialect/modal/volumes.h"

namespace thaw::dialect::modal {

namespace {

constexpr const char* arguments_file = "arguments.pb";
constexpr const char* restore_file = "restore-state.json";
// What Linux takes as one word of a command line.
constexpr std::size_t longest_word = (128u << 10) - 1;
constexpr std::string_view client_mount_prefix = "modal-client-mount-";

// What a container's interpreter is shaped by, without what is the container's or secret.
struct TemplateEnv {
  std::vector<std::string> shaping;
  std::vector<std::string> whole;
};

// What the client's own libraries read when they are imported.
bool shapes_client(std::string_view name) {
  constexpr std::string_view prefixes[] = {"MODAL_",     "GRPC_", "PROTOCOL_BUFFERS_", "AIOHTTP_",
                                           "MULTIDICT_", "YARL_", "FROZENLIST_"};
  return std::any_of(std::begin(prefixes), std::end(prefixes),
                     [name](std::string_view prefix) { return name.starts_with(prefix); });
}

TemplateEnv template_env(const worker::Kit& kit, const std::vector<std::string>& env) {
  constexpr std::string_view per_container[] = {"MODAL_TASK_ID", "MODAL_IMAGE_ID",
                                                "MODAL_ENVIRONMENT", "MODAL_SERVER_URL",
                                                "MODAL_CONTAINER_ARGUMENTS_PATH"};
  TemplateEnv chosen;
  for (const std::string& entry : env) {
    const std::string_view name = std::string_view(entry).substr(0, entry.find('='));
    const bool is_own = std::find(std::begin(per_container), std::end(per_container), name) !=
                        std::end(per_container);
    if (is_own) {
      continue;
    }
    chosen.whole.push_back(entry);
    if (worker::shapes(kit, name) || shapes_client(name)) {
      chosen.shaping.push_back(entry);
    }
  }
  return chosen;
}

// The client waits for this file and takes its values for its own: who it is now.
worker::SnapshotPoint snapshot_point(const model::ContainerId& id) {
  const codec::Json state = {{"task_id", id.str()}, {"modal_task_id", id.str()}};
  return {worker::restored_signal, restore_file, codec::dump_json(state)};
}

std::string python_path(const std::vector<std::string>& env) {
  for (const std::string& entry : env) {
    if (entry.starts_with("PYTHONPATH=") && entry.size() > 11) {
      return "/root:/pkg:" + entry.substr(11);
    }
  }
  return "/root:/pkg";
}

}  // namespace

std::string client_version_of(Context& cx, const model::FunctionSpec& spec) {
  for (const model::MountId& id : spec.mounts) {
    const auto mount = scope_of(cx, spec).mount(id.str());
    if (mount && mount->name.starts_with(client_mount_prefix)) {
      return mount->name.substr(client_mount_prefix.size());
    }
  }
  return {};
}

pb::ContainerArguments arguments_for(Context& cx, const model::FunctionSpec& spec,
                                     const model::ContainerId& id, pb::Function definition) {
  pb::ContainerArguments arguments;
  arguments.set_task_id(id.str());
  arguments.set_function_id(spec.id.str());
  arguments.set_app_id(spec.app.str());
  arguments.set_serialized_params(spec.parameters);
  if (const auto environment = scope_of(cx, spec).environment(spec.environment)) {
    arguments.set_environment_name(environment->name);
  }
  *arguments.mutable_app_layout() = layout_in_container(cx, spec, definition, own_addresses(cx));
  *arguments.mutable_function_def() = std::move(definition);
  return arguments;
}

Result<std::string> word_for(const std::string& version, const pb::ContainerArguments& given,
                             const model::FunctionSpec& spec) {
  if (parse_client_version(version).value_or(arguments_in_file_since) >= arguments_in_file_since) {
    return std::string();
  }
  // They ask for what is pickled, and for the app's objects.
  pb::ContainerArguments arguments = given;
  arguments.clear_app_layout();
  arguments.mutable_function_def()->clear_function_serialized();
  arguments.mutable_function_def()->clear_class_serialized();
  arguments.mutable_function_def()->clear_method_definitions();
  std::string word = codec::base64_encode(arguments.SerializeAsString());
  if (word.size() > longest_word) {
    return Error::failed_precondition(
        "the definition of function '" + spec.name + "' is " + std::to_string(word.size() >> 10) +
        " KiB, and this version of its client takes at most " + std::to_string(longest_word >> 10) +
        " KiB: give its class fewer parameters, or deploy it with a client of 0.71 or later");
  }
  return word;
}

async::Task<void> ModalRuntime::complete_plan(std::shared_ptr<const model::FunctionSpec> spec,
                                              worker::LaunchPlan& plan) {
  THAW_CO_TRY(pb::Function definition, parse_definition(*spec));
  const auto image = scope_of(cx_, *spec).image(spec->image.str());
  std::string python;
  std::vector<std::string> entrypoint;
  std::vector<std::string> layers;
  if (image) {
    THAW_CO_TRY(const auto built, cx_.parts.images.find(image->key));
    python = built.image.python;
    entrypoint = built.image.config.entrypoint;
    layers = built.image.sources;
  }
  if (python.empty()) {
    co_return Error::failed_precondition(
        "the image of " + spec->name +
        " has no Python: nothing called `python` is on its PATH. Let the client add one, "
        "Image.from_registry(…, add_python=\"3.11\"), or install one in it (RUN apt-get update && "
        "apt-get install -y python3 python-is-python3, where it is Debian's)");
  }
  const std::string version = client_version_of(cx_, *spec);
  std::vector<worker::Bind> client;
  if (!version.empty()) {
    THAW_CO_TRY(const ClientFolders folders,
                co_await cx_.client_packages->folders(spec->workspace, version, python));
    client.push_back({folders.package, "/pkg"});
    if (!folders.dependencies.empty()) {
      client.push_back({folders.dependencies, "/__modal/deps"});
    }
    plan.binds.insert(plan.binds.end(), client.begin(), client.end());
  }
  for (const model::VolumeMount& mount : spec->volumes) {
    // The client knows a volume by this path too; who has a part of it does not see the rest.
    if (mount.sub_path.empty() && !is_network_file_system(mount.volume.str())) {
      plan.binds.push_back({worker::Volumes::source_of(mount.volume),
                            std::string(volume_folder) + mount.volume.str(),
                            mount.access == model::VolumeMount::Access::read_only
                                ? worker::Bind::Access::read_only
                                : worker::Bind::Access::read_write});
    }
  }
  const std::string path = python_path(plan.env);
  std::erase_if(plan.env, [](const std::string& e) { return e.starts_with("PYTHONPATH="); });
  const auto environment = scope_of(cx_, *spec).environment(spec->environment);
  plan.env.push_back("PYTHONPATH=" + path);
  plan.env.push_back("PYTHONUNBUFFERED=1");
  plan.env.push_back("MODAL_IS_REMOTE=1");
  plan.env.push_back(std::string("MODAL_SERVER_URL=unix://") + worker::container_socket);
  plan.env.push_back(std::string("MODAL_CONTAINER_ARGUMENTS_PATH=") + worker::container_folder +
                     "/" + arguments_file);
  plan.env.push_back("MODAL_TASK_ID=" + plan.id.str());
  plan.env.push_back("MODAL_IMAGE_ID=" + spec->image.str());
  // An idle container's heartbeat is answered at once, so this bounds how late it hears of a
  // cancellation of its next input.
  plan.env.push_back("MODAL_HEARTBEAT_INTERVAL=3");
  plan.env.push_back("MODAL_CLOUD_PROVIDER=CLOUD_PROVIDER_AUTO");
  plan.env.push_back("MODAL_REGION=local");
  if (environment) {
    plan.env.push_back("MODAL_ENVIRONMENT=" + environment->name);
  }
  if (plan.cwd.empty()) {
    plan.cwd = "/root";
  }
  // An ENTRYPOINT gets the command as its arguments, to be executed, often as another user:
  // exec gosu postgres "$@".
  plan.argv = entrypoint;
  plan.users = entrypoint.empty() ? worker::InsideUsers::root : worker::InsideUsers::all;
  plan.argv.insert(plan.argv.end(), {"python", "-u", "-m", "modal._container_entrypoint"});
  if (parse_client_version(version).value_or(arguments_in_file_since) < arguments_in_file_since) {
    plan.env.push_back("MODAL_TASK_SECRET=none");  // by which the client knows where it is
  }
  if (!version.empty() && entrypoint.empty()) {
    worker::ForkPlan fork;
    fork.kit = kit_.name;
    fork.workspace = spec->workspace.str();
    fork.layers = layers;
    fork.binds = std::move(client);
    TemplateEnv env = template_env(kit_, plan.env);
    fork.env = std::move(env.shaping);
    fork.whole_env = std::move(env.whole);
    fork.modules = {"modal._container_entrypoint"};
    plan.fork = std::move(fork);
  }
  // Without a GPU there is nothing of it to write, and no program that would.
  definition.clear_enable_gpu_snapshot();
  definition.clear__experimental_enable_gpu_snapshot();
  const bool for_snapshot = plan.purpose == worker::LaunchPlan::Purpose::snapshot;
  if (definition.checkpointing_enabled() && spec->snapshot_at == model::SnapshotAt::asked) {
    plan.snapshot_point = snapshot_point(plan.id);
    definition.set_is_checkpointing_function(for_snapshot);
  }
  if (for_snapshot) {
    plan.snapshot_env = {
        "MODAL_ENABLE_SNAP_RESTORE=1",
        std::string("MODAL_RESTORE_STATE_PATH=") + worker::container_folder + "/" + restore_file};
  }
  pb::ContainerArguments arguments = arguments_for(cx_, *spec, plan.id, std::move(definition));
  if (for_snapshot) {
    arguments.set_checkpoint_id("ch-" + plan.id.str().substr(3));
  }
  THAW_CO_TRY(std::string word, word_for(version, arguments, *spec));
  if (!word.empty()) {
    plan.argv.push_back(std::move(word));
    co_return ok();
  }
  plan.files.push_back({arguments_file, arguments.SerializeAsString()});
  co_return ok();
}

}  // namespace thaw::dialect::modal
