// SPDX-License-Identifier: Apache-2.0
//
// The program that the tests of tests/store kill and starve. It says on stdout what has been
// acknowledged to it, one fact a line, and finds those facts again in a later run:
//   store_tool write DATA ROUND   writes until it is killed
//   store_tool check DATA         reads facts on stdin, fails at the first that is not true
//   store_tool fill DATA          writes until the disk is full, waits for a line, goes on
#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <optional>
#include <string>

#include "thaw/async/blocking.h"
#include "thaw/async/task_group.h"
#include "thaw/logs/log_hub.h"
#include "thaw/queue/call_queue.h"
#include "thaw/store/blob_store.h"
#include "thaw/store/data_folder.h"

using namespace thaw;
using namespace thaw::store;

namespace {

using Work = std::function<Result<void>(Transaction&)>;

enum class FactColumn { name, ballast };
constexpr Column fact_columns[] = {{"name", Type::text}, {"ballast", Type::bytes}};
constexpr Table<FactColumn> fact_table("facts", fact_columns, {FactColumn::name}, Rows::numbered);

void say(const std::string& fact) {
  const std::string line = fact + "\n";
  // One write: a line is in the pipe whole or not at all.
  if (::write(STDOUT_FILENO, line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
    std::_Exit(3);
  }
}

[[noreturn]] void fail(const std::string& why) {
  std::fprintf(stderr, "store_tool: %s\n", why.c_str());
  std::_Exit(1);
}

template <class T>
T must(Result<T> result) {
  if (!result) {
    fail(result.error().to_string());
  }
  if constexpr (!std::is_void_v<T>) {
    return std::move(*result);
  }
}

struct Stores {
  explicit Stores(const std::string& data) : folder(must(DataFolder::claim(data))) {
    DatabaseOptions options;
    options.path = data + "/thaw.db";
    options.migrations = queue::migrations();
    for (auto& migration : blob_migrations()) {
      options.migrations.push_back(std::move(migration));
    }
    options.migrations.push_back(
        {"tool",
         1,
         {AddTable{.name = "facts",
                   .columns = {{"name", Type::text}, {"ballast", Type::bytes}},
                   .key = {"name"}}}});
    database = must(Database::open(loop, options));
    DatabaseOptions log_options;
    log_options.path = data + "/logs.db";
    log_options.sync = DatabaseOptions::Sync::normal;
    log_options.migrations = logs::migrations();
    log_database = must(Database::open(loop, log_options));
    shares.emplace(data, DiskLimits{.bytes_per_owner = 0, .reserve_bytes = 0});
    BlobOptions blob_options;
    blob_options.folder = data + "/blobs";
    blobs = must(BlobStore::open(pool, *database, *shares, blob_options));
    calls = must(queue::CallQueue::open(loop, *database, queue::QueueLimits{}));
    hub = must(logs::LogHub::open(loop, *log_database, logs::HubLimits{}));
  }

  DataFolder folder;
  async::Loop loop;
  async::Pool pool{2};
  std::unique_ptr<Database> database;
  std::unique_ptr<Database> log_database;
  std::optional<DiskShares> shares;
  std::unique_ptr<BlobStore> blobs;
  std::unique_ptr<queue::CallQueue> calls;
  std::unique_ptr<logs::LogHub> hub;
};

const model::FunctionId function("fu-1");
const std::string owner = "ac-1";

Work insert(std::string name, std::size_t ballast) {
  return [name = std::move(name), ballast](Transaction& transaction) {
    return transaction.insert(
        fact_table, {{FactColumn::name, name}, {FactColumn::ballast, std::string(ballast, 'b')}});
  };
}

// --- write ------------------------------------------------------------------------------------

async::Task<void> write_rows(Stores& s, std::string prefix) {
  for (int i = 0;; ++i) {
    const std::string name = prefix + "-" + std::to_string(i);
    Work work = insert(name, 300);
    THAW_CO_TRY_VOID(co_await s.database->write<void>(std::move(work)));
    say("row " + name);
  }
}

async::Task<void> write_blobs(Stores& s, std::string prefix) {
  for (int i = 0;; ++i) {
    std::string bytes = prefix + " " + std::to_string(i) + std::string(20'000, 'x');
    THAW_CO_TRY(const StoredBlob blob, co_await s.blobs->put(owner, std::move(bytes)));
    say("blob " + blob.sha256_hex);
  }
}

async::Task<void> write_calls(Stores& s, std::string prefix) {
  for (int i = 0;; ++i) {
    model::NewCall call;
    call.id = model::CallId("fc-" + prefix + "-" + std::to_string(i));
    call.function = function;
    call.durability = model::Durability::durable;
    const std::string name = call.id.str();
    std::vector<model::NewInput> inputs{{0, {name + " a"}}, {1, {name + " b"}}};
    THAW_CO_TRY_VOID(co_await s.calls->create(std::move(call), std::move(inputs)));
    say("call " + name);
  }
}

async::Task<void> run_calls(Stores& s) {
  const model::ContainerId container("ta-1");
  while (true) {
    auto leases = s.calls->lease(function, container, 1);
    if (leases.empty()) {
      THAW_CO_TRY_VOID(co_await s.calls->ready(function).wait(Instant::max()));
      continue;
    }
    const queue::LeasedInput& lease = leases.front();
    model::LogEntry piece;
    piece.input = lease.input;
    piece.payload.bytes = "piece of " + lease.payload.bytes;
    THAW_CO_TRY(const std::uint64_t number, co_await s.calls->append(lease.call, std::move(piece)));
    say("piece " + lease.call.str() + " " + std::to_string(number));
    model::Outcome outcome{model::OutcomeKind::success, {"result of " + lease.payload.bytes}};
    THAW_CO_TRY_VOID(co_await s.calls->complete(lease.input, container, std::move(outcome)));
    say("done " + lease.call.str() + " " + std::to_string(lease.index));
  }
}

async::Task<void> write_logs(Stores& s, std::string prefix) {
  std::uint64_t after = s.hub->last_number("ap-1");
  while (true) {
    for (int i = 0; i < 10; ++i) {
      logs::Line line;
      line.text = prefix + "\n";
      s.hub->append("ap-1", std::move(line));
    }
    THAW_CO_TRY(const auto lines, co_await s.hub->follow("ap-1", after, 100, Instant::max()));
    after = lines.back().number;
    say("log " + std::to_string(after) + " " + prefix);
  }
}

int write(const std::string& data, const std::string& round) {
  Stores s(data);
  async::TaskGroup tasks(s.loop);
  for (int i = 0; i < 4; ++i) {
    const std::string prefix = round + "-" + std::to_string(i);
    tasks.start("rows", write_rows(s, prefix));
    tasks.start("calls", write_calls(s, prefix));
    tasks.start("run", run_calls(s));
  }
  tasks.start("blobs", write_blobs(s, round));
  tasks.start("logs", write_logs(s, round));
  say("ready");
  s.loop.run();
  return 1;
}

// --- check ------------------------------------------------------------------------------------

async::Task<void> check_row(Stores& s, std::string name) {
  std::function<Result<bool>(Transaction&)> query =
      [name](Transaction& transaction) -> Result<bool> {
    return transaction.any_of(fact_table, {.with = {name}});
  };
  THAW_CO_TRY(const bool found, co_await s.database->read<bool>(std::move(query)));
  if (!found) {
    co_return Error::data_loss("the row " + name + " is missing");
  }
  co_return ok();
}

async::Task<void> check_entry(Stores& s, model::CallId call,
                              std::function<bool(const model::LogEntry&)> wanted,
                              std::string begins) {
  THAW_CO_TRY(const auto log, co_await s.calls->read(call, 0, 1, monotonic_now(), wanted));
  if (log.size() != 1 || !log.front().payload.bytes.starts_with(begins)) {
    co_return Error::data_loss("an entry of " + call.str() + " is missing or wrong");
  }
  co_return ok();
}

async::Task<void> check_log(Stores& s, std::uint64_t number, std::string text) {
  THAW_CO_TRY(const auto lines,
              co_await s.hub->follow("ap-1", number - 1, 1, monotonic_now() + 1s));
  if (lines.size() != 1 || lines.front().number != number || lines.front().text != text + "\n") {
    co_return Error::data_loss("the log line " + std::to_string(number) + " is missing or wrong");
  }
  co_return ok();
}

async::Task<void> check_fact(Stores& s, std::string kind, std::string name, std::string detail) {
  if (kind == "row") {
    co_return co_await check_row(s, name);
  }
  if (kind == "blob") {
    THAW_CO_TRY_VOID(co_await s.blobs->get(owner, name));
  } else if (kind == "call") {
    THAW_CO_TRY(const queue::CallInfo info, co_await s.calls->info(model::CallId(name)));
    if (info.inputs != 2) {
      co_return Error::data_loss("inputs of " + name + " are missing");
    }
  } else if (kind == "done") {
    const int index = std::stoi(detail);
    co_return co_await check_entry(
        s, model::CallId(name),
        [index](const model::LogEntry& entry) {
          return entry.kind == model::LogEntry::Kind::final_ && entry.index == index;
        },
        "result of " + name);
  } else if (kind == "piece") {
    const std::uint64_t number = std::stoull(detail);
    co_return co_await check_entry(
        s, model::CallId(name),
        [number](const model::LogEntry& entry) { return entry.number == number; }, "piece of ");
  } else if (kind == "log") {
    co_return co_await check_log(s, std::stoull(name), detail);
  }
  co_return ok();
}

int check(const std::string& data) {
  Stores s(data);
  std::string line;
  int facts = 0;
  while (std::getline(std::cin, line)) {
    const std::size_t one = line.find(' ');
    const std::size_t two = line.find(' ', one + 1);
    const std::string name = one == std::string::npos ? "" : line.substr(one + 1, two - one - 1);
    const std::string detail = two == std::string::npos ? "" : line.substr(two + 1);
    const auto found = s.loop.run_task(check_fact(s, line.substr(0, one), name, detail));
    if (!found) {
      fail("not true any more: " + line + ": " + found.error().to_string());
    }
    ++facts;
  }
  say("checked " + std::to_string(facts));
  return 0;
}

// --- fill -------------------------------------------------------------------------------------

model::NewCall durable_call(const std::string& name) {
  model::NewCall call;
  call.id = model::CallId(name);
  call.function = function;
  call.durability = model::Durability::durable;
  return call;
}

void expect_full(const char* what, const Code code) {
  if (code != Code::resource_exhausted) {
    fail(std::string(what) + " on a full disk: " + std::string(code_name(code)));
  }
}

template <class T>
Code code_of(const Result<T>& result) {
  return result ? Code::ok : result.error().code();
}

int fill(const std::string& data) {
  Stores s(data);
  int rows = 0;
  const auto write_row = [&s, &rows](std::size_t ballast) {
    const std::string name = "full-" + std::to_string(rows);
    const auto result = s.loop.run_task(s.database->write<void>(insert(name, ballast)));
    if (result) {
      say("row " + name);
      ++rows;
    }
    return code_of(result);
  };
  const auto create = [&s](std::size_t size) {
    const std::vector<model::NewInput> inputs{{0, {std::string(size, 'i')}}, {1, {}}};
    return code_of(s.loop.run_task(s.calls->create(durable_call("fc-full"), inputs)));
  };
  const auto put = [&s] {
    return code_of(s.loop.run_task(s.blobs->put(owner, std::string(1 << 20, 'p'))));
  };
  Code code = Code::ok;
  for (std::size_t ballast = 100'000; ballast > 0; ballast /= 10) {
    while ((code = write_row(ballast)) == Code::ok) {
    }
    expect_full("a write", code);
  }
  expect_full("a write", write_row(100'000));
  expect_full("a call", create(100'000));
  expect_full("a blob", put());
  for (int i = 0; i < 1'000; ++i) {
    s.hub->append("ap-1", {.text = std::string(1'000, 'l')});
  }
  must(s.loop.run_task(check_row(s, "full-0")));
  say("full");
  std::string line;
  std::getline(std::cin, line);
  for (int i = 0; i < 5; ++i) {
    if (const Code again = write_row(1'000); again != Code::ok) {
      fail("a write fails though there is room again: " + std::string(code_name(again)));
    }
  }
  if (create(1'000) != Code::ok || put() != Code::ok) {
    fail("a call or a blob is refused though there is room again");
  }
  say("call fc-full");
  s.hub->append("ap-2", {.text = "room\n"});
  if (must(s.loop.run_task(s.hub->follow("ap-2", 0, 1, monotonic_now() + 10s))).size() != 1) {
    fail("no log line is seen though there is room again");
  }
  say("log-room");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string verb = argc > 2 ? argv[1] : "";
  if (verb == "write" && argc == 4) {
    return write(argv[2], argv[3]);
  }
  if (verb == "check") {
    return check(argv[2]);
  }
  if (verb == "fill") {
    return fill(argv[2]);
  }
  std::fprintf(stderr, "usage: store_tool write DATA ROUND | check DATA | fill DATA\n");
  return 2;
}
