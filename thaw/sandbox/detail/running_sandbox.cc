// SPDX-License-Identifier: Apache-2.0
#include "thaw/sandbox/detail/running_sandbox.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "thaw/os/process.h"

namespace thaw::sandbox::detail {

namespace {

constexpr Duration checkpoint_freeze_limit = 10s;

}  // namespace

async::Task<std::unique_ptr<Sandbox>> RunningSandbox::start(std::shared_ptr<ControlLine> line,
                                                            os::Cgroup cgroup, SandboxSpec spec,
                                                            TemplateControl control) {
  std::unique_ptr<RunningSandbox> sandbox(
      new RunningSandbox(std::move(line), std::move(cgroup), spec.id));
  auto launched = co_await sandbox->launch(spec, control);
  if (!launched) {
    Error error = std::move(launched).error();
    if (error.code() != Code::cancelled && error.code() != Code::already_exists) {
      (void)co_await sandbox->remove();
    } else if (error.code() == Code::already_exists) {
      sandbox->is_removed_ = true;  // that one is somebody else's
    }
    co_return error.with("container", spec.id.str());
  }
  co_return std::unique_ptr<Sandbox>(std::move(sandbox));
}

async::Task<void> RunningSandbox::launch(const SandboxSpec& spec, const TemplateControl& control) {
  times_.requested = monotonic_now();
  workspace_ = spec.workspace;
  THAW_CO_TRY(const os::Fd body, os::make_memory_file(encode(spec)));
  THAW_CO_TRY(auto pair, os::make_message_pair());
  report_ = std::move(pair.first);
  THAW_CO_TRY_VOID(make_non_blocking(report_));
  THAW_CO_TRY(reported_, async::FdWatch::make(line_->loop(), report_.get()));
  os::Fd writers[2];
  Stream* const streams[2] = {&stdout_, &stderr_};
  for (int i = 0; i < 2; ++i) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) {
      co_return Error::from_errno(errno, "make a pipe");
    }
    streams[i]->fd = os::Fd(ends[0]);
    writers[i] = os::Fd(ends[1]);
    THAW_CO_TRY_VOID(make_non_blocking(streams[i]->fd));
    THAW_CO_TRY(streams[i]->watch, async::FdWatch::make(line_->loop(), ends[0]));
  }
  std::vector<int> fds = {pair.second.get(), body.get(), writers[0].get(), writers[1].get()};
  if (control.its_end >= 0) {
    fds.insert(fds.end(), {control.its_end, control.own_end});
  }
  // Not before: the end of a spawner ends what is awaited of it, and this is asked of the next one.
  THAW_CO_TRY_VOID(co_await line_->up());
  const ControlLine::Awaiting awaiting(*line_, report_.get());
  spawner_ = line_->spawner();
  THAW_CO_TRY_VOID(co_await line_->send(Writer(Kind::start).bytes(), std::move(fds)));
  pair.second.reset();
  writers[0].reset();
  writers[1].reset();
  while (!has_started_ || !pidfd_.valid()) {
    THAW_CO_TRY_VOID(co_await reported_.readable());
    THAW_CO_TRY(const os::Transfer taken, take_report());
    if (failure_) {
      co_return *failure_;
    }
    if (taken == os::Transfer::end) {
      THAW_CO_TRY(const bool has_just_ended, co_await line_->has_just_ended());
      co_return has_just_ended || ended_with_spawner()
          ? ControlLine::spawner_gone()
          : Error::internal("the sandbox ended while it was being built");
    }
  }
  if (spec.door_port != 0 && !door_.valid()) {
    co_return Error::internal("the sandbox was built without its door");
  }
  if (served_.size() != spec.served.size()) {
    co_return Error::internal("the sandbox was built without a folder that somebody serves");
  }
  if (spec.guests == SandboxSpec::Guests::possible) {
    THAW_CO_TRY(guests_, GuestsLine::make(line_->loop(), report_));
  }
  co_return ok();
}

Result<os::Transfer> RunningSandbox::take_report() {
  os::Message message;
  THAW_TRY(const os::Transfer received, os::receive_message(report_.get(), message));
  if (received != os::Transfer::done) {
    return received;
  }
  Reader reader(message.bytes);
  switch (reader.kind()) {
    case Kind::launched:
      pid_ = static_cast<int>(reader.number());
      address_ = reader.text();
      root_writes_ = reader.text();
      if (message.fds.size() == 1) {
        pidfd_ = std::move(message.fds[0]);
        THAW_TRY(ended_, async::FdWatch::make(line_->loop(), pidfd_.get()));
      }
      break;
    case Kind::door:
      if (message.fds.size() == 1) {
        door_ = std::move(message.fds[0]);
      }
      break;
    case Kind::served:
      if (message.fds.size() == 2) {
        served_.push_back({std::move(message.fds[0]), std::move(message.fds[1])});
      }
      break;
    case Kind::started:
      has_started_ = true;
      times_.started = Instant(Duration(static_cast<std::int64_t>(reader.number())));
      break;
    case Kind::exited: wait_status_ = static_cast<int>(reader.number()); break;
    case Kind::failed: failure_ = decode_failure(reader); break;
    default: return Error::internal("an unknown report of a sandbox");
  }
  if (!failure_ && !reader.ok()) {
    wait_status_.reset();  // nothing that is half told is an end
    return Error::internal("a report of a sandbox was cut short");
  }
  return os::Transfer::done;
}

RunningSandbox::~RunningSandbox() {
  if (!is_removed_) {
    if (pidfd_.valid()) {
      (void)os::send_signal(pidfd_, SIGKILL);
      (void)RunningSandbox::thaw();
    }
    line_->ask_to_remove(id_);
  }
}

