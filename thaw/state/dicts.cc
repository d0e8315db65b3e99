// SPDX-License-Identifier: Apache-2.0
#include "thaw/state/dicts.h"

#include <utility>

#include "thaw/state/detail/parts.h"

namespace thaw::state {

using async::Task;
using detail::Changed;
using detail::Rows;
using detail::StoredEntry;

namespace {

constexpr std::size_t entries_of_page = 256;
constexpr std::uint64_t bytes_of_page = 1u << 20;

Error not_as_written(const Object& dict) {
  return Error::data_loss("an entry of dict " + dict.id +
                          " is not what was written and is set aside; write it again");
}

}  // namespace

void Dicts::touch(const Object& dict, std::vector<std::string> keys) {
  parts_.database.write_later([dict, keys = std::move(keys), limits = parts_.limits,
                               now = wall_now()](store::Transaction& transaction) {
    return Rows(transaction, limits, now).touch(dict, keys);
  });
}

Task<void> Dicts::set_aside(Object dict, std::string key) {
  std::function<Result<Changed<bool>>(Rows&)> work = [dict, key = std::move(key)](Rows& rows) {
    return rows.set_entry_aside(dict, key);
  };
  THAW_CO_TRY([[maybe_unused]] const auto changed,
              co_await detail::change(parts_, dict.workspace, std::move(work)));
  co_return ok();
}

Task<FoundValue> Dicts::get(Object dict, std::string key, std::uint64_t most_bytes) {
  std::function<Result<std::optional<StoredEntry>>(Rows&)> work =
      [dict, key, most_bytes](Rows& rows) { return rows.entry(dict, key, most_bytes); };
  THAW_CO_TRY(auto entry, co_await detail::read(parts_, std::move(work)));
  FoundValue found;
  if (!entry) {
    co_return found;
  }
  if (entry->is_damaged) {
    THAW_CO_TRY_VOID(co_await set_aside(dict, std::move(key)));
    co_return not_as_written(dict);
  }
  if (entry->is_to_be_touched) {
    touch(dict, {std::move(key)});
  }
  found.is_found = true;
  found.left_out = entry->is_left_out ? entry->bytes : 0;
  found.value = std::move(entry->value);
  co_return found;
}

Task<bool> Dicts::contains(Object dict, std::string key) {
  std::function<Result<std::optional<StoredEntry>>(Rows&)> work = [dict, key](Rows& rows) {
    return rows.entry(dict, key, 0);
  };
  THAW_CO_TRY(const auto entry, co_await detail::read(parts_, std::move(work)));
  if (entry && entry->is_to_be_touched) {
    touch(dict, {std::move(key)});
  }
  co_return entry.has_value();
}

Task<std::uint64_t> Dicts::size(Object dict) {
  std::function<Result<std::uint64_t>(Rows&)> work = [dict = std::move(dict)](Rows& rows) {
    return rows.size(dict);
  };
  co_return co_await detail::read(parts_, std::move(work));
}

Task<std::uint64_t> Dicts::update(Object dict, std::vector<Entry> entries, Existing existing,
                                  RequestKey request) {
  THAW_CO_TRY_VOID(check_update(parts_.limits, entries));
  std::uint64_t bytes = 0;
  for (const Entry& entry : entries) {
    bytes += entry.key.size() + entry.value.size() + overhead;
  }
  THAW_CO_TRY_VOID(parts_.check_disk(dict.workspace, bytes));
  std::function<Result<Changed<std::uint64_t>>(Rows&)> work =
      [dict, shared = std::make_shared<const std::vector<Entry>>(std::move(entries)),
       how = existing == Existing::keep ? Rows::Existing::keep : Rows::Existing::replace,
       request = std::move(request)](Rows& rows) {
        return rows.update(dict, *shared, how, request);
      };
  THAW_CO_TRY(const auto changed, co_await detail::change(parts_, dict.workspace, std::move(work)));
  co_return changed.value;
}

Task<std::optional<std::string>> Dicts::pop(Object dict, std::string key, RequestKey request) {
  using Value = std::optional<std::string>;
  std::function<Result<Changed<Value>>(Rows&)> work = [dict, key = std::move(key),
                                                       request = std::move(request)](Rows& rows) {
    return rows.pop(dict, key, request);
  };
  THAW_CO_TRY(Changed<Value> changed,
              co_await detail::change(parts_, dict.workspace, std::move(work)));
  if (!changed.value && changed.is_damaged) {
    co_return not_as_written(dict);
  }
  co_return std::move(changed.value);
}

Task<void> Dicts::clear(Object dict, RequestKey request) {
  co_return co_await detail::clear_all(parts_, std::move(dict), std::move(request));
}

Task<std::vector<Entry>> Dicts::read(Object dict, std::optional<std::string> after, Values values) {
  std::vector<Entry> entries;
  // A page of nothing but damaged entries is no end.
  while (entries.empty()) {
    std::function<Result<std::vector<StoredEntry>>(Rows&)> work =
        [dict, after, how = values == Values::read ? Rows::Values::read : Rows::Values::left_out](
            Rows& rows) { return rows.entries(dict, after, how, entries_of_page, bytes_of_page); };
    THAW_CO_TRY(auto page, co_await detail::read(parts_, std::move(work)));
    if (page.empty()) {
      break;
    }
    after = page.back().key;
    std::vector<std::string> used;
    for (StoredEntry& entry : page) {
      if (entry.is_damaged) {
        THAW_CO_TRY_VOID(co_await set_aside(dict, entry.key));
        continue;
      }
      if (entry.is_to_be_touched) {
        used.push_back(entry.key);
      }
      entries.push_back({std::move(entry.key), std::move(entry.value)});
    }
    if (!used.empty()) {
      touch(dict, std::move(used));
    }
  }
  co_return entries;
}

}  // namespace thaw::state
