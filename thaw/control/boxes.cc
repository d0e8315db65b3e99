// SPDX-License-Identifier: Apache-2.0
// The life of a box is one task (run): plan, launch, its program, until something ends it; then it
// is removed and its end is stored. Everybody else only asks for an end and waits for `changed`.
#include "thaw/control/boxes.h"

#include <algorithm>
#include <csignal>
#include <utility>

#include "thaw/async/every.h"
#include "thaw/base/log.h"
#include "thaw/codec/utf8.h"
#include "thaw/control/disk_watch.h"
#include "thaw/control/kept_boxes.h"

namespace thaw::control {

namespace {

constexpr Duration tick_period = 100ms;
constexpr Duration forget_period = 60s;
constexpr Duration settle_period = 2s;
// In which what a program printed last is read of its pipes, after it has ended.
constexpr Duration last_words = 5s;
// One look at whether a box is ready.
constexpr Duration longest_look = 60s;
constexpr Duration least_pause = 50ms;  // between two of them
// However many boxes its workspace has.
constexpr std::size_t least_kept_processes = 32;

std::string number(std::size_t value) { return std::to_string(value); }

// Errors may have bytes of programs and images in them; a record that cannot be read again is not
// stored.
std::string for_record(std::string why) {
  why = codec::valid_utf8(std::move(why));
  why.resize(codec::cut_utf8(why, model::Box::longest_why));
  return why;
}

Error has_ended(const Box& box) {
  return Error::not_found("sandbox " + box.record.id.str() + " has ended" +
                          (box.record.why.empty() ? "" : ": " + box.record.why));
}

}  // namespace

Boxes::Boxes(BoxesParts parts, BoxLimits limits)
    : parts_(std::move(parts)),
      limits_(limits),
      output_(std::make_shared<OutputShares>(limits.output)),
      processes_(parts_.loop),
      lives_(parts_.loop),
      loops_(parts_.loop) {}

void Boxes::start() {
  loops_.start("boxes", async::every(tick_period, "boxes", [this] { return tick(); }));
}

// A record that runs and has no box is one of a server that is gone: its container went with it. A
// disk that does not take its end now is asked again.
async::Task<void> Boxes::settle_left_overs() {
  has_left_overs_ = false;
  Result<void> outcome;
  std::vector<model::Box> left;
  // all workspaces: whoever had them
  for (const auto& [id, box] : parts_.catalog.boxes.all()) {
    if (!box->has_ended() && !boxes_.contains(box->id)) {
      left.push_back(*box);
    }
  }
  for (model::Box& box : left) {
    // One that cannot be written keeps none of the others.
    const auto stored = co_await parts_.catalog.boxes.put(ended_without_server(std::move(box)));
    if (!stored) {
      has_left_overs_ = true;
      outcome = stored.error();
    }
  }
  co_return outcome;
}

model::Box Boxes::ended_without_server(model::Box box) const {
  const bool was_due = parts_.journals.are_kept() && was_due_without_server(box);
  return was_due ? timed_out_without_server(std::move(box)) : ended_with_server(std::move(box));
}

model::Box Boxes::ended_with_server(model::Box box) {
  box.end = model::BoxEnd::server_gone;
  box.exit_code = 128 + SIGKILL;
  box.ended_at = wall_now();
  box.ports.clear();
  box.reached_from.clear();
  box.why = "the server that it ran on ended, and the container with it";
  return box;
}

async::Task<void> Boxes::shut_down() {
  is_shutting_down_ = true;
  THAW_CO_TRY_VOID(co_await loops_.stop());
  for (const auto& [id, box] : boxes_) {
    ask_to_end(*box, model::BoxEnd::server_gone, "the server was stopped");
  }
  THAW_CO_TRY([[maybe_unused]] const bool all, co_await lives_.join(monotonic_now() + 30s));
  THAW_CO_TRY_VOID(co_await lives_.stop());
  co_return co_await processes_.stop();
}

BoxPtr Boxes::find(const model::BoxId& id) const {
  const auto found = boxes_.find(id);
  return found == boxes_.end() ? nullptr : found->second;
}

BoxPtr Boxes::find(const model::ContainerId& id) const {
  const auto found = by_container_.find(id);
  return found == by_container_.end() ? nullptr : find(found->second);
}

BoxProcessPtr Boxes::find_process(const Box& box, const std::string& id) {
  const auto found = box.processes.find(id);
  return found == box.processes.end() ? nullptr : found->second;
}

Result<std::string> Boxes::address_of(const model::ContainerId& id) const {
  const BoxPtr box = find(id);
  if (!box || box->record.has_ended() || box->wanted != model::BoxEnd::none) {
    return Error::not_found("container " + id.str() + " has ended");
  }
  if (box->spec.network == model::NetworkAccess::blocked) {
    return Error::failed_precondition("sandbox " + box->record.id.str() +
                                      " has no network: it was made with its network blocked");
  }
  if (!box->running) {
    return Error::unavailable("sandbox " + box->record.id.str() + " has not started yet");
  }
  if (box->running->address().empty()) {
    return Error::failed_precondition("sandbox " + box->record.id.str() + " has no network");
  }
  return box->running->address();
}

std::vector<BoxPtr> Boxes::living() const {
  std::vector<BoxPtr> found;
  for (const auto& [id, box] : boxes_) {
    if (!box->record.has_ended()) {
      found.push_back(box);
    }
  }
  return found;
}

Result<void> Boxes::admit(const BoxSpec& spec) const {
  if (is_shutting_down_) {
    return Error::unavailable("the server is stopping");
  }
  if (spec.record.time_limit <= Duration::zero() || spec.record.time_limit > limits_.longest) {
    return Error::invalid_argument("the timeout of a sandbox is between a second and 7 days");
  }
  std::size_t of_all = 0;
  std::size_t of_workspace = 0;
  for (const auto& [id, box] : boxes_) {
    if (box->record.has_ended()) {
      continue;
    }
    ++of_all;
    of_workspace += box->record.workspace == spec.record.workspace ? 1 : 0;
    if (!spec.record.name.empty() && box->record.app == spec.record.app &&
        box->record.name == spec.record.name) {
      return Error::already_exists("a sandbox named '" + spec.record.name +
                                   "' runs in this app already");
    }
  }
  if (of_workspace >= std::max<std::size_t>(1, limits_.boxes / 2)) {
    return Error::resource_exhausted("this workspace has " + number(of_workspace) +
                                     " sandboxes, half of [containers] max_boxes; end some");
  }
  if (of_all >= limits_.boxes) {
    return Error::resource_exhausted("this server has " + number(of_all) +
                                     " sandboxes, as many as [containers] max_boxes allows");
  }
  return ok();
}

async::Task<BoxPtr> Boxes::create(BoxSpec spec) {
  THAW_CO_TRY_VOID(admit(spec));
  const auto box = std::make_shared<Box>();
  box->record = spec.record;
  box->record.created_at = wall_now();
  box->created = box->last_use = monotonic_now();
  box->main = std::make_shared<BoxProcess>(
      output_, spec.record.workspace,
      BoxProcess::Keeps{KeptOutput::Loses::oldest, KeptOutput::Loses::oldest});
  box->spec = std::move(spec);
  // From now on its place and its name are taken.
  boxes_[box->record.id] = box;
  by_container_[box->record.container] = box->record.id;
  if (auto stored = co_await parts_.catalog.boxes.put(box->record); !stored) {
    by_container_.erase(box->record.container);
    boxes_.erase(box->record.id);
    has_left_overs_ = true;  // whether the disk has it all the same is not known
    co_return stored.error();
  }
  ++counters_.created;
  lives_.start("a box", run(*this, box));
  co_return box;
}

async::Task<void> Boxes::run(Boxes& self, BoxPtr box) {
  const Result<void> launched = co_await self.launch(box);
  if (launched) {
    co_return co_await look_after(self, box);
  }
  co_return co_await self.finish(box, launched);
}

async::Task<void> Boxes::look_after(Boxes& self, BoxPtr box) {
  while (box->wanted == model::BoxEnd::none && !box->main->end()) {
    // The end of its program; or somebody asks for its end, which is told there too.
    THAW_CO_TRY([[maybe_unused]] const bool notified,
                co_await box->changed.wait(monotonic_now() + 10s));
  }
  co_return co_await self.finish(box, ok());
}

async::Task<worker::LaunchPlan> Boxes::plan_for(BoxPtr box) {
  const BoxSpec& spec = box->spec;
  worker::LaunchPlan plan;
  plan.id = box->record.container;
  plan.log_stream = box->record.app.str();
  plan.workspace = box->record.workspace.str();
  plan.wants_socket = false;
  plan.guests = sandbox::SandboxSpec::Guests::possible;
  plan.levels = {model::Level::booted};
  THAW_CO_TRY(const image::ImageConfig config, parts_.outline.add_image(box->record.image, plan));
  THAW_CO_TRY_VOID(parts_.outline.add_environment(spec.environment, plan.env));
  plan.binds = spec.binds;
  THAW_CO_TRY_VOID(co_await parts_.outline.add_mounts(spec.mounts, plan));
  THAW_CO_TRY_VOID(co_await parts_.outline.add_volumes(spec.volumes, plan));
  THAW_CO_TRY_VOID(parts_.outline.add_buckets(spec.buckets, plan));
  plan.limits.memory_bytes =
      spec.resources.memory_limit_bytes != 0
          ? spec.resources.memory_limit_bytes
          : std::max(limits_.default_memory_bytes, spec.resources.memory_bytes);
  plan.limits.cpu_millis = spec.resources.cpu_limit_millis;
  if (spec.network == model::NetworkAccess::blocked) {
    plan.network = sandbox::SandboxSpec::Network::none;
  }
  plan.reaches = spec.reaches;
  plan.cwd = !spec.cwd.empty() ? spec.cwd : plan.cwd.empty() ? "/" : plan.cwd;
  plan.user = config.user;
  plan.users = config.user.empty() ? worker::InsideUsers::root : worker::InsideUsers::all;
  box->env = plan.env;
  box->user = config.user;
  box->cwd = plan.cwd;
  if (box->spec.arguments.empty()) {
    box->spec.arguments = config.cmd;
  }
  box->spec.arguments.insert(box->spec.arguments.begin(), config.entrypoint.begin(),
                             config.entrypoint.end());
  if (box->spec.arguments.empty()) {
    co_return Error::failed_precondition(
        "neither the sandbox nor its image says what to run; pass a command, or give the image's "
        "Dockerfile a CMD");
  }
  co_return plan;
}

async::Task<void> Boxes::launch(BoxPtr box) {
  THAW_CO_TRY(worker::LaunchPlan plan, co_await plan_for(box));
  THAW_CO_TRY(auto running, co_await parts_.worker.launch(std::move(plan)));
  box->running = std::move(running);
  if (box->wanted != model::BoxEnd::none) {
    co_return ok();
  }
  sandbox::ProcessSpec program;
  program.argv = box->spec.arguments;
  program.env = box->env;
  program.cwd = box->cwd;
  program.user = box->user;
  program.terminal = box->spec.terminal;
  program.note = prepare_to_keep(*box, *box->main, ProcessNote::of_program());
  THAW_CO_TRY(auto process, co_await box->running->run(std::move(program)));
  tell_of_end(box);
  BoxProcess::begin(box->main, std::move(process), processes_);
  box->end_at = monotonic_now() + box->record.time_limit;
  // Its maker hears that it runs when it no longer needs this server for it.
  THAW_CO_TRY_VOID(co_await keep(box));
  box->last_use = monotonic_now();
  box->record.started_at = wall_now();
  box->changed.notify_all();
  if (box->spec.probe) {
    processes_.start("a box's probe", probe(*this, box));
  }
  // That it has started is no promise to anybody, so that nobody waits for the disk.
  (void)co_await parts_.catalog.boxes.put(box->record);
  co_return ok();
}

async::Task<void> Boxes::finish(BoxPtr box, Result<void> launched) {
  model::Box& record = box->record;
  const std::optional<sandbox::ProcessEnd> end = box->main->end();
  sandbox::ExitStatus status;
  if (box->running) {
    if (auto removed = co_await box->running->remove(); !removed) {
      log_warning("a box is not removed wholly",
                  {{"box", record.id.str()}, {"error", removed.error().to_string()}});
    }
    if (auto ended = co_await box->running->wait()) {
      status = *ended;
    }
    // What is in the pipes is read; then nothing more comes.
    const Instant patience = monotonic_now() + last_words;
    while (!(box->main->out().has_ended() && box->main->error().has_ended()) &&
           monotonic_now() < patience && box->main->has_started()) {
      THAW_CO_TRY_VOID(co_await async::sleep_for(1ms));
    }
    box->running.reset();
  }
  if (box->wanted != model::BoxEnd::none) {
    record.end = box->wanted;
    record.why = box->why;
    record.exit_code = 128 + SIGKILL;
  } else if (!launched) {
    record.end = model::BoxEnd::start_failed;
    record.why = launched.error().message();
    record.exit_code = 128;
    ++counters_.failed;
  } else if (!end || end->with_sandbox) {
    record.end = model::BoxEnd::server_gone;
    record.why = status.ended_with_spawner
                     ? "the container ended with the process that starts containers"
                     : "the container was killed from outside";
    record.exit_code = 128 + SIGKILL;
  } else if (end->signal == SIGKILL && status.out_of_memory) {
    record.end = model::BoxEnd::out_of_memory;
    record.why = "the container exceeded its memory limit and was killed";
    record.exit_code = end->code;
  } else {
    record.end = model::BoxEnd::exited;
    record.exit_code = end->code;
  }
  record.why = for_record(std::move(record.why));
  record.ended_at = wall_now();
  record.ports.clear();
  record.reached_from.clear();
  box->ended = monotonic_now();
  box->store_at = box->ended + settle_period;
  box->main->end_with_box();
  box->main->release();
  for (const auto& [id, process] : box->processes) {
    process->end_with_box();
    process->release();
  }
  box->active.clear();
  box->fading.clear();
  remove_journals(*box);
  forget_processes(*box);
  // What only a start needs is not kept with what it printed.
  box->spec = {};
  box->env.clear();
  THAW_CO_TRY_VOID(co_await store(*this, box));
  box->changed.notify_all();
  co_return ok();
}

// Until the disk has it, tick() tries again.
async::Task<void> Boxes::store(Boxes& self, BoxPtr box) {
  const Result<void> stored = co_await self.parts_.catalog.boxes.put(box->record);
  box->is_stored = stored.has_value();
  co_return ok();
}

void Boxes::ask_to_end(Box& box, model::BoxEnd how, std::string why) {
  if (box.record.has_ended() || box.wanted != model::BoxEnd::none || box.main->end()) {
    return;
  }
  box.wanted = how;
  box.why = std::move(why);
  box.changed.notify_all();
}

async::Task<void> Boxes::terminate(BoxPtr box, model::BoxEnd how, std::string why) {
  ask_to_end(*box, how, std::move(why));
  THAW_CO_TRY([[maybe_unused]] const bool ended,
              co_await wait_for_end(std::move(box), Instant::max()));
  co_return ok();
}

async::Task<bool> Boxes::wait_for_end(BoxPtr box, Instant until) {
  while (!box->record.has_ended()) {
    THAW_CO_TRY(const bool notified, co_await box->changed.wait(until));
    if (!notified) {
      break;
    }
  }
  co_return box->record.has_ended();
}

async::Task<void> Boxes::wait_for_start(BoxPtr box, Instant until) {
  while (!box->has_started() && !box->record.has_ended()) {
    THAW_CO_TRY(const bool notified, co_await box->changed.wait(until));
    if (!notified) {
      co_return Error::deadline_exceeded("the sandbox has not started yet");
    }
  }
  co_return box->record.has_ended() ? Result<void>(has_ended(*box)) : ok();
}

async::Task<void> Boxes::set_tags(BoxPtr box, std::map<std::string, std::string> tags) {
  auto before = std::exchange(box->record.tags, std::move(tags));
  Result<void> stored = co_await parts_.catalog.boxes.put(box->record);
  if (!stored) {
    // With tags that are too much its end could not be stored either.
    box->record.tags = std::move(before);
  }
  co_return stored;
}

async::Task<bool> Boxes::is_ready(BoxPtr box, ReadyProbe probe) {
  if (probe.port != 0) {
    co_return box->running->has_listener(probe.port).value_or(false);
  }
  sandbox::ProcessSpec look;
  look.argv = std::move(probe.argv);
  look.env = box->env;
  look.cwd = box->cwd;
  look.user = box->user;
  THAW_CO_TRY(auto process, co_await box->running->run(std::move(look)));
  process->close_input();
  const auto looked = std::make_shared<BoxProcess>(
      output_, box->record.workspace,
      BoxProcess::Keeps{KeptOutput::Loses::all, KeptOutput::Loses::all});
  async::TaskGroup streams(parts_.loop);
  BoxProcess::begin(looked, std::move(process), streams);
  const auto ended = co_await looked->wait_for_end(monotonic_now() + longest_look);
  if (!ended) {
    co_await async::forget_cancellation();
  }
  const bool is_ready = ended.value_or(false) && looked->end() && looked->end()->code == 0;
  if (!looked->end()) {
    (void)co_await looked->signal(SIGKILL);
    (void)co_await looked->wait_for_end(monotonic_now() + 1s);
  }
  // What a look leaves behind does not keep its streams: each look would add to them.
  THAW_CO_TRY_VOID(co_await streams.stop());
  co_return ended ? Result<bool>(is_ready) : ended.error();
}

async::Task<void> Boxes::probe(Boxes& self, BoxPtr box) {
  // NOLINTNEXTLINE(bugprone-unchecked-optional-access): who starts this has looked
  const ReadyProbe probe = *box->spec.probe;
  while (box->running && !box->record.has_ended() && box->wanted == model::BoxEnd::none) {
    const Result<bool> ready = co_await self.is_ready(box, probe);
    if (ready && *ready) {
      box->ready_at = wall_now();
      box->changed.notify_all();
      break;
    }
    THAW_CO_TRY_VOID(co_await async::sleep_for(std::max(probe.pause, least_pause)));
  }
  co_return ok();
}

async::Task<WallTime> Boxes::wait_until_ready(BoxPtr box, Instant until) {
  if (!box->spec.probe && !box->record.has_ended()) {
    co_return Error::failed_precondition(
        "this sandbox has no readiness probe; pass one when it is created");
  }
  while (box->ready_at == WallTime{} && !box->record.has_ended()) {
    THAW_CO_TRY(const bool notified, co_await box->changed.wait(until));
    if (!notified) {
      co_return Error::deadline_exceeded("the sandbox is not ready yet");
    }
  }
  if (box->record.has_ended()) {
    co_return has_ended(*box);
  }
  co_return box->ready_at;
}

std::size_t Boxes::active_of(const model::WorkspaceId* workspace) const {
  std::size_t active = 0;
  for (const auto& [id, box] : boxes_) {
    if (workspace == nullptr || box->record.workspace == *workspace) {
      active += box->active.size();
    }
  }
  return active;
}

// Those that have ended begin to fade; those that did so a while ago have.
void Boxes::sort_processes(Box& box, Instant now) const {
  std::erase_if(box.active, [&](const BoxProcessPtr& process) {
    if (process->is_over()) {
      box.fading.emplace_back(now + limits_.reader_patience, process);
    }
    return process->is_over();
  });
  std::erase_if(box.fading, [now](const auto& one) {
    if (now >= one.first) {
      one.second->release();
    }
    return now >= one.first;
  });
}

Result<void> Boxes::admit_process(Box& box) const {
  const auto refuse = [](const std::string& who, std::size_t active) {
    return Error::resource_exhausted(
        who + " " + number(active) +
        " processes that were started and have not ended, or have left others behind that hold "
        "their output, as many as there may be");
  };
  sort_processes(box, monotonic_now());
  if (box.active.size() >= limits_.processes_of_box) {
    return refuse("this sandbox has", box.active.size());
  }
  if (const std::size_t own = active_of(&box.record.workspace); own >= limits_.processes / 2) {
    return refuse("all sandboxes of this workspace together have", own);
  }
  if (const std::size_t all = active_of(nullptr); all >= limits_.processes) {
    return refuse("this server's sandboxes have", all);
  }
  return ok();
}

// Those that ended first go first.
void Boxes::forget_processes(Box& box) const {
  const auto of_workspace =
      static_cast<std::size_t>(std::count_if(boxes_.begin(), boxes_.end(), [&](const auto& one) {
        return one.second->record.workspace == box.record.workspace;
      }));
  const std::size_t share = limits_.kept_of_workspace / std::max<std::size_t>(of_workspace, 1);
  const std::size_t most = std::min(limits_.kept_processes, std::max(share, least_kept_processes));
  const std::size_t ended = box.processes.size() - box.active.size();
  std::size_t surplus = ended > most ? ended - most : 0;
  for (auto id = box.order.begin(); surplus > 0 && id != box.order.end();) {
    const auto found = box.processes.find(*id);
    const BoxProcessPtr process = found->second;
    if (!process->is_over()) {
      ++id;
      continue;
    }
    --surplus;
    std::erase_if(box.fading, [&](const auto& one) { return one.second == process; });
    box.processes.erase(found);
    id = box.order.erase(id);
  }
}

async::Task<BoxProcessPtr> Boxes::start_process(BoxPtr box, GuestSpec spec) {
  if (const BoxProcessPtr known = find_process(*box, spec.id)) {
    THAW_CO_TRY([[maybe_unused]] const bool started,
                co_await known->wait_for_start(Instant::max()));
    if (known->failure()) {
      co_return *known->failure();
    }
    co_return known;
  }
  if (box->record.has_ended()) {
    co_return has_ended(*box);
  }
  THAW_CO_TRY_VOID(admit_process(*box));
  const auto process = std::make_shared<BoxProcess>(output_, box->record.workspace, spec.keeps);
  box->processes[spec.id] = process;
  box->order.push_back(spec.id);
  box->active.push_back(process);
  forget_processes(*box);
  ++counters_.processes;
  // A request that is broken off does not break off the start: it will be asked for again.
  processes_.start("a process", start_guest(*this, box, process, std::move(spec)));
  THAW_CO_TRY([[maybe_unused]] const bool started,
              co_await process->wait_for_start(Instant::max()));
  if (process->failure()) {
    co_return *process->failure();
  }
  co_return process;
}

async::Task<void> Boxes::start_guest(Boxes& self, BoxPtr box, BoxProcessPtr process,
                                     GuestSpec spec) {
  Result<void> begun = co_await self.wait_for_start(box, Instant::max());
  if (begun) {
    begun = co_await self.begin_guest(box, process, std::move(spec));
  }
  if (!begun && !process->has_started()) {
    process->fail(begun.error());
  }
  box->last_use = monotonic_now();
  co_return ok();
}

async::Task<void> Boxes::begin_guest(BoxPtr box, BoxProcessPtr process, GuestSpec spec) {
  sandbox::ProcessSpec program;
  program.argv = std::move(spec.argv);
  program.env = box->env;
  THAW_CO_TRY_VOID(parts_.outline.add_environment(spec.environment, program.env));
  program.cwd = spec.cwd.empty() ? box->cwd : spec.cwd;
  program.user = box->user;
  program.terminal = spec.terminal;
  if (!box->running) {
    co_return has_ended(*box);
  }
  const auto limit_from_now = [&spec] {
    return spec.time_limit > Duration::zero() ? monotonic_now() + spec.time_limit : Instant::max();
  };
  program.note = prepare_to_keep(*box, *process, {spec.id, spec.keeps, limit_from_now()});
  auto started = co_await box->running->run(std::move(program));
  if (!started) {
    const Code code = started.error().code();
    // What is not there is the program, not the container.
    const bool is_programs = code == Code::not_found || code == Code::permission_denied;
    co_return is_programs ? Error::invalid_argument(started.error().message()) : started.error();
  }
  if (box->record.has_ended()) {
    co_return has_ended(*box);
  }
  BoxProcess::begin(process, std::move(*started), processes_);
  // Its time is counted from its start: clients count too, and are to be the first who see its end.
  process->kill_at = limit_from_now();
  co_return ok();
}

void Boxes::look_at(Box& box, Instant now) {
  if (now >= box.end_at) {
    ask_to_end(box, model::BoxEnd::timed_out,
               "the sandbox reached its timeout of " +
                   number(static_cast<std::size_t>(to_seconds(box.record.time_limit))) + " s");
  }
  bool is_used = !box.has_started() || box.visits > 0;
  sort_processes(box, now);
  for (const BoxProcessPtr& process : box.active) {
    const bool runs = process->has_started() && !process->end();
    is_used = is_used || runs;
    if (runs && now >= process->kill_at && !std::exchange(process->was_killed, true)) {
      processes_.start("a process's time limit", process->signal(SIGKILL));
    }
  }
  box.last_use = is_used ? now : box.last_use;
  if (box.record.idle_limit > Duration::zero() && now >= box.last_use + box.record.idle_limit) {
    ask_to_end(box, model::BoxEnd::idle, "nothing had used the sandbox for its idle timeout");
  }
  // all workspaces: the box's own
  const auto app = parts_.catalog.apps.find(box.record.app.str());
  if (!app || app->state == model::AppState::stopped) {
    ask_to_end(box, model::BoxEnd::terminated, "its app was stopped");
  }
}

// Waits for nothing: whatever the disk does, time limits hold.
async::Task<void> Boxes::tick() {
  const Instant now = monotonic_now();
  if (has_left_overs_ && !settling_.running() && now >= last_settling_ + settle_period) {
    last_settling_ = now;
    settling_ = processes_.start("boxes of before", settle_left_overs());
  }
  std::vector<BoxPtr> all;
  for (const auto& [id, box] : boxes_) {
    all.push_back(box);
  }
  for (const BoxPtr& box : all) {
    if (!box->record.has_ended()) {
      look_at(*box, now);
    } else if (!box->is_stored && !box->storing.running() && now >= box->store_at) {
      box->store_at = now + settle_period;
      box->storing = processes_.start("a box's end", store(*this, box));
    }
  }
  forget_ended(now);
  if (!forgetting_.running() && now >= last_forget_ + forget_period) {
    last_forget_ = now;
    forgetting_ = processes_.start("old boxes", forget_old());
  }
  co_return ok();
}

// With what they printed: those that ended first go first.
void Boxes::forget_ended(Instant now) {
  std::map<model::WorkspaceId, std::vector<BoxPtr>> ended;
  for (const auto& [id, box] : boxes_) {
    if (box->record.has_ended() && box->is_stored) {
      ended[box->record.workspace].push_back(box);
    }
  }
  for (auto& [workspace, boxes] : ended) {
    std::sort(boxes.begin(), boxes.end(),
              [](const BoxPtr& a, const BoxPtr& b) { return a->ended < b->ended; });
    const std::size_t surplus =
        boxes.size() > limits_.kept_boxes ? boxes.size() - limits_.kept_boxes : 0;
    for (std::size_t i = 0; i < boxes.size(); ++i) {
      if (i < surplus || now >= boxes[i]->ended + limits_.keep_output) {
        by_container_.erase(boxes[i]->record.container);
        boxes_.erase(boxes[i]->record.id);
      }
    }
  }
}

async::Task<void> Boxes::forget_old() {
  const WallTime old =
      wall_now() - std::chrono::duration_cast<std::chrono::microseconds>(limits_.keep_ended);
  std::map<model::WorkspaceId, std::vector<std::pair<WallTime, std::string>>> ended;
  // all workspaces: what is old of any
  for (const auto& [id, box] : parts_.catalog.boxes.all()) {
    if (box->has_ended() && !boxes_.contains(box->id)) {
      ended[box->workspace].emplace_back(box->ended_at, id);
    }
  }
  catalog::Change change;
  bool is_any = false;
  for (auto& [workspace, boxes] : ended) {
    std::sort(boxes.begin(), boxes.end());
    const std::size_t surplus =
        boxes.size() > limits_.kept_ended ? boxes.size() - limits_.kept_ended : 0;
    for (std::size_t i = 0; i < boxes.size(); ++i) {
      if (i < surplus || boxes[i].first < old) {
        change.erase(parts_.catalog.boxes, boxes[i].second);
        is_any = true;
      }
    }
  }
  co_return is_any ? co_await parts_.catalog.apply(std::move(change)) : ok();
}

async::Task<std::string> Boxes::snapshot(BoxPtr box, std::string id) {
  if (!box->snapshots.contains(id)) {
    THAW_CO_TRY_VOID(co_await wait_for_start(box, Instant::max()));
    if (!box->snapshots.contains(id) && box->snapshots.size() >= limits_.snapshots) {
      co_return Error::resource_exhausted("this sandbox has been written to an image " +
                                          number(limits_.snapshots) + " times, as often as it may");
    }
    if (box->snapshots.emplace(id, std::nullopt).second) {
      // A request that is broken off leaves no box that stands still.
      processes_.start("a box's snapshot", make_snapshot(*this, box, id));
    }
  }
  box->last_use = monotonic_now();
  while (true) {
    const auto found = box->snapshots.find(id);
    if (found == box->snapshots.end()) {
      co_return Error::unavailable("the snapshot of this sandbox failed; try again");
    }
    if (found->second) {
      co_return *found->second;
    }
    THAW_CO_TRY([[maybe_unused]] const bool notified, co_await box->changed.wait(Instant::max()));
  }
}

async::Task<void> Boxes::make_snapshot(Boxes& self, BoxPtr box, std::string id) {
  Result<std::string> made = co_await self.copy_root(box);
  if (made) {
    box->snapshots[id] = std::move(made);
  } else {
    // Whoever waits is told; who asks again may have more luck.
    box->snapshots[id] = made;
    box->changed.notify_all();
    THAW_CO_TRY_VOID(co_await async::sleep_for(1s));
    box->snapshots.erase(id);
  }
  box->changed.notify_all();
  co_return ok();
}

// One after the other: the first to be done would let the box go on while others copy.
async::Task<std::string> Boxes::copy_root(BoxPtr box) {
  while (box->is_copied) {
    THAW_CO_TRY([[maybe_unused]] const bool notified, co_await box->changed.wait(Instant::max()));
  }
  box->is_copied = true;
  Result<std::string> made = co_await copy_root_now(box);
  box->is_copied = false;
  box->changed.notify_all();
  co_return made;
}

async::Task<std::string> Boxes::copy_root_now(BoxPtr box) {
  const auto image = parts_.catalog.images.find(box->record.image.str());
  if (!image) {
    co_return Error::not_found("image " + box->record.image.str() + " does not exist");
  }
  if (!box->running) {
    co_return has_ended(*box);
  }
  const std::string upper = box->running->root_writes();
  // Many processes may take more than a moment to stop.
  Result<void> frozen = co_await box->running->freeze();
  for (int tries = 0;
       !frozen && tries < 20 && box->running && frozen.error().code() == Code::deadline_exceeded;
       ++tries) {
    THAW_CO_TRY_VOID(co_await async::sleep_for(50ms));
    if (box->running) {
      frozen = co_await box->running->freeze();
    }
  }
  if (!frozen) {
    co_return frozen.error();
  }
  const std::string key = image->key;
  const auto made = co_await parts_.images.add_layer(key, upper, box->record.workspace.str());
  if (box->running) {
    (void)box->running->thaw();
  }
  if (!made) {
    co_return made.error();
  }
  co_return made->key;
}

std::vector<DiskUser> Boxes::disk_users() const {
  std::vector<DiskUser> users;
  for (const BoxPtr& box : living()) {
    if (box->running) {
      DiskUser user;
      user.container = box->record.container;
      user.workspace = box->record.workspace;
      user.asked_bytes = box->spec.resources.disk_bytes;
      user.writes_volumes = !box->spec.volumes.empty();
      users.push_back(std::move(user));
    }
  }
  return users;
}

std::optional<async::Task<worker::RootUse>> Boxes::measure_root(
    const model::ContainerId& id) const {
  const BoxPtr box = find(id);
  if (!box || !box->running) {
    return std::nullopt;
  }
  return box->running->measure_root();
}

bool Boxes::end_for(const model::ContainerId& id, const std::string& why) {
  const BoxPtr box = find(id);
  if (box) {
    ask_to_end(*box, model::BoxEnd::terminated, why);
  }
  return box != nullptr;
}

std::vector<model::MountId> Boxes::mounts_in_use() const {
  std::vector<model::MountId> used;
  for (const BoxPtr& box : living()) {
    used.insert(used.end(), box->spec.mounts.begin(), box->spec.mounts.end());
  }
  return used;
}

}  // namespace thaw::control
