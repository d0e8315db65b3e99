// SPDX-License-Identifier: Apache-2.0
#include "thaw/worker/local_worker.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <system_error>

#include "thaw/base/log.h"
#include "thaw/os/fd.h"
#include "thaw/os/files.h"
#include "thaw/worker/buckets.h"
#include "thaw/worker/connections.h"
#include "thaw/worker/kit.h"
#include "thaw/worker/local_server_port.h"
#include "thaw/worker/open_files.h"
#include "thaw/worker/sandboxed_container.h"
#include "thaw/worker/snapshots.h"
#include "thaw/worker/sources.h"
#include "thaw/worker/templates.h"
#include "thaw/worker/tree_use.h"

namespace thaw::worker {

namespace fs = std::filesystem;

namespace {

Result<void> write_private_file(const std::string& path, const std::string& bytes,
                                InsideUsers users) {
  const os::Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.valid() || (users == InsideUsers::all && ::fchmod(fd.get(), 0644) != 0)) {
    return Error::from_errno(errno, "cannot make " + path);
  }
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = ::write(fd.get(), bytes.data() + done, bytes.size() - done);
    if (n < 0) {
      return Error::from_errno(errno, "cannot write " + path);
    }
    done += static_cast<std::size_t>(n);
  }
  return ok();
}

Result<void> make_folder(const std::string& folder, const std::vector<InjectedFile>& files,
                         InsideUsers users) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) {
    return Error::from_errno(error.value(), "cannot make the container folder " + folder);
  }
  if (::chmod(folder.c_str(), users == InsideUsers::all ? 0755 : 0700) != 0) {
    return Error::from_errno(errno, "cannot make the container folder " + folder);
  }
  for (const InjectedFile& file : files) {
    THAW_TRY_VOID(write_private_file(folder + "/" + file.name, file.bytes, users));
  }
  return ok();
}

// The container's own door to this server: who comes by it is that container.
Result<void> listen(net::Server& server, const std::string& path, const LaunchPlan& plan) {
  THAW_TRY_VOID(server.listen_unix(path, plan.id.str()));
  if (plan.users == InsideUsers::all && ::chmod(path.c_str(), 0666) != 0) {
    return Error::from_errno(errno, "cannot open the socket of a container to its users");
  }
  return ok();
}

constexpr const char* start_report_suffix = ".start";

// For what was written into buckets to arrive, after a container's end …
constexpr Duration flush_limit = std::chrono::seconds(60);
// … and after it was killed, as long as what it waits for there.
constexpr Duration killed_flush_limit = std::chrono::seconds(10);

// A disk that stores nothing for so long must not hold up those who print.
constexpr Duration log_patience = 10s;

// Whether layers above the image's, or binds, reach into the folders of its interpreter.
bool has_files_among_modules(const LaunchPlan& plan, const std::vector<std::string>& layers,
                             const Kit::ForkProgram& program) {
  const auto reaches_into = [&](const std::string& place) {
    std::error_code error;
    for (std::size_t i = plan.fork->layers.size(); i < layers.size(); ++i) {
      if (fs::exists(layers[i] + place, error)) {
        return true;
      }
    }
    return std::any_of(plan.binds.begin(), plan.binds.end(),
                       [&](const auto& bind) { return bind.target.starts_with(place); });
  };
  return std::any_of(program.module_folders.begin(), program.module_folders.end(), reaches_into);
}

// The bytes at the end of `text` that are the beginning of a UTF-8 character.
std::size_t incomplete_tail(const std::string& text) {
  for (std::size_t back = 1; back <= 3 && back <= text.size(); ++back) {
    const auto byte = static_cast<unsigned char>(text[text.size() - back]);
    if (byte >= 0xc0) {
      const std::size_t length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
      return length > back ? back : 0;
    }
    if (byte < 0x80) {
      return 0;
    }
  }
  return 0;
}

}  // namespace

class LocalContainer final : public SandboxedContainer {
 public:
  LocalContainer(async::Loop& loop, async::Pool& pool, net::Server& server, logs::LogHub& logs,
                 std::string folder, const LaunchPlan& plan)
      : pool_(pool),
        server_(server),
        logs_(logs),
        folder_(std::move(folder)),
        id_(plan.id.str()),
        stream_(plan.log_stream),
        function_(plan.function),
        workspace_(plan.workspace),
        pumps_(loop) {}

