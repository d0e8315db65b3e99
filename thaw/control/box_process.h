// SPDX-License-Identifier: Apache-2.0
//
// BoxProcess: one process of a box as its clients see it: what it printed, what it is given to
// read, how it ended. It is there before it has been started, and after its box has ended. Shared
// by the box and by those who wait. Loop thread only.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "thaw/async/event.h"
#include "thaw/async/task_group.h"
#include "thaw/control/kept_output.h"
#include "thaw/worker/worker.h"

namespace thaw::control {

class BoxProcess {
 public:
  struct Keeps {
    KeptOutput::Loses out = KeptOutput::Loses::none;
    KeptOutput::Loses error = KeptOutput::Loses::none;
  };
  BoxProcess(const std::shared_ptr<OutputShares>& shares, const model::WorkspaceId& workspace,
             Keeps keeps)
      : out_(shares, workspace, keeps.out), error_(shares, workspace, keeps.error) {}

  KeptOutput& out() { return out_; }
  KeptOutput& error() { return error_; }

  // --- its input ---
  struct InputState {
    std::uint64_t written = 0;  // bytes that it, or its pipe, has
    bool is_closed = false;
  };
  InputState input() const { return {written_, is_closed_}; }
  // Writes what comes at `offset` of its input, less what was written before, then closes it if so.
  // Waits while the process does not read, and for its start. failed_precondition: bytes before
  // `offset` are missing, it is closed, or nobody reads it any more.
  async::Task<void> write(std::uint64_t offset, std::string bytes, bool closes);
  // The same for pieces that have numbers, from 1 on; one that comes again is passed over.
  async::Task<void> append(std::uint64_t number, std::string bytes, bool closes);

  // --- its end ---
  const std::optional<sandbox::ProcessEnd>& end() const { return end_; }
  // It could not be started.
  const std::optional<Error>& failure() const { return failure_; }
  bool has_started() const { return has_started_; }
  // It has ended, or never began, and holds nothing of the system: what it has left behind in the
  // background has closed its streams too.
  bool is_over() const { return failure_ || (has_started_ && !process_); }
  // Until it has ended, or could not be started; false: `until` came first.
  async::Task<bool> wait_for_end(Instant until);
  async::Task<bool> wait_for_start(Instant until);
  // Nothing, if it does not run.
  async::Task<void> signal(int number);

  // --- for its box ---
  // It runs: its streams are pumped in `tasks`, which end before it does.
  static void begin(const std::shared_ptr<BoxProcess>& self,
                    std::unique_ptr<sandbox::Process> process, async::TaskGroup& tasks);
  // Files for its output, "….out" and "….err": what it takes to go on under another server. Before
  // it begins.
  void set_journals(const std::string& path);
  void remove_journals();
  // Goes on with what another server has left.
  static void resume(const std::shared_ptr<BoxProcess>& self, sandbox::KeptProcess kept,
                     async::TaskGroup& tasks);
  // It is the next server's.
  void leave();
  void fail(Error error);
  // Its box has ended: so has it, and nothing more comes.
  void end_with_box();
  // Nobody is waited for who would read what it printed.
  void release();
  std::function<void()> at_end;  // called once it has ended; set before it begins
  Instant kill_at = Instant::max();
  bool was_killed = false;  // at kill_at

 private:
  enum class Which { out, error };
  static async::Task<void> pump(std::shared_ptr<BoxProcess> self, Which which);
  static async::Task<void> watch(std::shared_ptr<BoxProcess> self);
  void ended(sandbox::ProcessEnd end);
  class Turn;
  // What it held of the system goes, once nobody needs it.
  void let_go();
  async::Task<void> take_turn();
  void note_input();
  async::Task<void> write_now(std::uint64_t offset, std::string bytes, bool closes);

  KeptOutput out_;
  KeptOutput error_;
  std::unique_ptr<sandbox::Process> process_;
  std::optional<sandbox::ProcessEnd> end_;
  std::optional<Error> failure_;
  std::uint64_t written_ = 0;
  std::uint64_t last_piece_ = 0;  // that has come, and where it began
  std::uint64_t last_piece_began_ = 0;
  bool is_closed_ = false;
  bool has_started_ = false;
  bool is_watched_ = false;  // somebody waits for its end
  bool is_writing_ = false;
  int pumps_ = 0;
  async::Event changed_;
};

using BoxProcessPtr = std::shared_ptr<BoxProcess>;

}  // namespace thaw::control
