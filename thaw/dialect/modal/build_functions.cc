// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/build_functions.h"

#include <algorithm>

#include "thaw/catalog/secret_values.h"
#include "thaw/codec/encoding.h"
#include "thaw/codec/json.h"
#include "thaw/dialect/modal/apps.h"
#include "thaw/dialect/modal/client_packages.h"
#include "thaw/dialect/modal/definition.h"
#include "thaw/dialect/modal/runtime.h"
#include "thaw/store/blob_store.h"

namespace thaw::dialect::modal {

namespace pb = ::modal::client;
using async::Task;

namespace {

// What the step is told travels in its environment, of which Linux takes 2 MiB, in words of 128
// KiB.
constexpr std::size_t most_told = 1536u << 10;
constexpr std::size_t longest_part = 100u << 10;

Error too_large(const std::string& name, std::size_t bytes) {
  return Error::resource_exhausted(
      "the function '" + name + "' is " + std::to_string(bytes >> 10) +
      " KiB with all that it refers to, and one that runs in an image's build may have " +
      std::to_string(most_told >> 10) + " KiB: give it less to carry, or read it from a volume");
}

Result<BuildFunctions::Spec> find_build_function(Context& cx, const gateway::Identity& who,
                                                 const std::string& id) {
  auto spec = cx.build_functions->find(who.workspace, id);
  if (!spec) {
    return Error::not_found("the build's function '" + id.substr(0, 80) +
                            "' is not there any more: deploy again");
  }
  return spec;
}

// "package:clients/…" of the cache folder.
std::string package_folder(const Context& cx, const std::string& source) {
  return cx.options.cache_folder + "/" + source.substr(source.find(':') + 1);
}

std::string env_of(const image::ImageConfig& config, std::string_view name) {
  const std::string prefix = std::string(name) + "=";
  for (const std::string& entry : config.env) {
    if (entry.starts_with(prefix)) {
      return entry.substr(prefix.size());
    }
  }
  return {};
}

Result<codec::Json> told(Context& cx, const model::FunctionSpec& spec, const pb::Image& image,
                         const image::BuiltImage& base) {
  THAW_TRY(pb::Function definition, parse_definition(spec));
  const model::ContainerId id("ta-" + std::string(26, '0'));
  codec::Json objects = codec::Json::array();
  const pb::AppLayout layout = layout_in_container(cx, spec, definition, own_addresses(cx));
  for (const auto& object : layout.objects()) {
    objects.push_back(codec::base64_encode(object.SerializeAsString()));
  }
  pb::FunctionGetSerializedResponse serialized;
  serialized.set_function_serialized(definition.function_serialized());
  serialized.set_class_serialized(definition.class_serialized());
  definition.set_checkpointing_enabled(false);
  const pb::ContainerArguments arguments = arguments_for(cx, spec, id, std::move(definition));
  THAW_TRY(const std::string word, word_for(client_version_of(cx, spec), arguments, spec));
  const auto environment = scope_of(cx, spec).environment(spec.environment);
  const std::string& folder = base.config.workdir;
  return codec::Json{
      {"container", codec::base64_encode(arguments.SerializeAsString())},
      {"word", word},
      {"objects", std::move(objects)},
      {"serialized", codec::base64_encode(serialized.SerializeAsString())},
      {"input", codec::base64_encode(image.build_function().input().SerializeAsString())},
      {"folder", folder.empty() ? "/root" : folder},
      {"seconds", std::chrono::duration_cast<std::chrono::seconds>(spec.timeout).count()},
      {"environment",
       {{"MODAL_IS_REMOTE", "1"},
        {"MODAL_TASK_SECRET", "none"},
        {"MODAL_TASK_ID", id.str()},
        {"MODAL_IMAGE_ID", spec.image.str()},
        {"MODAL_ENVIRONMENT", environment ? environment->name : std::string()},
        {"MODAL_CLOUD_PROVIDER", "CLOUD_PROVIDER_AUTO"},
        {"MODAL_REGION", "local"},
        {"PYTHONUNBUFFERED", "1"}}}};
}

Task<void> add_folders(Context& cx, gateway::Identity who, BuildFunctions::Spec spec,
                       std::string python, image::RunSurroundings& besides) {
  const std::string version = client_version_of(cx, *spec);
  if (version.empty()) {
    co_return Error::failed_precondition(
        "a function of an image's build needs the client's own mount; unset "
        "MODAL_SYNC_ENTRYPOINT");
  }
  THAW_CO_TRY(const ClientFolders client,
              co_await cx.client_packages->folders(who.workspace, version, python));
  using Access = sandbox::BindMount::Access;
  besides.binds.push_back({package_folder(cx, client.package), "/pkg", Access::read_only});
  if (!client.dependencies.empty()) {
    besides.binds.push_back(
        {package_folder(cx, client.dependencies), "/__modal/deps", Access::read_only});
  }
  besides.in_use = client.in_use;
  for (const model::MountId& id : spec->mounts) {  // tidy(held): a spec never changes
    const auto mount = scope_of(cx, who).mount(id.str());
    if (!mount) {
      co_return Error::not_found("mount '" + id.str() + "' does not exist");
    }
    if (!mount->files.empty()) {
      THAW_CO_TRY(std::string folder, co_await cx.parts.mounts.folder_of(mount));
      besides.layers.push_back(std::move(folder));
    }
  }
  co_return co_await bind_volumes(cx, spec->volumes, besides);
}

}  // namespace

Task<void> bind_volumes(Context& cx, std::vector<model::VolumeMount> mounts,
                        image::RunSurroundings& besides) {
  using Access = sandbox::BindMount::Access;
  for (const model::VolumeMount& mount : mounts) {
    if (mount.access == model::VolumeMount::Access::read_write) {
      THAW_CO_TRY_VOID(cx.parts.volumes.check_space(mount.volume, 0));
    }
  }
  THAW_CO_TRY(const std::vector<worker::Bind> volumes,
              co_await cx.parts.volumes.binds(std::move(mounts)));
  for (const worker::Bind& bind : volumes) {
    const model::VolumeId id(bind.source.substr(bind.source.find(':') + 1));
    besides.binds.push_back(
        {cx.parts.volumes.files_of(id), bind.target,
         bind.access == worker::Bind::Access::read_only ? Access::read_only : Access::read_write,
         bind.inside});
  }
  co_return ok();
}

Result<void> BuildFunctions::keep(Spec spec) {
  if (spec->definition.size() > most_told / 2) {
    return too_large(spec->name, spec->definition.size());
  }
  const std::string id = spec->id.str();
  const std::uint64_t bytes = spec->definition.size() + sizeof(model::FunctionSpec);
  kept_.put(spec->workspace, id, spec, bytes, monotonic_now());
  return ok();
}

BuildFunctions::Spec BuildFunctions::find(const model::WorkspaceId& workspace,
                                          const std::string& id) const {
  return kept_.find(workspace, id);
}

Result<std::vector<std::string>> build_function_lines(Context& cx, const gateway::Identity& who,
                                                      const pb::ImageGetOrCreateRequest& request) {
  const pb::Image& image = request.image();
  if (image.base_images_size() != 1 || image.dockerfile_commands_size() != 0) {
    return Error::invalid_argument(
        "an image that is made by a function has one base image and no commands");
  }
  THAW_TRY(const auto spec, find_build_function(cx, who, request.build_function_id()));
  const pb::BuildFunction& function = image.build_function();
  const std::string digest = store::sha256_hex(
      codec::dump_json({{"definition", codec::base64_encode(function.definition())},
                        {"globals", codec::base64_encode(function.globals())},
                        {"input", codec::base64_encode(function.input().SerializeAsString())}}));
  const codec::Json command = {"python", "-m", "thaw_build", spec->name, digest.substr(0, 16)};
  return std::vector<std::string>{"FROM " + image.base_images(0).docker_tag(),
                                  "RUN " + codec::dump_json(command)};
}

Task<void> equip_build_function(Context& cx, gateway::Identity who,
                                const pb::ImageGetOrCreateRequest& request, image::Recipe& recipe) {
  THAW_CO_TRY(const auto spec, find_build_function(cx, who, request.build_function_id()));
  const auto parent = scope_of(cx, who).image(spec->image.str());
  if (!parent) {
    co_return Error::not_found("base image '" + spec->image.str() + "' does not exist");
  }
  THAW_CO_TRY(const image::BuildResult base, cx.parts.images.find(parent->key));
  if (base.image.python.empty()) {
    co_return Error::failed_precondition(
        "the image that '" + spec->name +
        "' runs in has no Python; start from Image.debian_slim or add Python to it");
  }
  if (!spec->resources.gpu.empty() &&
      cx.fleet->missing_gpu() == control::FleetOptions::MissingGpu::error) {
    co_return Error::failed_precondition(
        "function " + spec->name + " asks for GPU " + spec->resources.gpu +
        " in an image's build, and this machine has none; set [gpu] when_missing = \"cpu\" in the "
        "server's configuration to run it on the CPU");
  }
  if (!spec->buckets.empty()) {
    co_return Error::unimplemented(
        "function " + spec->name + " of an image's build mounts the bucket '" +
        spec->buckets[0].bucket +
        "', and buckets are not served to builds by this version of Thaw; read it in the "
        "function, with its keys in a secret");
  }
  // A little longer than the function may take, which the step itself sees to.
  recipe.besides.time_limit = std::min<Duration>(spec->timeout + 1min, longest_build);
  THAW_CO_TRY_VOID(co_await add_folders(cx, who, spec, base.image.python, recipe.besides));
  for (const model::SecretId& id : spec->secrets) {
    const auto secret = scope_of(cx, who).secret(id.str());
    if (!secret) {
      co_return Error::not_found("secret '" + id.str() + "' does not exist");
    }
    THAW_CO_TRY(const std::vector<std::string> env, catalog::secret_env(cx.parts.secrets, *secret));
    recipe.secret_env.insert(recipe.secret_env.end(), env.begin(), env.end());
  }
  THAW_CO_TRY(const codec::Json words, told(cx, *spec, request.image(), base.image));
  const std::string text = codec::base64_encode(codec::dump_json(words));
  if (text.size() > most_told) {
    co_return too_large(spec->name, text.size());
  }
  for (std::size_t at = 0, part = 0; at < text.size(); at += longest_part, ++part) {
    recipe.secret_env.push_back("THAW_BUILD_" + std::to_string(part) + "=" +
                                text.substr(at, longest_part));
  }
  const std::string path = env_of(base.image.config, "PYTHONPATH");
  recipe.secret_env.push_back("PYTHONPATH=/root:/pkg" + (path.empty() ? "" : ":" + path));
  co_return ok();
}

}  // namespace thaw::dialect::modal
