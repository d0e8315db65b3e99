// SPDX-License-Identifier: Apache-2.0
#include "thaw/state/detail/tables.h"

namespace thaw::state::detail {

namespace {

using store::AddIndex;
using store::AddTable;
using store::Step;
using enum store::Type;

std::vector<Step> first() {
  return {AddTable{.name = "state_uses",
                   .columns = {{"workspace", text},
                               {"entries", integer},
                               {"bytes", integer},
                               {"answers", integer},
                               {"answer_bytes", integer}},
                   .key = {"workspace"},
                   .rows = store::Rows::keyed},
          AddTable{.name = "state_objects",
                   .columns = {{"id", text},
                               {"kind", integer},
                               {"workspace", text},
                               {"entries", integer},
                               {"bytes", integer},
                               {"partitions", integer},
                               {"next", integer}},
                   .key = {"id"},
                   .rows = store::Rows::keyed},
          AddTable{.name = "state_entries",
                   .columns = {{"dict", text},
                               {"key", bytes},
                               {"value", bytes},
                               {"sum", integer},
                               {"bytes", integer},
                               {"number", integer},
                               {"used_us", integer}},
                   .key = {"dict", "key"}},
          AddIndex{"state_entries_used", "state_entries", {"used_us"}},
          AddTable{.name = "state_partitions",
                   .columns = {{"queue", text},
                               {"name", bytes},
                               {"items", integer},
                               {"bytes", integer},
                               {"until_us", integer}},
                   .key = {"queue", "name"},
                   .rows = store::Rows::keyed},
          AddIndex{"state_partitions_until", "state_partitions", {"until_us"}},
          AddTable{.name = "state_items",
                   .columns = {{"queue", text},
                               {"partition", bytes},
                               {"number", integer},
                               {"value", bytes},
                               {"sum", integer},
                               {"bytes", integer}},
                   .key = {"queue", "partition", "number"},
                   .rows = store::Rows::keyed},
          AddTable{.name = "state_answers",
                   .columns = {{"workspace", text},
                               {"request", text},
                               {"answer", bytes},
                               {"at_us", integer}},
                   .key = {"workspace", "request"}},
          AddIndex{"state_answers_of", "state_answers", {"workspace", "at_us"}},
          AddIndex{"state_answers_at", "state_answers", {"at_us"}}};
}

}  // namespace

std::vector<store::Migration> table_steps() { return {{"state", 1, first()}}; }

}  // namespace thaw::state::detail
