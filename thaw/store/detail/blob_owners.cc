// SPDX-License-Identifier: Apache-2.0
#include "thaw/store/detail/blob_owners.h"

#include <algorithm>

#include "thaw/base/log.h"
#include "thaw/codec/encoding.h"

namespace thaw::store::detail {

namespace {

constexpr int looked_at_once = 2'000;

enum class RowColumn { owner, sha256, bytes };
constexpr Column row_columns[] = {
    {"owner", Type::text}, {"sha256", Type::bytes}, {"bytes", Type::integer}};
constexpr Table<RowColumn> owned("blob_owners", row_columns, {RowColumn::owner, RowColumn::sha256},
                                 Rows::keyed);

Result<void> put_row(Transaction& transaction, const std::string& owner, std::string_view key,
                     std::uint64_t size) {
  return transaction.put(
      owned, {{RowColumn::owner, owner}, {RowColumn::sha256, key}, {RowColumn::bytes, size}});
}

}  // namespace

std::vector<Step> BlobOwners::steps() {
  return {AddTable{
      .name = "blob_owners",
      .columns = {{"owner", Type::text}, {"sha256", Type::bytes}, {"bytes", Type::integer}},
      .key = {"owner", "sha256"},
      .rows = Rows::keyed}};
}

BlobOwners::Key BlobOwners::to_key(std::string_view name) {
  Key key{};
  if (const auto bytes = codec::hex_decode(name); bytes && bytes->size() == key.size()) {
    std::copy(bytes->begin(), bytes->end(), key.begin());
  }
  return key;
}

std::string BlobOwners::to_name(const Key& key) {
  return codec::hex_encode(std::string_view(key.data(), key.size()));
}

std::uint32_t BlobOwners::number_of(const std::string& owner) {
  const auto [found, is_new] = numbers_.emplace(owner, static_cast<std::uint32_t>(owners_.size()));
  if (is_new) {
    owners_.push_back(owner);
  }
  return found->second;
}

Result<void> BlobOwners::load(Instant keep_until) {
  std::size_t bad = 0;
  THAW_TRY_VOID(database_.read_now([&](Transaction& transaction) {
    return transaction.scan(
        owned, {}, {RowColumn::owner, RowColumn::sha256, RowColumn::bytes},
        [&](const Row<RowColumn>& row) {
          const std::string_view bytes = row.view(RowColumn::sha256);
          const std::int64_t size = row.integer(RowColumn::bytes);
          if (bytes.size() != std::tuple_size_v<Key> || size < 0) {
            ++bad;
            return;
          }
          Key key{};
          std::copy(bytes.begin(), bytes.end(), key.begin());
          Entry& entry = entries_[key];
          entry.size = static_cast<std::uint64_t>(size);
          entry.holds.push_back({number_of(row.text(RowColumn::owner)), 0, keep_until, true});
        });
  }));
  if (bad > 0) {
    log_warning("rows of blobs' owners cannot be read and are left out",
                {{"rows", std::to_string(bad)}});
  }
  return ok();
}

const BlobOwners::Hold* BlobOwners::find(const std::string& owner, std::string_view name) const {
  const auto number = numbers_.find(owner);
  const auto entry = entries_.find(to_key(name));
  if (number == numbers_.end() || entry == entries_.end()) {
    return nullptr;
  }
  const auto& holds = entry->second.holds;
  const auto hold = std::find_if(holds.begin(), holds.end(),
                                 [&](const Hold& h) { return h.owner == number->second; });
  return hold == holds.end() ? nullptr : &*hold;
}

BlobOwners::Hold* BlobOwners::find(const std::string& owner, std::string_view name) {
  return const_cast<Hold*>(static_cast<const BlobOwners*>(this)->find(owner, name));
}

void BlobOwners::add(const std::string& owner, const std::string& name, std::uint64_t size,
                     Instant keep_until) {
  Entry& entry = entries_[to_key(name)];
  entry.size = size;
  entry.holds.push_back({number_of(owner), 0, keep_until, false});
}

std::optional<BlobOwners::Removed> BlobOwners::remove(const std::string& owner,
                                                      std::string_view name) {
  const Hold* hold = find(owner, name);
  if (hold == nullptr) {
    return std::nullopt;
  }
  const auto entry = entries_.find(to_key(name));
  Removed removed{entry->second.size, false};
  entry->second.holds.erase(entry->second.holds.begin() + (hold - entry->second.holds.data()));
  if (entry->second.holds.empty()) {
    entries_.erase(entry);
    removed.orphaned = true;
  }
  return removed;
}

async::Task<void> BlobOwners::store(std::string owner, std::string name, std::uint64_t size) {
  const Key key = to_key(name);
  std::function<Result<void>(Transaction&)> work = [owner, key, size](Transaction& transaction) {
    return put_row(transaction, owner, {key.data(), key.size()}, size);
  };
  const Result<void> stored = co_await database_.write<void>(std::move(work));
  if (Hold* hold = find(owner, name); hold != nullptr && stored) {
    hold->is_stored = true;
  }
  co_return stored;
}

void BlobOwners::store_later(std::string owner, const std::string& name, std::uint64_t size) {
  const Key key = to_key(name);
  database_.write_later([owner = std::move(owner), key, size](Transaction& transaction) {
    return put_row(transaction, owner, {key.data(), key.size()}, size);
  });
}

async::Task<void> BlobOwners::erase(std::vector<Owned> rows) {
  std::function<Result<void>(Transaction&)> work =
      [rows = std::move(rows)](Transaction& transaction) -> Result<void> {
    for (const Owned& row : rows) {
      const Key key = to_key(row.name);
      THAW_TRY_VOID(
          transaction.erase(owned, {row.owner, std::string_view(key.data(), key.size())}));
    }
    return ok();
  };
  co_return co_await database_.write<void>(std::move(work));
}

void BlobOwners::each(
    const std::function<void(const std::string& owner, std::uint64_t size)>& visit) const {
  for (const auto& [key, entry] : entries_) {
    for (const Hold& hold : entry.holds) {
      visit(owners_[hold.owner], entry.size);
    }
  }
}

void BlobOwners::mark(const std::string& owner, std::string_view name, Instant keep_until) {
  if (Hold* hold = find(owner, name)) {
    hold->marked = round_;
    hold->keep_until = std::max(hold->keep_until, keep_until);
  }
}

std::optional<std::vector<BlobOwners::Owned>> BlobOwners::next_unmarked(std::string& after) {
  auto entry = after.empty() ? entries_.begin() : entries_.upper_bound(to_key(after));
  if (entry == entries_.end()) {
    return std::nullopt;
  }
  std::vector<Owned> found;
  for (int looked = 0; entry != entries_.end() && looked < looked_at_once; ++entry, ++looked) {
    after = to_name(entry->first);
    for (const Hold& hold : entry->second.holds) {
      if (hold.marked != round_ && hold.keep_until < marks_begun_) {
        found.push_back({owners_[hold.owner], after, entry->second.size});
      }
    }
  }
  return found;
}

}  // namespace thaw::store::detail
