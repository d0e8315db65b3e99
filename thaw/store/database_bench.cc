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

async::Task<void> write_rows(Database& database, int rows) {
  for (int i = 0; i < rows; ++i) {
    std::function<Result<void>(Sql&)> work = [](Sql& sql) -> Result<void> {
      THAW_TRY_VOID(sql.run("INSERT INTO t (v) VALUES (?)", {std::string(300, 'x')}));
      return ok();
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
  options.migrations = {{"bench", 1, "CREATE TABLE t (k INTEGER PRIMARY KEY, v TEXT)"}};
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
