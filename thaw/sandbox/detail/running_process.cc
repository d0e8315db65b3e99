// SPDX-License-Identifier: Apache-2.0
#include "thaw/sandbox/detail/running_process.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <utility>

#include "thaw/async/within.h"
#include "thaw/sandbox/detail/control_line.h"

namespace thaw::sandbox::detail {

namespace {

// PID 1 starts one after the other, each in milliseconds; but what it reads in the root, such as
// the list of users, is its programs' to change.
constexpr Duration start_patience = 30s;
constexpr char end_of_input = 4;  // Ctrl-D

ProcessEnd end_of(int status) {
  ProcessEnd end;
  end.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  end.code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  return end;
}

Error sandbox_gone() { return Error::unavailable("the container has ended"); }

// The next word of PID 1. Both outlive it.
async::Task<void> hear(const os::Fd& from, async::FdWatch& ready, os::Message& message) {
  while (true) {
    THAW_CO_TRY(const os::Transfer received, os::receive_message(from.get(), message));
    if (received == os::Transfer::end) {
      co_return sandbox_gone();
    }
    if (received == os::Transfer::done) {
      co_return ok();
    }
    THAW_CO_TRY_VOID(co_await ready.readable());
  }
}

}  // namespace

Result<std::shared_ptr<GuestsLine>> GuestsLine::make(async::Loop& loop, const os::Fd& report) {
  std::shared_ptr<GuestsLine> line(new GuestsLine(loop));
  line->report_ = os::Fd(::fcntl(report.get(), F_DUPFD_CLOEXEC, 3));
  if (!line->report_.valid()) {
    return Error::from_errno(errno, "copy a descriptor");
  }
  THAW_TRY(line->watch_, async::FdWatch::make(loop, line->report_.get()));
  return line;
}

async::Task<void> GuestsLine::send(std::string bytes, std::vector<int> fds) {
  while (true) {
    flush();
    const auto sent = os::send_message(report_.get(), bytes, fds);
    if (!sent || *sent == os::Transfer::end) {
      co_return sandbox_gone();
    }
    if (*sent == os::Transfer::done) {
      co_return ok();
    }
    THAW_CO_TRY_VOID(co_await watch_.writable());
  }
}

void GuestsLine::tell(std::uint64_t process, Kind kind, std::string bytes) {
  untold_[{process, kind}] = std::move(bytes);
  flush();
}

void GuestsLine::flush() {
  while (!untold_.empty()) {
    const auto sent = os::send_message(report_.get(), untold_.begin()->second);
    if (sent && *sent == os::Transfer::later) {
      return;
    }
    untold_.erase(untold_.begin());
  }
}

async::Task<std::unique_ptr<Process>> RunningProcess::start(std::shared_ptr<GuestsLine> line,
                                                            std::uint64_t number,
                                                            ProcessSpec spec) {
  THAW_CO_TRY_VOID(validate(spec));
  const Kept kept = spec.note.empty() ? Kept::no : Kept::yes;
  std::unique_ptr<RunningProcess> process(new RunningProcess(std::move(line), number, kept));
  THAW_CO_TRY_VOID(co_await process->launch(std::move(spec)));
  co_return std::unique_ptr<Process>(std::move(process));
}

async::Task<std::optional<KeptProcess>> RunningProcess::take_over(std::shared_ptr<GuestsLine> line,
                                                                  std::uint64_t& number) {
  THAW_CO_TRY(auto answer, os::make_message_pair());
  THAW_CO_TRY(auto report, os::make_message_pair());
  for (const os::Fd* own : {&answer.first, &report.first}) {
    THAW_CO_TRY_VOID(make_non_blocking(*own));
  }
  THAW_CO_TRY(async::FdWatch answered, async::FdWatch::make(line->loop(), answer.first.get()));
  std::string order = Writer(Kind::next_guest).number(number).bytes();
  std::vector<int> fds = {answer.second.get(), report.second.get()};
  THAW_CO_TRY_VOID(co_await line->send(std::move(order), std::move(fds)));
  answer.second.reset();
  report.second.reset();
  os::Message message;
  THAW_CO_TRY_VOID(co_await async::within(start_patience, hear(answer.first, answered, message)));
  Reader reader(message.bytes);
  const Kind kind = reader.kind();
  if (kind == Kind::done) {
    number = std::max(number, reader.number());  // none of before has the next one's
    co_return std::optional<KeptProcess>();
  }
  KeptProcess kept;
  number = reader.number();
  kept.note = reader.text();
  kept.mark = reader.text();
  const std::uint64_t open = reader.number_up_to(7);
  const bool has_terminal = reader.number_up_to(1) == 1;
  const bool has_ended = reader.number_up_to(1) == 1;
  const int status = static_cast<int>(reader.number());
  if (kind != Kind::started || !reader.is_whole()) {
    co_return Error::internal("what is kept of a process was cut short");
  }
  std::unique_ptr<RunningProcess> process(new RunningProcess(line, number, Kept::yes));
  process->has_terminal_ = has_terminal;
  THAW_CO_TRY_VOID(process->take_over_streams(message, open));
  kept.is_input_closed = process->is_input_closed_;
  if (has_ended) {
    process->end_ = end_of(status);
  } else {
    process->reply_ = std::move(report.first);
    THAW_CO_TRY(process->replied_, async::FdWatch::make(line->loop(), process->reply_.get()));
  }
  kept.process = std::move(process);
  co_return std::optional(std::move(kept));
}

Result<void> RunningProcess::take_over_streams(os::Message& message, std::uint64_t open) {
  Stream* const streams[3] = {has_terminal_ ? &output_ : &input_, &output_, &error_};
  std::size_t next = 0;
  for (std::size_t i = 0; i < (has_terminal_ ? 1 : 3); ++i) {
    if ((open >> i & 1) != 0 && next < message.fds.size()) {
      THAW_TRY_VOID(take_over(*streams[i], std::move(message.fds[next++])));
    }
  }
  is_input_closed_ = !streams[0]->fd.valid();
  return ok();
}

// PID 1 lets go of its streams too: what is written to them from now on finds nobody.
RunningProcess::~RunningProcess() {
  if (!line_->is_left()) {
    tell(Kind::let_go);
  }
}

void RunningProcess::tell(Kind kind) const {
  if (kept_ == Kept::yes) {
    line_->tell(number_, kind, Writer(kind).number(number_).bytes());
  }
}

void RunningProcess::mark(std::string bytes) {
  if (kept_ == Kept::yes && bytes.size() <= longest_note) {
    line_->tell(number_, Kind::mark, Writer(Kind::mark).number(number_).text(bytes).bytes());
  }
}

void RunningProcess::journal(std::string of_stdout, std::string of_stderr) {
  output_.journal = Journal(std::move(of_stdout));
  error_.journal = Journal(std::move(of_stderr));
}

async::Task<void> RunningProcess::launch(ProcessSpec spec) {
  has_terminal_ = spec.terminal.has_value();
  THAW_CO_TRY(const os::Fd body, os::make_memory_file(encode(spec)));
  THAW_CO_TRY(auto pair, os::make_message_pair());
  reply_ = std::move(pair.first);
  THAW_CO_TRY_VOID(make_non_blocking(reply_));
  THAW_CO_TRY(replied_, async::FdWatch::make(line_->loop(), reply_.get()));
  std::string order = Writer(Kind::run).number(number_).bytes();
  std::vector<int> fds = {pair.second.get(), body.get()};
  THAW_CO_TRY_VOID(co_await line_->send(std::move(order), std::move(fds)));
  pair.second.reset();
  const Result<void> begun = co_await async::within(start_patience, await_start());
  if (!begun && begun.error().code() == Code::deadline_exceeded) {
    (void)co_await signal(SIGKILL);  // should it begin after all
    co_return Error::deadline_exceeded("the container did not start the process in time");
  }
  co_return begun;
}

async::Task<void> RunningProcess::await_start() {
  os::Message message;
  THAW_CO_TRY_VOID(co_await hear(reply_, replied_, message));
  Reader reader(message.bytes);
  const Kind kind = reader.kind();
  if (kind == Kind::failed) {
    co_return decode_failure(reader);
  }
  const std::size_t wanted = has_terminal_ ? 1 : 3;
  if (kind != Kind::started || message.fds.size() != wanted) {
    co_return Error::internal("an unknown answer to the start of a process");
  }
  if (has_terminal_) {
    co_return take_over(output_, std::move(message.fds[0]));
  }
  THAW_CO_TRY_VOID(take_over(input_, std::move(message.fds[0])));
  THAW_CO_TRY_VOID(take_over(output_, std::move(message.fds[1])));
  co_return take_over(error_, std::move(message.fds[2]));
}

Result<void> RunningProcess::take_over(Stream& stream, os::Fd fd) const {
  stream.fd = std::move(fd);
  THAW_TRY_VOID(make_non_blocking(stream.fd));
  THAW_TRY(stream.watch, async::FdWatch::make(line_->loop(), stream.fd.get()));
  return ok();
}

namespace {

// The line outlives the process that is signalled.
async::Task<void> send_kill(std::shared_ptr<GuestsLine> line, std::uint64_t process, int signal) {
  std::string order =
      Writer(Kind::kill).number(process).number(static_cast<std::uint64_t>(signal)).bytes();
  co_return co_await line->send(std::move(order), {});
}

}  // namespace

async::Task<std::optional<std::string>> RunningProcess::read(Stream& stream) {
  if (!stream.fd.valid()) {
    co_return std::nullopt;
  }
  std::string piece;
  line_->flush();
  while (true) {
    const ssize_t n = stream.journal.read_from(stream.fd.get(), piece);
    if (n > 0) {
      co_return std::optional(std::move(piece));
    }
    // A terminal that nobody has open any more says EIO.
    if (n == 0 || errno == EIO) {
      stream.watch = {};  // it has a copy
      stream.fd.reset();
      stream.journal = {};
      co_return std::nullopt;
    }
    if (errno == EAGAIN) {
      THAW_CO_TRY_VOID(co_await stream.watch.readable());
    } else if (errno != EINTR) {
      co_return Error::from_errno(errno, "read a process's output");
    }
  }
}

async::Task<std::optional<std::string>> RunningProcess::read_stdout() { return read(output_); }
async::Task<std::optional<std::string>> RunningProcess::read_stderr() { return read(error_); }

async::Task<void> RunningProcess::write(const std::string& bytes, std::size_t& written) {
  Stream& stream = has_terminal_ ? output_ : input_;
  while (written < bytes.size()) {
    if (is_input_closed_ || !stream.fd.valid()) {
      co_return Error::unavailable("nobody reads the input of this process any more");
    }
    const ssize_t n = ::write(stream.fd.get(), bytes.data() + written, bytes.size() - written);
    if (n > 0) {
      written += static_cast<std::size_t>(n);
    } else if (errno == EAGAIN) {
      const Result<void> ready = co_await stream.watch.writable();
      if (!ready && stream.fd.valid() && !is_input_closed_) {
        co_return ready.error();
      }
    } else if (errno == EPIPE || errno == EIO) {
      co_return Error::unavailable("nobody reads the input of this process any more");
    } else if (errno != EINTR) {
      co_return Error::from_errno(errno, "write a process's input");
    }
  }
  co_return ok();
}

void RunningProcess::close_input() {
  if (std::exchange(is_input_closed_, true)) {
    return;
  }
  if (has_terminal_) {
    if (output_.fd.valid()) {
      (void)::write(output_.fd.get(), &end_of_input, 1);
    }
    return;
  }
  input_.watch = {};  // it has a copy
  input_.fd.reset();
  tell(Kind::close_input);
}

async::Task<void> RunningProcess::signal(int number) { return send_kill(line_, number_, number); }

async::Task<ProcessEnd> RunningProcess::wait() {
  os::Message message;
  while (!end_) {
    const auto received = os::receive_message(reply_.get(), message);
    if (!received || *received == os::Transfer::end) {
      end_ = ProcessEnd{128 + SIGKILL, SIGKILL, true};
      break;
    }
    if (*received == os::Transfer::later) {
      THAW_CO_TRY_VOID(co_await replied_.readable());
      continue;
    }
    Reader reader(message.bytes);
    if (reader.kind() != Kind::exited) {
      continue;
    }
    end_ = end_of(static_cast<int>(reader.number()));
  }
  replied_ = {};
  reply_.reset();
  co_return *end_;
}

}  // namespace thaw::sandbox::detail
