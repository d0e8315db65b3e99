// SPDX-License-Identifier: Apache-2.0
//
// One step of a build: a draft, filled by a sandbox or by a copy, becomes a layer.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>

#include "thaw/image/archives.h"
#include "thaw/image/copy_files.h"
#include "thaw/image/local_builder.h"
#include "thaw/image/python_version.h"
#include "thaw/image/run_mounts.h"
#include "thaw/image/run_step.h"
#include "thaw/os/files.h"

namespace thaw::image {
namespace {

std::string meta_of(const Step& step, const std::string& label) {
  // Only for people who look into the folder; the records are what is read.
  std::string text = "{\"key\": \"" + step.key + "\", \"step\": \"";
  for (const char c : label) {
    if (c == '"' || c == '\\') {
      text.push_back('\\');
    }
    text.push_back(static_cast<unsigned char>(c) < 0x20 ? ' ' : c);
  }
  return text + "\"}\n";
}

// Mount points below /run leave an empty copy of it in the upper, which says nothing: without it a
// step that changed nothing makes no layer.
void drop_empty_run(const std::string& upper, const std::vector<std::string>& layers) {
  const std::string run = upper + "/run";
  const bool is_below = std::any_of(layers.begin(), layers.end(), [](const std::string& layer) {
    return os::exists(layer + "/run");
  });
  char opaque = 0;
  if (is_below && ::lgetxattr(run.c_str(), "trusted.overlay.opaque", &opaque, 1) < 0) {
    ::rmdir(run.c_str());  // fails, and shall, if anything is in it
  }
}

}  // namespace

async::Task<ImageRecord> LocalBuilder::step(Job job, BuildLog log) {
  if (job.cache == Recipe::Cache::ignore) {
    co_return co_await make_step(std::move(job), std::move(log));
  }
  const std::string key = job.step.key;
  Flights::Work work = [this, job = std::move(job)](BuildLog say, const StopFlag&) {
    return make_step(job, std::move(say));
  };
  co_return co_await flights_.join(key, std::move(work), std::move(log));
}

async::Task<ImageRecord> LocalBuilder::make_step(Job job, BuildLog say) {
  THAW_CO_TRY(const KeyLock held, co_await lock(job.step.key, say));
  if (job.cache == Recipe::Cache::use) {
    if (auto found = layers_->find(job.step.key)) {
      co_return std::move(*found);
    }
  }
  THAW_CO_TRY(const Draft draft, layers_->draft());
  const async::PoolShare share{pool_, job.workspace};
  if (const Result<void> filled = co_await fill_draft(&job, draft.folder(), say); !filled) {
    // It may be much that a failed step has written: it goes on another thread.
    auto clear = [folder = draft.folder()] { return os::remove_tree(folder); };
    (void)co_await async::blocking(share, std::move(clear));
    co_return filled.error();
  }

  auto commit = [this, &job, &draft]() -> Result<ImageRecord> {
    ImageRecord record = job.parent;
    record.config = job.step.config;
    drop_empty_run(draft.folder() + "/upper", folders(job.parent));
    if (!os::list_folder(draft.folder() + "/upper").empty()) {
      const auto reuse =
          job.cache == Recipe::Cache::use ? LayerStore::Reuse::existing : LayerStore::Reuse::never;
      THAW_TRY(std::string layer, layers_->commit_layer(draft, "upper", job.step.key,
                                                        meta_of(job.step, job.label), reuse));
      record.layers.push_back(std::move(layer));
      if (const auto tree = RootTree::open_read_only(folders(record), draft.folder())) {
        record.python = find_python_version(*tree, path_of(record.config));
      }
    }
    THAW_TRY_VOID(layers_->put(job.step.key, record));
    return record;
  };
  co_return co_await async::blocking(share, std::move(commit));
}

async::Task<std::string> LocalBuilder::look_for_python(ImageRecord record) {
  THAW_CO_TRY(const Draft draft, layers_->draft());
  auto look = [layers = folders(record), path = path_of(record.config),
               folder = draft.folder()]() -> Result<std::string> {
    THAW_TRY(const RootTree tree, RootTree::open_read_only(layers, folder));
    return find_python_version(tree, path);
  };
  co_return co_await async::blocking(pool_, std::move(look));
}

RunRequest LocalBuilder::request_for(const Job& job, const std::string& draft) const {
  RunRequest request;
  request.label = job.label;
  request.config = job.step.config;
  request.layers = folders(job.parent);
  request.settings = settings_;
  request.draft = draft;
  request.limits = options_.step_limits;
  request.network = options_.network;
  request.timeout = options_.step_timeout;
  return request;
}

async::Task<void> LocalBuilder::fill_draft(const Job* job, std::string draft, BuildLog say) {
  if (job->step.kind == Step::Kind::run) {
    RunRequest request = request_for(*job, draft);
    request.step = job->step.run;
    request.secret_env = job->secret_env;
    const RunSurroundings& besides = job->besides;
    request.layers.insert(request.layers.end(), besides.layers.begin(), besides.layers.end());
    request.mounts = besides.binds;
    if (besides.time_limit > Duration::zero()) {
      request.timeout = besides.time_limit;
    }
    if (!request.step.mounts.empty()) {
      MountSources sources{job->mount_layers, {}, job->secret_env};
      for (const RunMount& mount : request.step.mounts) {
        THAW_CO_TRY(const BlobPaths some, blob_paths(*job, mount.items));
        sources.blobs.insert(some.begin(), some.end());
      }
      auto prepare = [mounts = request.step.mounts, sources = std::move(sources), draft] {
        return prepare_mounts(mounts, sources, draft + "/mounts");
      };
      async::PoolShare share{pool_, job->workspace};
      auto prepared = co_await async::blocking(std::move(share), std::move(prepare));
      if (!prepared) {
        co_return Error(prepared.error().code(), job->label + ": " + prepared.error().to_string());
      }
      request.mounts.insert(request.mounts.end(), prepared->binds.begin(), prepared->binds.end());
      request.secret_env.insert(request.secret_env.end(), prepared->env.begin(),
                                prepared->env.end());
    }
    co_return co_await run_step(loop_, spawner_, std::move(request), std::move(say));
  }
  if (job->step.kind == Step::Kind::copy) {
    auto copied = co_await copy_into(job, draft, std::move(say));
    if (!copied) {
      // The message is for whoever wrote the recipe: it says which step.
      co_return Error(copied.error().code(), job->label + ": " + copied.error().to_string());
    }
    co_return ok();
  }
  auto make = [layers = folders(job->parent), draft, folder = job->step.folder]() -> Result<void> {
    THAW_TRY(const RootTree tree, RootTree::open_writable(layers, draft));
    THAW_TRY(const os::Fd made, tree.make_folders(folder, {}));
    return ok();
  };
  co_return co_await async::blocking(pool_, std::move(make));
}

Result<BlobPaths> LocalBuilder::blob_paths(const Job& job,
                                           const std::vector<CopyItem>& items) const {
  BlobPaths blobs;
  for (const CopyItem& item : items) {
    for (const CopyEntry& entry : item.entries) {
      if (!entry.sha256_hex.empty() && !blobs.contains(entry.sha256_hex)) {
        THAW_TRY(blobs[entry.sha256_hex], blobs_.path(job.workspace, entry.sha256_hex));
      }
    }
  }
  return blobs;
}

async::Task<void> LocalBuilder::copy_into(const Job* job, std::string draft, BuildLog say) {
  THAW_CO_TRY(BlobPaths blobs, blob_paths(*job, job->step.copy.items));
  CopyStep step = job->step.copy;
  async::PoolShare share{pool_, job->workspace};
  std::vector<Archive> archives;
  if (step.archives == CopyStep::Archives::unpacked) {
    auto look = [&step, &blobs] { return take_archives(step, blobs); };
    THAW_CO_TRY(archives, co_await async::blocking(share, std::move(look)));
  }
  if (archives.empty() || !step.items.empty()) {
    auto copy = [layers = folders(job->parent), source_layers = job->source_layers, draft,
                 blobs = std::move(blobs), &step]() -> Result<void> {
      THAW_TRY(const RootTree target, RootTree::open_writable(layers, draft));
      if (source_layers.empty()) {
        return copy_items(target, step, blobs);
      }
      THAW_TRY(const RootTree source, RootTree::open_read_only(source_layers, draft + "/source"));
      return copy_from_tree(target, step, source);
    };
    THAW_CO_TRY_VOID(co_await async::blocking(share, std::move(copy)));
  }
  for (const Archive& archive : archives) {
    RunRequest request = request_for(*job, draft);
    request.step = unpack_step(archive, step.destination);
    request.mounts.push_back({archive.file, archive_path, sandbox::BindMount::Access::read_only});
    request.config = {};  // as root, whoever runs the steps
    THAW_CO_TRY_VOID(co_await run_step(loop_, spawner_, std::move(request), say));
  }
  co_return ok();
}

}  // namespace thaw::image
