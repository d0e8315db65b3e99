// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/snapshots.h"

#include <sys/stat.h>

#include "thaw/store/blob_store.h"

namespace thaw::control {

namespace {

// A folder that was made anew under the same name is another one.
std::string identity_of(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) {
    return path + " is not there";
  }
  return path + " " + std::to_string(status.st_dev) + ":" + std::to_string(status.st_ino);
}

}  // namespace

snapshot::SnapshotKey Snapshots::key_of(const model::FunctionSpec& spec,
                                        const worker::LaunchPlan& plan) {
  std::string text = spec.id.str() + "\n" + spec.version + "\n" +
                     store::sha256_hex(spec.definition) + store::sha256_hex(spec.parameters) + "\n";
  for (const std::string& layer : plan.layers) {
    text += "layer " + identity_of(layer) + "\n";
  }
  for (const sandbox::BindMount& bind : plan.binds) {
    text += "bind " + identity_of(bind.source) + " at " + bind.target + "\n";
  }
  for (const std::string& entry : plan.env) {
    // What names this one container is renewed after a restore. Values may be secret.
    if (entry.find(plan.id.str()) == std::string::npos) {
      text += "env " + store::sha256_hex(entry) + "\n";
    }
  }
  for (const std::string& argument : plan.argv) {
    text += "argument " + store::sha256_hex(argument) + "\n";
  }
  text += plan.cwd + "\n" + plan.user + "\n" + std::to_string(plan.limits.memory_bytes) + "\n" +
          std::to_string(plan.limits.pids) + "\n" + std::to_string(static_cast<int>(plan.network));
  return {spec.workspace.str(), spec.id.str(), store::sha256_hex(text)};
}

async::Task<std::string> Snapshots::offer(Spec spec, worker::LaunchPlan& plan) {
  if (store_ == nullptr || !plan.snapshot_point) {
    plan.snapshot_point.reset();
    std::erase(plan.levels, model::Level::restored);
    co_return std::string();
  }
  snapshot::SnapshotKey key = key_of(*spec, plan);
  const std::string digest = key.digest;
  const Result<snapshot::SnapshotPtr> found = co_await store_->find(std::move(key));
  if (found) {
    plan.restore = *found;
    co_return digest;
  }
  const Code code = found.error().code();
  if (code == Code::cancelled) {
    co_return found.error();
  }
  std::erase(plan.levels, model::Level::restored);
  plan.not_restored = worker::Fallback{model::Level::restored,
                                       code == Code::not_found             ? "no_snapshot"
                                       : code == Code::failed_precondition ? "key_changed"
                                                                           : "snapshot_damaged",
                                       found.error().to_string(), worker::Fallback::Tried::no};
  co_return digest;
}

void Snapshots::started(Spec spec, const std::string& key_digest) {
  if (store_ == nullptr || key_digest.empty()) {
    return;
  }
  Tries& tries = tries_[spec->id];
  if (tries.key != key_digest) {
    tries.key = key_digest;
    tries.count = 0;
  }
  if (store_->contains({spec->workspace.str(), spec->id.str(), key_digest}) || tries.is_waiting ||
      tries.count >= most_tries || waiting_.size() >= most_waiting) {
    return;
  }
  tries.is_waiting = true;
  ++tries.count;
  waiting_.push_back(std::move(spec));
  wanted_.notify_one();
}

async::Task<Snapshots::Spec> Snapshots::next() {
  while (waiting_.empty()) {
    THAW_CO_TRY([[maybe_unused]] const bool notified, co_await wanted_.wait(Instant::max()));
  }
  Spec spec = std::move(waiting_.front());
  waiting_.pop_front();
  co_return spec;
}

void Snapshots::no_longer_waits(const Spec& spec) {
  if (const auto found = tries_.find(spec->id); found != tries_.end()) {
    found->second.is_waiting = false;
  }
}

void Snapshots::taken(const Spec& spec) {
  ++counters_.taken;
  no_longer_waits(spec);
}

void Snapshots::refused(const Spec& spec) {
  ++counters_.refused;
  no_longer_waits(spec);
}

void Snapshots::succeeded(const snapshot::SnapshotPtr& snapshot) {
  if (snapshot) {
    store_->succeeded(*snapshot);
    tries_.erase(model::FunctionId(snapshot->key.function));
  }
}

void Snapshots::failed(const snapshot::SnapshotPtr& snapshot) {
  if (snapshot) {
    store_->failed(*snapshot);
  }
}

void Snapshots::retire(const snapshot::SnapshotPtr& snapshot, const std::string& why) {
  if (snapshot) {
    store_->retire(*snapshot, why);
  }
}

async::Task<void> Snapshots::forget(model::FunctionId function) {
  tries_.erase(function);
  if (store_ == nullptr || !store_->retire_of(function.str(), "its function is gone")) {
    co_return ok();
  }
  co_return co_await store_->collect();
}

}  // namespace thaw::control
