// SPDX-License-Identifier: Apache-2.0
// Large payloads of durable calls are blobs: once, by name, for as long as something refers to
// them.
#include "thaw/queue/payloads.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "thaw/queue/queue_fixture_test.h"
#include "thaw/store/testing/sql.h"

using namespace thaw;
using namespace thaw::queue;
using model::Durability;
using model::OutcomeKind;

namespace {

constexpr std::size_t inline_bytes = 1'000;

std::string large(char fill) { return std::string(50'000, fill); }

// A queue whose large payloads are blobs beside its database.
struct WithBlobs {
  store::TempFolder folder{store::TempFolder::Place::in_memory};
  QueueLimits limits;
  store::DiskLimits disk_limits{.bytes_per_owner = 0, .reserve_bytes = 0};
  async::Loop loop;
  async::Pool pool{2};
  std::unique_ptr<store::Database> database;
  std::optional<store::DiskShares> shares;
  std::unique_ptr<store::BlobStore> blobs;
  std::unique_ptr<CallQueue> queue;
  const model::WorkspaceId ann{"ac-ann"};
  const model::FunctionId function{"fu-1"};
  const model::ContainerId container{"ta-1"};

  WithBlobs() {
    limits.largest_inline_bytes = inline_bytes;
    open();
  }
  void open() {
    queue.reset();
    blobs.reset();
    database.reset();
    store::DatabaseOptions options;
    options.path = folder / "t.db";
    options.migrations = migrations();
    for (auto& step : store::blob_migrations()) {
      options.migrations.push_back(std::move(step));
    }
    database = std::move(*store::Database::open(loop, options));
    shares.emplace(folder.path(), disk_limits);
    store::BlobOptions blob_options;
    blob_options.folder = folder / "blobs";
    blob_options.keep_unused = Duration{};
    blobs = std::move(*store::BlobStore::open(pool, *database, *shares, blob_options));
    queue = std::move(*CallQueue::open(loop, *database, limits, &*shares, blobs.get()));
  }

  model::NewCall call(const std::string& id, Durability durability = Durability::durable) const {
    model::NewCall made;
    made.id = model::CallId(id);
    made.workspace = ann;
    made.function = function;
    made.durability = durability;
    return made;
  }
  Result<std::vector<model::InputId>> create(model::NewCall made, std::string bytes) {
    std::vector<model::NewInput> inputs;
    inputs.push_back({0, {std::move(bytes), "text/plain", "br"}});
    return loop.run_task(queue->create(std::move(made), std::move(inputs)));
  }
  LeasedInput lease() {
    auto leased = queue->lease(function, container, 1);
    REQUIRE(leased.size() == 1);
    return leased.front();
  }
  Result<void> complete(const LeasedInput& input, std::string bytes) {
    model::Outcome outcome{OutcomeKind::success, {std::move(bytes), "text/plain"}};
    return loop.run_task(queue->complete(input.input, container, std::move(outcome)));
  }
  std::vector<model::LogEntry> log(const std::string& id) {
    return *loop.run_task(queue->read(model::CallId(id), 0, 100, monotonic_now(), nullptr));
  }
  Result<model::Payload> whole(const model::Payload& payload) {
    return loop.run_task(queue->payloads().whole(ann, payload));
  }
  std::size_t files() const {
    std::size_t count = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder / "blobs")) {
      count += entry.is_regular_file() ? 1 : 0;
    }
    return count;
  }
  std::uint64_t stored_bytes() {
    std::uint64_t bytes = 0;
    REQUIRE(database->read_now([&bytes](store::Transaction& transaction) -> Result<void> {
      for (const char* table : {"inputs", "call_log"}) {
        THAW_TRY_VOID(
            store::testing::sql_of(transaction)
                .each(std::string("SELECT coalesce(sum(length(payload)), 0) FROM ") + table, {},
                      [&bytes](const store::testing::SqlRow& row) {
                        bytes += static_cast<std::uint64_t>(row.integer(0));
                      }));
      }
      return ok();
    }));
    return bytes;
  }
  // As the storage loop does it.
  void sweep() {
    blobs->begin_marks();
    auto note = [this](const model::WorkspaceId& workspace, const std::string& name) {
      blobs->mark(workspace.str(), name);
    };
    REQUIRE(loop.run_task(queue->visit_references(
        [](std::string_view, std::vector<std::string>&) {}, std::move(note))));
    REQUIRE(loop.run_task(blobs->sweep()));
  }
  std::shared_ptr<const model::BlobRef> seal(std::string bytes) {
    auto writer = std::move(*queue->payloads().create(ann));
    REQUIRE(loop.run_task(writer->write(std::move(bytes))));
    return *loop.run_task(queue->payloads().seal(ann, std::move(writer)));
  }
  void lose_blobs() { std::filesystem::remove_all(folder / "blobs"); }
};

}  // namespace

