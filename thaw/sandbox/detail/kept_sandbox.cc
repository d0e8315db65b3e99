// SPDX-License-Identifier: Apache-2.0
//
// The part of a running sandbox by which it outlives its server: given to the spawner to keep, and
// taken over from it by the next server.
#include <fcntl.h>

#include "thaw/os/process.h"
#include "thaw/sandbox/detail/keeper.h"
#include "thaw/sandbox/detail/running_sandbox.h"

namespace thaw::sandbox::detail {

async::Task<void> RunningSandbox::keep(std::string note, Instant until) {
  if (!guests_) {
    co_return Error::failed_precondition("only a sandbox with guests can outlive its server");
  }
  KeptFacts facts;
  facts.workspace = workspace_;
  facts.until = until;
  facts.started = times_.started;
  THAW_CO_TRY(const os::Fd text, os::make_memory_file(note));
  std::string request = Writer(Kind::keep).text(id_.str()).text(encode(facts)).bytes();
  std::vector<int> fds = {report_.get(), text.get()};
  if (ended_with_spawner()) {
    co_return ControlLine::spawner_gone();
  }
  co_return co_await line_->send(std::move(request), std::move(fds));
}

async::Task<std::vector<KeptProcess>> RunningSandbox::kept_processes() {
  std::vector<KeptProcess> all;
  std::uint64_t number = 0;
  while (guests_) {
    THAW_CO_TRY(auto next, co_await RunningProcess::take_over(guests_, number));
    processes_ = number;
    if (!next) {
      break;
    }
    all.push_back(std::move(*next));
  }
  co_return all;
}

void RunningSandbox::leave() {
  is_removed_ = true;  // by the next server, some time
  if (guests_) {
    guests_->leave();
  }
}

async::Task<std::optional<KeptSandbox>> RunningSandbox::take_over(std::shared_ptr<ControlLine> line,
                                                                  CgroupOf cgroup_of,
                                                                  std::string& name) {
  std::string request = Writer(Kind::next_kept).text(name).bytes();
  THAW_CO_TRY(os::Message message, co_await line->ask_for(std::move(request)));
  Reader reader(message.bytes);
  (void)reader.kind();
  name = reader.text();
  if (name.empty()) {
    co_return std::optional<KeptSandbox>();
  }
  const int pid = static_cast<int>(reader.number());
  const std::string address = reader.text();
  const std::string root_writes = reader.text();
  THAW_CO_TRY(const KeptFacts facts, decode_facts(reader.text()));
  if (!reader.is_whole() || message.fds.size() != 3) {
    co_return Error::internal("what is kept of a sandbox was cut short").with("container", name);
  }
  std::unique_ptr<RunningSandbox> sandbox(
      new RunningSandbox(line, cgroup_of(facts.workspace, name), model::ContainerId(name)));
  sandbox->spawner_ = line->spawner();
  sandbox->workspace_ = facts.workspace;
  sandbox->pid_ = pid;
  sandbox->address_ = address;
  sandbox->root_writes_ = root_writes;
  sandbox->times_ = {facts.started, facts.started};
  sandbox->has_started_ = true;
  sandbox->pidfd_ = std::move(message.fds[0]);
  sandbox->report_ = std::move(message.fds[1]);
  THAW_CO_TRY(sandbox->ended_, async::FdWatch::make(line->loop(), sandbox->pidfd_.get()));
  THAW_CO_TRY_VOID(make_non_blocking(sandbox->report_));
  THAW_CO_TRY(sandbox->guests_, GuestsLine::make(line->loop(), sandbox->report_));
  (void)sandbox->thaw();  // the last one may have been looking at it
  KeptSandbox kept;
  // What cannot be read is the box's own loss.
  kept.note = os::read_memory_file(message.fds[2]).value_or("");
  kept.until = facts.until;
  kept.sandbox = std::move(sandbox);
  co_return std::optional(std::move(kept));
}

}  // namespace thaw::sandbox::detail
