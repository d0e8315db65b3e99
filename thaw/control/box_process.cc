// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/box_process.h"

#include <algorithm>
#include <sstream>
#include <utility>

namespace thaw::control {

namespace {

// A process has ended and others hold its output open: what comes later is not its own.
constexpr Duration last_words = 100ms;
// One that reads no more has ended in a moment, or has closed its input and goes on.
constexpr Duration moment_to_end = 2s;

}  // namespace

void BoxProcess::begin(const std::shared_ptr<BoxProcess>& self,
                       std::unique_ptr<sandbox::Process> process, async::TaskGroup& tasks) {
  self->process_ = std::move(process);
  self->process_->journal(self->out_.journal(), self->error_.journal());
  self->has_started_ = true;
  self->pumps_ = 2;
  self->is_watched_ = true;
  tasks.start("a process's output", pump(self, Which::out));
  tasks.start("a process's errors", pump(self, Which::error));
  tasks.start("a process's end", watch(self));
  self->changed_.notify_all();
}

void BoxProcess::set_journals(const std::string& path) {
  out_.set_journal(path + ".out");
  error_.set_journal(path + ".err");
}

void BoxProcess::remove_journals() {
  out_.remove_journal();
  error_.remove_journal();
}

// How far its input has come is the process's mark: three numbers.
void BoxProcess::note_input() {
  process_->mark(std::to_string(written_) + " " + std::to_string(last_piece_) + " " +
                 std::to_string(last_piece_began_));
}

void BoxProcess::resume(const std::shared_ptr<BoxProcess>& self, sandbox::KeptProcess kept,
                        async::TaskGroup& tasks) {
  std::istringstream mark(kept.mark);
  std::uint64_t written = 0, piece = 0, began = 0;
  if (mark >> written >> piece >> began) {
    self->written_ = written;
    self->last_piece_ = piece;
    self->last_piece_began_ = began;
  }
  self->is_closed_ = kept.is_input_closed;
  self->out_.resume();
  self->error_.resume();
  begin(self, std::move(kept.process), tasks);
}

void BoxProcess::leave() {
  out_.leave();
  error_.leave();
}

// tidy(ends): the pipe cannot be read any more
async::Task<void> BoxProcess::pump(std::shared_ptr<BoxProcess> self, Which which) {
  KeptOutput& output = which == Which::out ? self->out_ : self->error_;
  Result<void> outcome;
  while (true) {
    outcome = co_await output.wait_for_room();
    if (!outcome) {
      break;
    }
    auto piece = which == Which::out ? co_await self->process_->read_stdout()
                                     : co_await self->process_->read_stderr();
    if (!piece) {
      outcome = std::move(piece).error();
      break;
    }
    if (!*piece) {
      break;
    }
    output.append(**piece);
  }
  output.end();
  --self->pumps_;
  self->let_go();
  self->changed_.notify_all();
  co_return outcome;
}

async::Task<void> BoxProcess::watch(std::shared_ptr<BoxProcess> self) {
  const Result<sandbox::ProcessEnd> end = co_await self->process_->wait();
  self->is_watched_ = false;
  if (!end) {
    co_return end.error();
  }
  self->ended(*end);
  self->let_go();
  // What it printed last is in the pipes yet.
  while (self->pumps_ > 0) {
    const std::uint64_t before = self->out_.size() + self->error_.size();
    THAW_CO_TRY([[maybe_unused]] const bool notified,
                co_await self->changed_.wait(monotonic_now() + last_words));
    const bool is_quiet = before == self->out_.size() + self->error_.size();
    if (!notified && is_quiet && self->out_.has_room() && self->error_.has_room()) {
      self->out_.end();
      self->error_.end();
      break;
    }
  }
  co_return ok();
}

void BoxProcess::let_go() {
  if (end_ && pumps_ == 0 && !is_writing_ && !is_watched_) {
    process_.reset();
  }
}

void BoxProcess::ended(sandbox::ProcessEnd end) {
  if (!end_) {
    end_ = end;
    is_closed_ = true;
    if (process_) {
      process_->close_input();
    }
    changed_.notify_all();
    if (at_end) {
      at_end();
    }
  }
}

void BoxProcess::fail(Error error) {
  failure_ = std::move(error);
  out_.end();
  error_.end();
  changed_.notify_all();
}

void BoxProcess::end_with_box() {
  if (!has_started_) {
    fail(Error::not_found("the container has ended"));
    return;
  }
  ended(sandbox::ProcessEnd{128 + 9, 9, true});
  out_.end();
  error_.end();
}

void BoxProcess::release() {
  out_.release();
  error_.release();
}

async::Task<bool> BoxProcess::wait_for_start(Instant until) {
  while (!has_started_ && !failure_) {
    THAW_CO_TRY(const bool notified, co_await changed_.wait(until));
    if (!notified) {
      break;
    }
  }
  co_return has_started_ || failure_.has_value();
}

async::Task<bool> BoxProcess::wait_for_end(Instant until) {
  while (!end_ && !failure_) {
    THAW_CO_TRY(const bool notified, co_await changed_.wait(until));
    if (!notified) {
      break;
    }
  }
  co_return end_.has_value() || failure_.has_value();
}

async::Task<void> BoxProcess::signal(int number) {
  if (process_ && !end_) {
    co_return co_await process_->signal(number);
  }
  co_return ok();
}

// One writes at a time; gives it back when it goes.
class BoxProcess::Turn {
 public:
  explicit Turn(BoxProcess& process) : process_(process) { process_.is_writing_ = true; }
  ~Turn() {
    process_.is_writing_ = false;
    process_.let_go();
    process_.changed_.notify_all();
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  BoxProcess& process_;
};

async::Task<void> BoxProcess::take_turn() {
  while ((!has_started_ && !failure_) || is_writing_) {
    THAW_CO_TRY([[maybe_unused]] const bool notified, co_await changed_.wait(Instant::max()));
  }
  co_return failure_ ? Result<void>(*failure_) : ok();
}

async::Task<void> BoxProcess::write(std::uint64_t offset, std::string bytes, bool closes) {
  THAW_CO_TRY_VOID(co_await take_turn());
  const Turn turn(*this);
  co_return co_await write_now(offset, std::move(bytes), closes);
}

async::Task<void> BoxProcess::append(std::uint64_t number, std::string bytes, bool closes) {
  THAW_CO_TRY_VOID(co_await take_turn());
  const Turn turn(*this);
  if (number > last_piece_ + 1) {
    co_return Error::failed_precondition("piece " + std::to_string(last_piece_ + 1) +
                                         " of this process's input is missing");
  }
  if (number < last_piece_) {
    co_return ok();
  }
  if (number > last_piece_) {
    last_piece_ = number;
    last_piece_began_ = written_;
  }
  // One that comes again may not have been written to its end the first time.
  co_return co_await write_now(last_piece_began_, std::move(bytes), closes);
}

async::Task<void> BoxProcess::write_now(std::uint64_t offset, std::string bytes, bool closes) {
  if (offset > written_) {
    co_return Error::failed_precondition("the input of this process has " +
                                         std::to_string(written_) + " bytes; those before byte " +
                                         std::to_string(offset) + " are missing");
  }
  // Of a request that is made again, what it had written the first time.
  const std::uint64_t known = std::min<std::uint64_t>(written_ - offset, bytes.size());
  bytes.erase(0, static_cast<std::size_t>(known));
  if (is_closed_) {
    co_return bytes.empty()
        ? ok()
        : Result<void>(Error::failed_precondition("the input of this process is closed"));
  }
  std::size_t done = 0;
  const Result<void> outcome = co_await process_->write(bytes, done);
  written_ += done;
  if (done > 0) {
    note_input();
  }
  if (!outcome && (is_closed_ || outcome.error().code() == Code::unavailable)) {
    // Nothing that trying again would change. Clients ask in the next moment how it ended.
    (void)co_await wait_for_end(monotonic_now() + moment_to_end);
    co_return Error::failed_precondition("nobody reads the input of this process any more");
  }
  if (outcome && closes) {
    is_closed_ = true;
    process_->close_input();
  }
  co_return outcome;
}

}  // namespace thaw::control
