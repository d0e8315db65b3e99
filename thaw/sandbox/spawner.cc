// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>

#include "thaw/base/check.h"
#include "thaw/os/files.h"
#include "thaw/os/process.h"
#include "thaw/sandbox/detail/capabilities.h"
#include "thaw/sandbox/detail/host_settings.h"
#include "thaw/sandbox/detail/leftovers.h"
#include "thaw/sandbox/detail/running_sandbox.h"
#include "thaw/sandbox/detail/spawner_process.h"
#include "thaw/sandbox/detail/template.h"
#include "thaw/sandbox/sandbox.h"

namespace thaw::sandbox {

namespace {

using detail::ControlLine;
using detail::Kind;
using detail::Writer;

class SpawnerHandle : public Spawner {
 public:
  SpawnerHandle(SpawnerOptions options, os::CgroupLayout layout, os::Fd control, int pid)
      : options_(std::move(options)),
        layout_(std::move(layout)),
        line_(std::make_shared<ControlLine>(std::move(control))),
        pid_(pid) {}

  ~SpawnerHandle() override {
    // The end of the line makes the process remove everything and end. Sandboxes that are still
    // there share the line, and then the server's own end is what ends it.
    const bool last = line_.use_count() == 1;
    line_.reset();
    if (last) {
      int status = 0;
      while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
      }
    }
  }

  Result<void> attach(async::Loop& loop, async::Pool& pool) override {
    return line_->attach(loop, pool);
  }

  async::Task<void> prepare() override {
    std::string request = Writer(Kind::prepare).bytes();
    THAW_CO_TRY(const std::string reply, co_await line_->ask(std::move(request)));
    detail::Reader reader(reply);
    (void)reader.kind();
    bridge_host_ = reader.text();
    co_return ok();
  }

  async::Task<void> allow_port(std::uint16_t port) override {
    std::string request = Writer(Kind::allow_port).number(port).bytes();
    THAW_CO_TRY([[maybe_unused]] const auto reply, co_await line_->ask(std::move(request)));
    co_return ok();
  }

  async::Task<std::unique_ptr<Sandbox>> start(SandboxSpec spec) override {
    THAW_CO_TRY_VOID(detail::validate(spec));
    os::Cgroup cgroup(layout_, detail::cgroup_name(options_.instance) + "/" + spec.id.str());
    co_return co_await detail::RunningSandbox::start(line_, std::move(cgroup), std::move(spec));
  }

  async::Task<std::unique_ptr<Template>> start_template(SandboxSpec spec) override {
    THAW_CO_TRY_VOID(detail::validate(spec));
    os::Cgroup cgroup(layout_, detail::cgroup_name(options_.instance) + "/" + spec.id.str());
    co_return co_await detail::start_template(line_, std::move(cgroup), std::move(spec));
  }

  async::Task<void> shut_down() override {
    std::string request = Writer(Kind::shut_down).bytes();
    THAW_CO_TRY([[maybe_unused]] const auto reply, co_await line_->ask(std::move(request)));
    co_return ok();
  }

  std::string bridge_host() const override { return bridge_host_; }

  Duration processor_time() const override {
    return std::chrono::microseconds(
        os::Cgroup(layout_, detail::cgroup_name(options_.instance)).cpu_us());
  }

 private:
  SpawnerOptions options_;
  os::CgroupLayout layout_;
  std::shared_ptr<ControlLine> line_;
  int pid_;
  std::string bridge_host_;
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

// In the child of the fork: nothing of the server stays open but `kept` (the control socket first,
// then locks) and stderr for warnings.
[[noreturn]] void become_spawner(SpawnerOptions options, os::CgroupLayout layout,
                                 std::array<int, 3> kept, int server) {
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  ::dup2(null, 0);
  ::dup2(null, 1);
  // Out of each other's way first: a source may stand where another one goes.
  for (int& fd : kept) {
    fd = ::fcntl(fd, F_DUPFD_CLOEXEC, 10);
  }
  for (int i = 0; i < 3; ++i) {
    ::dup3(kept[i], 3 + i, O_CLOEXEC);
  }
  os::close_from(6);
  detail::SpawnerProcess process(std::move(options), std::move(layout), os::Fd(3), server);
  ::_exit(process.run());
}

}  // namespace

async::Task<Checkpoint> Sandbox::checkpoint(std::string, std::uint64_t) {
  co_return Error::unimplemented("this sandbox cannot be checkpointed");
}

async::Task<std::unique_ptr<Template>> Spawner::start_template(SandboxSpec) {
  co_return Error::unimplemented("this spawner has no templates");
}

Result<std::unique_ptr<Spawner>> Spawner::fork(SpawnerOptions options) {
  THAW_TRY_VOID(check(options));
  THAW_TRY(os::CgroupLayout layout, os::CgroupLayout::detect());
  THAW_TRY_VOID(os::make_folders(options.folder, 0700));
  THAW_TRY(const os::Fd lock, detail::lock_folder(options.folder));
  THAW_TRY_VOID(detail::remove_leftovers(options.folder, layout));
  THAW_TRY_VOID(detail::record_instance(options.folder, options.instance));
  THAW_TRY(const os::Fd membership, detail::join_machine(options.instance));
  THAW_TRY(auto control, os::make_message_pair());
  const pid_t server = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) {
    return Error::from_errno(errno, "fork the spawner");
  }
  if (pid == 0) {
    become_spawner(std::move(options), std::move(layout),
                   {control.second.get(), lock.get(), membership.get()}, server);
  }
  return std::unique_ptr<Spawner>(std::make_unique<SpawnerHandle>(
      std::move(options), std::move(layout), std::move(control.first), pid));
}

}  // namespace thaw::sandbox
