// SPDX-License-Identifier: Apache-2.0
// What the payloads of calls refer to: those of synchronous calls are in memory, all others on
// disk.
#include <algorithm>
#include <map>
#include <optional>

#include "thaw/queue/detail/queue.h"
#include "thaw/queue/detail/tables.h"

namespace thaw::queue::detail {

namespace {

constexpr std::size_t bytes_at_once = 1u << 20;
constexpr int rows_at_once = 200;

// One walk over the payloads of one call in memory, in pieces.
struct Walk {
  std::vector<int> inputs;  // indices
  std::size_t next_input = 0;
  std::uint64_t next_entry = 0;
};

bool look_at_some(const Call& call, Walk& walk, const FindReferences& find,
                  std::vector<std::string>& found) {
  std::size_t bytes = 0;
  const auto look = [&](const model::Payload& payload) {
    find(payload.bytes, found);
    if (payload.rest) {
      found.push_back(payload.rest->sha256_hex);
    }
    bytes += payload.size() + entry_overhead;
  };
  for (; walk.next_input < walk.inputs.size() && bytes < bytes_at_once; ++walk.next_input) {
    const auto input = call.inputs.find(walk.inputs[walk.next_input]);
    if (input != call.inputs.end()) {
      look(input->second->payload);
    }
  }
  const auto is_before = [](const LogEntry& entry, std::uint64_t number) {
    return entry.number < number;
  };
  auto entry = std::lower_bound(call.log.begin(), call.log.end(), walk.next_entry, is_before);
  for (; entry != call.log.end() && bytes < bytes_at_once; ++entry) {
    look(entry->payload);
    walk.next_entry = entry->number + 1;
  }
  return walk.next_input < walk.inputs.size() || entry != call.log.end();
}

struct FoundRows {
  std::vector<std::pair<std::string, std::string>> references;  // workspace, name
  std::map<std::string, std::uint64_t> bytes;                   // by workspace
  std::int64_t last_row = 0;                                    // looked at; 0: there was none
};

// Of `table`, which has payloads of calls; `Column` says where.
template <class Column>
Result<FoundRows> look_at_rows(store::Transaction& transaction, const store::Table<Column>& table,
                               std::int64_t after, const FindReferences& find) {
  FoundRows out;
  std::vector<std::string> names;
  std::string call;
  std::optional<std::string> workspace;  // of that call, if it is there
  THAW_TRY_VOID(transaction.scan(
      table, {.by = &table.arrival, .after = {after}, .limit = rows_at_once},
      {Column::call, Column::payload, Column::content_type, Column::encoding, Column::rest},
      [&](const store::Row<Column>& row) -> Result<void> {
        out.last_row = row.number();
        if (row.is_null(Column::payload)) {
          return ok();
        }
        if (!workspace || row.view(Column::call) != call) {
          call = row.text(Column::call);
          workspace.reset();
          THAW_TRY_VOID(transaction.get(tables::calls, {call}, {CallColumn::workspace},
                                        [&workspace](const store::Row<CallColumn>& found) {
                                          workspace = found.text(CallColumn::workspace);
                                        }));
        }
        if (workspace) {
          names.clear();
          const std::string payload = row.text(Column::payload);
          find(payload, names);
          if (!row.is_null(Column::rest)) {
            names.push_back(row.text(Column::rest));
          }
          out.bytes[*workspace] += payload.size() + entry_overhead +
                                   row.size(Column::content_type) + row.size(Column::encoding) +
                                   row.size(Column::rest);
          for (std::string& name : names) {
            out.references.emplace_back(*workspace, std::move(name));
          }
        }
        return ok();
      }));
  return out;
}

using Bytes = std::map<std::string, std::uint64_t>;

Result<Bytes> measure_callbacks(store::Transaction& transaction) {
  using B = CallbackColumn;
  Bytes bytes;
  THAW_TRY_VOID(transaction.scan(tables::callbacks, {.by = &tables::callbacks.arrival},
                                 store::Columns<B>{B::workspace, B::sink}.with_sizes({B::options}),
                                 [&bytes](const store::Row<B>& row) {
                                   bytes[row.text(B::workspace)] +=
                                       row.size(B::sink) + row.size(B::options) + entry_overhead;
                                 }));
  return bytes;
}

}  // namespace

async::Task<void> Queue::visit_references(FindReferences find, NoteReference note) {
  const Alive alive = alive_;
  std::vector<CallId> ids;
  for (const auto& [id, call] : calls_) {
    if (!call->durable()) {
      ids.push_back(id);
    }
  }
  std::size_t calls_in_a_row = 0;
  for (const CallId& id : ids) {
    Walk walk;
    if (const auto found = calls_.find(id); found != calls_.end()) {
      walk.inputs.reserve(found->second->inputs.size());
      for (const auto& [index, input] : found->second->inputs) {
        walk.inputs.push_back(index);
      }
    }
    for (bool more = true; more;) {
      const auto found = calls_.find(id);
      if (found == calls_.end()) {
        break;
      }
      std::vector<std::string> names;
      more = look_at_some(*found->second, walk, find, names);
      for (const std::string& name : names) {
        note(found->second->call.workspace, name);
      }
      if (more || ++calls_in_a_row % 100 == 0) {
        THAW_CO_TRY_VOID(co_await async::yield());
        if (!*alive) {
          co_return closed();
        }
      }
    }
  }
  Bytes measured;
  for (const bool of_inputs : {true, false}) {
    for (std::int64_t after = 0;;) {
      std::function<Result<FoundRows>(store::Transaction&)> work =
          [of_inputs, after, find](store::Transaction& transaction) {
            return of_inputs ? look_at_rows(transaction, tables::inputs, after, find)
                             : look_at_rows(transaction, tables::call_log, after, find);
          };
      THAW_CO_TRY(const FoundRows found, co_await database_.read<FoundRows>(std::move(work)));
      for (const auto& [workspace, name] : found.references) {
        note(model::WorkspaceId(workspace), name);
      }
      for (const auto& [workspace, bytes] : found.bytes) {
        measured[workspace] += bytes;
      }
      if (!*alive) {
        co_return closed();
      }
      if (found.last_row == 0) {
        break;
      }
      after = found.last_row;
    }
  }
  if (disk_ != nullptr) {
    std::function<Result<Bytes>(store::Transaction&)> work = measure_callbacks;
    THAW_CO_TRY(const Bytes of_callbacks, co_await database_.read<Bytes>(std::move(work)));
    if (!*alive) {
      co_return closed();
    }
    for (const auto& [workspace, bytes] : of_callbacks) {
      measured[workspace] += bytes;
    }
    for (const auto& [owner, use] : disk_->all()) {
      measured.emplace(owner, 0);
    }
    for (const auto& [owner, bytes] : measured) {
      disk_->set(owner, store::DiskShares::Kind::calls, bytes);
    }
  }
  co_return ok();
}

}  // namespace thaw::queue::detail
