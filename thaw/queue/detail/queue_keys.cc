// SPDX-License-Identifier: Apache-2.0
// Calls that are made once for a key of their caller's. The keys of durable calls are on disk, in
// the transaction that makes the call; here are those on their way there, and those of synchronous
// calls.
#include <utility>

#include "thaw/queue/detail/queue.h"

namespace thaw::queue::detail {

namespace {

constexpr auto keep_key = std::chrono::hours(24);
constexpr std::size_t longest_key = 255;
constexpr std::size_t most_keys_in_memory = 100'000;  // the oldest go first

std::string name_of(const model::NewCall& call, const std::string& key) {
  return call.workspace.str() + '\0' + call.function.str() + '\0' + key;
}

Result<Created> same_call(const StoredKey& known, const Once& once) {
  if (known.once.fingerprint != once.fingerprint) {
    return Error::failed_precondition("the idempotency key '" + once.key +
                                      "' was used for another request, which made the call " +
                                      known.call.str() + "; use a new key for a new request");
  }
  return Created{known.call, {}, Created::Was::there};
}

}  // namespace

void Queue::forget_old_keys() {
  const WallTime now = wall_now();
  while (!keys_in_order_.empty() && (keys_in_order_.size() > most_keys_in_memory ||
                                     keys_in_order_.front()->second.stored.until <= now)) {
    keys_.erase(keys_in_order_.front());
    keys_in_order_.pop_front();
  }
}

async::Task<Created> Queue::create_once(model::NewCall call, std::vector<model::NewInput> inputs,
                                        Once once) {
  const Alive alive = alive_;
  if (once.key.empty() || once.key.size() > longest_key || once.fingerprint.size() > longest_key) {
    co_return Error::invalid_argument("an idempotency key has 1 to " + std::to_string(longest_key) +
                                      " bytes");
  }
  const bool is_durable = call.durability == model::Durability::durable;
  // Before the key is taken: whoever has the same one waits for as long as it is on its way.
  const Result<void> kept =
      is_durable ? co_await keep_large(*this, call.workspace, inputs) : Result<void>();
  if (!*alive) {
    co_return closed();
  }
  const std::string name = name_of(call, once.key);
  const auto on_disk = [&] {
    std::function<Result<std::optional<StoredKey>>(store::Transaction&)> work =
        [workspace = call.workspace, function = call.function, key = once.key,
         now = wall_now()](store::Transaction& transaction) {
          return find_key(transaction, workspace, function, key, now);
        };
    return work;
  };
  while (true) {
    forget_old_keys();
    const auto known = keys_.find(name);
    if (known != keys_.end() && !known->second.is_on_its_way) {
      co_return same_call(known->second.stored, once);
    }
    if (known != keys_.end()) {
      // Writes end in order: once this one has, it is decided whether that call was made.
      std::function<Result<void>(store::Transaction&)> nothing = [](store::Transaction&) {
        return ok();
      };
      THAW_CO_TRY_VOID(co_await database_.write<void>(std::move(nothing)));
    } else {
      THAW_CO_TRY(const std::optional<StoredKey> stored,
                  co_await database_.read<std::optional<StoredKey>>(on_disk()));
      if (stored) {
        co_return same_call(*stored, once);
      }
      if (*alive && !keys_.contains(name)) {
        break;
      }
    }
    if (!*alive) {
      co_return closed();
    }
  }
  if (!kept) {
    co_return kept.error();
  }
  auto key = std::make_shared<const StoredKey>(
      StoredKey{call.workspace, call.function, once, call.id, wall_now() + keep_key});
  const auto inserted = keys_.emplace(name, HeldKey{*key, is_durable});
  if (!is_durable) {
    keys_in_order_.push_back(inserted.first);
  }
  Created created{call.id, {}, Created::Was::made};
  std::shared_ptr<const StoredKey> to_store = is_durable ? key : nullptr;
  auto made = co_await make(*this, std::move(call), std::move(inputs), std::move(to_store));
  if (!*alive) {
    co_return closed();
  }
  if (is_durable) {
    keys_.erase(name);  // the disk has it, or it is to be made anew
  } else if (!made) {
    // Unless it was among the oldest, which have been forgotten meanwhile.
    const auto held = keys_.find(name);
    if (held != keys_.end() && held->second.stored.call == key->call) {
      keys_in_order_.remove(held);
      keys_.erase(held);
    }
  }
  if (!made) {
    co_return made.error();
  }
  created.inputs = std::move(*made);
  co_return created;
}

}  // namespace thaw::queue::detail
