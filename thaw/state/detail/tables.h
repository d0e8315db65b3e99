// SPDX-License-Identifier: Apache-2.0
//
// The tables of dicts and item queues, as they are today and as steps from an empty database to
// that. Objects count what one dict or queue has, uses what a workspace has; both are counted anew
// when they are damaged. `number`: of the write; later ones have greater ones.
#pragma once

#include <vector>

#include "thaw/store/database.h"

namespace thaw::state::detail {

std::vector<store::Migration> table_steps();

enum class UseColumn { workspace, entries, bytes, answers, answer_bytes };
enum class ObjectColumn { id, kind, workspace, entries, bytes, partitions, next };
enum class EntryColumn { dict, key, value, sum, bytes, number, used_us };
enum class PartitionColumn { queue, name, items, bytes, until_us };
enum class ItemColumn { queue, partition, number, value, sum, bytes };
enum class AnswerColumn { workspace, request, answer, at_us };

namespace tables {

inline constexpr store::Column use_columns[] = {{"workspace", store::Type::text},
                                                {"entries", store::Type::integer},
                                                {"bytes", store::Type::integer},
                                                {"answers", store::Type::integer},
                                                {"answer_bytes", store::Type::integer}};
inline constexpr store::Table<UseColumn> uses("state_uses", use_columns, {UseColumn::workspace},
                                              store::Rows::keyed);

inline constexpr store::Column object_columns[] = {
    {"id", store::Type::text},        {"kind", store::Type::integer},
    {"workspace", store::Type::text}, {"entries", store::Type::integer},
    {"bytes", store::Type::integer},  {"partitions", store::Type::integer},
    {"next", store::Type::integer}};
inline constexpr store::Table<ObjectColumn> objects("state_objects", object_columns,
                                                    {ObjectColumn::id}, store::Rows::keyed);

inline constexpr store::Column entry_columns[] = {
    {"dict", store::Type::text},      {"key", store::Type::bytes},
    {"value", store::Type::bytes},    {"sum", store::Type::integer},
    {"bytes", store::Type::integer},  {"number", store::Type::integer},
    {"used_us", store::Type::integer}};
inline constexpr store::Table<EntryColumn> entries("state_entries", entry_columns,
                                                   {EntryColumn::dict, EntryColumn::key},
                                                   store::Rows::numbered);
inline constexpr store::Index<EntryColumn> entries_used("state_entries_used",
                                                        {EntryColumn::used_us});

inline constexpr store::Column partition_columns[] = {{"queue", store::Type::text},
                                                      {"name", store::Type::bytes},
                                                      {"items", store::Type::integer},
                                                      {"bytes", store::Type::integer},
                                                      {"until_us", store::Type::integer}};
inline constexpr store::Table<PartitionColumn> partitions("state_partitions", partition_columns,
                                                          {PartitionColumn::queue,
                                                           PartitionColumn::name},
                                                          store::Rows::keyed);
inline constexpr store::Index<PartitionColumn> partitions_until("state_partitions_until",
                                                                {PartitionColumn::until_us});

inline constexpr store::Column item_columns[] = {
    {"queue", store::Type::text},     {"partition", store::Type::bytes},
    {"number", store::Type::integer}, {"value", store::Type::bytes},
    {"sum", store::Type::integer},    {"bytes", store::Type::integer}};
inline constexpr store::Table<ItemColumn> items("state_items", item_columns,
                                                {ItemColumn::queue, ItemColumn::partition,
                                                 ItemColumn::number},
                                                store::Rows::keyed);

inline constexpr store::Column answer_columns[] = {{"workspace", store::Type::text},
                                                   {"request", store::Type::text},
                                                   {"answer", store::Type::bytes},
                                                   {"at_us", store::Type::integer}};
inline constexpr store::Table<AnswerColumn> answers("state_answers", answer_columns,
                                                    {AnswerColumn::workspace,
                                                     AnswerColumn::request},
                                                    store::Rows::numbered);
inline constexpr store::Index<AnswerColumn> answers_of("state_answers_of", {AnswerColumn::workspace,
                                                                            AnswerColumn::at_us});
inline constexpr store::Index<AnswerColumn> answers_at("state_answers_at", {AnswerColumn::at_us});

}  // namespace tables

}  // namespace thaw::state::detail