  Result<void> listen_to(std::string start_report, InsideUsers users) {
    THAW_TRY(report_, StartReport::make(std::move(start_report), users));
    return ok();
  }

  void serve(net::HttpClient& client, model::PushContract contract) {
    port_ = std::make_unique<LocalServerPort>(client, sandbox_->address(), std::move(contract),
                                              [this] { return sandbox_->has_ended(); });
  }
  void begin(std::unique_ptr<sandbox::Sandbox> sandbox, model::Level level) {
    level_ = level;
    sandbox_ = std::move(sandbox);
    pumps_.start("container output", pump(*this, logs::Channel::out));
    pumps_.start("container output", pump(*this, logs::Channel::err));
  }

  Result<void> open_door(std::uint16_t port, const std::string& workspace) {
    door_port_ = port;
    return server_.listen_door(sandbox_->take_door(), id_,
                               {"container " + id_, "workspace " + workspace});
  }

  void hold(snapshot::SnapshotPtr snapshot) { snapshot_ = std::move(snapshot); }
  void note_fallback(Fallback fallback) { fallbacks_.push_back(std::move(fallback)); }
  void was_forked(Templates& templates, ForkPlan plan, Templates::Lease from) {
    templates_ = &templates;
    fork_plan_ = std::move(plan);
    template_ = std::move(from);
  }
  void add(std::unique_ptr<BucketMount> bucket) { buckets_.push_back(std::move(bucket)); }
  BucketMount::Say teller() {
    return [this](std::string text) { print(logs::Channel::info, std::move(text) + "\n"); };
  }
  // Its folders that are buckets, in their order.
  Result<void> serve_buckets() {
    std::vector<sandbox::ServedMount> served = sandbox_->take_served();
    if (served.size() != buckets_.size()) {
      return Error::internal("a container was built without a folder of a bucket");
    }
    for (std::size_t i = 0; i < served.size(); ++i) {
      buckets_[i]->serve(std::move(served[i]));
    }
    return ok();
  }
  Result<void> signal(int number) override {
    if (number == SIGKILL) {
      break_off_buckets();
    }
    return SandboxedContainer::signal(number);
  }
  // What serves its buckets is this server's.
  async::Task<void> keep(std::string note, Instant until) override {
    if (!buckets_.empty()) {
      co_return Error::failed_precondition("a container with buckets ends with its server");
    }
    co_return co_await SandboxedContainer::keep(std::move(note), until);
  }

  bool has_begun() const { return sandbox_ != nullptr; }
  const std::string& folder() const { return folder_; }
  StartReport& report() { return report_; }

  model::Level level() const override { return level_; }
  const std::vector<Fallback>& fallbacks() const override { return fallbacks_; }
  Traffic traffic() const override {
    if (port_) {
      const Result<std::size_t> open = count_connections(sandbox_->pid());
      return {.connections = open.value_or(1),
              .wire = open ? Traffic::Wire::quiet : Traffic::Wire::in_flight};
    }
    const net::Server::Traffic seen = server_.traffic(id_);
    const bool is_quiet = seen.wire == net::Server::Traffic::Wire::quiet;
    return {seen.connections, seen.exchanges,
            is_quiet ? Traffic::Wire::quiet : Traffic::Wire::in_flight};
  }
  bool has_door() const override { return door_port_ != 0; }
  // What its program has not read yet is in the queue of the other end.
  bool has_unread() const override {
    return has_door() && has_queued(sandbox_->pid(), door_port_).value_or(true);
  }
  Result<bool> has_listener(std::uint16_t port) const override {
    return worker::has_listener(sandbox_->pid(), port);
  }
  ServerPort* server() override { return port_.get(); }
  void label_output(CurrentWork work) override { work_ = std::move(work); }

  void write_into(std::string images) { images_ = std::move(images); }
  async::Task<sandbox::Checkpoint> checkpoint(std::uint64_t max_file_bytes) override {
    return sandbox_->checkpoint(images_, max_file_bytes);
  }
  async::Task<RootUse> measure_root() override {
    std::vector<std::string> folders = {sandbox_->root_writes()};
    for (const auto& bucket : buckets_) {
      folders.push_back(bucket->kept_files());
    }
    return measure({pool_, workspace_}, std::move(folders));
  }
  async::Task<std::string> find_open_file(std::vector<std::string> folders) override {
    return find_open({pool_, workspace_}, sandbox_->pid(), std::move(folders));
  }

  Instant interpreter_started() override { return report_.started(); }
  bool is_restorable() override { return report_.is_restorable(); }