TEST_CASE(
    "a large payload of a durable call is a blob, and the journal and the memory have its name") {
  WithBlobs f;
  REQUIRE(f.create(f.call("fc-1"), large('a')));
  REQUIRE(f.create(f.call("fc-2"), large('a')));
  CHECK(f.files() == 1);
  CHECK(f.stored_bytes() == 0);
  CHECK(f.shares->used("ac-ann", store::DiskShares::Kind::blobs) == 50'000);
  CHECK(f.shares->used("ac-ann", store::DiskShares::Kind::calls) < 5'000);
  f.open();
  const LeasedInput input = f.lease();
  CHECK(input.workspace == f.ann);
  CHECK(input.payload.bytes.empty());
  CHECK(input.payload.content_type == "text/plain");
  CHECK(input.payload.encoding == "br");
  CHECK(input.payload.length() == 50'000);
  CHECK(f.whole(input.payload)->bytes == large('a'));
  CHECK(f.loop.run_task(f.queue->payloads().whole(f.ann, input.payload, 49'999)).error().code() ==
        Code::resource_exhausted);
  const auto reader = f.queue->payloads().open_rest(f.ann, input.payload);
  REQUIRE(reader);
  CHECK(f.loop.run_task((*reader)->read(10))->size() == 10);
  REQUIRE(f.complete(input, large('r')));
  for (int round = 0; round < 2; ++round) {
    const auto log = f.log(input.call.str());
    REQUIRE(log.size() == 1);
    CHECK(log[0].payload.bytes.empty());
    CHECK(f.whole(log[0].payload)->bytes == large('r'));
    f.open();
  }
}

TEST_CASE("what is small stays in the journal, and what is synchronous in memory") {
  WithBlobs f;
  REQUIRE(f.create(f.call("fc-1"), std::string(inline_bytes, 's')));
  CHECK(f.lease().payload.bytes == std::string(inline_bytes, 's'));
  REQUIRE(f.create(f.call("fc-2", Durability::memory), large('m')));
  const LeasedInput input = f.lease();
  CHECK(input.payload.bytes == large('m'));
  REQUIRE(f.complete(input, large('r')));
  CHECK(f.log("fc-2")[0].payload.bytes == large('r'));
  CHECK(f.files() == 0);
}

TEST_CASE("pieces of output that are large are blobs, and count as the bytes that they are") {
  WithBlobs f;
  f.limits.stored_piece_bytes_per_call = 120'000;
  f.open();
  REQUIRE(f.create(f.call("fc-1"), "in"));
  const LeasedInput input = f.lease();
  const auto append = [&](char fill) {
    model::LogEntry entry;
    entry.payload.bytes = large(fill);
    return f.loop.run_task(f.queue->append(input.call, std::move(entry)));
  };
  REQUIRE(append('1'));
  REQUIRE(append('2'));
  CHECK(append('3').error().code() == Code::resource_exhausted);
  f.open();
  CHECK(f.lease().attempt == 2);
  CHECK(append('3').error().code() == Code::resource_exhausted);
  const auto log = f.log("fc-1");
  REQUIRE(log.size() == 2);
  CHECK(f.whole(log[1].payload)->bytes == large('2'));
}

TEST_CASE("a blob stays while a call refers to it, and goes with the call's record") {
  WithBlobs f;
  model::NewCall made = f.call("fc-1");
  made.keep.record_for = Duration{};
  REQUIRE(f.create(made, large('a')));
  f.sweep();
  CHECK(f.files() == 1);
  f.open();
  f.sweep();
  CHECK(f.files() == 1);
  REQUIRE(f.complete(f.lease(), large('r')));
  f.open();
  f.sweep();  // the input is not kept behind its end
  CHECK(f.files() == 1);
  CHECK(f.whole(f.log("fc-1")[0].payload)->bytes == large('r'));
  REQUIRE(f.loop.run_task(async::sleep_for(2ms)));
  REQUIRE(f.loop.run_task(f.queue->sweep()));
  f.open();
  f.sweep();
  CHECK(f.files() == 0);
  CHECK(f.shares->used("ac-ann") == 0);
}

TEST_CASE("payloads that are dropped before their record take their blobs along") {
  WithBlobs f;
  model::NewCall made = f.call("fc-1");
  made.keep.payload_for = Duration{};
  REQUIRE(f.create(made, "in"));
  REQUIRE(f.complete(f.lease(), large('r')));
  REQUIRE(f.loop.run_task(async::sleep_for(2ms)));
  REQUIRE(f.loop.run_task(f.queue->sweep()));
  f.open();
  f.sweep();
  CHECK(f.files() == 0);
  const auto log = f.log("fc-1");
  REQUIRE(log.size() == 1);
  CHECK(log[0].payload.empty());
  CHECK(log[0].outcome == OutcomeKind::success);
}

TEST_CASE("a queue whose blobs are gone opens, and says of each payload that it is lost") {
  WithBlobs f;
  REQUIRE(f.create(f.call("fc-1"), large('a')));
  REQUIRE(f.create(f.call("fc-2"), "small"));
  f.lose_blobs();
  f.open();
  const LeasedInput input = f.lease();
  CHECK(f.whole(input.payload).error().code() == Code::data_loss);
  CHECK(f.queue->payloads().open_rest(f.ann, input.payload).error().code() == Code::data_loss);
  CHECK(f.lease().payload.bytes == "small");
}

TEST_CASE(
    "who has no room for a large payload is refused, and a result that has none is not kept") {
  WithBlobs f;
  f.disk_limits.bytes_per_owner = 120'000;
  f.open();
  REQUIRE(f.create(f.call("fc-1"), large('a')));
  REQUIRE(f.create(f.call("fc-2"), large('b')));
  const auto refused = f.create(f.call("fc-3"), large('c'));
  REQUIRE(!refused);
  CHECK(refused.error().code() == Code::resource_exhausted);
  CHECK(refused.error().message().find("workspace_disk_gb") != std::string::npos);
  // The same bytes again take no more.
  REQUIRE(f.create(f.call("fc-4"), large('a')));
  REQUIRE(f.complete(f.lease(), std::string(100'000, 'r')));
  const auto log = f.log("fc-1");
  REQUIRE(log.size() == 1);
  CHECK(log[0].outcome == OutcomeKind::failure);
  REQUIRE(log[0].failure);
  CHECK(log[0].failure->type == model::failure_type::result_not_kept);
}

TEST_CASE("a repeat of a large request is the same call, also while the first is on its way") {
  WithBlobs f;
  async::TaskGroup tasks(f.loop);
  std::vector<std::string> made;
  const auto once = [](WithBlobs& house, std::string id,
                       std::vector<std::string>& out) -> async::Task<void> {
    std::vector<model::NewInput> inputs;
    inputs.push_back({0, {large('a'), "text/plain"}});
    Once key{"k", "f"};
    THAW_CO_TRY(const Created created,
                co_await house.queue->create_once(house.call(id), std::move(inputs), key));
    out.push_back(created.id.str());
    co_return ok();
  };
  for (const char* id : {"fc-1", "fc-2", "fc-3"}) {
    tasks.start("once", once(f, id, made));
  }
  REQUIRE(*f.loop.run_task(tasks.join(monotonic_now() + 20s)));
  REQUIRE(made.size() == 3);
  CHECK(made[0] == made[1]);
  CHECK(made[0] == made[2]);
  CHECK(f.files() == 1);
}

TEST_CASE("what stands before a payload's blob is small, and comes first") {
  WithBlobs f;
  model::Payload payload{.bytes = "head ", .content_type = "text/plain", .rest = f.seal("body")};
  std::vector<model::NewInput> inputs;
  inputs.push_back({0, payload});
  REQUIRE(f.loop.run_task(f.queue->create(f.call("fc-1"), std::move(inputs))));
  f.open();
  CHECK(f.whole(f.lease().payload)->bytes == "head body");
  payload.bytes = large('h');
  inputs.clear();
  inputs.push_back({0, payload});
  CHECK(f.loop.run_task(f.queue->create(f.call("fc-2"), std::move(inputs))).error().code() ==
        Code::invalid_argument);
}

TEST_CASE("what an input says is kept in its order, large or small, and its end comes last") {
  WithBlobs f;
  REQUIRE(f.create(f.call("fc-1"), "in"));
  const LeasedInput input = f.lease();
  async::TaskGroup tasks(f.loop);
  const auto say = [](WithBlobs& house, LeasedInput by, std::string bytes) -> async::Task<void> {
    model::LogEntry entry;
    entry.payload.bytes = std::move(bytes);
    THAW_CO_TRY([[maybe_unused]] const std::uint64_t number,
                co_await house.queue->append(by.call, std::move(entry)));
    co_return ok();
  };
  const auto end = [](WithBlobs& house, LeasedInput by) -> async::Task<void> {
    model::Outcome outcome{OutcomeKind::success, {"end"}};
    co_return co_await house.queue->complete(by.input, house.container, std::move(outcome));
  };
  const std::vector<std::string> said = {"1", large('2'), "3", large('4'), "5"};
  for (const std::string& piece : said) {
    tasks.start("say", say(f, input, piece));
  }
  tasks.start("end", end(f, input));
  REQUIRE(*f.loop.run_task(tasks.join(monotonic_now() + 20s)));
  f.open();
  const auto log = f.log("fc-1");
  REQUIRE(log.size() == said.size() + 1);
  for (std::size_t i = 0; i < said.size(); ++i) {
    CHECK(f.whole(log[i].payload)->bytes == said[i]);
  }
  CHECK(log.back().kind == model::LogEntry::Kind::final_);
  CHECK(log.back().payload.bytes == "end");
}

TEST_CASE("a piece whose call is cancelled while it waits for its blob holds up nobody") {
  WithBlobs f;
  REQUIRE(f.create(f.call("fc-1"), "in"));
  const LeasedInput input = f.lease();
  async::TaskGroup tasks(f.loop);
  std::vector<std::uint64_t> numbers;
  const auto say = [](WithBlobs& house, LeasedInput by,
                      std::vector<std::uint64_t>& out) -> async::Task<void> {
    model::LogEntry entry;
    entry.payload.bytes = large('x');
    THAW_CO_TRY(const std::uint64_t number,
                co_await house.queue->append(by.call, std::move(entry)));
    out.push_back(number);
    co_return ok();
  };
  tasks.start("say", say(f, input, numbers));
  tasks.start("say", say(f, input, numbers));
  REQUIRE(f.loop.run_task(f.queue->cancel(input.call)));
  REQUIRE(*f.loop.run_task(tasks.join(monotonic_now() + 20s)));
  REQUIRE(f.complete(input, "end"));
  const auto log = f.log("fc-1");
  CHECK(log.back().kind == model::LogEntry::Kind::final_);
  for (const std::uint64_t number : numbers) {
    CHECK(number < log.back().number);
  }
}

TEST_CASE("a blob that only an outcome on its way names is not swept meanwhile") {
  WithBlobs f;
  REQUIRE(f.create(f.call("fc-1"), "in"));
  const LeasedInput input = f.lease();
  model::Outcome outcome{OutcomeKind::success, {.rest = f.seal(large('r'))}};
  f.sweep();
  CHECK(f.files() == 1);
  f.blobs->begin_marks();
  REQUIRE(f.loop.run_task(f.queue->complete(input.input, f.container, outcome)));
  REQUIRE(f.loop.run_task(f.blobs->sweep()));
  CHECK(f.whole(f.log("fc-1")[0].payload)->bytes == large('r'));
}
