// SPDX-License-Identifier: Apache-2.0
#include "thaw/worker/templates.h"

#include <algorithm>
#include <cctype>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "thaw/base/log.h"
#include "thaw/logs/log_hub.h"
#include "thaw/os/files.h"
#include "thaw/worker/worker.h"

namespace thaw::worker {

namespace fs = std::filesystem;

namespace {

constexpr Duration ready_patience = 60s;  // a machine under load, an image full of modules
constexpr Duration usual_making = 5s;     // after that, whoever waits for it does without
constexpr Duration unfit_time = 600s;
constexpr std::size_t max_remembered = 1000;
constexpr int max_failures = 3;
constexpr Duration spare_check = 10s;  // whether one has died
constexpr std::size_t max_modules = 2000;

std::string key_of(const ForkPlan& plan) {
  std::string key = plan.workspace;
  const auto add = [&key](std::string_view text) {
    key += '\0';
    key += text;
  };
  add(plan.kit);
  for (const std::string& layer : plan.layers) {
    add(layer);
  }
  for (const Bind& bind : plan.binds) {
    add(bind.source);
    add(bind.target);
  }
  std::vector<std::string> env = plan.env;
  std::sort(env.begin(), env.end());
  for (const std::string& entry : env) {
    add(entry);
  }
  for (const std::string& module : plan.modules) {
    add(module);
  }
  return key;
}

std::uint64_t available_memory() {
  std::ifstream in("/proc/meminfo");
  std::string name, unit;
  std::uint64_t kilobytes = 0;
  while (in >> name >> kilobytes) {
    std::getline(in, unit);
    if (name == "MemAvailable:") {
      return kilobytes << 10;
    }
  }
  return 0;
}

}  // namespace

class Templates::Entry {
 public:
  Entry(async::Loop& loop, std::string key_, ForkPlan plan_, std::uint64_t number)
      : key(std::move(key_)),
        plan(std::move(plan_)),
        id("tt-" + std::to_string(number)),
        pumps(loop) {}

  // What it prints goes nowhere, but its last words tell why it failed.
  static async::Task<void> drain(Entry& self, logs::Channel channel) {
    while (true) {
      sandbox::Sandbox& sandbox = self.running->sandbox();
      THAW_CO_TRY(const auto piece, channel == logs::Channel::out ? co_await sandbox.read_stdout()
                                                                  : co_await sandbox.read_stderr());
      if (!piece) {
        co_return ok();
      }
      if (channel == logs::Channel::err) {
        self.last_words += *piece;
        self.last_words.erase(
            0, self.last_words.size() - std::min<std::size_t>(self.last_words.size(), 600));
      }
    }
  }

  enum class State { starting, ready, retired };

