// SPDX-License-Identifier: Apache-2.0
//
// Images: a recipe in the Dockerfile dialect on top of a base, built into content-addressed layers.
// Each instruction that changes files is one cached layer, keyed by its parent, its text and the
// content it uses; metadata instructions (ENV, WORKDIR, CMD …) only change the config. Bases come
// from built layers, then local recipes (mmdebstrap for Debian and python:3.N-slim-*), then what
// was imported by hand, then registries. Base roots live in a cache folder that several servers of
// this machine share.
#pragma once

#include <concepts>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "thaw/async/blocking.h"
#include "thaw/async/loop.h"
#include "thaw/async/task.h"
#include "thaw/logs/log_hub.h"
#include "thaw/model/ids.h"
#include "thaw/sandbox/sandbox.h"
#include "thaw/store/blob_store.h"
#include "thaw/store/database.h"

namespace thaw::image {

struct ImageConfig {
  std::vector<std::string> env;  // "NAME=value", in order of first appearance
  std::string workdir;           // empty: not set
  std::string user;
  std::vector<std::string> entrypoint;
  std::vector<std::string> cmd;
  std::vector<std::string> shell;    // default: /bin/sh -c
  std::vector<std::string> onbuild;  // instructions that an image FROM this one begins with
  int stop_signal = 0;               // asks its program to end; 0: not set
};

struct BuiltImage {
  std::vector<std::string> layers;   // host folders, lowest first
  std::vector<std::string> sources;  // the same by name, "layer:…" and "base:…"
  ImageConfig config;
  std::string python;  // "3.11" if `python` on its PATH says so; else empty
};

struct ContextFile {  // of the mount that COPY reads from, by its path in it ("/python/x")
  std::string sha256_hex;
  std::uint32_t mode = 0644;
};

// What RUN finds besides the image, from this machine: part of no key and of no layer.
struct RunSurroundings {
  std::vector<std::string> layers;  // host folders, over those of the image
  std::vector<sandbox::BindMount> binds;
  std::shared_ptr<const void> in_use = nullptr;  // kept until the build has ended
  Duration time_limit{};                         // in place of a step's usual one; zero: that
};

// Who asks a registry.
struct RegistryLogin {
  std::string user;
  std::string password;
};

struct RegistryImage;  // registry_image.h: what a registry says that a name means

struct Recipe {
  std::vector<std::string> dockerfile;         // lines of the Dockerfile dialect
  std::map<std::string, std::string> bases;    // tag named in FROM -> key of a built image
  std::string workspace;                       // whose blobs the context is; part of no key
  std::map<std::string, ContextFile> context;  // from the blob store
  std::map<std::string, std::string> files;    // COPY finds these too: "/requirements.txt" -> bytes
  std::map<std::string, std::string> build_args;
  std::vector<std::string> secret_env;  // for RUN only; part of no key and of no layer
  // Whether what RUN makes of the same lines on the same base may be of another workspace. Not
  // where secrets have a part in it, or files that are the workspace's own: nobody is to get at
  // what they made, nor to make it for others.
  enum class Runs { shared, own } runs = Runs::shared;
  // Something of what RUN finds besides the image that is a part of its keys; empty: nothing is.
  std::string depends_on = {};
  RunSurroundings besides = {};
  // For the registry that its first FROM names, and no other; part of no key and of no layer.
  std::optional<RegistryLogin> login;
  // By what its lines call them: Builder::find_bases() fills it.
  std::map<std::string, std::shared_ptr<const RegistryImage>> found;
  enum class Cache { use, ignore } cache = Cache::use;
};

struct BuildResult {
  std::string key;  // content address of the recipe on its base: same recipe, same key
  BuiltImage image;
  int layers_built = 0;  // 0: everything was cached
};

// Hears what a build prints. Who reads a program's output waits for `room` before each piece, so
// that a log that is slower slows the program and loses nothing; without one nobody waits.
struct BuildLog {
  using Say = std::function<void(logs::Channel channel, std::string text)>;
  using Room = std::function<async::Task<void>()>;

  BuildLog() = default;
  BuildLog(Say hears, Room waits) : say(std::move(hears)), room(std::move(waits)) {}
  template <class F>
    requires(!std::same_as<std::remove_cvref_t<F>, BuildLog>)
  BuildLog(F hears) : say(std::move(hears)) {}

  void operator()(logs::Channel channel, std::string text) const { say(channel, std::move(text)); }
  explicit operator bool() const { return say != nullptr; }

