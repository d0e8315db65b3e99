// SPDX-License-Identifier: Apache-2.0
//
// The way from the server to its spawner process, shared by the spawner's handle and its
// sandboxes. The process may be killed at any moment: whoever waits for its answer is then told
// so, and whoever has something to ask waits a moment for the next one. Loop thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "thaw/async/blocking.h"
#include "thaw/async/event.h"
#include "thaw/async/fd_ready.h"
#include "thaw/os/fd.h"
#include "thaw/os/message.h"
#include "thaw/sandbox/detail/wire.h"
#include "thaw/sandbox/sandbox.h"

namespace thaw::sandbox::detail {

Result<void> make_non_blocking(const os::Fd& fd);

class ControlLine {
 public:
  void attach(async::Loop& loop, async::Pool& pool);
  async::Loop& loop() const { return *loop_; }
  async::Pool& pool() const { return *pool_; }

  // There is a process at the other end; only who prepares it may ask it yet.
  Result<void> begin(os::Fd socket, const os::Fd& process);
  // It may be asked by all.
  void open();
  // It has ended: whoever waits for an answer of it is told.
  void end();
  // Nothing more will be there.
  void close_for_good();

  // Which process it is, 1, 2 …: what one has started ends with it.
  std::uint64_t spawner() const { return spawner_; }
  // Whether it has ended, be it that nobody has noticed yet.
  bool has_ended() const;
  // The same for who has seen another end, which may have come of this one a moment earlier.
  async::Task<bool> has_just_ended();

  // Returns when it may be asked, which after the end of one takes a moment; unavailable if it
  // takes longer.
  async::Task<void> up();
  // Sends a request; waits while the socket is full, or for the next process.
  async::Task<void> send(std::string bytes, std::vector<int> fds);
  // A request that brings a reply socket of its own, and the reply: done, or failed as an Error;
  // unavailable when the process ended meanwhile.
  async::Task<std::string> ask(std::string bytes);
  // The same for a reply that brings descriptors.
  async::Task<os::Message> ask_for(std::string bytes);
  // Of who prepares it.
  async::Task<std::string> ask_at_once(std::string bytes);
  // Without waiting for room or for an answer: what may be lost, and for destructors.
  void tell(const std::string& bytes);
  void ask_to_remove(const model::ContainerId& id);

  // While it lives, a socket on which something of the process is awaited; it reads as ended once
  // the process has.
  class Awaiting {
   public:
    Awaiting(ControlLine& line, int socket) : all_(line.awaited_), at_(all_->insert(socket)) {}
    ~Awaiting() { all_->erase(at_); }
    Awaiting(const Awaiting&) = delete;
    Awaiting& operator=(const Awaiting&) = delete;

   private:
    std::shared_ptr<std::multiset<int>> all_;
    std::multiset<int>::iterator at_;
  };

  // What those are told.
  static Error spawner_gone();

 private:
  async::Task<void> send_at_once(std::string bytes, std::vector<int> fds);
  async::Task<os::Message> exchange(std::string bytes);

  os::Fd socket_;
  os::Fd process_;  // pidfd
  async::Loop* loop_ = nullptr;
  async::Pool* pool_ = nullptr;
  std::optional<async::FdWatch> watch_;
  std::uint64_t spawner_ = 0;
  enum class State { none, beginning, open, closed } state_ = State::none;
  async::Event changed_;
  std::shared_ptr<std::multiset<int>> awaited_ = std::make_shared<std::multiset<int>>();
};

}  // namespace thaw::sandbox::detail
