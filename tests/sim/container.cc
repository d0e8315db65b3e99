// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/container.h"

#include <algorithm>
#include <csignal>
#include <sstream>
#include <utility>

#include "tests/sim/work_order.h"
#include "thaw/os/files.h"
#include "thaw/worker/launch_plan_codec.h"
#include "thaw/worker/snapshots.h"

namespace thaw::sim {

namespace {

// A snapshot's own file: what a restore would find in memory.
constexpr const char* memory_file = "/memory";

Result<Written> read_written(const std::string& images) {
  THAW_TRY(const std::string text, os::read_text(images + memory_file));
  std::istringstream words(text);
  Written written;
  int flaw = 0;
  if (!(words >> written.id >> written.owner >> flaw)) {
    return Error::data_loss("it ends in the middle");
  }
  written.flaw = static_cast<Written::Flaw>(flaw);
  return written;
}

std::string owner_of(const model::FunctionSpec& spec) { return spec.id.str() + "@" + spec.version; }

}  // namespace

SimContainer::SimContainer(SimWorker& worker, model::ContainerId id, Origin origin)
    : worker_(worker),
      id_(std::move(id)),
      origin_(std::move(origin)),
      started_(monotonic_now()),
      is_deaf_(worker.dice.chance(worker.faults.deaf)),
      tasks_(worker.loop) {
  worker_.living[id_.str()] = this;
  tasks_.start("program", program(*this));
}

SimContainer::~SimContainer() { worker_.living.erase(id_.str()); }

worker::Traffic SimContainer::traffic() const {
  worker::Traffic traffic;
  if (origin_.program == Program::serves) {
    traffic.connections = works_.size();
    return traffic;
  }
  traffic.connections = is_cut_off_ || has_ended_ || is_at_point_ ? 0 : 1;
  traffic.exchanges = polls_open_ + calls_open_;
  return traffic;
}

Result<void> SimContainer::signal(int number) {
  if (has_ended_) {
    return Error::not_found("it has ended");
  }
  worker_.judge.hear(id_.str() + " gets signal " + std::to_string(number));
  // Whoever wants it to end has said so before; otherwise it is killed for being late, or of no
  // use.
  was_late_ |= number == SIGKILL && !is_now(control::Status::stopping);
  (void)thaw();
  sandbox::ExitStatus status;
  status.code = 128 + number;
  status.signal = number;
  if (number == SIGKILL) {
    status.killed_as_a_whole = true;
    die(status);
  } else if (!is_deaf_) {
    const auto ends = [](SimContainer& self, Duration later) -> async::Task<void> {
      if (self.origin_.program == Program::serves &&
          self.worker_.dice.chance(self.worker_.faults.hangs_at_end)) {
        co_return ok();
      }
      THAW_CO_TRY_VOID(co_await self.takes(later));
      self.die({});
      co_return ok();
    };
    tasks_.start("exit hooks", ends(*this, worker_.dice.about(1ms, 8s)));
  }
  return ok();
}

void SimContainer::die(sandbox::ExitStatus status) {
  if (std::exchange(has_ended_, true)) {
    return;
  }
  status_ = status;
  died_at_ = monotonic_now();
  was_told_to_end_ |= is_now(control::Status::stopping);
  worker_.judge.dies(id_.str());
  tasks_.cancel();
  changed_.notify_all();
}

void SimContainer::is_murdered() {
  worker_.judge.hear(id_.str() + " is killed by somebody");
  was_told_to_end_ = true;
  sandbox::ExitStatus status;
  status.code = 137;
  status.signal = SIGKILL;
  status.killed_as_a_whole = true;
  die(status);
}

bool SimContainer::stands_by() const {
  const auto views = worker_.fleet->containers();
  return std::any_of(views.begin(), views.end(), [&](const control::ContainerView& view) {
    return view.id == id_ && view.stands_by;
  });
}

bool SimContainer::is_now(control::Status status) const {
  const auto views = worker_.fleet->containers();
  return std::any_of(views.begin(), views.end(), [&](const control::ContainerView& view) {
    return view.id == id_ && view.status == status;
  });
}

async::Task<void> SimContainer::freeze() {
  const std::uint64_t mine = thaws_;
  THAW_CO_TRY_VOID(co_await async::sleep_for(worker_.dice.between(Duration(0), 5ms)));
  if (thaws_ != mine) {
    co_return Error::cancelled("thawed while it was being frozen");
  }
  if (has_ended_) {
    co_return Error::not_found("it has ended");
  }
  if (worker_.dice.chance(worker_.faults.freeze_fails)) {
    co_return Error::deadline_exceeded("one of its processes does not stop");
  }
  is_frozen_ = true;
  co_return ok();
}

Result<void> SimContainer::thaw() {
  ++thaws_;
  is_frozen_ = false;
  changed_.notify_all();
  return ok();
}

async::Task<sandbox::ExitStatus> SimContainer::wait() {
  while (!has_ended_) {
    THAW_CO_TRY([[maybe_unused]] const bool n, co_await changed_.wait(Instant::max()));
  }
  THAW_CO_TRY_VOID(co_await async::sleep_for(worker_.dice.between(Duration(0), 20ms)));
  if (!std::exchange(is_counted_, true) && origin_.is_metered) {
    worker_.lived += monotonic_now() - origin_.ordered;
  }
  co_return status_;
}

async::Task<void> SimContainer::remove() {
  if (!has_ended_) {
    was_told_to_end_ = true;
    die({});
  }
  THAW_CO_TRY_VOID(co_await tasks_.stop());
  if (is_restored() && !is_well_ && !was_told_to_end_ && !worker_.is_off &&
      !worker_.judge.has_answered(id_.str())) {
    const bool was_ready = is_ready_ || was_late_;
    worker_.judge.restore_fails(origin_.written.id, died_at_,
                                was_ready ? Judge::Failure::some : Judge::Failure::before_ready);
  }
  worker_.judge.is_gone(id_.str());
  co_return ok();
}

async::Task<void> SimContainer::takes(Duration time) {
  const Instant begun = monotonic_now();
  Instant until = begun + time;
  while (true) {
    while (is_frozen_) {
      const Instant frozen = monotonic_now();
      THAW_CO_TRY([[maybe_unused]] const bool n, co_await changed_.wait(Instant::max()));
      until += monotonic_now() - frozen;
    }
    if (monotonic_now() >= until) {
      used_ += time;
      co_return ok();
    }
    THAW_CO_TRY([[maybe_unused]] const bool n, co_await changed_.wait(until));
  }
}

void SimContainer::proves_well() {
  is_well_ = true;
  if (is_restored()) {
    worker_.judge.restore_is_good(origin_.written.id);
  }
}

async::Task<void> SimContainer::stays_at_its_point() {
  Dice& dice = worker_.dice;
  worker_.fleet->reached_snapshot_point(id_);
  THAW_CO_TRY_VOID(co_await takes(dice.about(1ms, 2s)));
  is_at_point_ = !dice.chance(worker_.faults.holds_connection);
  co_return co_await takes(24h);
}

async::Task<sandbox::Checkpoint> SimContainer::checkpoint(std::uint64_t) {
  Dice& dice = worker_.dice;
  THAW_CO_TRY_VOID(co_await async::sleep_for(dice.about(5ms, 10s)));
  if (has_ended_) {
    co_return Error::unavailable("it ended while it was written");
  }
  if (dice.chance(worker_.faults.checkpoint_fails)) {
    co_return Error::failed_precondition("it holds what cannot be written");
  }
  Written written;
  written.id = "snapshot of " + id_.str();
  std::replace(written.id.begin(), written.id.end(), ' ', '_');
  written.owner = origin_.owner;
  if (dice.chance(worker_.faults.broken)) {
    written.flaw = static_cast<Written::Flaw>(dice.between(1, 3));
  }
  const bool is_whole = !dice.chance(worker_.faults.disk_full);
  const std::string text =
      written.id +
      (is_whole ? " " + written.owner + " " + std::to_string(static_cast<int>(written.flaw)) : "");
  die({});
  if (const auto put = os::create_text(origin_.images + memory_file, text, 0600); !put) {
    worker_.judge.blame("the folder in which " + id_.str() +
                        " is written went: " + put.error().to_string());
  }
  if (!is_whole) {
    co_return Error::resource_exhausted("the disk is full");
  }
  ++worker_.written;
  // One may have been asked for before its function was stopped. A server's may be given up for a
  // call that needs the place of its trial.
  constexpr int most_tries = 3 + 1;
  worker_.judge.is_written(written.id, written.owner,
                           origin_.program == Program::pulls ? most_tries : 1000);
  co_return sandbox::Checkpoint{1, 2, true};
}

async::Task<void> SimContainer::program(SimContainer& self) {
  Dice& dice = self.worker_.dice;
  THAW_CO_TRY_VOID(
      co_await self.takes(self.is_restored() ? dice.about(1ms, 200ms) : dice.about(5ms, 4s)));
  if (self.is_restored() && self.origin_.written.flaw == Written::Flaw::dies) {
    sandbox::ExitStatus status;
    status.code = 139;
    status.signal = SIGSEGV;
    self.die(status);
    co_return ok();
  }
  self.worker_.fleet->said_hello(self.id_);
  const bool is_stuck = self.is_restored() && self.origin_.written.flaw == Written::Flaw::hangs;
  if (is_stuck || dice.chance(self.worker_.faults.never_ready)) {
    co_return co_await self.takes(24h);
  }
  if (dice.chance(self.worker_.faults.dies_at_start)) {
    if (dice.chance(50)) {
      self.was_told_to_end_ = true;  // it says itself why
      self.worker_.fleet->start_failed(
          self.id_, {model::OutcomeKind::failure, {"it cannot start", "text/plain"}, nullptr});
    }
    sandbox::ExitStatus status;
    status.code = 1;
    self.die(status);
    co_return ok();
  }
  if (self.origin_.program == Program::serves) {
    self.is_ready_ = true;
    if (self.origin_.is_trial) {
      self.worker_.judge.trial_is_ready(self.origin_.written.id);
    }
    self.changed_.notify_all();
    co_return ok();
  }
  if (self.origin_.is_for_snapshot && !dice.chance(self.worker_.faults.misses_point)) {
    co_return co_await self.stays_at_its_point();
  }
  self.tasks_.start("heartbeat", hears_cancels(self));
  const Result<void> polled = co_await polls(self);
  if (!self.has_ended_) {
    // The server has no more for it, or knows it no longer: what it runs it brings to its end.
    while (!self.works_.empty()) {
      THAW_CO_TRY([[maybe_unused]] const bool n, co_await self.changed_.wait(Instant::max()));
    }
    const bool hangs = dice.chance(self.worker_.faults.hangs_at_end);
    (void)co_await self.takes(hangs ? Duration(24h) : dice.about(1ms, 3s));
    self.die({});
  }
  co_return polled;
}

async::Task<void> SimContainer::polls(SimContainer& self) {
  Dice& dice = self.worker_.dice;
  while (!self.has_ended_) {
    const auto spec = self.worker_.fleet->spec_of(self.id_);
    if (!spec) {
      co_return ok();
    }
    const model::Scaling scaling = (*spec)->scaling;
    const auto slots = static_cast<std::size_t>(std::max(1, scaling.max_concurrent_inputs));
    if (self.works_.size() >= slots) {
      THAW_CO_TRY([[maybe_unused]] const bool n, co_await self.changed_.wait(Instant::max()));
      continue;
    }
    control::PollOptions options;
    options.max = scaling.batch_max_size > 0 ? slots - self.works_.size() : std::size_t{1};
    options.linger = scaling.batch_linger;
    options.hold_until = monotonic_now() + 20s;
    self.proves_well();
    ++self.polls_open_;
    Result<control::Poll> poll = Error::unavailable("the connection was lost");
    if (dice.chance(self.worker_.faults.connection_lost)) {
      // It breaks while nothing is told: what was leased by then is the next poll's.
      async::TaskGroup broken(self.worker_.loop);
      const auto asks = [](SimContainer& to, control::PollOptions how,
                           Result<control::Poll>& answer) -> async::Task<void> {
        answer = co_await to.worker_.fleet->next_inputs(to.id_, how);
        co_return ok();
      };
      auto asking = broken.start("a poll that breaks", asks(self, options, poll));
      (void)co_await broken.join(monotonic_now() + dice.about(1ms, 10s));
      asking.cancel();
      (void)co_await broken.stop();
      --self.polls_open_;
      if (self.has_ended_) {
        co_return Error::cancelled("the container ends");
      }
      if (!poll && poll.error().code() != Code::not_found) {
        continue;
      }
    } else {
      poll = co_await self.worker_.fleet->next_inputs(self.id_, options);
      --self.polls_open_;
    }
    if (!poll) {
      co_return poll.error();
    }
    if (self.origin_.is_for_snapshot && !poll->inputs.empty()) {
      self.worker_.judge.blame(self.id_.str() + " is in the background and gets inputs");
    }
    if (!poll->inputs.empty() && self.stands_by()) {
      self.worker_.judge.blame(self.id_.str() + " stands by and gets inputs");
    }
    if (self.is_frozen_ && !poll->inputs.empty()) {
      self.worker_.judge.blame("inputs are told to the frozen " + self.id_.str());
    }
    if (dice.chance(self.worker_.faults.dies)) {
      sandbox::ExitStatus status;
      status.code = 137;
      status.signal = SIGKILL;
      status.killed_as_a_whole = true;
      self.die(status);
      co_return ok();
    }
    for (queue::LeasedInput& input : poll->inputs) {
      self.worker_.judge.begins(input.input.str(), input.attempt, self.id_.str(),
                                monotonic_now() + (*spec)->timeout);
      self.works_[input.input] = false;
      self.tasks_.start("work", works(self, std::move(input)));
    }
    if (poll->stop) {
      co_return ok();
    }
  }
  co_return ok();
}

async::Task<void> SimContainer::hears_cancels(SimContainer& self) {
  while (!self.has_ended_) {
    if (self.works_.empty()) {
      THAW_CO_TRY([[maybe_unused]] const bool n, co_await self.changed_.wait(Instant::max()));
      continue;
    }
    ++self.calls_open_;
    const auto cancels =
        co_await self.worker_.fleet->wait_for_cancels(self.id_, monotonic_now() + 15s);
    --self.calls_open_;
    if (!cancels) {
      co_return cancels.error();
    }
    for (const model::InputId& input : *cancels) {
      if (const auto work = self.works_.find(input); work != self.works_.end()) {
        work->second = true;
        self.worker_.judge.lets_go(input.str(), self.id_.str());
      }
    }
    self.changed_.notify_all();
    THAW_CO_TRY_VOID(co_await async::sleep_for(10ms));
  }
  co_return ok();
}

async::Task<void> SimContainer::finishes(queue::LeasedInput input, model::Outcome outcome) {
  Dice& dice = worker_.dice;
  while (!has_ended_) {
    ++calls_open_;
    const Result<void> told = co_await worker_.fleet->finish(id_, input.input, outcome);
    --calls_open_;
    if (told && !dice.chance(worker_.faults.connection_lost)) {
      co_return ok();
    }
    if (!told &&
        (told.error().code() == Code::not_found || told.error().code() == Code::cancelled)) {
      co_return told;
    }
    // Its answer was lost, or the disk is full: it is told again.
    THAW_CO_TRY_VOID(co_await async::sleep_for(dice.about(10ms, 5s)));
  }
  co_return ok();
}

async::Task<void> SimContainer::works(SimContainer& self, queue::LeasedInput input) {
  THAW_CO_TRY(model::Outcome outcome, co_await self.carries_out(input));
  (void)co_await self.finishes(input, std::move(outcome));
  self.works_.erase(input.input);
  self.changed_.notify_all();
  co_return ok();
}

async::Task<model::Outcome> SimContainer::carries_out(const queue::LeasedInput& input) {
  SimContainer& self = *this;
  Dice& dice = self.worker_.dice;
  const WorkOrder order = WorkOrder::of(input.payload.bytes);
  const auto is_left = [&self, id = input.input] {
    const auto work = self.works_.find(id);
    return work == self.works_.end() || work->second;
  };
  const Error unheard = Error::cancelled("the container ends");
  const Instant until = monotonic_now() + (order.deed == Deed::hangs ? Duration(24h) : order.time);
  int pieces = order.deed == Deed::speaks && origin_.program == Program::pulls ? 3 : 0;
  while (!is_left() && monotonic_now() < until) {
    if (self.is_frozen_) {
      self.worker_.judge.blame(self.id_.str() + " is frozen while it works");
      co_return unheard;
    }
    if (pieces > 0) {
      --pieces;
      model::LogEntry entry;
      entry.kind = model::LogEntry::Kind::chunk;
      entry.input = input.input;
      entry.container = self.id_;
      entry.payload.bytes = "piece";
      (void)co_await self.worker_.queue->append(input.call, std::move(entry));
    }
    const Instant next = pieces > 0 ? monotonic_now() + order.time / 4 : until;
    THAW_CO_TRY([[maybe_unused]] const bool n, co_await self.changed_.wait(std::min(next, until)));
  }
  if (self.has_ended_) {
    co_return unheard;
  }
  const bool is_first = input.attempt == 1;
  sandbox::ExitStatus death;
  death.code = 137;
  if (!is_left() &&
      (order.deed == Deed::crashes || (order.deed == Deed::crashes_once && is_first))) {
    death.code = 3;
    self.die(death);
    co_return unheard;
  }
  if (!is_left() && order.deed == Deed::eats_memory) {
    death.signal = SIGKILL;
    death.out_of_memory = true;
    self.die(death);
    co_return unheard;
  }
  if (!is_left() && dice.chance(self.worker_.faults.cut_off)) {
    self.worker_.judge.lets_go(input.input.str(), self.id_.str());
    if (origin_.program == Program::serves) {
      co_return Error::unavailable("the server closed the connection");
    }
    self.is_cut_off_ = true;  // it goes on and on, and nobody hears of it
    THAW_CO_TRY_VOID(co_await self.takes(24h));
    co_return unheard;
  }
  self.worker_.judge.lets_go(input.input.str(), self.id_.str());
  model::Outcome outcome{model::OutcomeKind::success, {order.result()}};
  if (order.deed == Deed::fails || (order.deed == Deed::fails_once && is_first)) {
    outcome = {model::OutcomeKind::failure, {"it raised"}};
  }
  if (is_left()) {
    outcome = {model::OutcomeKind::failure, {"it was told to leave it"}};
  }
  co_return outcome;
}

async::Task<void> SimContainer::until_ready() {
  while (!is_ready_ && !has_ended_) {
    THAW_CO_TRY([[maybe_unused]] const bool n, co_await changed_.wait(Instant::max()));
  }
  co_return has_ended_ ? Result<void>(Error::unavailable("it has ended")) : ok();
}

async::Task<void> SimContainer::check_health() {
  if (is_frozen_) {
    worker_.judge.blame("the frozen " + id_.str() + " is asked for its health");
  }
  THAW_CO_TRY_VOID(co_await async::sleep_for(worker_.dice.about(1ms, 1s)));
  co_return worker_.dice.chance(worker_.faults.unwell)
      ? Result<void>(Error::unavailable("it is not well"))
      : ok();
}

async::Task<codec::HttpResponseMessage> SimContainer::ask(codec::HttpRequestMessage request,
                                                          std::size_t, Instant) {
  const auto header = [&request](const char* name) {
    for (const auto& [key, value] : request.headers) {
      if (key == name) {
        return value;
      }
    }
    return std::string();
  };
  const auto spec = worker_.fleet->spec_of(id_);
  if (has_ended_ || !spec) {
    co_return Error::unavailable("nobody listens there");
  }
  if (is_frozen_) {
    worker_.judge.blame("the frozen " + id_.str() + " is asked something");
  }
  if (request.target == restored_path) {
    if (!is_restored()) {
      worker_.judge.blame(id_.str() + " was booted and is told that it was restored");
    }
    was_told_of_restore_ = true;
    codec::HttpResponseMessage answer;
    answer.status = worker_.dice.chance(worker_.faults.unwell) ? 500 : 200;
    co_return answer;
  }
  if (is_restored() && !(*spec)->push->restored_path.empty() && !was_told_of_restore_) {
    worker_.judge.blame(id_.str() + " was restored, and is asked before it is told so");
  }
  if (worker_.dice.chance(worker_.faults.dies)) {
    sandbox::ExitStatus status;
    status.code = 139;
    status.signal = SIGSEGV;
    die(status);
    co_return Error::unavailable("the server closed the connection");
  }
  queue::LeasedInput input;
  input.call = model::CallId(header("thaw-call-id"));
  input.input = model::InputId(header("thaw-input-id"));
  input.attempt = std::stoi(header("thaw-attempt"));
  input.payload.bytes = std::move(request.body);
  worker_.judge.begins(input.input.str(), input.attempt, id_.str(),
                       monotonic_now() + (*spec)->timeout);
  works_[input.input] = false;
  const Result<model::Outcome> outcome = co_await carries_out(input);
  worker_.judge.lets_go(input.input.str(), id_.str());
  works_.erase(input.input);
  if (has_ended_) {
    co_return Error::unavailable("the server closed the connection");
  }
  if (!outcome) {
    co_return outcome.error();
  }
  proves_well();
  codec::HttpResponseMessage answer;
  answer.status = outcome->kind == model::OutcomeKind::success ? 200 : 500;
  answer.body = outcome->payload.bytes;
  co_return answer;
}

async::Task<Written> SimWorker::restore(const model::ContainerId& id, const std::string& owner,
                                        snapshot::SnapshotPtr from) {
  const std::string images = from->images();
  auto found = read_written(images);
  if (!found) {
    judge.blame(id.str() + " is to be restored from " + images +
                ", which is not whole: " + found.error().to_string());
    co_return found.error();
  }
  judge.is_restored(found->id, owner, id.str());
  const bool is_slow = dice.chance(faults.restore_is_slow);
  THAW_CO_TRY_VOID(co_await async::sleep_for(is_slow ? dice.about(1s, 1min) : dice.about(1ms, 1s)));
  if (is_off) {
    co_return Error::unavailable("the server was killed");
  }
  if (const auto now = read_written(images); !now || now->id != found->id) {
    judge.blame("the files of " + found->id + " went while " + id.str() +
                " was restored from them");
  }
  if (dice.chance(faults.restore_is_hindered)) {
    co_return Error::resource_exhausted("there is no memory to restore it");
  }
  if (found->flaw == Written::Flaw::does_not_restore || dice.chance(faults.restore_fails)) {
    co_return Error::failed_precondition("it does not restore");
  }
  ++restores;
  co_return found;
}

// What the machine could not do says nothing of the snapshot: it is there still a moment later,
// unless something else befell it.
async::Task<void> SimWorker::look_after_hindrance(SimWorker& self, snapshot::SnapshotPtr from) {
  const std::uint64_t before = self.drops + self.real_failures;
  THAW_CO_TRY_VOID(co_await async::sleep_for(1us));
  if (!self.is_off && before == self.drops + self.real_failures &&
      !self.snapshots->contains(from->key)) {
    self.judge.blame("a snapshot was given up since the machine could not restore it: " +
                     from->key.function);
  }
  co_return ok();
}

async::Task<std::unique_ptr<worker::RunningContainer>> SimWorker::launch(worker::LaunchPlan given) {
  // As on its way to another machine.
  THAW_CO_TRY(const worker::LaunchPlan plan, worker::read_plan(worker::write_plan(given)));
  Origin origin;
  // A container lives from the first thing that is done for it; one that stands by lives from here.
  origin.ordered = monotonic_now();
  bool stands_by = false;
  for (const control::ContainerView& view : fleet->containers()) {
    stands_by |= view.id == plan.id && view.stands_by;
    if (view.id == plan.id && view.moments.launching != Instant{} && !view.stands_by) {
      origin.ordered = view.moments.launching;
    }
  }
  const bool may_boot =
      std::find(plan.levels.begin(), plan.levels.end(), model::Level::booted) != plan.levels.end();
  origin.is_for_snapshot = plan.purpose == worker::LaunchPlan::Purpose::snapshot;
  // A trial never boots, and is not in the ledger; what stands by is, and costs nothing.
  origin.is_metered = !origin.is_for_snapshot && (may_boot || stands_by);
  origin.is_trial = !may_boot && !stands_by && !origin.is_for_snapshot;
  origin.program = plan.push ? Program::serves : Program::pulls;
  if (plan.not_restored) {
    origin.fallbacks.push_back(*plan.not_restored);
  }
  const auto spec = fleet->spec_of(plan.id);
  if (!spec || (*spec)->id.str() != plan.function) {
    judge.blame("the plan of " + plan.id.str() + " is another function's");
  } else {
    origin.owner = owner_of(**spec);
  }
  const bool is_first = !plan.levels.empty() && plan.levels.front() == model::Level::restored;
  if (is_first && !plan.restore.empty()) {
    const Result<snapshot::SnapshotPtr> from = snapshots->open(plan.restore);
    if (const auto chosen =
            from ? read_written((*from)->images()) : Result<Written>(from.error())) {
      // Programs that say when they are to be written need no trial.
      judge.is_chosen(
          chosen->id, plan.id.str(),
          origin.is_trial || !plan.push ? Judge::Chosen::for_trial : Judge::Chosen::for_others);
    }
  }
  const Result<void> slept = co_await async::sleep_for(dice.about(2ms, 2s));
  Result<void> outcome = slept;
  if (slept && is_off) {
    outcome = Error::unavailable("the server was killed");
  } else if (slept && dice.chance(faults.start_fails)) {
    outcome = dice.chance(50) ? Error::resource_exhausted("no more processes can be started")
                              : Error::invalid_argument("its working directory does not exist");
  }
  Error why = Error::failed_precondition("there is nothing that it could be started from");
  if (outcome && origin.is_for_snapshot) {
    const Result<std::string> staging = snapshots->staging_of(plan.staging);
    outcome = staging ? ok() : Result<void>(staging.error());
    origin.images = staging.value_or("") + "/images";
  }
  if (outcome && is_first && !plan.restore.empty() && plan.snapshot_point) {
    const Result<snapshot::SnapshotPtr> from = snapshots->open(plan.restore);
    if (!from) {
      judge.blame("what " + plan.id.str() + " is to be restored from: " + from.error().message());
      co_return from.error();
    }
    const Result<Written> restored_one = co_await restore(plan.id, origin.owner, *from);
    if (restored_one) {
      origin.level = model::Level::restored;
      origin.written = *restored_one;
      origin.restored_from = *from;
    } else if (restored_one.error().code() == Code::cancelled || is_off) {
      outcome = restored_one.error();
    } else {
      const bool is_of_it = worker::is_of_snapshot(restored_one.error());
      const auto found = read_written((*from)->images());
      if (found && is_of_it) {
        ++real_failures;
        judge.restore_fails(found->id, monotonic_now(), Judge::Failure::some);
      } else if (!is_of_it) {
        why = Error::unavailable("it could not be restored now");
      }
      if (!is_of_it && snapshots->contains((*from)->key)) {
        hindrances.start("a hindered restore", look_after_hindrance(*this, *from));
      }
      origin.fallbacks.push_back(
          {model::Level::restored, "restore_failed", restored_one.error().to_string(),
           is_of_it ? worker::Fallback::Tried::failed : worker::Fallback::Tried::in_vain});
    }
  }
  if (outcome && !may_boot && origin.level == model::Level::booted) {
    outcome = std::move(why);
  }
  if (!outcome) {
    lived += origin.is_metered ? monotonic_now() - origin.ordered : Duration::zero();
    co_return outcome.error();
  }
  ++started;
  judge.starts(plan.id.str(), most);
  co_return std::unique_ptr<worker::RunningContainer>(
      std::make_unique<SimContainer>(*this, plan.id, std::move(origin)));
}

}  // namespace thaw::sim
