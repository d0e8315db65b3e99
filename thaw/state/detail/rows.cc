// SPDX-License-Identifier: Apache-2.0
#include "thaw/state/detail/rows.h"

#include <algorithm>
#include <map>
#include <utility>

#include "thaw/state/detail/checksum.h"
#include "thaw/store/set_aside.h"

namespace thaw::state::detail {

using store::Go;
using store::Place;
using store::Stored;

namespace {

constexpr std::size_t removed_at_once = 1'000;  // rows of one transaction
constexpr std::int64_t swept_at_once = 200;
constexpr std::int64_t partitions_swept_at_once = 8;
constexpr std::int64_t answers_swept_at_once = 2'000;
constexpr std::size_t longest_request = 255;

std::int64_t signed_of(std::uint64_t value) { return static_cast<std::int64_t>(value); }
std::uint64_t unsigned_of(std::int64_t value) {
  return value > 0 ? static_cast<std::uint64_t>(value) : 0;
}
std::int64_t cost_of(std::size_t key_bytes, std::size_t value_bytes) {
  return signed_of(key_bytes + value_bytes + overhead);
}
std::int64_t micros(WallTime time) { return time.time_since_epoch().count(); }
std::int64_t micros(Duration duration) {
  return std::chrono::duration_cast<std::chrono::microseconds>(duration).count();
}
WallTime later(WallTime now, Duration by) {
  return now + std::chrono::duration_cast<std::chrono::microseconds>(by);
}
Use use_of(std::int64_t entries, std::int64_t bytes) {
  return {unsigned_of(entries), unsigned_of(bytes)};
}
const char* word_for(Object::Kind kind) { return kind == Object::Kind::dict ? "dict" : "queue"; }

bool is_count(const store::Row<ObjectColumn>& row, ObjectColumn column, std::int64_t least) {
  return row.stored(column) == Stored::integer && row.integer(column) >= least;
}
// But for whose it is.
bool is_whole(const store::Row<ObjectColumn>& row) {
  return is_count(row, ObjectColumn::entries, 0) && is_count(row, ObjectColumn::bytes, 0) &&
         is_count(row, ObjectColumn::partitions, 0) && is_count(row, ObjectColumn::next, 1);
}
bool is_whole(const store::Row<PartitionColumn>& row) {
  const auto is_number = [&row](PartitionColumn column) {
    return row.stored(column) == Stored::integer;
  };
  return is_number(PartitionColumn::items) && is_number(PartitionColumn::bytes) &&
         is_number(PartitionColumn::until_us) && row.integer(PartitionColumn::items) >= 0 &&
         row.integer(PartitionColumn::bytes) >= 0;
}

constexpr store::Columns<ObjectColumn> all_counts = {
    ObjectColumn::workspace,  ObjectColumn::entries, ObjectColumn::bytes,
    ObjectColumn::partitions, ObjectColumn::next,    ObjectColumn::kind};

}  // namespace

std::int64_t Rows::expired_us() const {
  return now_us() - micros(limits_.keep_entries) - micros(limits_.touch_every);
}

// --- what counts others ---

template <class C>
Result<void> Rows::set_aside(const store::Table<C>& table, Place place, std::string object,
                             std::string reason, std::vector<std::string>& said) {
  said.push_back(object + ": " + reason);
  return store::set_aside(transaction_,
                          {&table, std::move(place), std::move(object), std::move(reason)});
}

Result<std::optional<Rows::Counts>> Rows::read_counts(const Object& object,
                                                      std::vector<std::string>& aside) {
  std::optional<Counts> counts;
  std::optional<Place> damaged;
  THAW_TRY([[maybe_unused]] const bool is_there,
           transaction_.get(tables::objects, {object.id}, all_counts, [&](const auto& row) {
             if (!is_whole(row) || row.view(ObjectColumn::workspace) != object.workspace.str()) {
               damaged = row.place();
               return;
             }
             counts =
                 Counts{row.integer(ObjectColumn::entries), row.integer(ObjectColumn::bytes),
                        row.integer(ObjectColumn::partitions), row.integer(ObjectColumn::next)};
           }));
  if (damaged) {
    THAW_TRY_VOID(set_aside(tables::objects, std::move(*damaged),
                            std::string(word_for(object.kind)) + " " + object.id,
                            "its counts are not what was written; they are counted anew", aside));
  }
  return counts;
}

Result<Rows::Counts> Rows::count_anew(const Object& object) {
  Counts counts;
  const auto note = [&counts](std::int64_t bytes, std::int64_t number) {
    ++counts.entries;
    counts.bytes += bytes;
    counts.next = std::max(counts.next, number + 1);
  };
  if (object.kind == Object::Kind::dict) {
    THAW_TRY_VOID(
        transaction_.scan(tables::entries, {.with = {object.id}},
                          {EntryColumn::bytes, EntryColumn::number}, [&note](const auto& row) {
                            note(row.integer(EntryColumn::bytes), row.integer(EntryColumn::number));
                          }));
    return counts;
  }
  THAW_TRY_VOID(
      transaction_.scan(tables::items, {.with = {object.id}},
                        {ItemColumn::bytes, ItemColumn::number}, [&note](const auto& row) {
                          note(row.integer(ItemColumn::bytes), row.integer(ItemColumn::number));
                        }));
  THAW_TRY(counts.partitions, transaction_.count(tables::partitions, {.with = {object.id}}));
  return counts;
}

Result<Rows::Whole> Rows::read_whole(const model::WorkspaceId& workspace) {
  Whole whole;
  THAW_TRY([[maybe_unused]] const bool is_there,
           transaction_.get(
               tables::uses, {workspace.str()},
               {UseColumn::entries, UseColumn::bytes, UseColumn::answers, UseColumn::answer_bytes},
               [&whole](const auto& row) {
                 whole = {row.integer(UseColumn::entries), row.integer(UseColumn::bytes),
                          row.integer(UseColumn::answers), row.integer(UseColumn::answer_bytes)};
               }));
  return whole;
}

Result<void> Rows::write_whole(const model::WorkspaceId& workspace, const Whole& whole) {
  return transaction_.put(tables::uses, {{UseColumn::workspace, workspace.str()},
                                         {UseColumn::entries, whole.entries},
                                         {UseColumn::bytes, whole.bytes},
                                         {UseColumn::answers, whole.answers},
                                         {UseColumn::answer_bytes, whole.answer_bytes}});
}

Result<Rows::Change> Rows::begin(const Object& object) {
  Change change{object, {}, {}, {}, {}};
  THAW_TRY(const std::optional<Counts> counts, read_counts(object, change.set_aside));
  if (counts) {
    change.counts = *counts;
  } else {
    THAW_TRY(change.counts, count_anew(object));
  }
  THAW_TRY(change.whole, read_whole(object.workspace));
  change.before = change.counts;
  return change;
}

Result<Use> Rows::end(Change& change) {
  Counts& counts = change.counts;
  counts.entries = std::max<std::int64_t>(counts.entries, 0);
  counts.bytes = std::max<std::int64_t>(counts.bytes, 0);
  counts.partitions = std::max<std::int64_t>(counts.partitions, 0);
  Whole& whole = change.whole;
  whole.entries = std::max<std::int64_t>(whole.entries + counts.entries - change.before.entries, 0);
  whole.bytes = std::max<std::int64_t>(whole.bytes + counts.bytes - change.before.bytes, 0);
  if (counts.entries > change.before.entries && unsigned_of(whole.entries) > limits_.entries) {
    return Error::resource_exhausted("the dicts and queues of the workspace would have " +
                                     std::to_string(whole.entries) + " entries; the limit is " +
                                     std::to_string(limits_.entries) +
                                     " ([state] entries_per_workspace); remove some");
  }
  if (counts.bytes > change.before.bytes && unsigned_of(whole.bytes) > limits_.bytes) {
    return Error::resource_exhausted("the dicts and queues of the workspace would have " +
                                     std::to_string(whole.bytes >> 20) + " MiB; the limit is " +
                                     std::to_string(limits_.bytes >> 20) +
                                     " MiB ([state] mb_per_workspace); remove some");
  }
  THAW_TRY_VOID(transaction_.put(
      tables::objects, {{ObjectColumn::id, change.object.id},
                        {ObjectColumn::kind, change.object.kind == Object::Kind::queue ? 1 : 0},
                        {ObjectColumn::workspace, change.object.workspace.str()},
                        {ObjectColumn::entries, counts.entries},
                        {ObjectColumn::bytes, counts.bytes},
                        {ObjectColumn::partitions, counts.partitions},
                        {ObjectColumn::next, counts.next}}));
  THAW_TRY_VOID(write_whole(change.object.workspace, whole));
  return use_of(whole.entries, whole.bytes);
}

// --- answers ---

Result<std::optional<std::string>> Rows::answer(const Object& object, const RequestKey& request) {
  std::optional<std::string> found;
  if (request.empty()) {
    return found;
  }
  if (request.str().size() > longest_request) {
    return Error::invalid_argument("the key of a request has at most " +
                                   std::to_string(longest_request) + " bytes");
  }
  THAW_TRY([[maybe_unused]] const bool is_there,
           transaction_.get(tables::answers, {object.workspace.str(), request.str()},
                            {AnswerColumn::answer},
                            [&found](const auto& row) { found = row.text(AnswerColumn::answer); }));
  return found;
}

Result<void> Rows::forget_oldest(const model::WorkspaceId& workspace, Whole& whole) {
  const auto is_too_much = [&] {
    return unsigned_of(whole.answers) > limits_.answers ||
           (unsigned_of(whole.answer_bytes) > limits_.answer_bytes && whole.answers > 1);
  };
  while (is_too_much()) {
    std::optional<std::string> oldest;
    THAW_TRY_VOID(transaction_.scan(
        tables::answers, {.by = &tables::answers_of, .with = {workspace.str()}, .limit = 1},
        store::Columns<AnswerColumn>{AnswerColumn::request}.with_sizes({AnswerColumn::answer}),
        [&](const auto& row) {
          oldest = row.text(AnswerColumn::request);
          --whole.answers;
          whole.answer_bytes -= signed_of(row.size(AnswerColumn::answer));
        }));
    if (!oldest) {  // the count was wrong
      whole.answers = 0;
      whole.answer_bytes = 0;
      break;
    }
    THAW_TRY([[maybe_unused]] const bool is_gone,
             transaction_.erase(tables::answers, {workspace.str(), *oldest}));
  }
  return ok();
}

Result<void> Rows::remember(Change& change, const RequestKey& request, std::string answer) {
  if (request.empty()) {
    return ok();
  }
  ++change.whole.answers;
  change.whole.answer_bytes += signed_of(answer.size());
  THAW_TRY_VOID(transaction_.insert(tables::answers,
                                    {{AnswerColumn::workspace, change.object.workspace.str()},
                                     {AnswerColumn::request, request.str()},
                                     {AnswerColumn::answer, answer},
                                     {AnswerColumn::at_us, now_us()}}));
  return forget_oldest(change.object.workspace, change.whole);
}

// --- dicts ---

Result<std::optional<StoredEntry>> Rows::entry(const Object& dict, const std::string& key,
                                               std::uint64_t most_bytes) {
  std::optional<StoredEntry> found;
  THAW_TRY([[maybe_unused]] const bool is_there,
           transaction_.get(
               tables::entries, {dict.id, key},
               store::Columns<EntryColumn>{EntryColumn::used_us}.with_sizes({EntryColumn::value}),
               [&](const auto& row) {
                 const std::int64_t used = row.integer(EntryColumn::used_us);
                 if (used > expired_us()) {
                   found.emplace();
                   found->key = key;
                   found->bytes = row.size(EntryColumn::value);
                   found->is_left_out = found->bytes > most_bytes;
                   found->is_to_be_touched = used + micros(limits_.touch_every) <= now_us();
                 }
               }));
  if (!found || found->is_left_out) {
    return found;
  }
  THAW_TRY([[maybe_unused]] const bool is_still_there,
           transaction_.get(tables::entries, {dict.id, key}, {EntryColumn::value, EntryColumn::sum},
                            [&](const auto& row) {
                              found->value = row.text(EntryColumn::value);
                              found->is_damaged =
                                  checksum(key, found->value) != row.integer(EntryColumn::sum);
                            }));
  return found;
}

Result<std::vector<StoredEntry>> Rows::entries(const Object& dict,
                                               const std::optional<std::string>& after,
                                               Values values, std::size_t most,
                                               std::uint64_t most_bytes) {
  std::vector<StoredEntry> found;
  std::uint64_t bytes = 0;
  store::Range<EntryColumn> range{.with = {dict.id}};
  if (after) {
    range.after = {*after};
  }
  THAW_TRY_VOID(transaction_.scan(
      tables::entries, range,
      store::Columns<EntryColumn>{EntryColumn::key, EntryColumn::used_us}.with_sizes(
          {EntryColumn::value}),
      [&](const auto& row) {
        const std::int64_t used = row.integer(EntryColumn::used_us);
        if (used <= expired_us()) {
          return Go::on;
        }
        StoredEntry one;
        one.key = row.text(EntryColumn::key);
        one.bytes = row.size(EntryColumn::value);
        one.is_to_be_touched = used + micros(limits_.touch_every) <= now_us();
        one.is_left_out = values == Values::left_out;
        bytes += one.key.size() + (one.is_left_out ? 0 : one.bytes);
        if (bytes > most_bytes && !found.empty()) {
          return Go::stop;
        }
        found.push_back(std::move(one));
        return found.size() < most ? Go::on : Go::stop;
      }));
  if (values == Values::left_out || found.empty()) {
    return found;
  }
  std::size_t next = 0;
  THAW_TRY_VOID(transaction_.scan(
      tables::entries, {.with = {dict.id}, .from = {found.front().key}, .to = {found.back().key}},
      {EntryColumn::key, EntryColumn::value, EntryColumn::sum}, [&](const auto& row) {
        if (next < found.size() && found[next].key == row.view(EntryColumn::key)) {
          StoredEntry& one = found[next++];
          one.value = row.text(EntryColumn::value);
          one.is_damaged = checksum(one.key, one.value) != row.integer(EntryColumn::sum);
        }
      }));
  return found;
}

Result<std::uint64_t> Rows::size(const Object& object) {
  std::optional<std::int64_t> entries;
  THAW_TRY([[maybe_unused]] const bool is_there,
           transaction_.get(tables::objects, {object.id}, {ObjectColumn::entries},
                            [&entries](const auto& row) {
                              if (is_count(row, ObjectColumn::entries, 0)) {
                                entries = row.integer(ObjectColumn::entries);
                              }
                            }));
  if (!entries) {
    THAW_TRY(const Counts counts, count_anew(object));
    entries = counts.entries;
  }
  return unsigned_of(*entries);
}

Result<Use> Rows::use(const model::WorkspaceId& workspace) {
  THAW_TRY(const Whole whole, read_whole(workspace));
  return use_of(whole.entries, whole.bytes);
}

Result<Changed<std::uint64_t>> Rows::update(const Object& dict, const std::vector<Entry>& entries,
                                            Existing existing, const RequestKey& request) {
  THAW_TRY(const std::optional<std::string> known, answer(dict, request));
  THAW_TRY(Change change, begin(dict));
  if (known) {
    THAW_TRY(const std::uint64_t count, decode_count(*known));
    return Changed<std::uint64_t>{count, use_of(change.whole.entries, change.whole.bytes)};
  }
  std::uint64_t added = 0;
  for (const Entry& entry : entries) {
    std::int64_t before = 0;
    bool is_there = false;  // and has not expired
    THAW_TRY(const bool is_stored,
             transaction_.get(tables::entries, {dict.id, entry.key},
                              {EntryColumn::bytes, EntryColumn::used_us}, [&](const auto& row) {
                                before = row.integer(EntryColumn::bytes);
                                is_there = row.integer(EntryColumn::used_us) > expired_us();
                              }));
    if (is_there && existing == Existing::keep) {
      continue;
    }
    added += is_there ? 0 : 1;
    const std::int64_t cost = cost_of(entry.key.size(), entry.value.size());
    change.counts.bytes += cost - before;
    change.counts.entries += is_stored ? 0 : 1;
    THAW_TRY_VOID(
        transaction_.put(tables::entries, {{EntryColumn::dict, dict.id},
                                           {EntryColumn::key, entry.key},
                                           {EntryColumn::value, entry.value},
                                           {EntryColumn::sum, checksum(entry.key, entry.value)},
                                           {EntryColumn::bytes, cost},
                                           {EntryColumn::number, change.counts.next++},
                                           {EntryColumn::used_us, now_us()}}));
  }
  THAW_TRY_VOID(remember(change, request, encode_count(added)));
  THAW_TRY(const Use use, end(change));
  return Changed<std::uint64_t>{added, use, std::move(change.set_aside)};
}

Result<Changed<std::optional<std::string>>> Rows::pop(const Object& dict, const std::string& key,
                                                      const RequestKey& request) {
  Changed<std::optional<std::string>> out;
  THAW_TRY(const std::optional<std::string> known, answer(dict, request));
  THAW_TRY(Change change, begin(dict));
  out.use = use_of(change.whole.entries, change.whole.bytes);
  if (known) {
    out.value = *known;
    return out;
  }
  std::int64_t cost = 0;
  bool is_damaged = false;
  THAW_TRY([[maybe_unused]] const bool is_there,
           transaction_.get(
               tables::entries, {dict.id, key},
               {EntryColumn::value, EntryColumn::sum, EntryColumn::bytes, EntryColumn::used_us},
               [&](const auto& row) {
                 if (row.integer(EntryColumn::used_us) > expired_us()) {
                   out.value = row.text(EntryColumn::value);
                   is_damaged = checksum(key, *out.value) != row.integer(EntryColumn::sum);
                   cost = row.integer(EntryColumn::bytes);
                 }
               }));
  if (!out.value) {
    return out;
  }
  if (is_damaged) {
    out.value.reset();
    THAW_TRY(Changed<bool> aside, set_entry_aside(dict, key));
    out.use = aside.use;
    out.set_aside = std::move(aside.set_aside);
    out.is_damaged = true;
    return out;
  }
  THAW_TRY([[maybe_unused]] const bool is_gone,
           transaction_.erase(tables::entries, {dict.id, key}));
  --change.counts.entries;
  change.counts.bytes -= cost;
  THAW_TRY_VOID(remember(change, request, *out.value));
  THAW_TRY(out.use, end(change));
  out.set_aside = std::move(change.set_aside);
  return out;
}

Result<void> Rows::touch(const Object& dict, const std::vector<std::string>& keys) {
  for (const std::string& key : keys) {
    THAW_TRY(
        [[maybe_unused]] const bool is_there,
        transaction_.update(tables::entries, {dict.id, key}, {{EntryColumn::used_us, now_us()}}));
  }
  return ok();
}

Result<Changed<bool>> Rows::set_entry_aside(const Object& dict, const std::string& key) {
  THAW_TRY(Change change, begin(dict));
  std::optional<Place> place;
  THAW_TRY([[maybe_unused]] const bool is_there,
           transaction_.get(
               tables::entries, {dict.id, key},
               {EntryColumn::value, EntryColumn::sum, EntryColumn::bytes}, [&](const auto& row) {
                 // It may have been written anew since somebody has seen it.
                 if (checksum(key, row.view(EntryColumn::value)) != row.integer(EntryColumn::sum)) {
                   place = row.place();
                   change.counts.bytes -= row.integer(EntryColumn::bytes);
                 }
               }));
  const bool is_damaged = place.has_value();
  if (place) {
    --change.counts.entries;
    THAW_TRY_VOID(set_aside(tables::entries, std::move(*place), "an entry of dict " + dict.id,
                            "its value is not what was written", change.set_aside));
  }
  THAW_TRY(const Use use, end(change));
  return Changed<bool>{is_damaged, use, std::move(change.set_aside)};
}

// --- queues ---

Result<Partition> Rows::count_items(const Object& queue, const std::string& name) {
  Partition counted;
  counted.until = later(now_, limits_.partition_ttl);
  THAW_TRY_VOID(transaction_.scan(tables::items, {.with = {queue.id, name}}, {ItemColumn::bytes},
                                  [&counted](const auto& row) {
                                    ++counted.items;
                                    counted.bytes += unsigned_of(row.integer(ItemColumn::bytes));
                                  }));
  return counted;
}

Result<std::optional<Partition>> Rows::read_partition(const Object& queue, const std::string& name,
                                                      std::vector<std::string>* aside) {
  std::optional<Partition> found;
  std::optional<Place> damaged;
  THAW_TRY([[maybe_unused]] const bool is_there,
           transaction_.get(
               tables::partitions, {queue.id, name},
               {PartitionColumn::items, PartitionColumn::bytes, PartitionColumn::until_us},
               [&](const auto& row) {
                 if (!is_whole(row)) {
                   damaged = row.place();
                   return;
                 }
                 found = Partition{
                     unsigned_of(row.integer(PartitionColumn::items)),
                     unsigned_of(row.integer(PartitionColumn::bytes)),
                     WallTime(std::chrono::microseconds(row.integer(PartitionColumn::until_us)))};
               }));
  if (!damaged) {
    return found;
  }
  THAW_TRY(found, count_items(queue, name));
  if (aside != nullptr) {
    THAW_TRY_VOID(set_aside(tables::partitions, std::move(*damaged),
                            "a partition of queue " + queue.id,
                            "its counts are not what was written; they are counted anew", *aside));
    THAW_TRY_VOID(write_partition(queue, name, *found));
  }
  return found;
}

Result<void> Rows::write_partition(const Object& queue, const std::string& name,
                                   const Partition& partition) {
  return transaction_.put(tables::partitions,
                          {{PartitionColumn::queue, queue.id},
                           {PartitionColumn::name, name},
                           {PartitionColumn::items, signed_of(partition.items)},
                           {PartitionColumn::bytes, signed_of(partition.bytes)},
                           {PartitionColumn::until_us, micros(partition.until)}});
}

Result<void> Rows::drop_partition(Change& change, const std::string& name) {
  THAW_TRY(const Partition counted, count_items(change.object, name));
  change.counts.entries -= signed_of(counted.items);
  change.counts.bytes -= signed_of(counted.bytes);
  if (counted.items > 0) {
    THAW_TRY([[maybe_unused]] const std::int64_t removed,
             transaction_.erase_range(tables::items, {.with = {change.object.id, name}}));
  }
  THAW_TRY(const bool is_gone, transaction_.erase(tables::partitions, {change.object.id, name}));
  change.counts.partitions -= is_gone ? 1 : 0;
  return ok();
}

Result<Partition> Rows::partition(const Object& queue, const std::string& name) {
  THAW_TRY(const std::optional<Partition> found, read_partition(queue, name, nullptr));
  return found && found->until > now_ ? *found : Partition{};
}

Result<QueueSize> Rows::queue_size(const Object& queue) {
  QueueSize size;
  THAW_TRY(size.items, this->size(queue));
  THAW_TRY([[maybe_unused]] const bool is_there,
           transaction_.get(tables::objects, {queue.id}, {ObjectColumn::partitions},
                            [&size](const auto& row) {
                              size.partitions = unsigned_of(row.integer(ObjectColumn::partitions));
                            }));
  // Few: they are swept often.
  THAW_TRY_VOID(transaction_.scan(
      tables::partitions, {.by = &tables::partitions_until, .to = {now_us()}},
      {PartitionColumn::queue, PartitionColumn::items}, [&](const auto& row) {
        if (row.view(PartitionColumn::queue) == queue.id) {
          size.partitions -= std::min<std::uint64_t>(size.partitions, 1);
          size.items -= std::min(size.items, unsigned_of(row.integer(PartitionColumn::items)));
        }
      }));
  return size;
}

Result<std::vector<Item>> Rows::items(const Object& queue, const std::string& partition,
                                      std::int64_t after, std::size_t most,
                                      std::uint64_t most_bytes) {
  THAW_TRY(const Partition known, this->partition(queue, partition));
  std::vector<Item> found;
  if (known.items == 0) {
    return found;
  }
  std::uint64_t bytes = 0;
  THAW_TRY_VOID(
      transaction_.scan(tables::items, {.with = {queue.id, partition}, .after = {after}},
                        {ItemColumn::number, ItemColumn::value, ItemColumn::sum, ItemColumn::bytes},
                        [&](const auto& row) {
                          bytes += unsigned_of(row.integer(ItemColumn::bytes));
                          if (bytes > most_bytes && !found.empty()) {
                            return Go::stop;
                          }
                          Item item{row.integer(ItemColumn::number), row.text(ItemColumn::value)};
                          if (checksum(partition, item.value) == row.integer(ItemColumn::sum)) {
                            found.push_back(std::move(item));
                          }
                          return found.size() < most ? Go::on : Go::stop;
                        }));
  return found;
}

Result<void> Rows::write_item(const Object& queue, const std::string& partition,
                              std::int64_t number, const std::string& value) {
  return transaction_.put(tables::items, {{ItemColumn::queue, queue.id},
                                          {ItemColumn::partition, partition},
                                          {ItemColumn::number, number},
                                          {ItemColumn::value, value},
                                          {ItemColumn::sum, checksum(partition, value)},
                                          {ItemColumn::bytes, cost_of(0, value.size())}});
}

Result<Changed<std::size_t>> Rows::put(const Object& queue, const std::string& partition,
                                       const std::vector<std::string>& items, Duration ttl,
                                       const RequestKey& request) {
  THAW_TRY(const std::optional<std::string> known, answer(queue, request));
  THAW_TRY(Change change, begin(queue));
  if (known) {
    return Changed<std::size_t>{0, use_of(change.whole.entries, change.whole.bytes)};
  }
  THAW_TRY(std::optional<Partition> now, read_partition(queue, partition, &change.set_aside));
  if (now && now->until <= now_) {
    THAW_TRY_VOID(drop_partition(change, partition));
    now.reset();
  }
  if (!now) {
    ++change.counts.partitions;
    // There is nothing, unless the record was lost.
    THAW_TRY(now, count_items(queue, partition));
  }
  now->items += items.size();
  std::uint64_t bytes = 0;
  for (const std::string& item : items) {
    bytes += item.size();
  }
  now->bytes += bytes + items.size() * overhead;
  now->until = later(now_, ttl > Duration::zero() ? ttl : limits_.partition_ttl);
  if (now->items > limits_.partition_items) {
    return Error::resource_exhausted("the queue " + queue.id +
                                     " is full: its partition would have " +
                                     std::to_string(now->items) + " items, and the most is " +
                                     std::to_string(limits_.partition_items) + "; take some");
  }
  if (now->bytes - now->items * overhead > limits_.partition_bytes) {
    return Error::resource_exhausted(
        "the queue " + queue.id + " is full: its partition would have " +
        std::to_string(now->bytes >> 20) + " MiB, and the most is " +
        std::to_string(limits_.partition_bytes >> 20) + " MiB; take some");
  }
  if (unsigned_of(change.counts.partitions) > limits_.partitions) {
    return Error::resource_exhausted("the queue " + queue.id + " has " +
                                     std::to_string(limits_.partitions) +
                                     " partitions, the most that one can have; take their items");
  }
  for (const std::string& item : items) {
    THAW_TRY_VOID(write_item(queue, partition, change.counts.next++, item));
    change.counts.bytes += cost_of(0, item.size());
  }
  change.counts.entries += signed_of(items.size());
  THAW_TRY_VOID(write_partition(queue, partition, *now));
  THAW_TRY_VOID(remember(change, request, {}));
  THAW_TRY(const Use use, end(change));
  return Changed<std::size_t>{items.size(), use, std::move(change.set_aside)};
}

Result<Changed<TakenItems>> Rows::take(const Object& queue, const std::string& partition,
                                       std::size_t most, const RequestKey& request) {
  Changed<TakenItems> out;
  THAW_TRY(const std::optional<std::string> known, answer(queue, request));
  THAW_TRY(Change change, begin(queue));
  out.use = use_of(change.whole.entries, change.whole.bytes);
  if (known) {
    THAW_TRY(Taken taken, decode_taken(*known));
    out.value.items = std::move(taken.items);
    return out;
  }
  THAW_TRY(std::optional<Partition> now, read_partition(queue, partition, &change.set_aside));
  if (!now || now->until <= now_) {
    return out;
  }
  std::int64_t last = 0;
  std::size_t chosen = 0;
  std::uint64_t bytes = 0;
  Taken taken{partition, now->until, {}};
  std::vector<Place> damaged;
  THAW_TRY_VOID(
      transaction_.scan(tables::items, {.with = {queue.id, partition}},
                        {ItemColumn::number, ItemColumn::value, ItemColumn::sum, ItemColumn::bytes},
                        [&](const auto& row) {
                          const std::uint64_t cost = unsigned_of(row.integer(ItemColumn::bytes));
                          if (chosen > 0 && bytes + cost > limits_.take_bytes) {
                            return Go::stop;
                          }
                          bytes += cost;
                          last = row.integer(ItemColumn::number);
                          Item item{last, row.text(ItemColumn::value)};
                          if (checksum(partition, item.value) == row.integer(ItemColumn::sum)) {
                            taken.items.push_back(std::move(item));
                          } else {
                            damaged.push_back(row.place());
                          }
                          return ++chosen < most ? Go::on : Go::stop;
                        }));
  for (Place& place : damaged) {
    THAW_TRY_VOID(set_aside(tables::items, std::move(place), "an item of queue " + queue.id,
                            "it is not what was written", change.set_aside));
  }
  if (chosen > 0) {
    THAW_TRY(
        [[maybe_unused]] const std::int64_t removed,
        transaction_.erase_range(tables::items, {.with = {queue.id, partition}, .to = {last}}));
  }
  change.counts.entries -= signed_of(chosen);
  change.counts.bytes -= signed_of(bytes);
  now->items -= std::min<std::uint64_t>(now->items, chosen);
  now->bytes -= std::min(now->bytes, bytes);
  if (now->items == 0 || chosen == 0) {
    now->items = 0;
    THAW_TRY_VOID(drop_partition(change, partition));
  } else {
    THAW_TRY_VOID(write_partition(queue, partition, *now));
  }
  if (!taken.items.empty()) {
    THAW_TRY_VOID(remember(change, request, encode_taken(taken)));
  }
  THAW_TRY(out.use, end(change));
  out.value = {std::move(taken.items), now->items};
  out.set_aside = std::move(change.set_aside);
  return out;
}

Result<Changed<std::size_t>> Rows::give_back(const Object& queue, const RequestKey& request) {
  Changed<std::size_t> out;
  THAW_TRY(const std::optional<std::string> known, answer(queue, request));
  THAW_TRY(Change change, begin(queue));
  out.use = use_of(change.whole.entries, change.whole.bytes);
  if (!known) {
    return out;
  }
  THAW_TRY(const Taken taken, decode_taken(*known));
  THAW_TRY(std::optional<Partition> now, read_partition(queue, taken.partition, &change.set_aside));
  if (!now) {
    ++change.counts.partitions;
    now.emplace();
    now->until = taken.until;
  }
  std::int64_t bytes = 0;
  for (const Item& item : taken.items) {
    THAW_TRY_VOID(write_item(queue, taken.partition, item.number, item.value));
    bytes += cost_of(0, item.value.size());
  }
  now->items += taken.items.size();
  now->bytes += unsigned_of(bytes);
  THAW_TRY_VOID(write_partition(queue, taken.partition, *now));
  THAW_TRY([[maybe_unused]] const bool is_forgotten,
           transaction_.erase(tables::answers, {queue.workspace.str(), request.str()}));
  --change.whole.answers;
  change.whole.answer_bytes -= signed_of(known->size());
  // They were counted before they were taken: that they are over the share is nobody's request.
  change.counts.entries += signed_of(taken.items.size());
  change.counts.bytes += bytes;
  change.whole.entries += signed_of(taken.items.size());
  change.whole.bytes += bytes;
  change.before = change.counts;
  THAW_TRY(out.use, end(change));
  out.value = taken.items.size();
  out.set_aside = std::move(change.set_aside);
  return out;
}

Result<Changed<bool>> Rows::clear_partition(const Object& queue, const std::string& partition,
                                            const RequestKey& request) {
  THAW_TRY(const std::optional<std::string> known, answer(queue, request));
  THAW_TRY(Change change, begin(queue));
  if (!known) {
    THAW_TRY_VOID(drop_partition(change, partition));
    THAW_TRY_VOID(remember(change, request, {}));
  }
  THAW_TRY(const Use use, end(change));
  return Changed<bool>{!known, use, std::move(change.set_aside)};
}

// --- of both ---

Result<std::int64_t> Rows::next_number(const Object& object) {
  THAW_TRY(const Change change, begin(object));
  return change.counts.next;
}

// Returns how many went.
Result<std::uint64_t> Rows::remove_some(Change& change, std::int64_t before) {
  const Object& object = change.object;
  std::uint64_t removed = 0;
  if (object.kind == Object::Kind::dict) {
    std::vector<std::string> keys;
    THAW_TRY_VOID(transaction_.scan(tables::entries, {.with = {object.id}},
                                    {EntryColumn::key, EntryColumn::number, EntryColumn::bytes},
                                    [&](const auto& row) {
                                      if (row.integer(EntryColumn::number) < before) {
                                        keys.push_back(row.text(EntryColumn::key));
                                        change.counts.bytes -= row.integer(EntryColumn::bytes);
                                      }
                                      return keys.size() < removed_at_once ? Go::on : Go::stop;
                                    }));
    for (const std::string& key : keys) {
      THAW_TRY([[maybe_unused]] const bool is_gone,
               transaction_.erase(tables::entries, {object.id, key}));
    }
    change.counts.entries -= signed_of(keys.size());
    return keys.size();
  }
  std::vector<std::string> names;
  THAW_TRY_VOID(
      transaction_.scan(tables::items, {.with = {object.id}},
                        {ItemColumn::partition, ItemColumn::number}, [&](const auto& row) {
                          if (row.integer(ItemColumn::number) < before) {
                            ++removed;
                            if (names.empty() || names.back() != row.view(ItemColumn::partition)) {
                              names.push_back(row.text(ItemColumn::partition));
                            }
                          }
                          return removed < removed_at_once ? Go::on : Go::stop;
                        }));
  for (const std::string& name : names) {
    std::uint64_t of_this = 0;
    std::uint64_t bytes = 0;
    THAW_TRY_VOID(transaction_.scan(tables::items, {.with = {object.id, name}, .before = {before}},
                                    {ItemColumn::bytes}, [&](const auto& row) {
                                      ++of_this;
                                      bytes += unsigned_of(row.integer(ItemColumn::bytes));
                                    }));
    THAW_TRY(
        [[maybe_unused]] const std::int64_t rows,
        transaction_.erase_range(tables::items, {.with = {object.id, name}, .before = {before}}));
    change.counts.entries -= signed_of(of_this);
    change.counts.bytes -= signed_of(bytes);
    THAW_TRY(std::optional<Partition> now, read_partition(object, name, &change.set_aside));
    if (!now) {
      continue;
    }
    now->items -= std::min(now->items, of_this);
    now->bytes -= std::min(now->bytes, bytes);
    if (now->items == 0) {
      THAW_TRY_VOID(drop_partition(change, name));
    } else {
      THAW_TRY_VOID(write_partition(object, name, *now));
    }
  }
  return removed;
}

Result<Changed<bool>> Rows::clear_some(const Object& object, std::int64_t before,
                                       const RequestKey& request) {
  Changed<bool> out;
  THAW_TRY(const std::optional<std::string> known, answer(object, request));
  THAW_TRY(Change change, begin(object));
  if (known) {
    return Changed<bool>{true, use_of(change.whole.entries, change.whole.bytes)};
  }
  THAW_TRY(const std::uint64_t removed, remove_some(change, before));
  out.value = removed == 0;
  if (out.value) {
    THAW_TRY_VOID(remember(change, request, {}));
  }
  THAW_TRY(out.use, end(change));
  out.set_aside = std::move(change.set_aside);
  return out;
}

Result<Changed<bool>> Rows::erase_some(const Object& object) {
  Changed<bool> out;
  THAW_TRY(Change change, begin(object));
  THAW_TRY(const std::uint64_t removed, remove_some(change, INT64_MAX));
  out.value = removed == 0;
  THAW_TRY(out.use, end(change));
  if (out.value) {
    THAW_TRY([[maybe_unused]] const std::int64_t partitions,
             transaction_.erase_range(tables::partitions, {.with = {object.id}}));
    THAW_TRY([[maybe_unused]] const bool is_gone, transaction_.erase(tables::objects, {object.id}));
  }
  out.set_aside = std::move(change.set_aside);
  return out;
}

Result<bool> Rows::has_expired() {
  THAW_TRY(const bool entries, transaction_.any_of(tables::entries, {.by = &tables::entries_used,
                                                                     .to = {expired_us()}}));
  THAW_TRY(
      const bool partitions,
      transaction_.any_of(tables::partitions, {.by = &tables::partitions_until, .to = {now_us()}}));
  THAW_TRY(const bool answers,
           transaction_.any_of(tables::answers, {.by = &tables::answers_at,
                                                 .to = {now_us() - micros(limits_.remember)}}));
  return entries || partitions || answers;
}

Result<Rows::Swept> Rows::sweep() {
  Swept swept;
  THAW_TRY(const std::int64_t entries, sweep_entries(swept));
  THAW_TRY(const std::int64_t partitions, sweep_partitions(swept));
  THAW_TRY(const std::int64_t answers, sweep_answers());
  swept.is_all = entries < swept_at_once && partitions < partitions_swept_at_once &&
                 answers < answers_swept_at_once;
  return swept;
}

// Without a workspace: nothing says whose it is, and nothing counts it.
Result<Object> Rows::object_of(Object::Kind kind, const std::string& id) {
  Object object{kind, id, {}};
  THAW_TRY([[maybe_unused]] const bool is_there,
           transaction_.get(
               tables::objects, {id}, {ObjectColumn::workspace}, [&object](const auto& row) {
                 object.workspace = model::WorkspaceId(row.text(ObjectColumn::workspace));
               }));
  return object;
}

Result<std::int64_t> Rows::sweep_entries(Swept& swept) {
  struct Found {
    std::string key;
    std::int64_t bytes = 0;
  };
  std::map<std::string, std::vector<Found>> by_dict;
  std::int64_t count = 0;
  THAW_TRY_VOID(transaction_.scan(
      tables::entries, {.by = &tables::entries_used, .to = {expired_us()}, .limit = swept_at_once},
      {EntryColumn::dict, EntryColumn::key, EntryColumn::bytes}, [&](const auto& row) {
        ++count;
        by_dict[row.text(EntryColumn::dict)].push_back(
            {row.text(EntryColumn::key), row.integer(EntryColumn::bytes)});
      }));
  for (const auto& [id, entries] : by_dict) {
    THAW_TRY(const Object dict, object_of(Object::Kind::dict, id));
    THAW_TRY(Change change, begin(dict));
    for (const Found& entry : entries) {
      THAW_TRY([[maybe_unused]] const bool is_gone,
               transaction_.erase(tables::entries, {id, entry.key}));
      --change.counts.entries;
      change.counts.bytes -= entry.bytes;
      ++swept.entries;
    }
    if (!dict.workspace.empty()) {
      THAW_TRY(const Use use, end(change));
      swept.uses.emplace_back(dict.workspace, use);
    }
  }
  return count;
}

Result<std::int64_t> Rows::sweep_partitions(Swept& swept) {
  std::vector<std::pair<std::string, std::string>> partitions;
  THAW_TRY_VOID(transaction_.scan(
      tables::partitions,
      {.by = &tables::partitions_until, .to = {now_us()}, .limit = partitions_swept_at_once},
      {PartitionColumn::queue, PartitionColumn::name}, [&partitions](const auto& row) {
        partitions.emplace_back(row.text(PartitionColumn::queue), row.text(PartitionColumn::name));
      }));
  for (const auto& [id, name] : partitions) {
    THAW_TRY(const Object queue, object_of(Object::Kind::queue, id));
    THAW_TRY(Change change, begin(queue));
    THAW_TRY_VOID(drop_partition(change, name));
    ++swept.partitions;
    if (!queue.workspace.empty()) {
      THAW_TRY(const Use use, end(change));
      swept.uses.emplace_back(queue.workspace, use);
    }
  }
  return signed_of(partitions.size());
}

Result<std::int64_t> Rows::sweep_answers() {
  struct Found {
    std::string request;
    std::size_t bytes = 0;
  };
  std::map<std::string, std::vector<Found>> by_workspace;
  std::int64_t count = 0;
  THAW_TRY_VOID(transaction_.scan(
      tables::answers,
      {.by = &tables::answers_at,
       .to = {now_us() - micros(limits_.remember)},
       .limit = answers_swept_at_once},
      store::Columns<AnswerColumn>{AnswerColumn::workspace, AnswerColumn::request}.with_sizes(
          {AnswerColumn::answer}),
      [&](const auto& row) {
        ++count;
        by_workspace[row.text(AnswerColumn::workspace)].push_back(
            {row.text(AnswerColumn::request), row.size(AnswerColumn::answer)});
      }));
  for (const auto& [id, answers] : by_workspace) {
    const model::WorkspaceId workspace(id);
    THAW_TRY(Whole whole, read_whole(workspace));
    for (const Found& one : answers) {
      THAW_TRY([[maybe_unused]] const bool is_gone,
               transaction_.erase(tables::answers, {id, one.request}));
      whole.answers = std::max<std::int64_t>(whole.answers - 1, 0);
      whole.answer_bytes = std::max<std::int64_t>(whole.answer_bytes - signed_of(one.bytes), 0);
    }
    THAW_TRY_VOID(write_whole(workspace, whole));
  }
  return count;
}

Result<void> Rows::repair_objects(std::vector<std::string>& said) {
  struct Damaged {
    Object object;
    Place place;
  };
  std::map<std::string, std::int64_t> partitions;
  THAW_TRY_VOID(transaction_.scan(
      tables::partitions, {}, {PartitionColumn::queue},
      [&partitions](const auto& row) { ++partitions[row.text(PartitionColumn::queue)]; }));
  std::vector<Damaged> damaged;
  std::map<std::string, std::int64_t> wrong;  // partitions of queues
  THAW_TRY_VOID(transaction_.scan(
      tables::objects, {},
      {ObjectColumn::id, ObjectColumn::kind, ObjectColumn::workspace, ObjectColumn::entries,
       ObjectColumn::bytes, ObjectColumn::partitions, ObjectColumn::next},
      [&](const auto& row) {
        const bool is_told = row.stored(ObjectColumn::workspace) == Stored::text;
        const std::int64_t kind = row.integer(ObjectColumn::kind);
        const std::string id = row.text(ObjectColumn::id);
        if (!is_whole(row) || !is_told || kind < 0 || kind > 1) {
          damaged.push_back({{kind == 1 ? Object::Kind::queue : Object::Kind::dict, id,
                              model::WorkspaceId(is_told ? row.text(ObjectColumn::workspace) : "")},
                             row.place()});
        } else if (kind == 1 && row.integer(ObjectColumn::partitions) != partitions[id]) {
          wrong[id] = partitions[id];
        }
      }));
  for (Damaged& one : damaged) {
    if (one.object.workspace.empty()) {  // whose it is comes with the next request
      THAW_TRY_VOID(set_aside(tables::objects, std::move(one.place), one.object.id,
                              "it does not say whose it is", said));
      continue;
    }
    THAW_TRY(Change change, begin(one.object));
    THAW_TRY([[maybe_unused]] const Use use, end(change));
    said.insert(said.end(), change.set_aside.begin(), change.set_aside.end());
  }
  for (const auto& [id, count] : wrong) {
    THAW_TRY([[maybe_unused]] const bool is_there,
             transaction_.update(tables::objects, {id}, {{ObjectColumn::partitions, count}}));
  }
  return ok();
}

Result<std::vector<std::string>> Rows::repair() {
  std::vector<std::string> said;
  THAW_TRY_VOID(repair_objects(said));
  std::map<std::string, Whole> real;
  THAW_TRY_VOID(transaction_.scan(
      tables::objects, {}, {ObjectColumn::workspace, ObjectColumn::entries, ObjectColumn::bytes},
      [&real](const auto& row) {
        Whole& whole = real[row.text(ObjectColumn::workspace)];
        whole.entries += row.integer(ObjectColumn::entries);
        whole.bytes += row.integer(ObjectColumn::bytes);
      }));
  THAW_TRY_VOID(transaction_.scan(
      tables::answers, {},
      store::Columns<AnswerColumn>{AnswerColumn::workspace}.with_sizes({AnswerColumn::answer}),
      [&real](const auto& row) {
        Whole& whole = real[row.text(AnswerColumn::workspace)];
        ++whole.answers;
        whole.answer_bytes += signed_of(row.size(AnswerColumn::answer));
      }));
  for (const auto& [id, whole] : real) {
    const model::WorkspaceId workspace(id);
    THAW_TRY(const Whole told, read_whole(workspace));
    if (told.entries != whole.entries || told.bytes != whole.bytes) {
      said.push_back("workspace " + id + ": what its dicts and queues take is counted anew");
    }
  }
  THAW_TRY([[maybe_unused]] const std::int64_t old, transaction_.erase_range(tables::uses, {}));
  for (const auto& [id, whole] : real) {
    THAW_TRY_VOID(write_whole(model::WorkspaceId(id), whole));
  }
  return said;
}

Result<std::vector<std::pair<model::WorkspaceId, Use>>> Rows::uses() {
  std::map<std::string, std::pair<std::int64_t, std::int64_t>> sums;
  THAW_TRY_VOID(transaction_.scan(
      tables::objects, {}, {ObjectColumn::workspace, ObjectColumn::entries, ObjectColumn::bytes},
      [&sums](const auto& row) {
        auto& sum = sums[row.text(ObjectColumn::workspace)];
        sum.first += row.integer(ObjectColumn::entries);
        sum.second += row.integer(ObjectColumn::bytes);
      }));
  std::vector<std::pair<model::WorkspaceId, Use>> found;
  for (const auto& [id, sum] : sums) {
    found.emplace_back(model::WorkspaceId(id), use_of(sum.first, sum.second));
  }
  return found;
}

Result<std::vector<Object>> Rows::objects(const std::string& after, std::size_t most) {
  std::vector<Object> found;
  THAW_TRY_VOID(transaction_.scan(
      tables::objects, {.after = {after}, .limit = signed_of(most)},
      {ObjectColumn::id, ObjectColumn::kind, ObjectColumn::workspace}, [&found](const auto& row) {
        found.push_back(
            {row.integer(ObjectColumn::kind) == 1 ? Object::Kind::queue : Object::Kind::dict,
             row.text(ObjectColumn::id), model::WorkspaceId(row.text(ObjectColumn::workspace))});
      }));
  return found;
}

}  // namespace thaw::state::detail