  async::Task<sandbox::ExitStatus> wait() override {
    THAW_CO_TRY(const sandbox::ExitStatus status, co_await sandbox_->wait());
    for (std::size_t i = 0; i < buckets_.size(); ++i) {
      THAW_CO_TRY_VOID(co_await buckets_[i]->flush(flush_limit));
    }
    // A process that escaped the reaper could hold a pipe open; the log is not worth a hang.
    THAW_CO_TRY([[maybe_unused]] const bool drained, co_await pumps_.join(monotonic_now() + 5s));
    co_return status;
  }

  async::Task<void> remove() override {
    server_.close_identity(id_);
    if (port_) {
      port_->close_kept();  // another container may have its address soon
    }
    if (templates_ != nullptr && template_) {
      templates_->saw(*fork_plan_, report_.modules());
    }
    Result<void> outcome;
    if (sandbox_) {
      if (!sandbox_->has_ended()) {
        break_off_buckets();
      }
      outcome = co_await sandbox_->remove();
    }
    for (std::size_t i = 0; i < buckets_.size(); ++i) {
      THAW_CO_TRY_VOID(co_await buckets_[i]->flush(killed_flush_limit));
      if (auto stopped = co_await buckets_[i]->stop(); !stopped && outcome) {
        outcome = std::move(stopped);
      }
    }
    buckets_.clear();
    THAW_CO_TRY_VOID(co_await pumps_.stop());
    std::error_code error;
    fs::remove_all(folder_, error);
    fs::remove(folder_ + start_report_suffix, error);
    co_return outcome;
  }

 protected:
  sandbox::Sandbox& box() const override { return *sandbox_; }

 private:
  static async::Task<void> pump(LocalContainer& self, logs::Channel channel) {
    std::string held;
    while (true) {
      // While the log is behind its pipe is not read, and who prints waits.
      THAW_CO_TRY_VOID(co_await self.logs_.wait_for_room(self.stream_, log_patience));
      // tidy(ends): the pipe cannot be read any more
      THAW_CO_TRY(std::optional<std::string> piece, channel == logs::Channel::out
                                                        ? co_await self.sandbox_->read_stdout()
                                                        : co_await self.sandbox_->read_stderr());
      if (!piece) {
        break;
      }
      held += *piece;
      const std::size_t tail = incomplete_tail(held);
      std::string text = held.substr(0, held.size() - tail);
      held.erase(0, held.size() - tail);
      self.print(channel, std::move(text));
    }
    self.print(channel, std::move(held));
    co_return ok();
  }

  void break_off_buckets() {
    for (const auto& bucket : buckets_) {
      bucket->break_off_in(killed_flush_limit);
    }
  }

  void print(logs::Channel channel, std::string text) {
    if (text.empty()) {
      return;
    }
    logs::Line line;
    line.time = wall_now();
    line.channel = channel;
    line.container = id_;
    line.function = function_;
    line.call = work_.call;
    line.input = work_.input;
    line.text = std::move(text);
    logs_.append(stream_, std::move(line));
  }

  // Whoever asks may go on after the container is gone: nothing of it is used.
  static async::Task<RootUse> measure(async::PoolShare share, std::vector<std::string> folders) {
    RootUse all;
    for (const std::string& folder : folders) {  // tidy(held): the coroutine's own
      const auto use = std::make_shared<TreeUse>(folder);
      for (auto progress = TreeUse::Progress::more; progress == TreeUse::Progress::more;) {
        auto step = [use] { return Result<TreeUse::Progress>(use->step()); };
        THAW_CO_TRY(progress, co_await async::blocking(share, std::move(step)));
      }
      all.bytes += use->bytes();
      all.is_incomplete |= use->is_incomplete();
    }
    co_return all;
  }
  static async::Task<std::string> find_open(async::PoolShare share, int pid,
                                            std::vector<std::string> folders) {
    auto look = [pid, folders = std::move(folders)] {
      return Result<std::string>(describe_open_file(pid, folders));
    };
    co_return co_await async::blocking(std::move(share), std::move(look));
  }