  Say say;
  Room room;
};

// Where images come from that this machine neither has nor makes.
struct RegistrySettings {
  std::string default_registry;   // "host" or "host:port", of names without a host; empty: none
  std::vector<std::string> only;  // hosts that may be asked; empty: any
  // Spoken to without TLS, as those of the loopback interface are.
  std::vector<std::string> insecure;
  std::string authorities_file;  // more certificates to trust; empty: the machine's own
  std::uint64_t image_bytes = std::uint64_t{32} << 30;  // of all layers as they are sent
  std::uint64_t layer_bytes = std::uint64_t{64} << 30;  // of the layers of one image, unpacked
  std::uint64_t layer_entries = 2'000'000;              // files, folders and links of them
};

// An image that was imported by hand.
struct ImportedImage {
  std::string name;  // "team/app:1"
  std::string key;
  std::string python;  // as BuiltImage has it
  std::size_t layers = 0;
  std::uint64_t bytes = 0;  // of its layers, unpacked
  WallTime imported_at{};
};

struct BuilderOptions {
  std::string layers_folder;   // DATA/layers
  std::string imports_folder;  // names of imported images; empty: LAYERS/imports
  // /var/cache/thaw: base roots, and then the layers too, shared by servers of this machine.
  // Empty: everything is in layers_folder.
  std::string cache_folder;
  // Environment and files that build steps inherit from the host (pip and npm indexes, CA
  // certificates, proxies): the one documented setting.
  std::vector<std::string> inherit_env = {
      "PIP_INDEX_URL",  "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST",
      "PIP_FIND_LINKS", "HTTP_PROXY",          "HTTPS_PROXY",
      "NO_PROXY",       "http_proxy",          "https_proxy",
      "no_proxy",       "NPM_CONFIG_REGISTRY"};
  bool inherit_package_settings = true;  // pip.conf, apt sources and certificates of the host
  sandbox::SandboxSpec::Network network = sandbox::SandboxSpec::Network::bridge;  // for RUN
  sandbox::Limits step_limits = {.pids = 4'096};                                  // for RUN
  Duration step_timeout = 2h;                                                     // for each RUN
  RegistrySettings registries;
};

class Builder {
 public:
  static Result<std::unique_ptr<Builder>> open(async::Loop& loop, async::Pool& pool,
                                               sandbox::Spawner& spawner, store::BlobStore& blobs,
                                               BuilderOptions options);
  virtual ~Builder() = default;

  // Asks registries what those names in the recipe mean that nothing on this machine answers: to be
  // awaited before key_of() and build(). failed_precondition, not_found, permission_denied or
  // resource_exhausted name the image, its registry and what to do.
  virtual async::Task<Recipe> find_bases(Recipe recipe) { co_return recipe; }
  // The key that build() would give, without building; invalid_argument with the line number for
  // a recipe that cannot be parsed.
  virtual Result<std::string> key_of(const Recipe& recipe) const = 0;
  // From the layer cache, if every layer is there.
  virtual Result<BuildResult> find(const std::string& key) const = 0;
  // The host folder of one of a built image's `sources`; invalid_argument: it is no such name.
  virtual Result<std::string> folder_of(const std::string& source) const {
    return Error::invalid_argument("'" + source + "' is no layer of this builder");
  }
  // Builds what is missing (two builds of one key share the work), telling every step and its
  // output to `log`. A failing step is failed_precondition with the step, its exit code and the
  // tail of its output. An unknown base is not_found and names what can be had.
  virtual async::Task<BuildResult> build(Recipe recipe, BuildLog log) = 0;

  // The images that were imported by hand, which FROM finds by their names before any registry.
  // `path`, on this machine: an archive or a folder in OCI's form, what `docker save` writes, or a
  // root file system as a tar or a folder. `name`: empty: as the archive calls it.
  virtual async::Task<ImportedImage> import_image(std::string path, std::string name) {
    co_return Error::unimplemented("cannot import " + path + " as '" + name + "' here");
  }
  virtual std::vector<ImportedImage> imported() const { return {}; }
  // Images that were built on it stay. not_found.
  virtual Result<void> forget_import(const std::string& name) {
    return Error::not_found("no image was imported as '" + name + "'");
  }
  // A copy of `upper`, which holds what a container wrote into the root of the image `base` and in
  // which nothing changes meanwhile, as one more layer: an image with a key of its own, each time.
  // not_found: the base; resource_exhausted: the disk. On the threads of `workspace`.
  virtual async::Task<BuildResult> add_layer(std::string base, std::string upper,
                                             std::string workspace);
};

}  // namespace thaw::image
