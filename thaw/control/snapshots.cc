// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/snapshots.h"

#include <sys/stat.h>

#include <algorithm>

#include "thaw/model/target.h"
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

std::string Snapshots::slot_of(const model::FunctionSpec& spec) {
  return spec.push ? model::Target(spec.id, spec.version).str() : spec.id.str();
}

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
  return {spec.workspace.str(), slot_of(spec), store::sha256_hex(text)};
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
  Tries& tries = tries_[slot_of(*spec)];
  if (tries.key != key_digest) {
    tries.key = key_digest;
    tries.count = 0;
  }
  if (store_->contains({spec->workspace.str(), slot_of(*spec), key_digest}) || tries.is_waiting ||
      tries.count >= most_tries || waiting_.size() >= most_waiting) {
    return;
  }
  const auto of_one = std::count_if(waiting_.begin(), waiting_.end(), [&](const Spec& other) {
    return other->workspace == spec->workspace;
  });
  if (static_cast<std::size_t>(of_one) >= most_waiting_of_one) {
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
  const auto of_another = std::find_if(waiting_.begin(), waiting_.end(), [this](const Spec& spec) {
    return spec->workspace != last_workspace_;
  });
  const auto next = of_another == waiting_.end() ? waiting_.begin() : of_another;
  Spec spec = std::move(*next);
  waiting_.erase(next);
  last_workspace_ = spec->workspace;
  co_return spec;
}

void Snapshots::no_longer_waits(const Spec& spec) {
  if (const auto found = tries_.find(slot_of(*spec)); found != tries_.end()) {
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

void Snapshots::settled(const Spec& spec) {
  refused(spec);
  if (const auto found = tries_.find(slot_of(*spec)); found != tries_.end()) {
    found->second.count = most_tries;
  }
}

void Snapshots::succeeded(const snapshot::SnapshotPtr& snapshot) {
  if (snapshot) {
    store_->succeeded(*snapshot);
    tries_.erase(snapshot->key.function);
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
  const std::string of_versions = function.str() + "@";
  const auto is_its = [&](const std::string& slot) {
    return slot == function.str() || slot.starts_with(of_versions);
  };
  std::erase_if(tries_, [&](const auto& entry) { return is_its(entry.first); });
  if (store_ == nullptr || !store_->retire_if(is_its, "its function is gone")) {
    co_return ok();
  }
  co_return co_await store_->collect();
}

void Snapshots::keep_only(const std::set<std::string>& versions) {
  const auto is_gone = [&](const std::string& slot) {
    const std::size_t at = slot.find('@');
    return at != std::string::npos && !versions.contains(slot.substr(at + 1));
  };
  std::erase_if(tries_, [&](const auto& entry) { return is_gone(entry.first); });
  if (store_ != nullptr) {
    (void)store_->retire_if(is_gone, "its version is kept no more");
  }
}

}  // namespace thaw::control
