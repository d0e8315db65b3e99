// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/snapshots.h"

#include <algorithm>

#include "thaw/model/target.h"
#include "thaw/store/blob_store.h"

namespace thaw::control {

std::string Snapshots::slot_of(const model::FunctionSpec& spec) {
  return spec.push ? model::Target(spec.id, spec.version).str() : spec.id.str();
}

snapshot::SnapshotKey Snapshots::key_of(const model::FunctionSpec& spec,
                                        const worker::LaunchPlan& plan,
                                        const std::string& identity) {
  std::string text = spec.id.str() + "\n" + spec.version + "\n" +
                     store::sha256_hex(spec.definition) + store::sha256_hex(spec.parameters) + "\n";
  text += store::sha256_hex(identity) + "\n";
  for (const std::string& layer : plan.layers) {
    text += "layer " + layer + "\n";
  }
  for (const worker::Bind& bind : plan.binds) {
    text += "bind " + bind.source + " at " + bind.target + "\n";
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

async::Task<snapshot::SnapshotKey> Snapshots::key_for(Spec spec, const worker::LaunchPlan& plan) {
  std::vector<std::string> sources = plan.layers;
  for (const worker::Bind& bind : plan.binds) {
    sources.push_back(bind.source);
  }
  THAW_CO_TRY(const std::string identity, co_await worker_.identify(std::move(sources)));
  co_return key_of(*spec, plan, identity);
}

async::Task<Snapshots::Offer> Snapshots::offer(Spec spec, worker::LaunchPlan& plan) {
  if (store_ == nullptr || !plan.snapshot_point) {
    plan.snapshot_point.reset();
    std::erase(plan.levels, model::Level::restored);
    co_return Offer{};
  }
  THAW_CO_TRY(snapshot::SnapshotKey key, co_await key_for(std::move(spec), plan));
  const std::string digest = key.digest;
  const Result<snapshot::SnapshotPtr> found = co_await store_->find(std::move(key));
  if (found) {
    plan.restore = (*found)->id;
    co_return Offer{digest, *found};
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
  co_return Offer{digest, nullptr};
}

int& Snapshots::Tries::count_of(const std::string& key) {
  const auto known =
      std::find_if(keys.begin(), keys.end(), [&key](const OfKey& one) { return one.key == key; });
  OfKey one{key};
  if (known != keys.end()) {
    one = std::move(*known);
    keys.erase(known);
  } else if (keys.size() == most_keys) {
    keys.pop_front();
  }
  keys.push_back(std::move(one));
  return keys.back().count;
}

void Snapshots::started(Spec spec, const std::string& key_digest) {
  if (store_ == nullptr || key_digest.empty()) {
    return;
  }
  Tries& tries = tries_[slot_of(*spec)];
  if (tries.is_waiting) {
    return;  // for one of its keys, which is at the end of them
  }
  int& count = tries.count_of(key_digest);
  if (store_->contains({spec->workspace.str(), slot_of(*spec), key_digest}) ||
      count >= most_tries || waiting_.size() >= most_waiting) {
    return;
  }
  const auto of_one = std::count_if(waiting_.begin(), waiting_.end(), [&](const Spec& other) {
    return other->workspace == spec->workspace;
  });
  if (static_cast<std::size_t>(of_one) >= most_waiting_of_one) {
    return;
  }
  tries.is_waiting = true;
  ++count;
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

void Snapshots::gave_way(const Spec& spec) {
  no_longer_waits(spec);
  if (const auto found = tries_.find(slot_of(*spec)); found != tries_.end()) {
    found->second.last() = std::max(0, found->second.last() - 1);
  }
}

void Snapshots::settled(const Spec& spec) {
  refused(spec);
  if (const auto found = tries_.find(slot_of(*spec)); found != tries_.end()) {
    found->second.last() = most_tries;
  }
}

void Snapshots::succeeded(const snapshot::SnapshotPtr& snapshot) {
  if (snapshot) {
    store_->succeeded(*snapshot);
    // That another version's was good says nothing of this one's.
    if (const auto found = tries_.find(snapshot->key.function); found != tries_.end()) {
      for (Tries::OfKey& one : found->second.keys) {
        one.count = one.key == snapshot->key.digest ? 0 : one.count;
      }
    }
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

void Snapshots::keep_only(const std::function<bool(const std::string& version)>& is_there) {
  const auto is_gone = [&](const std::string& slot) {
    const std::size_t at = slot.find('@');
    return at != std::string::npos && !is_there(slot.substr(at + 1));
  };
  std::erase_if(tries_, [&](const auto& entry) { return is_gone(entry.first); });
  if (store_ != nullptr) {
    (void)store_->retire_if(is_gone, "its version is kept no more");
  }
}

}  // namespace thaw::control
