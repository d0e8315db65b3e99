// SPDX-License-Identifier: Apache-2.0
#include "thaw/image/image_puller.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "thaw/async/blocking.h"
#include "thaw/async/task_group.h"
#include "thaw/image/key_maker.h"
#include "thaw/os/files.h"

namespace thaw::image {

namespace {

constexpr std::size_t most_asking = 32;
constexpr std::size_t most_asking_of_one = 8;  // workspace
constexpr std::size_t most_known = 512;
constexpr std::size_t most_known_bytes = 64u << 10;  // of the settings and labels of one
constexpr int deepest_index = 3;
constexpr int pulls_at_once = 3;  // of one image

std::string sha256_of(const std::string& bytes) {
  codec::Sha256 digest;
  digest.update(bytes);
  return "sha256:" + digest.hex();
}

Error cannot_pull(const std::string& name, const Error& error) {
  return Error(error.code(), "cannot pull " + name + ": " + error.message());
}

// Who has a login is told what he was told with it, and nobody else is.
std::string key_of_known(const std::string& workspace, const ImageName& name,
                         const std::optional<RegistryLogin>& login) {
  KeyMaker key("thaw known image");
  key.add(workspace).add(name.str());
  if (login) {
    key.add(login->user).add(login->password);
  }
  return key.key();
}

std::string megabytes(std::uint64_t bytes) {
  const std::uint64_t tenths = bytes * 10 / 1'000'000;
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " MB";
}

std::size_t bytes_of(const RegistryImage& image) {
  const ImageConfig& config = image.config;
  std::size_t bytes = config.workdir.size() + config.user.size();
  for (const auto& [name, value] : image.notes.labels) {
    bytes += name.size() + value.size();
  }
  for (const auto* list :
       {&config.env, &config.entrypoint, &config.cmd, &config.shell, &config.onbuild}) {
    for (const std::string& item : *list) {
      bytes += item.size();
    }
  }
  return bytes;
}

// One place less in a count while it lives.
class Turn {
 public:
  Turn(std::map<std::string, std::size_t>& of_each, std::size_t& all, std::string workspace)
      : of_each_(of_each), all_(all), workspace_(std::move(workspace)) {
    ++of_each_[workspace_];
    ++all_;
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  ~Turn() {
    --all_;
    if (const auto mine = of_each_.find(workspace_); --mine->second == 0) {
      of_each_.erase(mine);
    }
  }

 private:
  std::map<std::string, std::size_t>& of_each_;
  std::size_t& all_;
  std::string workspace_;
};

}  // namespace

struct ImagePuller::Pull {
  RegistryImagePtr image;
  std::string workspace;
  BuildLog log;
  std::shared_ptr<UnpackBudget> budget = std::make_shared<UnpackBudget>();
  std::size_t next = 0;
  std::optional<Error> failure;  // the first
};

ImagePuller::ImagePuller(async::Loop& loop, async::Pool& pool, LayerStore& store,
                         RegistrySettings settings, LocalImages* local)
    : loop_(loop),
      pool_(pool),
      store_(store),
      settings_(settings),
      local_(local),
      client_(loop, pool, std::move(settings), local),
      flights_(loop) {}

Result<std::string> ImagePuller::host_of(const ImageName& name) const {
  if (!name.host.empty()) {
    return name.host;
  }
  if (settings_.default_registry.empty()) {
    return Error::not_found(
        "the name has no registry's host in front, and this server has no default one: write "
        "HOST/" +
        name.str() +
        ", or set [images] default_registry in the server's configuration, or import "
        "the image (thaw image import)");
  }
  return settings_.default_registry;
}

async::Task<RegistryImagePtr> ImagePuller::find(ImageName name, std::optional<RegistryLogin> login,
                                                std::string workspace) {
  if (const auto place = local_ != nullptr ? local_->place_of(name) : std::nullopt) {
    auto found = co_await find_local(name, place->repository, workspace);
    if (found || found.error().code() != Code::not_found ||
        place->where == LocalImages::Place::Where::only_here) {
      co_return found;
    }
  }
  THAW_CO_TRY(const std::string host, host_of(name));
  THAW_CO_TRY_VOID(client_.may_ask(host));
  if (all_asking_ >= most_asking || asking_[workspace] >= most_asking_of_one) {
    co_return Error::resource_exhausted(
        "so many images are being looked for at registries already, of this workspace or of all, "
        "that " +
        name.str() + " is not; try again when they are found");
  }
  const Turn turn(asking_, all_asking_, workspace);
  const std::string known_as = key_of_known(workspace, name, login);
  const auto kept = known_.find(known_as);
  const RegistryImagePtr known = kept == known_.end() ? nullptr : kept->second;
  auto found = co_await ask_paths(name, host, login, workspace, known);
  if (found) {
    remember(known_as, *found);
    co_return found;
  }
  Error error = found.error();
  if (error.code() != Code::unavailable) {
    co_return error;
  }
  if (!known) {
    co_return Error(Code::failed_precondition, error.message());
  }
  auto as_before = std::make_shared<RegistryImage>(*known);
  as_before->repository = client_.repository(known->repository->host, known->repository->path,
                                             std::move(login), workspace);
  as_before->note =
      "the registry " + host + " does not answer: this is what the name meant when it did last";
  co_return as_before;
}

// No registry is asked, so there is nothing to remember and nobody to wait for.
async::Task<RegistryImagePtr> ImagePuller::find_local(ImageName name, std::string repository,
                                                      std::string workspace) {
  auto at = client_.repository(name.host, std::move(repository), std::nullopt, workspace);
  at->is_local = true;
  co_return co_await ask(name, std::move(at), nullptr);
}

// A default registry may keep what has a name of one word as it is, or as its clients write it.
async::Task<RegistryImagePtr> ImagePuller::ask_paths(ImageName name, std::string host,
                                                     std::optional<RegistryLogin> login,
                                                     std::string workspace,
                                                     RegistryImagePtr known) {
  std::vector<std::string> paths = {name.path};
  if (name.host.empty() && name.path.find('/') == std::string::npos) {
    paths.insert(paths.begin(), "library/" + name.path);
  }
  for (std::size_t i = 0;; ++i) {
    auto found = co_await ask(name, client_.repository(host, paths[i], login, workspace), known);
    const bool may_be_the_other = !found && (found.error().code() == Code::not_found ||
                                             found.error().code() == Code::permission_denied);
    if (!may_be_the_other || i + 1 == paths.size()) {
      co_return found;
    }
  }
}

async::Task<RegistryImagePtr> ImagePuller::ask(ImageName name, std::shared_ptr<Repository> at,
                                               RegistryImagePtr known) {
  const std::string shown = at->name() + (name.digest.empty() ? ":" : "@") + name.reference();
  const async::PoolShare share{pool_, at->workspace};
  const Platform platform = Platform::own();
  THAW_CO_TRY(std::string text, co_await client_.manifest(at, name.reference()));
  auto image = std::make_shared<RegistryImage>();
  image->name = name.str();
  image->repository = at;
  std::optional<Manifest> manifest;
  for (int depth = 0; !manifest; ++depth) {
    // A stranger's, of megabytes perhaps: not for the loop.
    using Read = std::pair<std::string, ManifestOrNext>;
    auto read_text = [text = std::move(text), platform]() -> Result<Read> {
      THAW_TRY(ManifestOrNext read, read_manifest(text, platform));
      return Read(sha256_of(text), std::move(read));
    };
    auto read = co_await async::blocking(share, std::move(read_text));
    if (!read) {
      co_return cannot_pull(shown, read.error());
    }
    if (depth == 0) {
      image->top_digest = read->first;
      if (known && known->top_digest == image->top_digest && known->repository->path == at->path) {
        *image = *known;
        image->repository = at;
        co_return image;
      }
    }
    if (const auto* next = std::get_if<Descriptor>(&read->second)) {
      if (depth == deepest_index) {
        co_return Error::failed_precondition("cannot pull " + shown +
                                             ": its index leads to indexes, on and on");
      }
      const std::string digest = next->digest;
      THAW_CO_TRY(text, co_await client_.manifest(at, digest));
    } else {
      manifest = std::get<Manifest>(std::move(read->second));
    }
  }
  THAW_CO_TRY(std::string config_text, co_await client_.small_blob(at, manifest->config));
  auto read_config = [config_text = std::move(config_text), platform] {
    return read_config_file(config_text, platform);
  };
  auto config = co_await async::blocking(share, std::move(read_config));
  if (!config) {
    co_return cannot_pull(shown, config.error());
  }
  std::uint64_t bytes = 0;
  for (const Descriptor& layer : manifest->layers) {
    bytes += std::min(layer.size, settings_.image_bytes + 1);
  }
  if (manifest->layers.size() != config->layer_ids.size() || manifest->layers.empty()) {
    co_return Error::failed_precondition(
        "cannot pull " + shown + ": it has " + std::to_string(manifest->layers.size()) +
        " layers, and its configuration speaks of " + std::to_string(config->layer_ids.size()));
  }
  if (bytes > settings_.image_bytes) {
    co_return Error::resource_exhausted("cannot pull " + shown + ": its layers have more than " +
                                        std::to_string(settings_.image_bytes >> 20) +
                                        " MiB, which [images] pull_gb bounds");
  }
  image->layers = std::move(manifest->layers);
  image->layer_ids = std::move(config->layer_ids);
  image->config = std::move(config->config);
  image->notes = std::move(config->notes);
  image->key = image_key(image->layer_ids, image->config);
  co_return image;
}

void ImagePuller::remember(const std::string& known_as, const RegistryImagePtr& image) {
  if (bytes_of(*image) > most_known_bytes) {
    return;
  }
  auto kept = std::make_shared<RegistryImage>(*image);
  kept->repository =
      client_.repository(image->repository->host, image->repository->path, std::nullopt, "");
  kept->note.clear();
  if (!known_.contains(known_as)) {
    known_order_.push_back(known_as);
    if (known_order_.size() > most_known) {
      known_.erase(known_order_.front());
      known_order_.pop_front();
    }
  }
  known_[known_as] = std::move(kept);
}

async::Task<std::vector<std::string>> ImagePuller::layers(RegistryImagePtr image,
                                                          std::string workspace, BuildLog log) {
  std::uint64_t bytes = 0;
  for (const Descriptor& layer : image->layers) {
    bytes += layer.size;
  }
  log(logs::Channel::info, "pulling " + image->name + " from " + image->repository->host + ": " +
                               std::to_string(image->layers.size()) + " layers, " +
                               megabytes(bytes) + "\n");
  auto pull = std::make_shared<Pull>();
  pull->image = image;
  pull->workspace = std::move(workspace);
  pull->log = std::move(log);
  pull->budget->bytes = static_cast<std::int64_t>(settings_.layer_bytes);
  pull->budget->entries = static_cast<std::int64_t>(settings_.layer_entries);
  async::TaskGroup tasks(loop_);
  for (int i = 0; i < pulls_at_once; ++i) {
    tasks.start("pull of layers", pull_some(this, pull));
  }
  const auto joined = co_await tasks.join(Instant::max());
  if (!joined) {
    co_await async::forget_cancellation();
    THAW_CO_TRY_VOID(co_await tasks.stop());
    co_return joined.error();
  }
  if (pull->failure) {
    co_return *pull->failure;
  }
  std::vector<std::string> names;
  for (const std::string& id : image->layer_ids) {
    names.push_back("layer:" + layer_key(id));
  }
  co_return each_once(names);
}

async::Task<void> ImagePuller::pull_some(ImagePuller* self, std::shared_ptr<Pull> pull) {
  while (!pull->failure && pull->next < pull->image->layers.size()) {
    const auto pulled = co_await self->pull_one(pull, pull->next++);
    if (!pulled && !pull->failure) {
      pull->failure = pulled.error();
    }
  }
  co_return ok();
}

async::Task<void> ImagePuller::pull_one(std::shared_ptr<Pull> pull, std::size_t number) {
  const RegistryImagePtr image = pull->image;
  const std::string key = layer_key(image->layer_ids[number]);
  if (store_.has_layer(key)) {
    co_return ok();
  }
  // Of one repository: who names another one, which is slow or broken on purpose, holds up nobody
  // who wants the same layer from its own.
  const std::string of =
      image->repository->is_local ? image->repository->workspace + " " : std::string();
  const std::string flight = of + image->repository->name() + " " + key;
  Flights::Work work = [this, pull, number](BuildLog say, StopFlag stop) {
    return fetch(pull, number, std::move(say), std::move(stop));
  };
  auto done = co_await flights_.join(flight, std::move(work), pull->log);
  if (!done) {
    co_return done.error();
  }
  co_return ok();
}

async::Task<ImageRecord> ImagePuller::fetch(std::shared_ptr<Pull> pull, std::size_t number,
                                            BuildLog say, StopFlag stop) {
  const RegistryImagePtr image = pull->image;
  const std::string shown = "layer " + std::to_string(number + 1) + " of " +
                            std::to_string(image->layers.size()) + " of " + image->name;
  say(logs::Channel::info,
      "  fetching " + shown + " (" + megabytes(image->layers[number].size) + ")\n");
  THAW_CO_TRY(const Draft draft, store_.draft());
  const auto fetched = co_await fetch_into(pull, number, &draft, std::move(stop));
  if (!fetched) {
    // It may be much that is there by now: it goes on another thread.
    co_await async::forget_cancellation();
    auto clear = [folder = draft.folder()] { return os::remove_tree(folder); };
    (void)co_await async::blocking(async::PoolShare{pool_, pull->workspace}, std::move(clear));
    // What the client of registries says names all.
    const bool is_told = fetched.error().message().starts_with("cannot pull ");
    co_return is_told ? fetched.error() : cannot_pull(shown, fetched.error());
  }
  if (fetched->left_out > 0) {
    say(logs::Channel::info, "  note: " + std::to_string(fetched->left_out) + " device nodes of " +
                                 shown + " were left out\n");
  }
  co_return ImageRecord{};
}

// The layer as it was sent: what is on this machine already, or fetched into the draft.
async::Task<std::string> ImagePuller::file_of(std::shared_ptr<Repository> at, Descriptor layer,
                                              const Draft* draft) {
  if (at->is_local) {
    co_return local_->file_of(at->workspace, at->path, layer.digest);
  }
  std::string path = draft->folder() + "/blob";
  THAW_CO_TRY(const std::shared_ptr<BlobFile> file, BlobFile::create(path, layer));
  THAW_CO_TRY_VOID(co_await client_.blob(at, layer, file));
  co_return path;
}

async::Task<ForeignLayer> ImagePuller::fetch_into(std::shared_ptr<Pull> pull, std::size_t number,
                                                  const Draft* draft, StopFlag stop) {
  const RegistryImagePtr image = pull->image;
  const bool is_ours = !image->repository->is_local;
  const Descriptor layer = image->layers[number];
  THAW_CO_TRY(const std::string path, co_await file_of(image->repository, layer, draft));
  UnpackLimits limits;
  limits.bytes = settings_.layer_bytes;
  limits.entries = settings_.layer_entries;
  limits.of_image = pull->budget;
  auto unpack = [this, draft, path, is_ours, image, number, limits,
                 stop]() -> Result<ForeignLayer> {
    THAW_TRY(const os::Fd file, os::open_file(path, O_RDONLY));
    if (is_ours) {
      ::unlink(path.c_str());  // its bytes go with the descriptor, on this thread
    }
    auto made = commit_foreign_layer(store_, *draft, file, image->layer_ids[number], limits, *stop);
    // A tree of which somebody else was first, or a part of one: on this thread too.
    (void)os::remove_tree(draft->folder());
    return made;
  };
  co_return co_await async::blocking(async::PoolShare{pool_, pull->workspace}, std::move(unpack));
}

}  // namespace thaw::image
