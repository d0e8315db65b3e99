// SPDX-License-Identifier: Apache-2.0
// Images: a recipe from the client becomes a build, its output is streamed, its result remembered.
#include <algorithm>
#include <charconv>

#include "thaw/catalog/secret_values.h"
#include "thaw/codec/utf8.h"
#include "thaw/dialect/modal/added_python.h"
#include "thaw/dialect/modal/build_functions.h"
#include "thaw/dialect/modal/definition.h"
#include "thaw/dialect/modal/proto/images.pb.h"
#include "thaw/dialect/modal/rpc.h"
#include "thaw/dialect/modal/services.h"
#include "thaw/dialect/modal/volumes.h"
#include "thaw/logs/log_hub.h"

namespace thaw::dialect::modal {

namespace pb = ::modal::client;
using async::Task;

namespace {

constexpr std::size_t most_dockerfile_bytes = 1u << 20;

void fill_context(const model::Mount& mount, image::Recipe& recipe) {
  for (const auto& file : mount.files) {
    recipe.context[file.path] = {file.sha256_hex, file.mode};
  }
}

// A plan is made on the loop.
Result<void> check_size(const image::Recipe& recipe) {
  std::size_t bytes = 0;
  for (const std::string& line : recipe.dockerfile) {
    bytes += line.size();
  }
  if (bytes > most_dockerfile_bytes) {
    return Error::invalid_argument(
        "the commands of an image have at most " + std::to_string(most_dockerfile_bytes >> 10) +
        " KiB, not " + std::to_string(bytes >> 10) + "; put what is long into a file and add that");
  }
  return ok();
}

// What a secret says to a registry, by the names that the client documents for it.
Result<image::RegistryLogin> registry_login(Context& cx, const catalog::Scope& scope,
                                            const pb::ImageRegistryConfig& config) {
  const auto secret = scope.secret(config.secret_id());
  if (!secret) {
    return Error::not_found("the registry's secret '" + config.secret_id() + "' does not exist");
  }
  THAW_TRY(const codec::Json values, catalog::open_secret(cx.parts.secrets, *secret));
  const auto value_of = [&values](const char* name) {
    const auto found = values.find(name);
    return found != values.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  if (config.registry_auth_type() == pb::REGISTRY_AUTH_TYPE_AWS) {
    return Error::unimplemented(
        "keys of AWS are not turned into a registry's password here; put what `aws ecr "
        "get-login-password` prints into a secret: REGISTRY_USERNAME=AWS and REGISTRY_PASSWORD");
  }
  if (config.registry_auth_type() == pb::REGISTRY_AUTH_TYPE_GCP) {
    image::RegistryLogin login{"_json_key", value_of("SERVICE_ACCOUNT_JSON")};
    if (login.password.empty()) {
      return Error::invalid_argument("the registry's secret has no SERVICE_ACCOUNT_JSON");
    }
    return login;
  }
  image::RegistryLogin login{value_of("REGISTRY_USERNAME"), value_of("REGISTRY_PASSWORD")};
  // Basic has a colon behind the user, and a header no line ends.
  if (login.user.empty() || login.password.empty() || login.user.find(':') != std::string::npos) {
    return Error::invalid_argument(
        "the registry's secret needs REGISTRY_USERNAME, without a colon, and REGISTRY_PASSWORD");
  }
  return login;
}

// Lengths before words, so that two lists never are one.
void add_to_keys(const std::vector<std::string>& words, image::Recipe& recipe) {
  std::string text = recipe.depends_on;
  for (const std::string& word : words) {
    text += " " + std::to_string(word.size()) + " " + word;
  }
  recipe.depends_on = store::sha256_hex(text);
}

Result<std::vector<model::VolumeMount>> volume_mounts_of(Context& cx, const gateway::Identity& who,
                                                         const pb::Image& image) {
  std::vector<model::VolumeMount> mounts;
  for (const pb::VolumeMount& wire : image.volume_mounts()) {
    THAW_TRY(model::VolumeMount mount, volume_mount_from(wire));
    THAW_TRY([[maybe_unused]] const auto volume, find_volume(cx, who, mount.volume.str()));
    mounts.push_back(std::move(mount));
  }
  return mounts;
}

Result<image::Recipe> recipe_from(Context& cx, const gateway::Identity& who,
                                  const pb::ImageGetOrCreateRequest& request) {
  const pb::Image& image = request.image();
  const catalog::Scope scope = scope_of(cx, who);
  image::Recipe recipe;
  recipe.workspace = who.workspace.str();
  recipe.dockerfile.assign(image.dockerfile_commands().begin(), image.dockerfile_commands().end());
  for (const auto& base : image.base_images()) {
    const auto parent = scope.image(base.image_id());
    if (!parent) {
      return Error::not_found("base image '" + base.image_id() + "' does not exist");
    }
    recipe.bases[base.docker_tag()] = parent->key;
  }
  for (const auto& file : image.context_files()) {
    recipe.files[file.filename()] = file.data();
  }
  for (const auto& [name, value] : image.build_args()) {
    recipe.build_args[name] = value;
  }
  if (!image.context_mount_id().empty()) {
    const auto mount = scope.mount(image.context_mount_id());
    if (!mount) {
      return Error::not_found("context mount '" + image.context_mount_id() + "' does not exist");
    }
    fill_context(*mount, recipe);
    if (mount->files.empty()) {  // as those are that the server gives to everybody
      add_python(mount->name, recipe);
    }
  }
  if (image.has_build_function()) {
    THAW_TRY(std::vector<std::string> lines, build_function_lines(cx, who, request));
    recipe.dockerfile = std::move(lines);
    recipe.runs = image::Recipe::Runs::own;
  }
  THAW_TRY_VOID(check_size(recipe));
  if (image.secret_ids_size() > 0) {
    recipe.runs = image::Recipe::Runs::own;
  }
  for (const std::string& id : image.secret_ids()) {
    const auto secret = scope.secret(id);
    if (!secret) {
      return Error::not_found("secret '" + id + "' does not exist");
    }
    THAW_TRY(const std::vector<std::string> env, catalog::secret_env(cx.parts.secrets, *secret));
    recipe.secret_env.insert(recipe.secret_env.end(), env.begin(), env.end());
    if (secret->name.empty()) {  // as `env=` of a step is: another value is another image
      add_to_keys(env, recipe);
    }
  }
  THAW_TRY(const auto volumes, volume_mounts_of(cx, who, image));
  for (const model::VolumeMount& mount : volumes) {
    recipe.runs = image::Recipe::Runs::own;
    const bool is_read_only = mount.access == model::VolumeMount::Access::read_only;
    add_to_keys({mount.volume.str(), mount.path, mount.sub_path, is_read_only ? "ro" : "rw"},
                recipe);
  }
  if (!image.image_registry_config().secret_id().empty()) {
    THAW_TRY(recipe.login, registry_login(cx, scope, image.image_registry_config()));
  }
  if (request.force_build() || request.ignore_cache()) {
    recipe.cache = image::Recipe::Cache::ignore;
  }
  return recipe;
}

void set_result(const gateway::ImageBuilds::Build& build, pb::GenericResult& result) {
  if (build.state == gateway::ImageBuilds::State::done) {
    result.set_status(pb::GenericResult::GENERIC_STATUS_SUCCESS);
  } else if (build.state == gateway::ImageBuilds::State::failed) {
    result.set_status(pb::GenericResult::GENERIC_STATUS_FAILURE);
    result.set_exception(codec::valid_utf8(build.failure));
  }
}

void set_metadata(Context& cx, const catalog::Scope& scope, const std::string& id,
                  const std::string& builder_version, pb::ImageMetadata& metadata) {
  metadata.set_image_builder_version(builder_version);
  if (const auto image = scope.image(id)) {
    if (const auto built = cx.parts.images.find(image->key)) {
      metadata.set_workdir(built->image.config.workdir);
      if (!built->image.python.empty()) {
        metadata.set_python_version_info("Python " + built->image.python);
      }
    }
  }
}

Task<pb::ImageGetOrCreateResponse> get_or_create(Context& cx, net::GrpcCall& call,
                                                 pb::ImageGetOrCreateRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(image::Recipe recipe, recipe_from(cx, who, request));
  THAW_CO_TRY(recipe, co_await cx.parts.images.find_bases(std::move(recipe)));
  THAW_CO_TRY(const std::string key, cx.parts.images.key_of(recipe));
  model::Image image;
  // Equal recipes on equal bases are one image of the workspace.
  image.id = model::ImageId(
      "im-" +
      store::sha256_hex(who.workspace.str() + key + request.builder_version()).substr(0, 22));
  image.workspace = who.workspace;
  image.key = key;
  image.builder_version = request.builder_version();
  if (request.image().base_images_size() > 0) {
    image.base = model::ImageId(request.image().base_images(0).image_id());
  }
  pb::ImageGetOrCreateResponse reply;
  reply.set_image_id(image.id.str());
  cx.parts.unused.note_use(image.id.str());
  const bool use_cache = recipe.cache == image::Recipe::Cache::use;
  const auto running = cx.parts.builds.find(who.workspace, image.id);
  if (running && running->state == gateway::ImageBuilds::State::running) {
    co_return reply;  // ImageJoinStreaming tells the rest
  }
  const auto known = cx.parts.images.find(key);
  if (!known && known.error().code() != Code::not_found) {
    co_return known.error();
  }
  if (use_cache && known) {
    if (!scope_of(cx, who).image(image.id.str())) {
      THAW_CO_TRY_VOID(co_await cx.parts.catalog.images.put(image));
    }
    reply.mutable_result()->set_status(pb::GenericResult::GENERIC_STATUS_SUCCESS);
    set_metadata(cx, scope_of(cx, who), image.id.str(), request.builder_version(),
                 *reply.mutable_metadata());
    co_return reply;
  }
  for (const auto& [path, file] : recipe.context) {
    cx.parts.blobs.keep(recipe.workspace, file.sha256_hex, longest_build);
  }
  if (request.image().volume_mounts_size() > 0) {
    THAW_CO_TRY(const auto volumes, volume_mounts_of(cx, who, request.image()));
    THAW_CO_TRY_VOID(co_await bind_volumes(cx, volumes, recipe.besides));
  }
  if (request.image().has_build_function()) {
    THAW_CO_TRY_VOID(co_await equip_build_function(cx, who, request, recipe));
  }
  if (request.image().has_build_function() || request.image().volume_mounts_size() > 0) {
    const auto begun = cx.parts.builds.find(who.workspace, image.id);
    if (begun && begun->state == gateway::ImageBuilds::State::running) {
      co_return reply;  // by who asked for it meanwhile
    }
  }
  THAW_CO_TRY_VOID(cx.parts.builds.start(std::move(image), std::move(recipe)));
  co_return reply;
}

pb::TaskLogs item_of(const logs::Line& line) {
  pb::TaskLogs item;
  item.set_data(line.text);
  item.set_timestamp(to_seconds(line.time));
  item.set_file_descriptor(line.channel == logs::Channel::err ? pb::FILE_DESCRIPTOR_STDERR
                                                              : pb::FILE_DESCRIPTOR_STDOUT);
  return item;
}

Task<void> join(Context& cx, net::GrpcCall& call, pb::ImageJoinStreamingRequest request,
                net::Sink<pb::ImageJoinStreamingResponse> sink) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  const catalog::Scope scope = scope_of(cx, who);
  const model::ImageId id(request.image_id());
  const auto build = cx.parts.builds.find(who.workspace, id);
  const auto image = scope.image(id.str());
  if (!build && !image) {
    co_return Error::not_found("image '" + id.str() + "' does not exist");
  }
  const Instant until = poll_deadline(std::max(request.timeout(), 1.0f), 55s);
  std::uint64_t after = 0;
  std::from_chars(request.last_entry_id().data(),
                  request.last_entry_id().data() + request.last_entry_id().size(), after);
  while (true) {
    const bool running = build && build->state == gateway::ImageBuilds::State::running;
    std::vector<logs::Line> lines;
    if (running || build || request.include_logs_for_finished()) {
      const Instant patience = running ? std::min(until, monotonic_now() + 1s) : monotonic_now();
      THAW_CO_TRY(lines, co_await cx.parts.logs.follow(id.str(), after, 500, patience));
    }
    if (!lines.empty()) {
      after = lines.back().number;
      pb::ImageJoinStreamingResponse some;
      for (const logs::Line& line : lines) {
        *some.add_task_logs() = item_of(line);
      }
      some.set_entry_id(std::to_string(after));
      THAW_CO_TRY_VOID(co_await sink.write(some));
      continue;
    }
    if (!running) {
      pb::ImageJoinStreamingResponse last;
      if (build) {
        set_result(*build, *last.mutable_result());
      } else {
        last.mutable_result()->set_status(pb::GenericResult::GENERIC_STATUS_SUCCESS);
      }
      last.set_entry_id(std::to_string(after));
      last.set_eof(true);
      set_metadata(cx, scope, id.str(), image ? image->builder_version : "",
                   *last.mutable_metadata());
      if (const auto stored = scope.image(id.str())) {
        last.mutable_metadata()->set_image_builder_version(stored->builder_version);
      }
      co_return co_await sink.write(last);
    }
    if (monotonic_now() >= until) {
      co_return ok();
    }
  }
}

Task<pb::ImageFromIdResponse> from_id(Context& cx, net::GrpcCall& call,
                                      pb::ImageFromIdRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  const auto image = scope_of(cx, who).image(request.image_id());
  if (!image) {
    co_return Error::not_found("image '" + request.image_id() + "' does not exist");
  }
  pb::ImageFromIdResponse reply;
  reply.set_image_id(image->id.str());
  set_metadata(cx, scope_of(cx, who), image->id.str(), image->builder_version,
               *reply.mutable_metadata());
  co_return reply;
}

}  // namespace

void add_image_rpcs(net::GrpcTable& table, Context& cx) {
  add(table, cx, "ImageGetOrCreate", get_or_create);
  add_stream(table, cx, "ImageJoinStreaming", join);
  add(table, cx, "ImageFromId", from_id);
}

}  // namespace thaw::dialect::modal
