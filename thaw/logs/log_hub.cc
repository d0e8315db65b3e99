// SPDX-License-Identifier: Apache-2.0
#include "thaw/logs/log_hub.h"

#include <utility>

#include "thaw/logs/detail/hub.h"

namespace thaw::logs {

namespace detail {

Hub::~Hub() {
  *alive_ = false;
  // What waits goes to the database's queue, which close() empties.
  while (!to_write_.empty()) {
    auto batch = std::make_shared<Batch>(take_batch());
    for (const Batch::Part& part : batch->parts) {
      by_id_.at(part.stream.id)->written = part.stream.last_number;
    }
    database_.write_later([batch, most = limits_.stream_bytes](store::Transaction& transaction) {
      return detail::store_batch(transaction, *batch, most);
    });
  }
  for (auto& [name, stream] : streams_) {
    stream->changed.notify_all();
  }
  room_.notify_all();
}

Result<void> Hub::load() {
  detail::StoredStreams stored;
  THAW_TRY_VOID(database_.read_now([&stored](store::Transaction& transaction) -> Result<void> {
    THAW_TRY(stored, detail::load_streams(transaction));
    return ok();
  }));
  for (store::Unreadable& rows : stored.bad) {
    store::set_aside_later(database_, std::move(rows));
  }
  for (detail::StoredStream& from : stored.good) {
    next_id_ = from.id;
    Stream& stream = make_stream(std::move(from.name));
    stream.last_number = stream.written = from.last_number;
    stream.memory_from = from.last_number + 1;
    stream.ended = from.ended;
    stream.disk_bytes = from.bytes;
  }
  next_id_ = stored.next_id;
  return ok();
}

Stream& Hub::make_stream(std::string name) {
  auto made = std::make_unique<Stream>();
  Stream& stream = *made;
  stream.id = next_id_++;
  stream.name = name;
  stream.place = used_.insert(used_.end(), &stream);
  by_id_.emplace(stream.id, &stream);
  streams_.emplace(std::move(name), std::move(made));
  return stream;
}

Stream& Hub::stream_of(const std::string& name) {
  const auto found = streams_.find(name);
  return found == streams_.end() ? make_stream(name) : *found->second;
}

std::vector<StreamUse> Hub::uses() const {
  std::vector<StreamUse> uses;
  uses.reserve(streams_.size());
  for (const auto& [name, stream] : streams_) {
    uses.push_back({name, stream->disk_bytes});
  }
  return uses;
}

void Hub::end(const std::string& name) {
  Stream& stream = stream_of(name);
  report_dropped(stream);
  stream.ended = true;
  to_write(stream);
}

std::vector<std::string> Hub::streams() const {
  std::vector<std::string> names;
  for (const auto& [name, stream] : streams_) {
    names.push_back(name);
  }
  return names;
}

async::Task<void> Hub::erase(std::string name) {
  const auto alive = alive_;
  auto found = streams_.find(name);
  if (found == streams_.end()) {
    co_return ok();
  }
  if (found->second->busy()) {
    co_return Error::failed_precondition("the log " + name + " is being written or read");
  }
  const std::int64_t id = found->second->id;
  std::function<Result<void>(store::Transaction&)> work = [id](store::Transaction& transaction) {
    return detail::erase_stream(transaction, id);
  };
  THAW_CO_TRY_VOID(co_await database_.write<void>(std::move(work)));
  if (!*alive) {
    co_return Error::cancelled("the logs are closed");
  }
  found = streams_.find(name);
  if (found == streams_.end() || found->second->id != id || found->second->busy()) {
    co_return ok();  // somebody else erased it, or it lives again
  }
  Stream& stream = *found->second;
  memory_bytes_ -= stream.tail_bytes;
  used_.erase(stream.place);
  by_id_.erase(stream.id);
  streams_.erase(found);
  co_return ok();
}

bool Hub::ended(const std::string& name) const {
  const auto found = streams_.find(name);
  return found != streams_.end() && found->second->ended;
}

std::uint64_t Hub::last_number(const std::string& name) const {
  const auto found = streams_.find(name);
  return found == streams_.end() ? 0 : found->second->last_number;
}

}  // namespace detail

std::vector<store::Migration> migrations() { return detail::log_migrations(); }

Result<std::unique_ptr<LogHub>> LogHub::open(async::Loop& loop, store::Database& database,
                                             HubLimits limits) {
  auto hub = std::make_unique<detail::Hub>(loop, database, limits);
  THAW_TRY_VOID(hub->load());
  return hub;
}

}  // namespace thaw::logs
