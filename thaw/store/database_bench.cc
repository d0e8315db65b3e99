// SPDX-License-Identifier: Apache-2.0
// Group commit against one commit for each write, on the same disk in the same run: the ratio of
// the two is the number that counts. Set TMPDIR to the disk to be measured.
#include <benchmark/benchmark.h>

#include "thaw/async/task_group.h"
#include "thaw/store/database.h"
#include "thaw/store/temp_folder_test.h"

using namespace thaw;
using namespace thaw::store;

namespace {

enum class T { k, v };
constexpr Column columns[] = {{"k", Type::integer}, {"v", Type::text}};
constexpr Table<T> table("t", columns, {T::k}, Rows::numbered);

async::Task<void> write_rows(Database& database, int rows) {
  for (int i = 0; i < rows; ++i) {
    std::function<Result<void>(Transaction&)> work = [](Transaction& transaction) {
      return transaction.insert(table, {{T::v, std::string(300, 'x')}});
    };
    THAW_CO_TRY_VOID(co_await database.write<void>(std::move(work)));
  }
  co_return ok();
}

// As many writers as the argument says, each of which waits for its write before the next.
void acknowledged_writes(benchmark::State& state) {
  TempFolder folder;
  async::Loop loop;
  DatabaseOptions options;
  options.path = folder / "t.db";
  options.migrations = {
      {"bench",
       1,
       {AddTable{.name = "t",
                 .columns = {{"k", Type::integer, Nulls::yes}, {"v", Type::text, Nulls::yes}},
                 .key = {"k"}}}}};
  auto database = std::move(*Database::open(loop, options));
  async::TaskGroup tasks(loop);
  constexpr int rows = 50;
  for (auto _ : state) {
    for (int i = 0; i < state.range(0); ++i) {
      tasks.start("write", write_rows(*database, rows));
    }
    THAW_CHECK(*loop.run_task(tasks.join(Instant::max())));
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()) * state.range(0) * rows);
}

}  // namespace

// 1: each write has a commit to itself; 16 and 256: they share.
BENCHMARK(acknowledged_writes)->Arg(1)->Arg(16)->Arg(256)->UseRealTime();
