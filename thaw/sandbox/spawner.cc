// SPDX-License-Identifier: Apache-2.0
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>

#include "thaw/async/task_group.h"
#include "thaw/base/log.h"
#include "thaw/os/files.h"
#include "thaw/sandbox/detail/capabilities.h"
#include "thaw/sandbox/detail/control_line.h"
#include "thaw/sandbox/detail/host_settings.h"
#include "thaw/sandbox/detail/id_ranges.h"
#include "thaw/sandbox/detail/keeper.h"
#include "thaw/sandbox/detail/leftovers.h"
#include "thaw/sandbox/detail/own_ids.h"
#include "thaw/sandbox/detail/running_sandbox.h"
#include "thaw/sandbox/detail/spawner_launch.h"
#include "thaw/sandbox/detail/template.h"
#include "thaw/sandbox/sandbox.h"

namespace thaw::sandbox {

namespace {

using detail::ControlLine;
using detail::Kind;
using detail::Succession;
using detail::Writer;

// One that ends again and again is started at this pace, at last.
constexpr Duration longest_pause = 10s;
constexpr Duration shortest_pause = 100ms;
constexpr int most_tries = 5;

std::string describe_end(int status) {
  return WIFSIGNALED(status) ? "signal " + std::to_string(WTERMSIG(status))
                             : "exit code " + std::to_string(WEXITSTATUS(status));
}

class SpawnerHandle : public Spawner {
 public:
  SpawnerHandle(SpawnerOptions options, os::CgroupLayout layout, std::string key, os::Fd lock,
                os::Fd membership, detail::LaunchedSpawner process)
      : options_(std::move(options)),
        layout_(std::move(layout)),
        key_(std::move(key)),
        lock_(std::move(lock)),
        membership_(std::move(membership)),
        line_(std::make_shared<ControlLine>()),
        process_(std::move(process)) {}

  ~SpawnerHandle() override {
    tasks_.reset();
    // The end of the line makes the process remove everything and end. Sandboxes that are still
    // there share it, and are of no use any more.
    process_.control.reset();
    line_->close_for_good();
    // One that has something to keep does not end with the line.
    if (has_shut_down_ || options_.keeping == SpawnerOptions::Keeping::off) {
      (void)reap();
    }
  }

  Result<void> attach(async::Loop& loop, async::Pool& pool) override {
    line_->attach(loop, pool);
    THAW_TRY_VOID(line_->begin(std::move(process_.control), process_.process));
    line_->open();
    tasks_.emplace(loop);
    tasks_->start("spawner", keep(*this));
    return ok();
  }

  async::Task<void> prepare() override {
    std::string request = Writer(Kind::prepare).bytes();
    THAW_CO_TRY(const std::string reply, co_await line_->ask_at_once(std::move(request)));
    detail::Reader reader(reply);
    (void)reader.kind();
    bridge_host_ = reader.text();
    // The next one's network is the same: this server listens in it, and containers' rules name it.
    if (const std::string network = reader.text(); !network.empty()) {
      options_.bridge_address = network;
      detail::note_network(membership_, network);
    }
    is_prepared_ = true;
    co_return ok();
  }

  async::Task<void> allow_port(std::uint16_t port) override {
    std::string request = Writer(Kind::allow_port).number(port).bytes();
    THAW_CO_TRY([[maybe_unused]] const auto reply, co_await line_->ask(std::move(request)));
    ports_.push_back(port);
    co_return ok();
  }

  async::Task<std::unique_ptr<Sandbox>> start(SandboxSpec spec) override {
    THAW_CO_TRY_VOID(detail::validate(spec));
    // A start that a spawner's end has cut off has left nothing, and goes to the next one.
    for (int tries = 1;; ++tries) {
      const std::uint64_t asked = line_->spawner();
      SandboxSpec copy = spec;
      auto started =
          co_await detail::RunningSandbox::start(line_, cgroup_of(spec), std::move(copy));
      const bool was_cut_off = line_->has_ended() || line_->spawner() != asked;
      if (started || started.error().code() != Code::unavailable || !was_cut_off ||
          tries == most_tries) {
        co_return started;
      }
    }
  }

  async::Task<std::unique_ptr<Template>> start_template(SandboxSpec spec) override {
    THAW_CO_TRY_VOID(detail::validate(spec));
    os::Cgroup cgroup = cgroup_of(spec);
    co_return co_await detail::start_template(line_, std::move(cgroup), std::move(spec));
  }