  async::Pool& pool_;
  net::Server& server_;
  logs::LogHub& logs_;
  std::string folder_;
  std::string images_;  // where it is written to, if it is to be
  StartReport report_;
  std::string id_;
  std::string stream_;
  std::string function_;
  std::string workspace_;
  CurrentWork work_;
  model::Level level_ = model::Level::booted;
  std::vector<Fallback> fallbacks_;
  std::unique_ptr<sandbox::Sandbox> sandbox_;
  std::unique_ptr<LocalServerPort> port_;  // of a server
  std::uint16_t door_port_ = 0;
  Templates* templates_ = nullptr;
  Templates::Lease template_;  // while what was forked from it lives
  std::optional<ForkPlan> fork_plan_;
  snapshot::SnapshotPtr snapshot_;  // its files are this container's root
  std::vector<std::unique_ptr<BucketMount>> buckets_;
  async::TaskGroup pumps_;
};

LocalWorker::LocalWorker(async::Loop& loop, async::Pool& pool, sandbox::Spawner& spawner,
                         net::Server& server, net::HttpClient& client, logs::LogHub& logs,
                         LocalWorkerParts parts, std::string run_folder)
    : loop_(loop),
      pool_(pool),
      spawner_(spawner),
      server_(server),
      client_(client),
      logs_(logs),
      parts_(parts),
      run_folder_(std::move(run_folder)) {}

async::Task<std::vector<KeptContainer>> LocalWorker::take_kept() {
  THAW_CO_TRY(std::vector<sandbox::KeptSandbox> sandboxes, co_await spawner_.take_kept());
  std::vector<KeptContainer> kept;
  std::set<std::string> used = {kept_output_folder};
  for (sandbox::KeptSandbox& one : sandboxes) {
    LaunchPlan plan;
    plan.id = one.sandbox->id();
    const std::string name = plan.id.str();
    used.insert({name, name + start_report_suffix});
    auto container = std::make_unique<LocalContainer>(loop_, pool_, server_, logs_,
                                                      run_folder_ + "/" + name, plan);
    container->begin(std::move(one.sandbox), model::Level::booted);
    kept.push_back({plan.id, std::move(container), std::move(one.note), one.until});
  }
  for (const std::string& name : os::list_folder(run_folder_)) {
    if (!used.contains(name)) {
      (void)os::remove_tree(run_folder_ + "/" + name);
    }
  }
  co_return kept;
}