async::Task<std::optional<std::string>> RunningSandbox::read(Stream& stream) {
  if (!stream.fd.valid()) {
    co_return std::nullopt;
  }
  std::string piece(64 * 1024, '\0');
  while (true) {
    const ssize_t n = ::read(stream.fd.get(), piece.data(), piece.size());
    if (n > 0) {
      piece.resize(static_cast<std::size_t>(n));
      co_return std::optional(std::move(piece));
    }
    if (n == 0) {
      stream.fd.reset();
      co_return std::nullopt;
    }
    if (errno == EAGAIN) {
      THAW_CO_TRY_VOID(co_await stream.watch.readable());
    } else if (errno != EINTR) {
      co_return Error::from_errno(errno, "read a sandbox's output");
    }
  }
}

async::Task<std::optional<std::string>> RunningSandbox::read_stdout() { return read(stdout_); }
async::Task<std::optional<std::string>> RunningSandbox::read_stderr() { return read(stderr_); }

async::Task<ExitStatus> RunningSandbox::wait() {
  if (!exit_) {
    // The pidfd of PID 1 tells the end only after every process of its namespace is dead.
    THAW_CO_TRY_VOID(co_await ended_.readable());
  }
  if (!exit_) {
    exit_ = collect();
  }
  co_return *exit_;
}

bool RunningSandbox::ended_with_spawner() const {
  return spawner_ != line_->spawner() || line_->has_ended();
}

ExitStatus RunningSandbox::collect() {
  while (!wait_status_) {
    const auto taken = take_report();
    if (!taken || *taken != os::Transfer::done) {
      break;
    }
  }
  ExitStatus status;
  const os::CgroupUsage usage = cgroup_.usage();
  status.out_of_memory = usage.out_of_memory_kills > kills_survived_;
  status.peak_memory_bytes = usage.peak_memory_bytes;
  status.cpu_us = usage.cpu_us;
  // Without a report PID 1 itself was killed.
  status.killed_as_a_whole = !wait_status_;
  const int raw = wait_status_.value_or(SIGKILL);
  status.ended_with_spawner = !wait_status_ && ended_with_spawner();
  status.signal = WIFSIGNALED(raw) ? WTERMSIG(raw) : 0;
  status.code = WIFSIGNALED(raw) ? 128 + WTERMSIG(raw) : WEXITSTATUS(raw);
  return status;
}

// By cgroups v1 one that is killed while it is frozen dies when it is thawed, and is of no use.
bool RunningSandbox::has_ended() const {
  return os::has_ended(pidfd_) || (may_be_frozen_ && os::is_doomed(pid_));
}

Result<void> RunningSandbox::signal(int number) {
  if (number == SIGSTOP || number == SIGTSTP) {
    return Error::invalid_argument("a sandbox is not stopped by signals; freeze its cgroup");
  }
  auto sent = os::send_signal(pidfd_, number);
  (void)thaw();  // it arrives then; a SIGKILL before anything else runs
  return sent;
}

async::Task<std::unique_ptr<Process>> RunningSandbox::run(ProcessSpec spec) {
  if (!guests_) {
    return Sandbox::run(std::move(spec));
  }
  (void)thaw();
  return RunningProcess::start(guests_, ++processes_, std::move(spec));
}

async::Task<Checkpoint> RunningSandbox::checkpoint(std::string images,
                                                   std::uint64_t max_file_bytes) {
  Checkpoint checkpoint;
  std::uint64_t* const inodes[2] = {&checkpoint.stdout_pipe, &checkpoint.stderr_pipe};
  const os::Fd* const pipes[2] = {&stdout_.fd, &stderr_.fd};
  for (int i = 0; i < 2; ++i) {
    struct stat status {};
    if (pipes[i]->valid() && ::fstat(pipes[i]->get(), &status) == 0) {
      *inodes[i] = status.st_ino;
    }
  }
  // Nobody waits for it, so it may take its time to stop.
  THAW_CO_TRY_VOID(co_await freeze_within(checkpoint_freeze_limit));
  is_checkpointing_ = true;
  std::string request =
      Writer(Kind::checkpoint).text(id_.str()).text(images).number(max_file_bytes).bytes();
  const Result<std::string> reply = co_await line_->ask(std::move(request));
  is_checkpointing_ = false;
  (void)thaw();
  if (!reply) {
    co_return reply.error();
  }
  co_return checkpoint;
}

std::uint64_t RunningSandbox::memory_bytes() const { return cgroup_.usage().memory_bytes; }

Duration RunningSandbox::processor_time() const {
  return std::chrono::microseconds(cgroup_.cpu_us());
}

// Not at once: a large program that was killed takes seconds to end.
void RunningSandbox::note_survival() {
  kills_survived_ = kills_seen_;
  kills_seen_ = cgroup_.out_of_memory_kills();
}

Result<void> RunningSandbox::weigh(double weight) { return cgroup_.weigh(weight); }

async::Task<void> RunningSandbox::remove() {
  if (is_removed_) {
    co_return ok();
  }
  door_.reset();  // whoever comes by it would wait for nobody
  served_.clear();
  if (pidfd_.valid() && !exit_) {
    // Its last numbers are read before the cgroup goes.
    (void)signal(SIGKILL);
    THAW_CO_TRY_VOID(co_await ended_.readable());
    exit_ = collect();
  }
  const std::string request = Writer(Kind::remove).text(id_.str()).bytes();
  Result<std::string> reply = co_await line_->ask(request);
  if (!reply && reply.error().code() == Code::unavailable) {
    reply = co_await line_->ask(request);  // of the next one: it has removed all of the last one's
  }
  if (!reply) {
    co_return std::move(reply).error();
  }
  is_removed_ = true;
  co_return ok();
}

}  // namespace thaw::sandbox::detail