  async::Task<void> shut_down() override {
    // A spawner that was killed left things to remove: the next one is waited for. Then nobody
    // brings it back any more.
    (void)co_await line_->up();
    if (tasks_) {
      THAW_CO_TRY_VOID(co_await tasks_->stop());
    }
    const std::string request = Writer(Kind::shut_down).bytes();
    Result<std::string> reply = co_await line_->ask_at_once(request);
    if (!reply && reply.error().code() == Code::unavailable) {
      line_->end();
      (void)reap();
      THAW_CO_TRY_VOID(co_await replace(*this));
      reply = co_await line_->ask_at_once(request);
    }
    line_->close_for_good();
    has_shut_down_ = reply.has_value();
    co_return reply ? ok() : Result<void>(reply.error());
  }

  void mark_taken_over() { was_taken_over_ = true; }
  bool was_taken_over() const override { return was_taken_over_; }

  async::Task<std::vector<KeptSandbox>> take_kept() override {
    std::vector<KeptSandbox> all;
    std::string name;
    const auto cgroup = [this](const std::string& workspace, const std::string& id) {
      return os::Cgroup(layout_, detail::cgroup_name(options_.instance, workspace, id));
    };
    while (true) {
      const std::string before = name;
      auto next = co_await detail::RunningSandbox::take_over(line_, cgroup, name);
      if (next && !*next) {
        co_return all;
      }
      if (next) {
        all.push_back(std::move(**next));
        continue;
      }
      if (name <= before) {
        co_return next.error();
      }
      // It costs that one only.
      log_warning("a sandbox that has outlived its server ends now",
                  {{"error", next.error().to_string()}});
      line_->ask_to_remove(model::ContainerId(name));
    }
  }

  async::Task<void> leave() override {
    if (tasks_) {
      THAW_CO_TRY_VOID(co_await tasks_->stop());
    }
    line_->close_for_good();
    co_return ok();
  }

  std::string bridge_host() const override { return bridge_host_; }
  std::uint64_t deaths() const override { return deaths_; }

  Duration processor_time() const override {
    return std::chrono::microseconds(
        os::Cgroup(layout_, detail::cgroup_name(options_.instance)).cpu_us());
  }

 private:
  os::Cgroup cgroup_of(const SandboxSpec& spec) const {
    return {layout_, detail::cgroup_name(options_.instance, spec.workspace, spec.id.str())};
  }

  // One that was taken over is no child of this process, and how it ended is not told.
  int reap() const {
    int status = 0;
    pollfd ended{process_.process.get(), POLLIN, 0};
    while (::poll(&ended, 1, -1) < 0 && errno == EINTR) {
    }
    while (::waitpid(process_.pid, &status, 0) < 0 && errno == EINTR) {
    }
    return status;
  }

  // As long as the server wants one there is a spawner. One that was killed is replaced at once;
  // those that end by themselves as soon as they are there are not to take the machine's time.
  static async::Task<void> keep(SpawnerHandle& self) {
    Duration pause{};
    while (true) {
      const Instant begun = monotonic_now();
      THAW_CO_TRY_VOID(co_await wait_for_end(self));
      self.line_->end();
      ++self.deaths_;
      log_warning("the spawner has ended, and its containers with it; it is brought back",
                  {{"how", describe_end(self.reap())}});
      pause =
          monotonic_now() - begun < shortest_pause ? std::max(pause, shortest_pause) : Duration{};
      while (true) {
        if (pause > Duration{}) {
          THAW_CO_TRY_VOID(co_await async::sleep_for(pause));
        }
        const Result<void> replaced = co_await replace(self);
        if (replaced) {
          break;
        }
        pause = std::clamp(pause * 2, shortest_pause, longest_pause);
        log_warning("no spawner: nothing can start until there is one",
                    {{"error", replaced.error().to_string()}});
      }
    }
  }

  static async::Task<void> wait_for_end(SpawnerHandle& self) {
    THAW_CO_TRY(async::FdWatch ended,
                async::FdWatch::make(self.line_->loop(), self.process_.process.get()));
    co_return co_await ended.readable();
  }

  static async::Task<void> replace(SpawnerHandle& self) {
    THAW_CO_TRY(self.process_, detail::launch_spawner(self.options_, Succession::next, self.lock_,
                                                      self.membership_, self.key_));
    Result<void> ready = self.line_->begin(std::move(self.process_.control), self.process_.process);
    if (ready && self.is_prepared_) {
      ready = co_await self.prepare();
    }
    const std::vector<std::uint16_t> ports = self.ports_;  // more may be allowed meanwhile
    for (const std::uint16_t port : ports) {
      std::string request = Writer(Kind::allow_port).number(port).bytes();
      if (ready) {
        ready = (co_await self.line_->ask_at_once(std::move(request))).map([](const auto&) {});
      }
    }
    if (!ready) {
      self.line_->end();  // makes it end, for which it takes its time
      THAW_CO_TRY_VOID(co_await wait_for_end(self));
      (void)self.reap();
      ++self.deaths_;
      co_return std::move(ready).error();
    }
    self.line_->open();
    log_info("there is a spawner again", {{"pid", std::to_string(self.process_.pid)}});
    co_return ok();
  }