  std::string key;
  ForkPlan plan;
  model::ContainerId id;
  State state = State::starting;
  Instant used = monotonic_now();
  Instant hastened{};  // since when many wait for it
  int failures = 0;    // in a row
  std::unique_ptr<sandbox::Template> running;
  std::string last_words;
  std::string importing;  // until it is ready
  async::Event changed;
  async::Event forked;
  async::TaskGroup pumps;
};

Templates::Templates(async::Loop& loop, sandbox::Spawner& spawner, const Kits& kits,
                     const Sources& sources, std::string run_folder, TemplateSettings settings)
    : loop_(loop),
      spawner_(spawner),
      kits_(kits),
      sources_(sources),
      run_folder_(std::move(run_folder)),
      settings_(settings),
      tasks_(loop) {}

Templates::~Templates() = default;

bool Templates::can_fork(const ForkPlan& plan) const {
  const Kit* kit = kits_.find(plan.kit);
  return kit != nullptr && kit->fork.has_value();
}

Templates::Lease Templates::ready(const std::string& key) const {
  const auto found = entries_.find(key);
  return found != entries_.end() && found->second->state == Entry::State::ready ? found->second
                                                                                : nullptr;
}

ForkPlan Templates::enriched(const ForkPlan& plan) const {
  ForkPlan rich = plan;
  rich.env = plan.whole_env;
  const std::string lineage = key_of(rich);
  const auto seen = seen_.find(lineage);
  if (plan.learns == ForkPlan::Learns::nothing || !settings_.learns || seen == seen_.end()) {
    return plan;
  }
  const auto denied = denied_.find(lineage);
  for (const std::string& name : seen->second) {
    if (denied == denied_.end() || !denied->second.contains(name.substr(0, name.find('.')))) {
      rich.modules.push_back(name);
    }
  }
  rich.lineage = lineage;
  return rich.modules.size() > plan.modules.size() ? rich : plan;
}

Templates::Offer Templates::offer(const ForkPlan& plan, const std::string& user) {
  if (!settings_.enabled || shutting_down_) {
    return {nullptr, {}, "switched_off"};
  }
  if (!can_fork(plan)) {
    return {nullptr, {}, "no_fork_program"};
  }
  const ForkPlan rich = enriched(plan);
  const std::string rich_key = key_of(rich);
  const std::string key = key_of(plan);
  Lease lease = ready(rich_key);
  if (!lease && rich_key != key) {
    lease = ready(key);  // does most of it, until there is the better one
    make(rich);
  }
  if (!lease) {
    const bool starting = entries_.contains(key) || entries_.contains(rich_key);
    const bool failed = !starting && failures_.contains(key);
    return {nullptr,
            {},
            starting ? "template_starting"
            : failed ? "template_failed"
                     : "no_template",
            failed};
  }
  const auto unfit = unfit_.find(lease->key + '\0' + user);
  if (unfit != unfit_.end() && unfit->second > monotonic_now()) {
    return {nullptr, {}, "not_fit", false};
  }
  lease->used = monotonic_now();
  return {lease, lease->id, "", false};
}

void Templates::want(const ForkPlan& plan) { make(enriched(plan)); }

void Templates::expect(const ForkPlan& plan) {
  if (entries_.size() < settings_.max) {
    make(plan);
  }
}

bool Templates::hasten(const ForkPlan& plan) {
  ForkPlan rich = enriched(plan);
  const std::string key = key_of(rich);
  if (ready(key) || ready(key_of(plan))) {
    return false;
  }
  make(std::move(rich));
  const auto found = entries_.find(key);
  if (found == entries_.end()) {
    return false;
  }
  Entry& entry = *found->second;
  if (entry.hastened == Instant{}) {
    entry.hastened = monotonic_now();
    entry.changed.notify_all();
  }
  return monotonic_now() < entry.hastened + usual_making;
}

void Templates::make(ForkPlan plan) {
  std::string key = key_of(plan);
  const auto failed = failures_.find(key);
  if (!settings_.enabled || shutting_down_ || settings_.max == 0 || !can_fork(plan) ||
      entries_.contains(key) ||
      (failed != failures_.end() && failed->second.not_before > monotonic_now())) {
    return;
  }
  make_room(1);
  auto entry = std::make_shared<Entry>(loop_, key, std::move(plan), ++made_);
  entries_[std::move(key)] = entry;
  if (tasks_.size() == 0) {
    tasks_.start("memory for templates", watch_memory(*this));
  }
  const std::string name = "template " + entry->id.str();
  tasks_.start(name, run(*this, std::move(entry)));
}

void Templates::saw(const ForkPlan& plan, std::string_view modules) {
  const auto plain = [](unsigned char c) { return std::isalnum(c) != 0 || c == '_' || c == '.'; };
  ForkPlan whole = plan;
  whole.env = plan.whole_env;
  const std::string key = key_of(whole);
  if (!settings_.enabled || !settings_.learns || plan.learns == ForkPlan::Learns::nothing ||
      modules.empty() || (seen_.size() >= max_remembered && !seen_.contains(key))) {
    return;
  }
  std::vector<std::string>& seen = seen_[key];
  const std::size_t before = seen.size();
  while (!modules.empty() && seen.size() < max_modules) {
    const std::string name(modules.substr(0, modules.find(',')));
    modules.remove_prefix(std::min(modules.size(), name.size() + 1));
    if (!name.empty() && name.size() <= 100 && name[0] != '.' &&
        std::all_of(name.begin(), name.end(), plain) &&
        std::find(seen.begin(), seen.end(), name) == seen.end()) {
      seen.push_back(name);
    }
  }
  if (seen.size() > before) {
    make(enriched(plan));
  }
}

void Templates::note(const Lease& lease, const std::string& user, Outcome outcome) {
  if (outcome == Outcome::forked) {
    lease->failures = 0;
    lease->used = monotonic_now();
    lease->forked.notify_all();
    return;
  }
  if (outcome == Outcome::refused) {
    if (unfit_.size() >= max_remembered) {
      unfit_.clear();
    }
    unfit_[lease->key + '\0' + user] = monotonic_now() + unfit_time;
    return;
  }
  if (++lease->failures >= max_failures) {
    log_warning("a template fails to fork and is replaced", {{"template", lease->id.str()}});
    retire(*lease);
  }
}

// The program ends and with it most of the memory; the task of the entry does the rest.
void Templates::retire(Entry& entry) {
  if (entry.state == Entry::State::retired) {
    return;
  }
  entry.state = Entry::State::retired;
  entry.forked.notify_all();
  if (entry.running) {
    entry.running->keep_spares(0);
    (void)entry.running->sandbox().signal(SIGTERM);
  }
  entry.changed.notify_all();
  const auto found = entries_.find(entry.key);
  if (found != entries_.end() && found->second.get() == &entry) {
    const Lease kept = found->second;
    entries_.erase(found);
  }
}

// Those that had learned less.
void Templates::retire_older(const Entry& entry) {
  std::vector<Lease> older;
  for (const auto& [key, other] : entries_) {
    if (other.get() != &entry && !entry.plan.lineage.empty() &&
        other->plan.lineage == entry.plan.lineage) {
      older.push_back(other);
    }
  }
  for (const Lease& other : older) {
    retire(*other);
  }
}

// Retires the least recently used until `room` more may be made.
void Templates::make_room(std::size_t room) {
  while (!entries_.empty() && entries_.size() + room > settings_.max) {
    const auto oldest = std::min_element(
        entries_.begin(), entries_.end(),
        [](const auto& a, const auto& b) { return a.second->used < b.second->used; });
    retire(*Lease(oldest->second));
  }
}

async::Task<void> Templates::watch_memory(Templates& self) {
  while (true) {
    THAW_CO_TRY_VOID(co_await async::sleep_for(2s));
    if (!self.entries_.empty() && available_memory() < self.settings_.min_free_bytes) {
      log_info("memory is short: a template goes", {});
      self.make_room(self.settings_.max - self.entries_.size() + 1);
    }
    for (const auto& [key, entry] : self.entries_) {
      if (entry->state == Entry::State::starting && entry->running &&
          entry->used + ready_patience < monotonic_now()) {
        (void)entry->running->sandbox().signal(SIGTERM);
      }
    }
  }
}

Result<sandbox::SandboxSpec> Templates::spec_for(const Entry& entry) const {
  sandbox::SandboxSpec spec;
  spec.id = entry.id;
  spec.workspace = entry.plan.workspace;
  spec.profile = sandbox::Profile::templated;
  THAW_TRY(spec.layers, sources_.folders_of(entry.plan.layers));
  THAW_TRY(spec.binds, located(sources_, entry.plan.binds));
  spec.binds.push_back({run_folder_ + "/" + entry.id.str(), container_folder});
  const Kit::ForkProgram& program = *kits_.find(entry.plan.kit)->fork;
  spec.argv = program.command;
  spec.argv.push_back(std::string(container_folder) + "/" + program.file.name);
  std::string shared;
  for (const Bind& bind : entry.plan.binds) {
    shared += (shared.empty() ? "" : ":") + bind.target;
  }
  spec.argv.insert(spec.argv.end(), {"--shared", shared});
  spec.argv.insert(spec.argv.end(), entry.plan.modules.begin(), entry.plan.modules.end());
  spec.env = entry.plan.env;
  spec.hostname = "template";
  // It talks to nobody, and imports what its tenant's image holds.
  spec.network = sandbox::SandboxSpec::Network::none;
  spec.limits.memory_bytes = std::uint64_t{4} << 30;
  spec.limits.pids = 512;
  return spec;
}

// While it is ready. Nothing is made ahead while containers start or memory is short.
async::Task<void> Templates::keep_spares(Templates& self, Entry& entry) {
  while (entry.state == Entry::State::ready) {
    const Instant quiet_at = entry.used + self.settings_.spare_delay;
    if (quiet_at > monotonic_now()) {
      THAW_CO_TRY_VOID(co_await async::sleep_for(quiet_at - monotonic_now()));
      continue;
    }
    const bool has_room = available_memory() >= 2 * self.settings_.min_free_bytes;
    entry.running->keep_spares(has_room ? self.settings_.spares : 0);
    THAW_CO_TRY([[maybe_unused]] const bool told,
                co_await entry.forked.wait(monotonic_now() + spare_check));
  }
  co_return ok();
}

// From its start to the end of its program.
async::Task<void> Templates::live(Templates& self, Lease entry) {
  const Instant begin = monotonic_now() + self.settings_.delay;
  while (entry->hastened == Instant{} && entry->state != Entry::State::retired &&
         monotonic_now() < begin) {
    THAW_CO_TRY([[maybe_unused]] const bool told, co_await entry->changed.wait(begin));
  }
  if (entry->state == Entry::State::retired) {
    co_return ok();
  }
  if (available_memory() < self.settings_.min_free_bytes) {
    co_return Error::resource_exhausted("memory is short");
  }
  const std::string folder = self.run_folder_ + "/" + entry->id.str();
  THAW_CO_TRY_VOID(os::make_folders(folder, 0700));
  const InjectedFile& program = self.kits_.find(entry->plan.kit)->fork->file;
  THAW_CO_TRY_VOID(os::create_text(folder + "/" + program.name, program.bytes, 0600));
  THAW_CO_TRY(sandbox::SandboxSpec spec, self.spec_for(*entry));
  const Instant started = monotonic_now();
  THAW_CO_TRY(entry->running, co_await self.spawner_.start_template(std::move(spec)));
  entry->pumps.start("template output", Entry::drain(*entry, logs::Channel::out));
  entry->pumps.start("template output", Entry::drain(*entry, logs::Channel::err));
  THAW_CO_TRY(auto first, co_await entry->running->read_message());
  while (first && first->starts_with("at ")) {
    entry->importing = first->substr(3, 100);
    THAW_CO_TRY(first, co_await entry->running->read_message());
  }
  if (!first || !first->starts_with("ready")) {
    co_return Error::unavailable("the template's program ended before it was ready: " +
                                 entry->last_words);
  }
  if (entry->state == Entry::State::retired) {
    co_return ok();
  }
  entry->state = Entry::State::ready;
  entry->importing.clear();
  self.failures_.erase(entry->key);
  self.retire_older(*entry);
  const auto took =
      std::chrono::duration_cast<std::chrono::milliseconds>(monotonic_now() - started);
  log_info("template ready", {{"template", entry->id.str()},
                              {"ms", std::to_string(took.count())},
                              {"left out", first->substr(std::min<std::size_t>(6, first->size()))},
                              {"bytes", std::to_string(entry->running->sandbox().memory_bytes())}});
  if (self.settings_.spares > 0) {
    entry->pumps.start("spare forks", keep_spares(self, *entry));
  }
  while (true) {
    // It has nothing more to say; its end is what is waited for.
    THAW_CO_TRY(const auto more, co_await entry->running->read_message());
    if (!more) {
      co_return ok();
    }
  }
}

async::Task<void> Templates::run(Templates& self, Lease entry) {
  const Result<void> lived = co_await live(self, entry);
  co_await async::forget_cancellation();
  const bool was_asked_to = entry->state == Entry::State::retired;
  self.retire(*entry);
  if (!lived && !was_asked_to && !entry->importing.empty() && !entry->plan.lineage.empty()) {
    // It goes on without that one, at the next start.
    log_warning("a module ends a template",
                {{"template", entry->id.str()}, {"module", entry->importing}});
    if (self.denied_.size() < max_remembered) {
      self.denied_[entry->plan.lineage].insert(entry->importing);
    }
  } else if (!lived && !was_asked_to) {
    Failure& failure = self.failures_[entry->key];
    failure.not_before = monotonic_now() + 10s * (1 << std::min(failure.count, 8));
    ++failure.count;
    log_warning("no template could be made",
                {{"template", entry->id.str()}, {"error", lived.error().to_string()}});
  }
  while (!self.shutting_down_ && entry.use_count() > 1) {
    if (const auto told = co_await entry->changed.wait(monotonic_now() + 1s); !told) {
      co_await async::forget_cancellation();  // the server ends, and so do its containers
      break;
    }
  }
  Result<void> removed = ok();
  if (entry->running) {
    removed = co_await entry->running->sandbox().remove();
    THAW_CO_TRY_VOID(co_await entry->pumps.stop());
  }
  std::error_code error;
  fs::remove_all(self.run_folder_ + "/" + entry->id.str(), error);
  co_return removed;
}

async::Task<void> Templates::shut_down() {
  shutting_down_ = true;
  while (!entries_.empty()) {
    retire(*Lease(entries_.begin()->second));
  }
  co_return co_await tasks_.stop();
}

}  // namespace thaw::worker
