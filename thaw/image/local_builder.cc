// SPDX-License-Identifier: Apache-2.0
#include "thaw/image/local_builder.h"

#include <unistd.h>

#include "thaw/base/log.h"
#include "thaw/image/base_root.h"
#include "thaw/image/local_images.h"
#include "thaw/image/python_version.h"
#include "thaw/os/files.h"

namespace thaw::image {
namespace {

std::string position(std::size_t number, std::size_t total) {
  return std::to_string(number) + "/" + std::to_string(total);
}

std::size_t count_steps(const Plan& plan) {
  std::size_t total = 0;
  for (const Stage& stage : plan.stages) {
    total += 1 + stage.steps.size();
  }
  return total;
}

}  // namespace

Result<std::unique_ptr<Builder>> Builder::open(async::Loop& loop, async::Pool& pool,
                                               sandbox::Spawner& spawner, store::BlobStore& blobs,
                                               BuilderOptions options) {
  return open_builder(loop, pool, spawner, blobs, std::move(options), nullptr);
}

Result<std::unique_ptr<Builder>> open_builder(async::Loop& loop, async::Pool& pool,
                                              sandbox::Spawner& spawner, store::BlobStore& blobs,
                                              BuilderOptions options, LocalImages* local) {
  // With a cache folder the layers are shared like the base roots: docs/decisions/0006 says why.
  const bool shared = !options.cache_folder.empty();
  const std::string layers_folder =
      shared ? options.cache_folder + "/layers" : options.layers_folder;
  const std::string bases_folder =
      shared ? options.cache_folder + "/bases" : layers_folder + "/bases";
  if (layers_folder.empty()) {
    return Error::invalid_argument("the image builder needs a layers folder or a cache folder");
  }
  THAW_TRY(auto layers, LayerStore::open(layers_folder, bases_folder));
  Host host = read_host();
  THAW_TRY(Draft folder, layers->draft());
  THAW_TRY(StepSettings settings, make_step_settings(host, options, folder.folder() + "/step"));
  return std::unique_ptr<Builder>(std::make_unique<LocalBuilder>(
      loop, pool, spawner, blobs, std::move(options), std::move(host), std::move(settings),
      std::move(layers), std::move(folder), local));
}

LocalBuilder::LocalBuilder(async::Loop& loop, async::Pool& pool, sandbox::Spawner& spawner,
                           store::BlobStore& blobs, BuilderOptions options, Host host,
                           StepSettings settings, std::unique_ptr<LayerStore> layers,
                           Draft settings_folder, LocalImages* local)
    : loop_(loop),
      pool_(pool),
      spawner_(spawner),
      blobs_(blobs),
      options_(std::move(options)),
      host_(std::move(host)),
      settings_(std::move(settings)),
      layers_(std::move(layers)),
      settings_folder_(std::move(settings_folder)),
      imports_(ImportedImages::open(options_.imports_folder.empty()
                                        ? options_.layers_folder + "/imports"
                                        : options_.imports_folder)),
      puller_(loop, pool, *layers_, options_.registries, local),
      flights_(loop) {}

BaseLookup LocalBuilder::lookup(const Recipe& recipe) const {
  return [this, &recipe](const std::string& reference) -> Result<BaseFacts> {
    if (const auto named = recipe.bases.find(reference); named != recipe.bases.end()) {
      const auto record = layers_->find(named->second);
      if (!record && record.error().code() != Code::not_found) {
        return record.error();
      }
      if (!record) {
        return Error::not_found("the image that \"" + reference +
                                "\" stands for is not built (any more); build it again")
            .with("key", named->second);
      }
      return BaseFacts{named->second, record->config, ""};
    }
    if (const auto derived = find_derived_recipe(reference)) {
      THAW_TRY(const Plan plan, make_plan(derived->recipe, lookup(derived->recipe)));
      return BaseFacts{plan.result().key(), plan.result().config(), derived->note};
    }
    auto base = find_base_recipe(reference);
    if (base) {
      THAW_TRY(std::string key, base_root_key(*base, host_));
      return BaseFacts{std::move(key), std::move(base->config), std::move(base->note)};
    }
    if (const ImportedImage* imported = imports_.find(reference)) {
      const auto record = layers_->find(imported->key);
      if (!record && record.error().code() != Code::not_found) {
        return record.error();
      }
      if (!record) {
        return Error::not_found("the layers of the imported image \"" + imported->name +
                                "\" are gone; import it again");
      }
      return BaseFacts{imported->key, record->config, "imported by hand"};
    }
    if (const auto pulled = recipe.found.find(reference); pulled != recipe.found.end()) {
      return BaseFacts{pulled->second->key, pulled->second->config, pulled->second->note};
    }
    return base.error();
  };
}

Result<std::string> LocalBuilder::key_of(const Recipe& recipe) const {
  THAW_TRY(const Plan plan, make_plan(recipe, lookup(recipe)));
  return plan.result().key();
}

std::vector<std::string> LocalBuilder::folders(const ImageRecord& record) const {
  std::vector<std::string> out;
  for (const std::string& layer : record.layers) {
    out.push_back(layers_->folder_of(layer));
  }
  return out;
}

Result<std::string> LocalBuilder::folder_of(const std::string& source) const {
  std::string folder = layers_->folder_of(source);
  if (folder.empty()) {
    return Error::invalid_argument("'" + source.substr(0, 100) + "' is no name of a layer");
  }
  return folder;
}

BuiltImage LocalBuilder::built(const ImageRecord& record) const {
  return BuiltImage{folders(record), record.layers, record.config, record.python};
}

Result<BuildResult> LocalBuilder::find(const std::string& key) const {
  THAW_TRY(const ImageRecord record, layers_->find(key));
  return BuildResult{key, built(record), 0};
}

async::Task<BuildResult> LocalBuilder::build(Recipe recipe, BuildLog log) {
  if (!log) {
    log = [](logs::Channel, const std::string&) {};
  }
  THAW_CO_TRY(const Plan plan, make_plan(recipe, lookup(recipe)));
  const auto info = [&log](const std::string& text) { log(logs::Channel::info, text + "\n"); };
  const std::size_t total = count_steps(plan);
  const bool use_cache = recipe.cache == Recipe::Cache::use;
  std::size_t number = 0;
  int layers_built = 0;
  std::vector<ImageRecord> stages;  // of plan.stages, as they are done
  for (const Stage& stage : plan.stages) {
    // The last step whose image is there: everything before it need not even be looked at.
    std::size_t done = 0;
    ImageRecord record;
    for (std::size_t k = stage.steps.size(); use_cache && k > 0 && done == 0; --k) {
      auto found = layers_->find(stage.steps[k - 1].key);
      if (!found && found.error().code() != Code::not_found) {
        co_return found.error();
      }
      if (found) {
        record = std::move(*found);
        record.config = stage.steps[k - 1].config;
        done = k;
      }
    }
    info("Step " + position(++number, total) + ": " + stage.text);
    if (!stage.facts.note.empty()) {
      info("  note: " + stage.facts.note);
    }
    if (done == 0 && stage.base_stage >= 0) {
      record = stages[static_cast<std::size_t>(stage.base_stage)];
    } else if (done == 0) {
      if (const auto named = recipe.bases.find(stage.base); named != recipe.bases.end()) {
        const auto found = layers_->find(named->second);
        if (!found && found.error().code() != Code::not_found) {
          co_return found.error();
        }
        if (!found) {
          co_return Error::not_found("the base image has been removed; build it again");
        }
        record = *found;
      } else {
        THAW_CO_TRY(record, co_await base(&recipe, stage.base, stage.facts.key, log));
      }
    }
    for (std::size_t k = 0; k < stage.steps.size(); ++k) {
      const Step& current = stage.steps[k];  // tidy(held): this task's own plan
      const std::string where = position(++number, total);
      info("Step " + where + ": " + current.text + (k < done ? "  (cached)" : ""));
      if (!current.note.empty()) {
        info("  note: " + current.note);
      }
      if (k < done) {
        continue;
      }
      if (current.kind == Step::Kind::config) {
        const bool has_path_moved = path_of(record.config) != path_of(current.config);
        record.config = current.config;
        if (has_path_moved) {
          THAW_CO_TRY(record.python, co_await look_for_python(record));
        }
        if (k + 1 == stage.steps.size()) {
          THAW_CO_TRY_VOID(co_await put(current.key, record));
        }
        continue;
      }
      Job job;
      job.step = current;
      job.label = "step " + where + " (" + current.text + ")";
      job.parent = record;
      job.secret_env = recipe.secret_env;
      job.besides = recipe.besides;
      job.workspace = recipe.workspace;
      job.cache = recipe.cache;
      if (current.kind == Step::Kind::copy && current.copy.items.empty()) {
        THAW_CO_TRY(const ImageRecord from,
                    co_await origin(current.copy.from_stage, current.copy.from_reference, &stages,
                                    &recipe, log));
        job.source_layers = folders(from);
      }
      for (const RunMount& mount : current.run.mounts) {  // tidy(held): this task's own plan
        job.mount_layers.emplace_back();
        if (mount.kind == RunMount::Kind::files && mount.items.empty()) {
          THAW_CO_TRY(
              const ImageRecord from,
              co_await origin(mount.from_stage, mount.from_reference, &stages, &recipe, log));
          job.mount_layers.back() = folders(from);
        }
      }
      THAW_CO_TRY(record, co_await step(std::move(job), log));
      record.config = current.config;
      ++layers_built;
    }
    stages.push_back(std::move(record));
  }
  BuildResult result{plan.result().key(), built(stages.back()), layers_built};
  co_return result;
}

// The image that COPY --from=… or RUN --mount=…,from=… reads.
async::Task<ImageRecord> LocalBuilder::origin(int stage, std::string reference,
                                              const std::vector<ImageRecord>* stages,
                                              const Recipe* recipe, BuildLog log) {
  if (stage >= 0) {
    co_return (*stages)[static_cast<std::size_t>(stage)];
  }
  THAW_CO_TRY(const BaseFacts facts, lookup (*recipe)(reference));
  if (recipe->bases.contains(reference)) {
    const auto found = layers_->find(facts.key);
    if (!found && found.error().code() != Code::not_found) {
      co_return found.error();
    }
    if (!found) {
      co_return Error::not_found("the image \"" + reference +
                                 "\" that a step reads has been removed; build it again");
    }
    co_return *found;
  }
  co_return co_await base(recipe, std::move(reference), facts.key, std::move(log));
}

async::Task<void> LocalBuilder::put(std::string key, ImageRecord record) {
  co_return co_await async::blocking(
      pool_,
      [layers = layers_.get(), key = std::move(key), record = std::move(record)]() -> Result<void> {
        return layers->put(key, record);
      });
}

async::Task<KeyLock> LocalBuilder::lock(std::string key, BuildLog say) {
  bool has_told = false;
  while (true) {
    THAW_CO_TRY(std::optional<KeyLock> held, layers_->try_lock(key));
    if (held) {
      co_return std::move(*held);
    }
    if (!has_told) {
      has_told = true;
      say(logs::Channel::info, "another server of this machine builds this step; waiting\n");
    }
    // Locks between processes have no notification; a build step is far longer than this.
    THAW_CO_TRY_VOID(co_await async::sleep_for(200ms));
  }
}

async::Task<ImageRecord> LocalBuilder::base(const Recipe* recipe_of, std::string reference,
                                            std::string key, BuildLog log) {
  if (auto found = layers_->find(key); found || found.error().code() != Code::not_found) {
    co_return found;
  }
  if (auto derived = find_derived_recipe(reference)) {
    THAW_CO_TRY(const BuildResult made, co_await build(std::move(derived->recipe), std::move(log)));
    auto record = layers_->find(made.key);
    if (!record && record.error().code() != Code::not_found) {
      co_return record.error();
    }
    if (!record) {
      co_return Error::not_found("the image " + reference + " has been removed; build again");
    }
    co_return std::move(*record);
  }
  if (const auto pulled = recipe_of->found.find(reference); pulled != recipe_of->found.end()) {
    co_return co_await pull(pulled->second, recipe_of->workspace, std::move(log));
  }
  THAW_CO_TRY(BaseRecipe recipe, find_base_recipe(reference));
  Flights::Work work = [this, recipe, key](BuildLog say, StopFlag stop) {
    return make_base(recipe, key, std::move(say), std::move(stop));
  };
  co_return co_await flights_.join(key, std::move(work), std::move(log));
}

async::Task<ImageRecord> LocalBuilder::make_base(BaseRecipe recipe, std::string key, BuildLog say,
                                                 StopFlag stop) {
  THAW_CO_TRY(const KeyLock held, co_await lock(key, say));
  if (auto found = layers_->find(key); found || found.error().code() != Code::not_found) {
    co_return found;
  }
  const Instant begun = monotonic_now();
  if (!recipe.suite.empty()) {
    say(logs::Channel::info, "building the base root " + recipe.name() +
                                 " once for this machine; this takes about a minute\n");
  }
  THAW_CO_TRY(const Draft draft, layers_->draft());
  const std::string meta = "{\"base\": \"" + recipe.name() + "\"}\n";
  // Lines travel from the pool to the loop; the log belongs to the loop.
  const auto post = [loop = &loop_, say](std::string line) {
    loop->post([say, line = std::move(line)]() { say(logs::Channel::out, line); });
  };
  auto make = [&recipe, this, &draft, post, stop, &key, &meta]() -> Result<std::string> {
    THAW_TRY_VOID(make_base_root(recipe, host_, draft.folder(), post, *stop));
    return layers_->commit_base(draft, "fs", recipe.name() + "-" + key.substr(0, 12), meta);
  };
  THAW_CO_TRY(const std::string layer, co_await async::blocking(recipes_, std::move(make)));
  ImageRecord record{{layer}, recipe.config, recipe.python};
  THAW_CO_TRY_VOID(co_await put(key, record));
  if (!recipe.suite.empty()) {
    log_info("base root built", {{"base", recipe.name()},
                                 {"seconds", std::to_string(to_seconds(monotonic_now() - begun))}});
  }
  co_return record;
}

}  // namespace thaw::image
