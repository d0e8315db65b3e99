// SPDX-License-Identifier: Apache-2.0
// What the payloads of calls refer to: those of synchronous calls are in memory, all others on
// disk.
#include <algorithm>
#include <map>

#include "thaw/queue/detail/queue.h"

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

Result<FoundRows> look_at_rows(store::Sql& sql, const std::string& table, std::int64_t after,
                               const FindReferences& find) {
  FoundRows out;
  THAW_TRY_VOID(sql.each("SELECT max(row) FROM (SELECT rowid AS row FROM " + table +
                             " WHERE rowid > ? ORDER BY rowid LIMIT ?)",
                         {after, std::int64_t{rows_at_once}},
                         [&](const store::Row& row) { out.last_row = row.integer(0); }));
  std::vector<std::string> names;
  THAW_TRY_VOID(sql.each("SELECT c.workspace, p.payload, length(p.content_type) FROM " + table +
                             " p CROSS JOIN calls c ON c.id = p.call "
                             "WHERE p.rowid > ? AND p.rowid <= ? AND p.payload IS NOT NULL",
                         {after, out.last_row}, [&](const store::Row& row) {
                           names.clear();
                           const std::string payload = row.text(1);
                           find(payload, names);
                           out.bytes[row.text(0)] += payload.size() + entry_overhead +
                                                     static_cast<std::uint64_t>(row.integer(2));
                           for (std::string& name : names) {
                             out.references.emplace_back(row.text(0), std::move(name));
                           }
                         }));
  return out;
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
  std::map<std::string, std::uint64_t> measured;
  for (const char* table : {"inputs", "call_log"}) {
    for (std::int64_t after = 0;;) {
      std::function<Result<FoundRows>(store::Sql&)> work = [table, after, find](store::Sql& sql) {
        return look_at_rows(sql, table, after, find);
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
    using Bytes = std::map<std::string, std::uint64_t>;
    std::function<Result<Bytes>(store::Sql&)> work = [](store::Sql& sql) -> Result<Bytes> {
      Bytes bytes;
      THAW_TRY_VOID(
          sql.each("SELECT workspace, sum(length(sink) + length(options) + ?) FROM callbacks "
                   "GROUP BY workspace",
                   {std::int64_t{entry_overhead}}, [&bytes](const store::Row& row) {
                     bytes[row.text(0)] = static_cast<std::uint64_t>(row.integer(1));
                   }));
      return bytes;
    };
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
