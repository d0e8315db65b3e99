// SPDX-License-Identifier: Apache-2.0
//
// Documents: what dialects keep of their own (model/document.h), in the catalog's table and share:
// found by name, durable, gone at their time. Loop thread only.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "thaw/async/task_group.h"
#include "thaw/catalog/object_table.h"
#include "thaw/catalog/shares.h"
#include "thaw/model/document.h"
#include "thaw/queue/call_queue.h"

namespace thaw::gateway {

class Documents {
 public:
  using Found = std::shared_ptr<const model::Document>;
  static constexpr std::size_t most_of_a_kind = 10'000;  // in one workspace
  static constexpr std::size_t most_text_bytes = 64u << 10;

  // All outlive it. Loads what can be read; the rest is set aside.
  static Result<std::unique_ptr<Documents>> open(async::Loop& loop, store::Database& database,
                                                 catalog::Shares& shares);
  // Begins to erase what has expired.
  void start();
  async::Task<void> stop() { return tasks_.stop(); }

  // nullptr: there is none, or its time is over.
  Found find(const model::DocumentPlace& place, const std::string& name) const;
  // The newest first.
  std::vector<Found> list(const model::DocumentPlace& place) const;
  // In the place of one of that name. resource_exhausted: there are too many, or it is too large.
  async::Task<Found> put(model::Document document);
  async::Task<void> erase(model::Document document);
  // Their blobs are in use.
  void visit_references(const queue::NoteReference& note) const;

 private:
  Documents(async::Loop& loop, store::Database& database, catalog::Shares& shares);
  async::Task<void> erase_expired();

  catalog::ObjectTable<model::Document> table_;
  async::TaskGroup tasks_;  // declared last: joined first
};

}  // namespace thaw::gateway