async::Task<std::unique_ptr<RunningContainer>> LocalWorker::launch(LaunchPlan plan) {
  const std::string folder = run_folder_ + "/" + plan.id.str();
  if (plan.purpose == LaunchPlan::Purpose::snapshot && plan.snapshot_point &&
      plan.snapshot_point->renewal == SnapshotPoint::Renewal::of_kits) {
    add_renewals(parts_.kits, plan);
  }
  sandbox::SandboxSpec spec;
  THAW_CO_TRY_VOID(locate(plan, spec));
  auto container = std::make_unique<LocalContainer>(loop_, pool_, server_, logs_, folder, plan);
  Result<void> prepared = make_folder(folder, plan.files, plan.users);
  prepared = prepared ? container->listen_to(folder + start_report_suffix, plan.users) : prepared;
  if (prepared && plan.wants_socket) {
    prepared = listen(server_, folder + "/api.sock", plan);
  }
  if (!prepared) {
    (void)co_await container->remove();
    co_return std::move(prepared).error();
  }
  if (auto opened = co_await open_buckets(*container, plan, spec); !opened) {
    (void)co_await container->remove();
    co_return std::move(opened).error();
  }
  spec.id = plan.id;
  if (plan.fork) {
    spec.workspace = plan.fork->workspace;
    const Kit* kit = parts_.kits.find(plan.fork->kit);
    const bool may_learn =
        kit != nullptr && kit->fork && !has_files_among_modules(plan, spec.layers, *kit->fork);
    plan.fork->learns = may_learn ? ForkPlan::Learns::imports : ForkPlan::Learns::nothing;
  }
  if (plan.guests == sandbox::SandboxSpec::Guests::possible) {
    spec.guests = plan.guests;
    spec.workspace = plan.workspace;
  }
  spec.binds.push_back({folder, container_folder, sandbox::BindMount::Access::read_only});
  spec.binds.push_back({folder + start_report_suffix, container_start_report,
                        sandbox::BindMount::Access::read_write});
  spec.argv = std::move(plan.argv);
  spec.env = std::move(plan.env);
  spec.cwd = plan.cwd;
  spec.hostname = "thaw-" + plan.id.str().substr(3, 8);
  spec.user = plan.user;
  spec.limits = plan.limits;
  spec.network = plan.network;
  spec.reaches = std::move(plan.reaches);
  spec.door_port = plan.door_port;
  if (plan.not_restored) {
    container->note_fallback(*plan.not_restored);
  }
  if (plan.purpose == LaunchPlan::Purpose::snapshot) {
    spec.checkpoints = sandbox::SandboxSpec::Checkpoints::possible;
    container->write_into(spec.upper + "/images");
    for (const std::string& entry : plan.snapshot_env) {
      const std::string name = entry.substr(0, entry.find('=') + 1);
      std::erase_if(spec.env, [&](const std::string& old) { return old.starts_with(name); });
      spec.env.push_back(entry);
    }
  }
  const bool may_boot =
      std::find(plan.levels.begin(), plan.levels.end(), model::Level::booted) != plan.levels.end();
  for (const model::Level level : plan.levels) {
    Result<void> tried = ok();
    if (level == model::Level::forked && plan.fork) {
      tried = co_await fork(*container, plan, spec);
    }
    if (level == model::Level::restored && !plan.restore.empty() && plan.snapshot_point &&
        parts_.snapshots != nullptr) {
      tried = co_await restore(*container, plan, spec);
    }
    if (!tried) {
      (void)co_await container->remove();
      co_return std::move(tried).error();
    }
    if (level == model::Level::booted || container->has_begun()) {
      break;
    }
  }
  if (!container->has_begun() && !may_boot) {
    const std::vector<Fallback>& tried = container->fallbacks();
    const std::string why =
        tried.empty() ? "there is nothing that it could be started from" : tried.back().detail;
    const bool may_pass = !tried.empty() && tried.back().tried == Fallback::Tried::in_vain;
    Error error = may_pass ? Error::unavailable(why) : Error::failed_precondition(why);
    (void)co_await container->remove();
    co_return error;
  }
  if (!container->has_begun()) {
    auto started = co_await spawner_.start(std::move(spec));
    if (!started) {
      (void)co_await container->remove();
      co_return std::move(started).error();
    }
    container->begin(std::move(*started), model::Level::booted);
    if (auto served = container->serve_buckets(); !served) {
      (void)co_await container->remove();
      co_return std::move(served).error();
    }
    if (plan.fork) {
      parts_.templates.want(*plan.fork);
    }
  }
  if (plan.door_port != 0) {
    if (auto opened = container->open_door(plan.door_port, plan.workspace); !opened) {
      (void)co_await container->remove();
      co_return std::move(opened).error();
    }
  }
  if (plan.push) {
    container->serve(client_, std::move(*plan.push));
  }
  co_return std::unique_ptr<RunningContainer>(std::move(container));
}

async::Task<void> LocalWorker::open_buckets(LocalContainer& container, LaunchPlan& plan,
                                            sandbox::SandboxSpec& spec) {
  if (plan.buckets.empty()) {
    co_return ok();
  }
  if (parts_.buckets == nullptr) {
    co_return Error::unimplemented("this worker serves no buckets");
  }
  plan.fork.reset();
  plan.levels = {model::Level::booted};
  // Each is asked for before any program of the container waits for it.
  for (std::size_t i = 0; i < plan.buckets.size(); ++i) {
    spec.served.push_back({plan.buckets[i].target, plan.buckets[i].access});
    std::string name = plan.id.str() + "-b" + std::to_string(i);
    THAW_CO_TRY(auto bucket, co_await parts_.buckets->open(plan.buckets[i], std::move(name),
                                                           plan.workspace, container.teller()));
    container.add(std::move(bucket));
  }
  co_return ok();
}

void LocalWorker::expect(const LaunchPlan& plan) {
  if (plan.fork) {
    parts_.templates.expect(*plan.fork);
  }
}

bool LocalWorker::hasten(const ForkPlan& plan) { return parts_.templates.hasten(plan); }

async::Task<std::string> LocalWorker::identify(std::vector<std::string> sources) {
  co_return parts_.sources.identity_of(sources);
}

Result<void> LocalWorker::locate(const LaunchPlan& plan, sandbox::SandboxSpec& spec) const {
  THAW_TRY(spec.layers, parts_.sources.folders_of(plan.layers));
  THAW_TRY(spec.binds, located(parts_.sources, plan.binds));
  if (plan.purpose == LaunchPlan::Purpose::snapshot) {
    if (parts_.snapshots == nullptr) {
      return Error::failed_precondition("this machine keeps no snapshots");
    }
    THAW_TRY(spec.upper, parts_.snapshots->staging_of(plan.staging));
  }
  return ok();
}

