// SPDX-License-Identifier: Apache-2.0
//
// The server's side of one process inside a sandbox: the ends of its streams, and the socket on
// which PID 1 says how it ended. Of a process that is kept PID 1 has all of it too, for the next
// server. Loop thread only.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "thaw/async/fd_ready.h"
#include "thaw/async/loop.h"
#include "thaw/os/fd.h"
#include "thaw/os/message.h"
#include "thaw/sandbox/detail/journal.h"
#include "thaw/sandbox/detail/wire.h"
#include "thaw/sandbox/process.h"

namespace thaw::sandbox::detail {

// The way to PID 1, which may be full for a moment.
class GuestsLine {
 public:
  // `report` is the server's end; a copy of it is kept.
  static Result<std::shared_ptr<GuestsLine>> make(async::Loop& loop, const os::Fd& report);
  // unavailable: the sandbox has ended.
  async::Task<void> send(std::string bytes, std::vector<int> fds);
  // A word about a process, without waiting: one that finds no room goes before the next one that
  // does, unless it is replaced by a later one of its kind.
  void tell(std::uint64_t process, Kind kind, std::string bytes);
  void flush();
  // The sandbox is somebody else's from now on: nothing more is said of its processes.
  void leave() { is_left_ = true; }
  bool is_left() const { return is_left_; }
  async::Loop& loop() const { return loop_; }

 private:
  explicit GuestsLine(async::Loop& loop) : loop_(loop) {}
  async::Loop& loop_;
  os::Fd report_;
  async::FdWatch watch_;
  std::map<std::pair<std::uint64_t, Kind>, std::string> untold_;  // a few for each process
  bool is_left_ = false;
};

class RunningProcess final : public Process {
 public:
  // Has PID 1 start it and waits until it runs. `number`: of no other process of the sandbox.
  static async::Task<std::unique_ptr<Process>> start(std::shared_ptr<GuestsLine> line,
                                                     std::uint64_t number, ProcessSpec spec);
  // The next of those that PID 1 keeps, after the one of that number, which is replaced; nothing at
  // the end.
  static async::Task<std::optional<KeptProcess>> take_over(std::shared_ptr<GuestsLine> line,
                                                           std::uint64_t& number);
  ~RunningProcess() override;

  async::Task<std::optional<std::string>> read_stdout() override;
  async::Task<std::optional<std::string>> read_stderr() override;
  async::Task<void> write(const std::string& bytes, std::size_t& written) override;
  void close_input() override;
  async::Task<void> signal(int number) override;
  async::Task<ProcessEnd> wait() override;
  void mark(std::string bytes) override;
  void journal(std::string of_stdout, std::string of_stderr) override;

 private:
  struct Stream {
    os::Fd fd;
    async::FdWatch watch;
    Journal journal;
  };
  enum class Kept { no, yes };

  RunningProcess(std::shared_ptr<GuestsLine> line, std::uint64_t number, Kept kept)
      : line_(std::move(line)), number_(number), kept_(kept) {}
  async::Task<void> launch(ProcessSpec spec);
  async::Task<void> await_start();
  Result<void> take_over(Stream& stream, os::Fd fd) const;
  Result<void> take_over_streams(os::Message& message, std::uint64_t open);
  async::Task<std::optional<std::string>> read(Stream& stream);
  void tell(Kind kind) const;

  std::shared_ptr<GuestsLine> line_;
  std::uint64_t number_;
  Kept kept_;
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
