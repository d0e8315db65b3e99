// SPDX-License-Identifier: Apache-2.0
#include "thaw/store/database.h"

#include <utility>

#include "thaw/async/task_group.h"
#include "thaw/store/detail/open_database.h"
#include "thaw/store/detail/readers.h"
#include "thaw/store/detail/writer.h"

namespace thaw::store {

namespace {

// Its parts are shared with the frames of tasks that still wait when it is closed.
class SqliteDatabase final : public Database {
 public:
  SqliteDatabase(async::Loop& loop, DatabaseOptions options,
                 std::unique_ptr<detail::Connection> writer, detail::Commits commits,
                 std::vector<std::shared_ptr<detail::Connection>> readers,
                 std::unique_ptr<detail::Connection> direct)
      : writer_(std::make_shared<detail::Writer>(std::move(writer), std::move(commits),
                                                 options.queue_limit)),
        readers_(std::make_shared<detail::Readers>(std::move(readers), options.queue_limit)),
        direct_(std::move(direct)),
        tasks_(loop) {}
  ~SqliteDatabase() override { SqliteDatabase::close(); }

  void write_later(std::function<Result<void>(Transaction&)> work) override {
    writer_->write_later(tasks_, std::move(work));
  }
  Result<void> read_now(const std::function<Result<void>(Transaction&)>& work) override {
    if (!direct_) {
      return Error::unavailable("the database is closed");
    }
    return detail::read_in_transaction(*direct_, work);
  }
  async::Task<void> release_memory() override {
    if (direct_) {
      direct_->release_memory();
    }
    return release_memory(writer_, readers_);
  }
  void close() override {
    readers_->close();
    direct_.reset();
    // Last, so that it is the last connection and leaves no -wal file.
    writer_->close();
  }

 protected:
  async::Task<void> submit_write(std::function<Result<void>(Transaction&)> work) override {
    return detail::Writer::write(writer_, tasks_, std::move(work));
  }
  async::Task<void> submit_read(std::function<Result<void>(Transaction&)> work) override {
    return detail::Readers::read(readers_, std::move(work));
  }

 private:
  static async::Task<void> release_memory(std::shared_ptr<detail::Writer> writer,
                                          std::shared_ptr<detail::Readers> readers) {
    THAW_CO_TRY_VOID(co_await detail::Readers::release_memory(std::move(readers)));
    co_return co_await detail::Writer::release_memory(std::move(writer));
  }

  std::shared_ptr<detail::Writer> writer_;
  std::shared_ptr<detail::Readers> readers_;
  std::unique_ptr<detail::Connection> direct_;
  async::TaskGroup tasks_;
};

}  // namespace

Result<std::unique_ptr<Database>> Database::open(async::Loop& loop, DatabaseOptions options) {
  options.migrations.push_back({"store", 1, detail::steps_of_store()});
  THAW_TRY(auto writer, detail::open_database(options));
  THAW_TRY(detail::Commits commits, detail::count_commits(*writer, options));
  THAW_TRY(auto direct, detail::open_reader(options));
  std::vector<std::shared_ptr<detail::Connection>> readers;
  for (int i = 0; i < options.readers; ++i) {
    THAW_TRY(auto reader, detail::open_reader(options));
    readers.push_back(std::move(reader));
  }
  return std::make_unique<SqliteDatabase>(loop, std::move(options), std::move(writer),
                                          std::move(commits), std::move(readers),
                                          std::move(direct));
}

}  // namespace thaw::store