  SpawnerOptions options_;
  os::CgroupLayout layout_;
  std::string key_;
  os::Fd lock_;
  os::Fd membership_;
  std::shared_ptr<ControlLine> line_;
  detail::LaunchedSpawner process_;
  std::string bridge_host_;
  std::vector<std::uint16_t> ports_;
  bool is_prepared_ = false;
  bool has_shut_down_ = false;
  bool was_taken_over_ = false;
  std::uint64_t deaths_ = 0;
  std::optional<async::TaskGroup> tasks_;
};

Result<void> check(const SpawnerOptions& options) {
  const std::string& name = options.instance;
  const auto plain = [](unsigned char c) { return std::islower(c) != 0 || std::isdigit(c) != 0; };
  if (name.empty() || name.size() > 12 || !std::all_of(name.begin(), name.end(), plain)) {
    return Error::invalid_argument("an instance is named by 1 to 12 of a-z and 0-9")
        .with("instance", name);
  }
  if (options.folder.empty() || options.folder[0] != '/') {
    return Error::invalid_argument("the sandbox folder must be an absolute path")
        .with("folder", options.folder);
  }
  if (::geteuid() != 0) {
    return Error::permission_denied(
        "sandboxes need root (namespaces, mounts, cgroups, network): start the server as root");
  }
  if (const std::string missing = detail::missing_for_spawner(); !missing.empty()) {
    return Error::permission_denied("sandboxes need capabilities that this root lacks: " + missing +
                                    "; start the server outside of a restricted container");
  }
  return ok();
}

}  // namespace

async::Task<std::unique_ptr<Process>> Sandbox::run(ProcessSpec) {
  co_return Error::failed_precondition("no processes can be started in this sandbox");
}

async::Task<void> Sandbox::keep(std::string, Instant) {
  co_return Error::failed_precondition("this sandbox ends with the server");
}

async::Task<std::vector<KeptProcess>> Sandbox::kept_processes() {
  co_return std::vector<KeptProcess>();
}

async::Task<std::vector<KeptSandbox>> Spawner::take_kept() { co_return std::vector<KeptSandbox>(); }

async::Task<Checkpoint> Sandbox::checkpoint(std::string, std::uint64_t) {
  co_return Error::unimplemented("this sandbox cannot be checkpointed");
}

async::Task<std::unique_ptr<Template>> Spawner::start_template(SandboxSpec) {
  co_return Error::unimplemented("this spawner has no templates");
}

Result<void> check_own_ids(const std::string& folder) {
  if (::geteuid() != 0) {
    return Error::permission_denied("only root can tell");
  }
  THAW_TRY_VOID(os::make_folders(folder, 0700));
  detail::IdRanges ranges(detail::machine_folder("ids"), detail::machine_folder("servers"), "");
  THAW_TRY(const detail::IdRange range, ranges.take());
  return detail::try_own_ids(folder, {}, range);
}

Result<std::unique_ptr<Spawner>> Spawner::fork(SpawnerOptions options) {
  THAW_TRY_VOID(check(options));
  THAW_TRY(os::CgroupLayout layout, os::CgroupLayout::detect());
  THAW_TRY_VOID(os::make_folders(options.folder, 0700));
  THAW_TRY(std::string key, detail::keeper_key(options.folder, options.keeping));
  THAW_TRY(auto taken, detail::take_over(options, key));
  if (taken) {
    auto handle = std::make_unique<SpawnerHandle>(
        std::move(options), std::move(layout), std::move(key), std::move(taken->lock),
        std::move(taken->membership), std::move(taken->process));
    handle->mark_taken_over();
    return std::unique_ptr<Spawner>(std::move(handle));
  }
  THAW_TRY(os::Fd lock, detail::lock_folder(options.folder));
  detail::remove_leftovers(options.folder, layout);
  detail::record_instance(options.folder, options.instance);
  THAW_TRY(os::Fd membership, detail::join_machine(options.instance));
  THAW_TRY(detail::LaunchedSpawner process,
           detail::launch_spawner(options, Succession::first, lock, membership, key));
  return std::unique_ptr<Spawner>(
      std::make_unique<SpawnerHandle>(std::move(options), std::move(layout), std::move(key),
                                      std::move(lock), std::move(membership), std::move(process)));
}

Result<std::vector<std::string>> Spawner::dead_instances(std::vector<std::string> instances) {
  THAW_TRY(const std::vector<std::string> living, detail::living_servers());
  std::erase_if(instances, [&](const std::string& instance) {
    return std::find(living.begin(), living.end(), instance) != living.end();
  });
  return instances;
}

std::vector<std::string> Spawner::set_aside(const std::string& folder) {
  return detail::list_aside(folder);
}

}  // namespace thaw::sandbox
