// SPDX-License-Identifier: Apache-2.0
//
// A process that is started inside a running sandbox (SandboxSpec::Guests::possible), as its child
// of PID 1 and with what its programs have: user, limits, filter, capabilities. Its streams are
// pipes, or one terminal. Loop thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "thaw/async/task.h"
#include "thaw/base/result.h"

namespace thaw::sandbox {

struct TerminalSize {
  std::uint16_t rows = 24;
  std::uint16_t columns = 80;
};

struct ProcessSpec {
  std::vector<std::string> argv;  // argv[0] is looked up in PATH of `env` inside the root
  std::vector<std::string> env;   // "NAME=value", complete: nothing is inherited
  std::string cwd = "/";          // made if missing
  std::string user;               // as in SandboxSpec
  // With one its input and both outputs are this terminal, and read_stderr() is at its end.
  std::optional<TerminalSize> terminal;
  // Not empty: the process is kept (Sandbox::keep), and who takes it over gets this with it. At
  // most 4 KiB.
  std::string note;
};

struct ProcessEnd {
  int code = 0;               // exit code, or 128 + signal
  int signal = 0;             // 0 when it exited by itself
  bool with_sandbox = false;  // the whole sandbox has ended, and how this one did is not known
};

class Process {
 public:
  // It runs on; what it writes from now on finds nobody.
  virtual ~Process() = default;
  // Next piece of what it and its children print; nullopt at the end of that stream, which may come
  // later than its own end. Each is read by one task at a time.
  virtual async::Task<std::optional<std::string>> read_stdout() = 0;
  virtual async::Task<std::optional<std::string>> read_stderr() = 0;
  // Ends when all of it is in the pipe; how much of it, `written` says at any moment. unavailable:
  // nobody reads it any more. By one task at a time.
  virtual async::Task<void> write(const std::string& bytes, std::size_t& written) = 0;
  // The end of its input; on a terminal the character for it. Once.
  virtual void close_input() = 0;
  // To it and to those of its children that are in its process group.
  virtual async::Task<void> signal(int number) = 0;
  // How it ended, as soon as it has; also later.
  virtual async::Task<ProcessEnd> wait() = 0;

  // --- of one that is kept ---
  // What whoever takes it over gets besides its note; a later one replaces it. At most 4 KiB.
  virtual void mark(std::string) {}
  // What is read from now on is put into these files first, at its place in the stream, so that no
  // byte is lost by the end of who reads. A file is made when there is something for it.
  virtual void journal(std::string /*of_stdout*/, std::string /*of_stderr*/) {}
};

// One that was taken over: it runs, or has ended meanwhile.
struct KeptProcess {
  std::string note;
  std::string mark;
  bool is_input_closed = false;
  std::unique_ptr<Process> process;
};

}  // namespace thaw::sandbox
