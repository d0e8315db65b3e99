// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/world.h"

#include <algorithm>
#include <utility>

namespace thaw::sim {

namespace {

constexpr Duration settled_within = 90min;  // retries, back-off and windows together are shorter
constexpr std::size_t most_calls = 60;

model::AppId app_id() { return model::AppId("ap-sim"); }

std::string digits(std::uint64_t number) { return std::to_string(number); }

// As people do, and programs of theirs.
template <class F>
async::Task<void> keep_trying(F attempt) {
  while (true) {
    const Result<void> done = co_await attempt();
    if (done || done.error().code() == Code::cancelled) {
      co_return done;
    }
    THAW_CO_TRY_VOID(co_await async::sleep_for(1s));
  }
}

}  // namespace

World::World(std::uint64_t seed, std::string folder)
    : dice_(seed),
      id_dice_(seed ^ 0x1d5),
      folder_(std::move(folder)),
      ids_([this] { return static_cast<unsigned char>(id_dice_.next()); }) {
  time_.work_time = [this] { return dice_.about(20us, 3ms); };
}

void World::draw() {
  const auto some = [this](int most) {
    return dice_.chance(35) ? static_cast<int>(dice_.between(1, most)) : 0;
  };
  faults_.start_fails = some(40);
  faults_.never_ready = some(10);
  faults_.dies_at_start = some(30);
  faults_.connection_lost = some(30);
  faults_.cut_off = some(5);
  faults_.dies = some(15);
  faults_.deaf = some(50);
  faults_.freeze_fails = some(30);
  faults_.hangs_at_end = some(20);
  faults_.unwell = some(30);
  faults_.misses_point = some(20);
  faults_.holds_connection = some(20);
  faults_.checkpoint_fails = some(50);
  faults_.disk_full = some(40);
  faults_.broken = some(60);
  faults_.restore_fails = some(40);
  faults_.restore_is_slow = some(30);
  faults_.restore_is_hindered = some(60);
  has_snapshots_ = dice_.chance(60);
  has_drops_ = dice_.chance(30);
  has_murders_ = dice_.chance(30);
  has_shortages_ = dice_.chance(30);
  has_store_faults_ = dice_.chance(35);
  has_jumps_ = dice_.chance(30);
  has_kills_ = dice_.chance(40);
  has_deployments_ = dice_.chance(40);
  has_stops_ = dice_.chance(30);
  has_outages_ = dice_.chance(30);
  lives_ = static_cast<std::size_t>(dice_.chance(50) ? dice_.between(2, 4) : 1);
  life_time_ = dice_.between(Duration(1min), Duration(8min));
  receivers_.may_forget = has_store_faults_ || lives_ > 1;
  is_quiet_ = dice_.chance(15);
  if (is_quiet_) {
    faults_ = {};
    has_store_faults_ = has_kills_ = has_deployments_ = has_stops_ = has_outages_ = false;
    has_drops_ = has_murders_ = has_shortages_ = false;
    lives_ = 1;
  }

  options_.max_containers = static_cast<std::size_t>(dice_.between(1, 12));
  options_.stop_grace = 10s;
  options_.expects = false;
  options_.freezer.after = dice_.about(50ms, 5s);
  options_.keep_alive.longest_held = 10min;
  options_.standby.unused = dice_.chance(70) ? dice_.about(10s, 20min) : Duration::zero();
  options_.max_port_waiters = 20;
  const auto functions = static_cast<std::size_t>(dice_.between(1, 4));
  for (std::size_t i = 0; i < functions; ++i) {
    Function function;
    function.has_port = dice_.chance(20);
    function.is_server = !function.has_port && dice_.chance(30);
    function.keeps_one = dice_.chance(40);
    model::FunctionSpec& spec = function.spec;
    spec.id = model::FunctionId("fu-" + digits(i));
    spec.app = app_id();
    spec.workspace = model::WorkspaceId(dice_.chance(50) ? "ac-ann" : "ac-bob");
    spec.name = "function_" + digits(i);
    spec.image = model::ImageId("im-sim");
    functions_.push_back(std::move(function));
  }
  const auto calls = static_cast<std::size_t>(dice_.between(1, most_calls));
  const Duration all = life_time_ * static_cast<std::int64_t>(lives_);
  for (std::size_t i = 0; i < calls; ++i) {
    auto client = std::make_unique<Client>();
    client->id = model::CallId("fc-" + digits(i));
    client->function =
        static_cast<std::size_t>(dice_.between(0, static_cast<std::int64_t>(functions) - 1));
    if (functions_[client->function].has_port) {
      continue;
    }
    client->durability = dice_.chance(50) ? model::Durability::durable : model::Durability::memory;
    client->comes = time_.now() + dice_.between(Duration(0), all);
    client->is_impatient = dice_.chance(10);
    if (!is_quiet_ && dice_.chance(15)) {
      client->waits_for = dice_.about(100ms, 3min);
    }
    client->is_once = !is_quiet_ && dice_.chance(15);
    client->is_pinned = functions_[client->function].keeps_one && dice_.chance(50);
    if (client->durability == model::Durability::durable) {
      client->callbacks = receivers_.draw();
    }
    const int inputs = static_cast<int>(dice_.chance(70) ? 1 : dice_.between(2, 20));
    for (int n = 0; n < inputs; ++n) {
      WorkOrder order;
      order.key = static_cast<int>(i) * 1000 + n;
      order.time = dice_.about(1ms, 10s);
      order.deed = dice_.chance(65)
                       ? Deed::succeeds
                       : static_cast<Deed>(dice_.between(0, static_cast<int>(Deed::speaks)));
      if (is_quiet_ && order.deed != Deed::fails && order.deed != Deed::speaks) {
        order.deed = Deed::succeeds;
      }
      client->orders.push_back(order);
    }
    client->first_batch = client->orders.size();
    if (client->orders.size() > 1 && client->durability == model::Durability::memory) {
      client->first_batch = static_cast<std::size_t>(
          dice_.between(1, static_cast<std::int64_t>(client->orders.size())));
    }
    clients_.push_back(std::move(client));
  }
}

void World::next_version(Function& function) {
  model::FunctionSpec& spec = function.spec;
  spec.version = spec.id.str() + "-v" + std::to_string(++function.version);
  model::Scaling& scaling = spec.scaling;
  scaling = {};
  scaling.min_containers = dice_.chance(15) ? 1 : 0;
  scaling.max_containers = static_cast<int>(dice_.chance(30) ? dice_.between(1, 4) : 0);
  scaling.buffer_containers = static_cast<int>(dice_.chance(10) ? dice_.between(1, 2) : 0);
  scaling.scaledown_window = dice_.about(1s, 2min);
  scaling.window_by =
      dice_.chance(30) ? model::Scaling::WindowBy::policy : model::Scaling::WindowBy::user;
  scaling.max_concurrent_inputs = static_cast<int>(dice_.chance(30) ? dice_.between(2, 6) : 1);
  if (dice_.chance(25)) {
    scaling.batch_max_size = static_cast<int>(dice_.between(2, 5));
    scaling.batch_linger = dice_.about(10ms, 2s);
    scaling.max_concurrent_inputs = scaling.batch_max_size;
  }
  scaling.use = dice_.chance(10) ? model::Scaling::Use::single : model::Scaling::Use::many;
  spec.retry.max_retries = static_cast<int>(dice_.chance(50) ? dice_.between(1, 3) : 0);
  spec.retry.initial_delay = dice_.about(10ms, 10s);
  spec.timeout = dice_.between(Duration(12s), Duration(40s));
  spec.startup_timeout = dice_.between(Duration(10s), Duration(40s));
  spec.web.clear();
  if (function.is_server) {
    spec.push = model::PushContract{};
    spec.push->arguments = {"serve"};
    spec.push->health_path = dice_.chance(50) ? "/health" : "";
  }
  spec.snapshot_at = model::SnapshotAt::never;
  if (has_snapshots_ && dice_.chance(70)) {
    spec.snapshot_at = spec.push ? model::SnapshotAt::ready : model::SnapshotAt::asked;
  }
  if (spec.push && dice_.chance(50)) {
    spec.push->restored_path = restored_path;
  }
  if (function.has_port) {
    model::WebEndpoint web;
    web.label = spec.name;
    web.kind = model::WebEndpoint::Kind::server_port;
    web.port = 8000;
    spec.web.push_back(web);
  }
}

async::Task<void> World::put_function(Server& server, const Function& function, Live live) {
  catalog::Function record;
  record.id = function.spec.id;
  record.app = function.spec.app;
  record.workspace = function.spec.workspace;
  record.tag = function.spec.name;
  record.live_version = live == Live::yes ? function.spec.version : "";
  record.versions[function.spec.version] = std::make_shared<model::FunctionSpec>(function.spec);
  return server.catalog->functions.put(std::move(record));
}

async::Task<void> World::publish(Server& server, Function& function) {
  const model::FunctionSpec before = function.spec;
  next_version(function);
  const Result<void> put = co_await put_function(server, function, Live::yes);
  if (!put) {
    function.spec = before;
  }
  co_return put;
}

async::Task<void> World::publish_first(Server& server, Function& function) {
  THAW_CO_TRY_VOID(co_await publish(server, function));
  if (!function.keeps_one) {
    co_return ok();
  }
  const auto first = server.catalog->functions.find(function.spec.id.str());
  THAW_CO_TRY_VOID(co_await server.catalog->versions.put(catalog::kept_version(*first)));
  function.kept = first->live_version;
  co_return co_await publish(server, function);
}

model::Target World::target_of(const Client& client) const {
  const Function& function = functions_[client.function];
  return {function.spec.id, client.is_pinned ? function.kept : ""};
}

Verdict World::run() {
  draw();
  const Instant begun = time_.now();
  for (std::size_t life = 0; life < lives_; ++life) {
    live(life, life + 1 == lives_);
  }
  judge_results();
  Verdict verdict;
  verdict.faults = judge_.faults();
  verdict.digest = judge_.digest();
  verdict.heard = judge_.heard();
  verdict.simulated = time_.now() - begun;
  verdict.calls = clients_.size();
  verdict.containers = containers_;
  verdict.lives = lives_;
  verdict.snapshots = snapshots_;
  verdict.restores = restores_;
  verdict.stood_by = stood_by_;
  verdict.had = had_;
  for (const auto& client : clients_) {
    verdict.inputs += client->orders.size();
  }
  return verdict;
}

void World::live(std::size_t life, bool is_last) {
  Server server(time_, folder_ + "/" + digits(life), dice_, judge_, receivers_, faults_, options_);
  const auto set_up = [](World& self, Server& to) -> async::Task<void> {
    model::App app;
    app.id = app_id();
    app.state = model::AppState::deployed;
    THAW_CO_TRY_VOID(co_await to.catalog->apps.put(app));
    model::Image image;
    image.id = model::ImageId("im-sim");
    image.key = "image";
    THAW_CO_TRY_VOID(co_await to.catalog->images.put(image));
    for (const char* name : {"ac-ann", "ac-bob"}) {
      model::Workspace workspace;
      workspace.id = model::WorkspaceId(name);
      workspace.name = name;
      THAW_CO_TRY_VOID(co_await to.catalog->workspaces.put(workspace));
    }
    for (Function& function : self.functions_) {
      THAW_CO_TRY_VOID(co_await self.publish_first(to, function));
    }
    co_return ok();
  };
  if (life == 0 && !server.await(set_up(*this, server), 1min)) {
    judge_.blame("the catalog was not written within a minute");
  }
  server.fleet->start();
  server.callbacks->start();
  for (const auto& client : clients_) {
    if (!client->is_done) {
      server.outside->start("client", drive(*this, server, *client));
    }
  }
  for (std::size_t i = 0; i < functions_.size(); ++i) {
    const int askers = functions_[i].has_port ? 10 : functions_[i].is_server ? 3 : 0;
    for (int n = askers; n > 0; --n) {
      server.outside->start("port", ask_port(*this, server, i));
    }
  }
  server.outside->start("invariants", invariants(*this, server));
  const Instant until = time_.now() + life_time_;
  server.outside->start("trouble", trouble(*this, server, until));
  time_.run(server.loop, until);
  if (!is_last) {
    const std::string next = folder_ + "/" + digits(life + 1);
    dice_.chance(70) ? server.kill(next) : server.stop(next);
    for (const auto& client : clients_) {
      // A call in memory goes with its server.
      if (client->comes < time_.now() && client->durability == model::Durability::memory &&
          !client->is_done) {
        client->is_lost = true;
        client->is_done = true;
      }
    }
  } else {
    come_to_rest(server);
    server.stop(folder_ + "/last");
  }
  containers_ += server.worker.started;
  snapshots_ += server.worker.written;
  restores_ += server.worker.restores;
  stood_by_ += server.fleet->standby_counters().made;
  had_ += server.fleet->standby_counters().taken;
}

async::Task<void> World::create(World& self, Server& server, Client& client) {
  const Function& function = self.functions_[client.function];
  while (!client.is_acknowledged) {
    model::NewCall call;
    call.id = client.id;
    call.workspace = function.spec.workspace;
    call.app = function.spec.app;
    call.function = function.spec.id;
    call.version = self.target_of(client).version;
    call.durability = client.durability;
    call.retry = function.spec.retry;
    call.callbacks = client.callbacks;
    client.retries = call.retry.max_retries;
    if (client.is_once) {
      call.limits.redeliveries = 0;
    }
    if (client.waits_for) {
      call.limits.queue_until =
          wall_now() + std::chrono::duration_cast<std::chrono::microseconds>(*client.waits_for);
      client.expires = monotonic_now() + *client.waits_for;
    }
    std::vector<model::NewInput> inputs;
    for (std::size_t i = 0; i < client.first_batch; ++i) {
      inputs.push_back({static_cast<int>(i), self.payload_of(client, client.orders[i])});
    }
    self.judge_.hear(client.id.str() + " is created for " + self.target_of(client).str());
    const auto made = co_await server.queue->create(std::move(call), std::move(inputs));
    if (server.is_dead) {
      co_return Error::cancelled("the server was killed");
    }
    if (made) {
      self.tell_judge(client, *made);
    }
    if (made || made.error().code() == Code::already_exists) {
      client.is_acknowledged = true;
      client.added = client.first_batch;
    } else {
      self.judge_.hear(client.id.str() + " is refused: " + made.error().message());
      THAW_CO_TRY_VOID(co_await async::sleep_for(self.dice_.about(100ms, 5s)));
    }
  }
  co_return ok();
}

// Of what was leased in time some begins later: a batch fills, a poll breaks. And where the wall
// clock jumps between two lives of the server, nobody knows when it is.
void World::tell_judge(const Client& client, const std::vector<model::InputId>& inputs) {
  constexpr Duration on_its_way = 2min;
  constexpr int many = 1'000'000;
  for (const model::InputId& input : inputs) {
    const bool expires = client.waits_for && !has_jumps_;
    judge_.allows(input.str(), client.is_once ? 1 + client.retries : many,
                  expires ? client.expires + on_its_way : Instant::max());
  }
}

async::Task<void> World::bring_payloads(World& self, Server& server, const Client& client,
                                        std::vector<model::LogEntry>& entries) {
  const model::WorkspaceId owner = self.functions_[client.function].spec.workspace;
  for (model::LogEntry& entry : entries) {
    auto whole = co_await server.queue->payloads().whole(owner, entry.payload);
    if (!whole) {
      if (!server.is_dead) {
        self.judge_.blame("a payload cannot be read: " + whole.error().message());
      }
      co_return whole.error();
    }
    entry.payload = std::move(*whole);
  }
  co_return ok();
}

async::Task<void> World::read_all(World& self, Server& server, Client& client) {
  const auto is_whole = [&client] {
    return client.added == client.orders.size() && client.results.size() == client.orders.size();
  };
  while (!is_whole()) {
    auto entries = co_await server.queue->read(client.id, client.read_to, 100,
                                               monotonic_now() + self.dice_.about(100ms, 30s),
                                               nullptr, queue::WhenIdle::waits);
    if (entries && !server.is_dead) {
      THAW_CO_TRY_VOID(co_await bring_payloads(self, server, client, *entries));
    }
    if (server.is_dead) {
      co_return Error::cancelled("the server was killed");
    }
    if (!entries) {
      if (entries.error().code() == Code::cancelled) {
        co_return entries.error();
      }
      if (entries.error().code() == Code::not_found) {
        self.judge_.blame("call " + client.id.str() +
                          " is not there: " + entries.error().message());
        co_return ok();
      }
      THAW_CO_TRY_VOID(co_await async::sleep_for(1s));
      continue;
    }
    for (const model::LogEntry& entry : *entries) {
      self.judge_.reads(client.id.str(), entry);
      if (entry.number <= client.read_to) {
        self.judge_.blame("entry " + digits(entry.number) + " of " + client.id.str() +
                          " is told after " + digits(client.read_to));
      }
      client.read_to = entry.number;
      if (entry.kind == model::LogEntry::Kind::final_) {
        client.results[entry.index] = entry;
      }
    }
    if (client.durability == model::Durability::memory) {
      server.queue->take(client.id, client.read_to);
    }
  }
  co_return ok();
}

async::Task<void> World::drive(World& self, Server& server, Client& client) {
  Dice& dice = self.dice_;
  while (monotonic_now() < client.comes) {  // who comes may come earlier than they meant to
    THAW_CO_TRY_VOID(co_await async::sleep_until(std::min(client.comes, monotonic_now() + 100ms)));
  }
  THAW_CO_TRY_VOID(co_await create(self, server, client));
  async::TaskGroup beside(server.loop);
  const auto adds = [](World& world, Server& to, Client& of) -> async::Task<void> {
    while (of.added < of.orders.size()) {
      THAW_CO_TRY_VOID(co_await async::sleep_for(world.dice_.about(1ms, 2s)));
      const auto count = static_cast<std::size_t>(
          world.dice_.between(1, static_cast<std::int64_t>(of.orders.size() - of.added)));
      std::vector<model::NewInput> inputs;
      for (std::size_t i = of.added; i < of.added + count; ++i) {
        inputs.push_back({static_cast<int>(i), world.payload_of(of, of.orders[i])});
      }
      const auto added = co_await to.queue->add_inputs(of.id, std::move(inputs));
      if (added) {
        world.tell_judge(of, *added);
        of.added += count;
      } else if (added.error().code() == Code::failed_precondition && of.is_cancelled) {
        of.orders.resize(of.added);
      }
    }
    co_return ok();
  };
  const auto cancels = [](World& world, Server& to, Client& of) -> async::Task<void> {
    THAW_CO_TRY_VOID(co_await async::sleep_for(world.dice_.about(1ms, 20s)));
    of.is_cancelled = true;
    world.judge_.hear(of.id.str() + " is cancelled");
    const auto running = co_await to.queue->cancel(of.id);
    if (running && !to.is_dead) {
      to.fleet->cancel_inputs(*running, world.dice_.chance(50) ? control::Fleet::StopHow::graceful
                                                               : control::Fleet::StopHow::now);
    }
    co_return ok();
  };
  if (client.added < client.orders.size()) {
    beside.start("adds", adds(self, server, client));
  }
  if (client.is_impatient && !client.is_cancelled) {
    beside.start("cancels", cancels(self, server, client));
  }
  const Result<void> read = co_await read_all(self, server, client);
  THAW_CO_TRY_VOID(co_await beside.stop());
  if (!read || server.is_dead) {
    co_return read;
  }
  client.is_done = true;
  if (client.durability == model::Durability::memory) {
    server.queue->forget(client.id);
    co_return ok();
  }
  // Its results stay, and are the same to whoever asks again.
  if (dice.chance(30)) {
    auto again = co_await server.queue->read(client.id, 0, 1000, monotonic_now(), nullptr);
    if (again && !server.is_dead) {
      THAW_CO_TRY_VOID(co_await bring_payloads(self, server, client, *again));
    }
    if (again && !server.is_dead) {
      for (const model::LogEntry& entry : *again) {
        self.judge_.reads(client.id.str(), entry);
      }
    }
  }
  co_return ok();
}

async::Task<void> World::ask_port(World& self, Server& server, std::size_t function) {
  Dice& dice = self.dice_;
  while (true) {
    THAW_CO_TRY_VOID(co_await async::sleep_for(dice.about(10ms, 1min)));
    const std::string& kept = self.functions_[function].kept;
    const model::Target target(self.functions_[function].spec.id,
                               !kept.empty() && dice.chance(50) ? kept : std::string());
    auto lease = server.fleet->try_lease_port(target);
    if (!lease) {
      const Instant deadline = monotonic_now() + dice.about(100ms, 1min);
      auto waited = co_await server.fleet->lease_port(target, deadline);
      if (monotonic_now() > deadline + 100ms) {
        self.judge_.blame("a request at a port waited past its deadline");
      }
      if (!waited) {
        if (waited.error().code() == Code::cancelled) {
          co_return waited.error();
        }
        continue;
      }
      if (std::holds_alternative<model::Outcome>(*waited)) {
        continue;
      }
      lease = std::get<control::PortLease>(std::move(*waited));
    }
    if (!kept.empty() && (lease->version == kept) != target.is_pinned()) {
      self.judge_.blame("a request for " + target.str() + " got a container of " + lease->version);
    }
    const Result<void> served = co_await async::sleep_for(dice.about(1ms, 10s));
    const auto container = server.worker.living.find(lease->container.str());
    if (container != server.worker.living.end() && container->second->is_frozen()) {
      self.judge_.blame(lease->container.str() + " is frozen while a request passes through it");
    }
    self.judge_.answers(lease->container.str());
    server.fleet->return_port(*lease);
    if (!served) {
      co_return served;
    }
  }
}

// All of the app's functions are stopped, or one is dropped by a deployment; some time later they
// are there again. Two may do it at once, and calls come meanwhile.
async::Task<void> World::stop_functions(World& self, Server& server) {
  Dice& dice = self.dice_;
  const bool all = dice.chance(50);
  const std::size_t one = dice.below(self.functions_.size());
  std::vector<model::FunctionId> ids;
  for (std::size_t i = 0; i < self.functions_.size(); ++i) {
    if (all || i == one) {
      self.functions_[i].is_stopped = true;
      ids.push_back(self.functions_[i].spec.id);
    }
  }
  self.judge_.hear(all ? "the app is stopped" : ids.front().str() + " is dropped");
  // Those who were to come later come now: just before, and just after.
  const bool is_rush = dice.chance(60);
  const Duration rush = dice.chance(50) ? Duration(20ms) : dice.about(1ms, 6s);
  for (const auto& client : self.clients_) {
    const bool is_meant = self.functions_[client->function].is_stopped;
    if (is_rush && is_meant && client->comes > monotonic_now()) {
      client->comes = monotonic_now() + dice.between(Duration(0), rush);
    }
  }
  THAW_CO_TRY_VOID(co_await async::sleep_for(dice.between(Duration(0), 25ms)));
  model::App app;
  app.id = app_id();
  app.state = model::AppState::stopped;
  if (all) {
    THAW_CO_TRY_VOID(co_await keep_trying([&] { return server.catalog->apps.put(app); }));
  } else {
    THAW_CO_TRY_VOID(co_await keep_trying(
        [&] { return self.put_function(server, self.functions_[one], Live::no); }));
  }
  async::TaskGroup both(server.loop);
  for (int n = dice.chance(50) ? 2 : 1; n > 0; --n) {
    both.start("stop", server.fleet->stop_functions(ids, "the app was stopped"));
    THAW_CO_TRY_VOID(
        co_await async::sleep_for(dice.chance(50) ? Duration(0) : dice.about(100us, 100ms)));
  }
  while (both.size() > 0) {
    const auto joined = co_await both.join(monotonic_now() + 10min);
    if (!joined) {
      (void)co_await both.stop();
      co_return joined.error();
    }
    if (!*joined) {
      self.judge_.blame("functions are not stopped within ten minutes");
    }
  }
  self.judge_.functions_stop();
  THAW_CO_TRY_VOID(co_await async::sleep_for(dice.about(1ms, 30s)));
  app.state = model::AppState::deployed;
  if (all) {
    THAW_CO_TRY_VOID(co_await keep_trying([&] { return server.catalog->apps.put(app); }));
  } else {
    THAW_CO_TRY_VOID(co_await keep_trying(
        [&] { return self.put_function(server, self.functions_[one], Live::yes); }));
  }
  self.judge_.hear("they are there again");
  for (Function& function : self.functions_) {
    function.is_stopped = false;
    server.fleet->refresh(function.spec.id);
  }
  co_return ok();
}

// What befalls the server and its containers, until the calm.
async::Task<void> World::trouble(World& self, Server& server, Instant until) {
  Dice& dice = self.dice_;
  while (monotonic_now() < until - 10s) {
    THAW_CO_TRY_VOID(co_await async::sleep_for(dice.about(100ms, 1min)));
    if (self.has_store_faults_ && dice.chance(20)) {
      self.judge_.hear("the disk is full");
      self.judge_.disk_is_full();
      server.full = dice.chance(50) ? 100 : static_cast<int>(dice.between(10, 90));
      THAW_CO_TRY_VOID(co_await async::sleep_for(dice.about(100ms, 40s)));
      server.full = 0;
      self.judge_.hear("the disk has room");
    }
    if (self.has_jumps_ && dice.chance(20)) {
      self.time_.jump_wall(dice.between(Duration(-2h), Duration(2h)));
    }
    if (self.has_kills_ && dice.chance(40) && !server.worker.living.empty()) {
      // In the order of their birth: addresses are not the same in two runs.
      std::vector<model::ContainerId> ids;
      for (const control::ContainerView& view : server.fleet->containers()) {
        ids.push_back(view.id);
      }
      if (!ids.empty()) {
        const auto how =
            dice.chance(50) ? control::Fleet::StopHow::graceful : control::Fleet::StopHow::now;
        const model::ContainerId chosen = dice.one_of(ids);
        self.judge_.hear(chosen.str() + " is stopped by somebody");
        (void)server.fleet->stop_container(chosen, how);
      }
    }
    if (self.has_deployments_ && dice.chance(20)) {
      Function& function = self.functions_[static_cast<std::size_t>(
          dice.between(0, static_cast<std::int64_t>(self.functions_.size()) - 1))];
      const Result<void> put = co_await self.publish(server, function);
      self.judge_.hear(function.spec.version + (put ? " is published" : " is not published"));
      server.fleet->refresh(function.spec.id);
    }
    if (self.has_outages_ && dice.chance(25)) {
      // For a moment the machine can start nothing, and what waits has no container.
      const int usual = std::exchange(self.faults_.start_fails, 100);
      self.judge_.hear("nothing can be started");
      const Result<void> slept = co_await async::sleep_for(dice.about(100ms, 20s));
      self.faults_.start_fails = usual;
      THAW_CO_TRY_VOID(slept);
    }
    if (self.has_murders_ && dice.chance(30)) {
      std::vector<std::string> victims;
      for (const control::ContainerView& view : server.fleet->containers()) {
        if (view.status == control::Status::standby &&
            server.worker.living.contains(view.id.str())) {
          victims.push_back(view.id.str());
        }
      }
      if (!victims.empty()) {
        server.worker.living.at(dice.one_of(victims))->is_murdered();
      }
    }
    if (self.has_shortages_ && dice.chance(30)) {
      self.judge_.hear("memory is short");
      const std::uint64_t usual = server.worker.available_bytes;
      server.worker.available_bytes = SimWorker::memory_bytes / 16;
      const Result<void> slept = co_await async::sleep_for(dice.about(100ms, 40s));
      server.worker.available_bytes = usual;
      THAW_CO_TRY_VOID(slept);
    }
    if (self.has_drops_ && dice.chance(30)) {
      self.judge_.hear("snapshots are dropped");
      ++server.worker.drops;
      (void)server.snapshots->retire_if([&dice](const std::string&) { return dice.chance(50); },
                                        "somebody dropped it");
      THAW_CO_TRY_VOID(co_await server.snapshots->collect());
    }
    if (self.has_stops_ && dice.chance(15)) {
      THAW_CO_TRY_VOID(co_await stop_functions(self, server));
    }
  }
  co_return ok();
}

// They are few beside what others may have, and none is there for long of what nobody can call, or
// where memory is short.
void World::judge_standbys(Server& server, std::map<std::string, int>& strays) {
  constexpr int most_looks = 40;  // 20 s: it is told to end, given time for that, and killed
  const bool is_short = server.worker.available_bytes < SimWorker::memory_bytes / 8;
  std::size_t standing = 0;
  std::map<std::string, int> seen;
  for (const control::ContainerView& view : server.fleet->containers()) {
    if (view.status != control::Status::standby) {
      continue;
    }
    ++standing;
    const auto spec = server.catalog->spec_of({view.spec->id, view.spec->version});
    if (is_short || !spec || spec->snapshot_at == model::SnapshotAt::never) {
      const int looks = seen[view.id.str()] = strays[view.id.str()] + 1;
      if (looks > most_looks) {
        judge_.blame(view.id.str() + " stands by, and nobody is to have it");
      }
    }
    if (view.inputs > 0) {
      judge_.blame(view.id.str() + " stands by and works");
    }
  }
  strays = std::move(seen);
  if (standing > options_.max_containers / 4) {
    judge_.blame(digits(standing) + " containers stand by, of " + digits(options_.max_containers));
  }
}

async::Task<void> World::invariants(World& self, Server& server) {
  std::map<std::string, int> strays;
  while (true) {
    THAW_CO_TRY_VOID(co_await async::sleep_for(500ms));
    self.judge_standbys(server, strays);
    for (const std::string& broken : server.fleet->check_invariants()) {
      self.judge_.blame(broken);
    }
    for (const control::ContainerView& view : server.fleet->containers()) {
      const auto slots =
          static_cast<std::size_t>(std::max(1, view.spec->scaling.max_concurrent_inputs));
      if (view.inputs > slots) {
        self.judge_.blame(view.id.str() + " has " + digits(view.inputs) + " inputs and " +
                          digits(slots) + " slots");
      }
    }
  }
}

// No more trouble: every call ends, and what is not to be kept goes.
void World::come_to_rest(Server& server) {
  faults_ = {};
  server.full = 0;
  receivers_.calm();
  const Instant give_up = time_.now() + settled_within;
  const auto is_at_rest = [&] {
    return std::all_of(clients_.begin(), clients_.end(),
                       [](const auto& c) { return c->is_done; }) &&
           std::none_of(functions_.begin(), functions_.end(),
                        [](const Function& function) { return function.is_stopped; });
  };
  while (!is_at_rest() && time_.now() < give_up) {
    time_.run(server.loop, time_.now() + 5s);
  }
  for (const auto& client : clients_) {
    if (!client->is_done) {
      judge_.blame("call " + client->id.str() +
                   " has not ended: " + digits(client->results.size()) + " of " +
                   digits(client->orders.size()) + " results");
    }
  }
  (void)server.await(server.outside->stop(), 1min);
  judge_callbacks(server);
  std::size_t kept = 0;
  for (const Function& function : functions_) {
    kept += static_cast<std::size_t>(function.spec.scaling.min_containers);
  }
  // One workspace cannot have all of a small machine.
  const bool all_have_room = 2 * kept <= options_.max_containers;
  const auto is_right = [&] {
    const std::size_t left = server.fleet->containers().size();
    return left <= kept && (left == kept || !all_have_room);
  };
  while (!is_right() && time_.now() < give_up) {
    time_.run(server.loop, time_.now() + 5s);
  }
  if (!is_right()) {
    judge_.blame(digits(server.fleet->containers().size()) + " containers at rest, and " +
                 digits(kept) + " are to be kept");
  }
}

// Each arrives, or is ended by its rule.
void World::judge_callbacks(Server& server) {
  const auto pending = [&server] {
    return server.queue->callbacks().pending(model::WorkspaceId("ac-ann")) +
           server.queue->callbacks().pending(model::WorkspaceId("ac-bob"));
  };
  // The wall clock may have been put back by hours, several times.
  const Instant give_up = time_.now() + (has_jumps_ ? Duration(72h) : Duration(settled_within));
  while (pending() > 0 && time_.now() < give_up) {
    time_.run(server.loop, time_.now() + 5s);
  }
  for (const auto& client : clients_) {
    if (client->is_done && !client->is_lost && !client->callbacks.empty()) {
      (void)server.await(judge_callbacks_of(*this, server, *client), 1min);
    }
  }
}

async::Task<void> World::judge_callbacks_of(World& self, Server& server, const Client& client) {
  const auto views = co_await server.queue->callbacks().of(client.id);
  if (!views || views->size() != client.callbacks.size()) {
    self.judge_.blame("the callbacks of " + client.id.str() + " are not there");
    co_return ok();
  }
  for (const queue::CallbackView& view : *views) {
    self.receivers_.judge(client.id.str(), view, client.results);
  }
  co_return ok();
}

model::Payload World::payload_of(const Client& client, const WorkOrder& order) const {
  if (!functions_[client.function].is_server) {
    return {order.payload()};
  }
  codec::HttpRequestMessage request;
  request.method = "POST";
  request.target = "/work";
  request.body = order.payload();
  return {codec::write_http(request).value(), std::string(codec::http_content_type)};
}

bool World::may_be(const Client& client, const WorkOrder& order,
                   const model::LogEntry& result) const {
  if (result.outcome == model::OutcomeKind::expired && !client.waits_for) {
    return false;
  }
  const std::string& kept = functions_[client.function].kept;
  if (!kept.empty() && !result.version.empty() && (result.version == kept) != client.is_pinned) {
    return false;
  }
  if (result.outcome == model::OutcomeKind::success) {
    const auto answer = codec::read_http_response(result.payload.bytes);
    const std::string& told = answer ? answer->body : result.payload.bytes;
    return told == order.result() && order.deed != Deed::fails && order.deed != Deed::crashes &&
           order.deed != Deed::eats_memory && order.deed != Deed::hangs;
  }
  // Elsewhere its container may have died of another's deeds, or its function was stopped.
  return !is_quiet_ || client.is_cancelled || order.deed == Deed::fails;
}

void World::judge_results() {
  for (const auto& client : clients_) {
    if (client->is_lost) {
      continue;
    }
    for (const auto& [index, result] : client->results) {
      const auto at = static_cast<std::size_t>(index);
      if (at >= client->orders.size()) {
        judge_.blame("call " + client->id.str() + " has a result of an input that it has not");
      } else if (!may_be(*client, client->orders[at], result)) {
        judge_.blame("input " + std::to_string(index) + " of " + client->id.str() + " ended as '" +
                     result.payload.bytes + "', which it cannot have");
      }
    }
  }
}

}  // namespace thaw::sim
