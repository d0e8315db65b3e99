// SPDX-License-Identifier: Apache-2.0
//
// The server's side of one process inside a sandbox: the ends of its streams, and the socket on
// which PID 1 says how it ended. Loop thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "thaw/async/fd_ready.h"
#include "thaw/async/loop.h"
#include "thaw/os/fd.h"
#include "thaw/os/message.h"
#include "thaw/sandbox/process.h"

namespace thaw::sandbox::detail {

// The way to PID 1, which may be full for a moment.
class GuestsLine {
 public:
  // `report` is the server's end; a copy of it is kept.
  static Result<std::shared_ptr<GuestsLine>> make(async::Loop& loop, const os::Fd& report);
  // unavailable: the sandbox has ended.
  async::Task<void> send(std::string bytes, std::vector<int> fds);
  async::Loop& loop() const { return loop_; }

 private:
  explicit GuestsLine(async::Loop& loop) : loop_(loop) {}
  async::Loop& loop_;
  os::Fd report_;
  async::FdWatch watch_;
};

class RunningProcess final : public Process {
 public:
  // Has PID 1 start it and waits until it runs. `number`: of no other process of the sandbox.
  static async::Task<std::unique_ptr<Process>> start(std::shared_ptr<GuestsLine> line,
                                                     std::uint64_t number, ProcessSpec spec);

  async::Task<std::optional<std::string>> read_stdout() override;
  async::Task<std::optional<std::string>> read_stderr() override;
  async::Task<void> write(const std::string& bytes, std::size_t& written) override;
  void close_input() override;
  async::Task<void> signal(int number) override;
  async::Task<ProcessEnd> wait() override;

 private:
  struct Stream {
    os::Fd fd;
    async::FdWatch watch;
  };

  RunningProcess(std::shared_ptr<GuestsLine> line, std::uint64_t number)
      : line_(std::move(line)), number_(number) {}
  async::Task<void> launch(ProcessSpec spec);
  async::Task<void> await_start();
  Result<void> take_over(Stream& stream, os::Fd fd) const;
  static async::Task<std::optional<std::string>> read(Stream& stream);

  std::shared_ptr<GuestsLine> line_;
  std::uint64_t number_;
  bool has_terminal_ = false;
  os::Fd reply_;
  async::FdWatch replied_;
  Stream input_;  // none with a terminal: that is in output_
  Stream output_;
  Stream error_;
  bool is_input_closed_ = false;
  std::optional<ProcessEnd> end_;
};

}  // namespace thaw::sandbox::detail
