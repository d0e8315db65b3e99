// SPDX-License-Identifier: Apache-2.0
//
// The server's side of one sandbox: its pidfd, its report socket, its two output pipes. Loop
// thread only.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "thaw/async/event.h"
#include "thaw/async/fd_ready.h"
#include "thaw/os/cgroup.h"
#include "thaw/os/fd.h"
#include "thaw/os/message.h"
#include "thaw/sandbox/detail/control_line.h"
#include "thaw/sandbox/detail/running_process.h"
#include "thaw/sandbox/sandbox.h"

namespace thaw::sandbox::detail {

// Both ends of a template's control socket; of other sandboxes none.
struct TemplateControl {
  int its_end = -1;
  int own_end = -1;
};

class RunningSandbox : public Sandbox {
 public:
  // Starts it and waits until its program runs. On failure everything of it is removed.
  static async::Task<std::unique_ptr<Sandbox>> start(std::shared_ptr<ControlLine> line,
                                                     os::Cgroup cgroup, SandboxSpec spec,
                                                     TemplateControl control = {});
  // One that the spawner keeps: the next after the one of that name, which is replaced; nothing at
  // the end. `cgroup_of` finds its cgroup by workspace and name.
  using CgroupOf = std::function<os::Cgroup(const std::string&, const std::string&)>;
  static async::Task<std::optional<KeptSandbox>> take_over(std::shared_ptr<ControlLine> line,
                                                           CgroupOf cgroup_of, std::string& name);
  ~RunningSandbox() override;

  const model::ContainerId& id() const override { return id_; }
  int pid() const override { return pid_; }
  const std::string& address() const override { return address_; }
  std::string root_writes() const override { return root_writes_; }
  const StartTimes& times() const override { return times_; }
  os::Fd take_door() override { return std::move(door_); }
  std::vector<ServedMount> take_served() override { return std::exchange(served_, {}); }
  async::Task<std::optional<std::string>> read_stdout() override;
  async::Task<std::optional<std::string>> read_stderr() override;
  async::Task<ExitStatus> wait() override;
  bool has_ended() const override;
  Result<void> signal(int number) override;
  async::Task<std::unique_ptr<Process>> run(ProcessSpec spec) override;
  async::Task<Checkpoint> checkpoint(std::string images, std::uint64_t max_file_bytes) override;
  async::Task<void> freeze() override;
  Result<void> thaw() override;
  async::Task<std::uint64_t> reclaim() override;
  std::uint64_t memory_bytes() const override;
  Duration processor_time() const override;
  void note_survival() override;
  Result<void> weigh(double weight) override;
  async::Task<void> keep(std::string note, Instant until) override;
  async::Task<std::vector<KeptProcess>> kept_processes() override;
  void leave() override;
  async::Task<void> remove() override;

 private:
  struct Stream {
    os::Fd fd;
    async::FdWatch watch;
  };

  RunningSandbox(std::shared_ptr<ControlLine> line, os::Cgroup cgroup, model::ContainerId id)
      : line_(std::move(line)), cgroup_(std::move(cgroup)), id_(std::move(id)) {}

  async::Task<void> freeze_within(Duration limit);
  async::Task<void> launch(const SandboxSpec& spec, const TemplateControl& control);
  // Reads one report, if there is one.
  Result<os::Transfer> take_report();
  bool ended_with_spawner() const;
  static async::Task<std::optional<std::string>> read(Stream& stream);
  ExitStatus collect();

  std::shared_ptr<ControlLine> line_;
  std::uint64_t spawner_ = 0;  // which one it is of
  os::Cgroup cgroup_;
  model::ContainerId id_;
  std::string workspace_;
  int pid_ = 0;
  std::string address_;
  std::string root_writes_;
  StartTimes times_;
  os::Fd pidfd_;
  async::FdWatch ended_;
  os::Fd door_;
  std::vector<ServedMount> served_;
  os::Fd report_;
  async::FdWatch reported_;
  Stream stdout_;
  Stream stderr_;
  std::shared_ptr<GuestsLine> guests_;  // with processes: they may outlive this
  std::uint64_t processes_ = 0;         // that were started
  bool has_started_ = false;
  std::optional<int> wait_status_;
  std::optional<Error> failure_;
  std::optional<ExitStatus> exit_;
  bool is_removed_ = false;
  std::uint64_t kills_seen_ = 0;      // by the kernel, for memory
  std::uint64_t kills_survived_ = 0;  // of them, those of a process that was not the program
  std::uint64_t freezes_ = 0;         // tells a freeze that is under way from those before it
  bool may_be_frozen_ = false;
  bool is_checkpointing_ = false;  // nothing of it is to run; it is thawed when that is done
};

}  // namespace thaw::sandbox::detail