namespace {

struct ForkFailure {
  std::string reason;
  Fallback::Tried tried = Fallback::Tried::in_vain;
};

ForkFailure fork_failure(const Error& error) {
  switch (error.code()) {
    case Code::resource_exhausted: return {"template_busy"};
    case Code::deadline_exceeded: return {"fork_timeout"};
    case Code::failed_precondition: return {"not_fit"};
    default: return {"fork_failed", Fallback::Tried::failed};
  }
}

}  // namespace

// Begins the container, or notes why not; an Error only if the task was cancelled.
async::Task<void> LocalWorker::fork(LocalContainer& container, const LaunchPlan& plan,
                                    sandbox::SandboxSpec spec) {
  // Whether a fork of this template is fit depends on the function's own files.
  const std::string user = plan.function;
  Templates::Offer offer = parts_.templates.offer(*plan.fork, user);
  if (!offer.lease) {
    using Tried = Fallback::Tried;
    const Tried tried = offer.failed_before ? Tried::failed_before : Tried::no;
    container.note_fallback({model::Level::forked, std::move(offer.reason), "", tried});
    co_return ok();
  }
  spec.fork_from = offer.id;
  auto started = co_await spawner_.start(spec);
  if (!started && started.error().code() == Code::unavailable) {
    started = co_await spawner_.start(std::move(spec));  // it may have been a spare that has ended
  }
  if (started) {
    parts_.templates.note(offer.lease, user, Templates::Outcome::forked);
    container.begin(std::move(*started), model::Level::forked);
    container.was_forked(parts_.templates, *plan.fork, std::move(offer.lease));
    co_return ok();
  }
  if (started.error().code() == Code::cancelled) {
    co_return started.error();
  }
  ForkFailure failure = fork_failure(started.error());
  const bool refused = started.error().code() == Code::failed_precondition;
  parts_.templates.note(offer.lease, user,
                        refused ? Templates::Outcome::refused : Templates::Outcome::failed);
  container.note_fallback({model::Level::forked, std::move(failure.reason),
                           started.error().to_string(), failure.tried});
  co_return ok();
}

// Begins the container, or notes why not and leaves nothing; an Error only if the task was
// cancelled.
async::Task<void> LocalWorker::restore(LocalContainer& container, const LaunchPlan& plan,
                                       sandbox::SandboxSpec spec) {
  const Result<snapshot::SnapshotPtr> found = parts_.snapshots->open(plan.restore);
  if (!found) {
    container.note_fallback(
        {model::Level::restored, "no_snapshot", found.error().to_string(), Fallback::Tried::no});
    co_return ok();
  }
  const snapshot::SnapshotPtr from = *found;
  spec.layers.push_back(from->upper());
  const SnapshotPoint& point = *plan.snapshot_point;
  const bool is_told = is_woken(point, from->checkpoint);
  spec.restore =
      sandbox::RestoreFrom{from->images(), from->checkpoint, is_told ? point.restored_signal : 0};
  THAW_CO_TRY_VOID(expect_restored(point, container.folder(), plan.users));
  auto started = co_await spawner_.start(std::move(spec));
  Result<void> woken = ok();
  if (started) {
    if (is_told) {
      woken = co_await wake_restored(**started, point, container.report(), container.folder());
    }
    if (woken) {
      container.hold(from);
      container.begin(std::move(*started), model::Level::restored);
      co_return ok();
    }
  }
  const Error error = started ? woken.error() : started.error();
  if (error.code() == Code::cancelled) {
    co_return error;
  }
  bool is_of_it = is_of_snapshot(error);
  if (started) {
    is_of_it = true;
    if ((*started)->has_ended()) {
      const Result<sandbox::ExitStatus> end = co_await (*started)->wait();
      is_of_it =
          !end || !(end->ended_with_spawner || (end->killed_as_a_whole && !end->out_of_memory));
    }
    THAW_CO_TRY_VOID(co_await (*started)->remove());
  }
  // As it was for the next level.
  container.report().forget();
  if (!point.file_name.empty()) {
    std::error_code ignored;
    fs::remove(container.folder() + "/" + point.file_name, ignored);
  }
  container.note_fallback({model::Level::restored, "restore_failed", error.to_string(),
                           is_of_it ? Fallback::Tried::failed : Fallback::Tried::in_vain});
  co_return ok();
}

}  // namespace thaw::worker
