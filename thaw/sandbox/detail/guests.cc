// SPDX-License-Identifier: Apache-2.0
#include "thaw/sandbox/detail/guests.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <deque>
#include <map>
#include <utility>

#include "thaw/os/message.h"
#include "thaw/sandbox/detail/capabilities.h"
#include "thaw/sandbox/detail/main_program.h"
#include "thaw/sandbox/detail/wire.h"

namespace thaw::sandbox::detail {

namespace {

// Of those that have ended, how they did; the oldest are forgotten.
constexpr std::size_t most_told = 2'000;

constexpr std::uint64_t bit(int capability) { return std::uint64_t{1} << capability; }

// Ends of its pipes, or of its terminal.
struct Ends {
  os::Fd input, output, error;    // the process's
  std::vector<os::Fd> of_server;  // in the order of wire.h
  Surroundings::Input input_is = Surroundings::Input::stream;
};

Result<void> make_pipe(os::Fd& for_reading, os::Fd& for_writing) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    return Error::from_errno(errno, "make a pipe");
  }
  for_reading = os::Fd(ends[0]);
  for_writing = os::Fd(ends[1]);
  return ok();
}

// Made in here, so that they belong to somebody of this sandbox: programs open their output by name
// too ("/dev/stdout").
Result<Ends> make_pipes() {
  Ends ends;
  ends.of_server.resize(3);
  THAW_TRY_VOID(make_pipe(ends.input, ends.of_server[0]));
  THAW_TRY_VOID(make_pipe(ends.of_server[1], ends.output));
  THAW_TRY_VOID(make_pipe(ends.of_server[2], ends.error));
  return ends;
}

// Whatever stands at /dev/ptmx by now: what is no terminal's fails at the next step.
Result<Ends> open_terminal(TerminalSize size) {
  os::Fd main(::open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK));
  const int unlocked = 0;
  if (!main.valid() || ::ioctl(main.get(), TIOCSPTLCK, &unlocked) != 0) {
    return Error::from_errno(errno, "open a terminal in the sandbox");
  }
  Ends ends;
  ends.input = os::Fd(::ioctl(main.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  const winsize window{size.rows, size.columns, 0, 0};
  if (!ends.input.valid() || ::ioctl(main.get(), TIOCSWINSZ, &window) != 0) {
    return Error::from_errno(errno, "open a terminal in the sandbox");
  }
  ends.output = os::Fd(::fcntl(ends.input.get(), F_DUPFD_CLOEXEC, 3));
  ends.error = os::Fd(::fcntl(ends.input.get(), F_DUPFD_CLOEXEC, 3));
  if (!ends.output.valid() || !ends.error.valid()) {
    return Error::from_errno(errno, "copy a descriptor");
  }
  ends.input_is = Surroundings::Input::terminal;
  ends.of_server.push_back(std::move(main));
  return ends;
}

class Guests {
 public:
  explicit Guests(GuestsHouse house) : house_(house) {}

  void serve(os::Message message) {
    Reader reader(message.bytes);
    const Kind kind = reader.kind();
    const std::uint64_t number = reader.number();
    switch (kind) {
      case Kind::kill: kill(number, static_cast<int>(reader.number())); break;
      case Kind::run:
        if (reader.ok() && message.fds.size() == 2) {
          const os::Fd reply = std::move(message.fds[0]);
          if (auto begun = begin(number, reply, message.fds[1]); !begun) {
            (void)os::send_message(reply.get(), encode_failure(begun.error()));
          }
        }
        break;
      case Kind::next_guest:
        if (reader.ok() && message.fds.size() == 2) {
          hand_over(number, message.fds[0], std::move(message.fds[1]));
        }
        break;
      default:
        if (const auto found = guests_.find(number); found != guests_.end() && reader.ok()) {
          note(found->second, kind, reader);
        }
    }
  }

  void ended(pid_t pid, int status) {
    const auto found = running_.find(pid);
    if (found == running_.end()) {
      return;  // an orphan
    }
    const auto one = guests_.find(found->second);
    running_.erase(found);
    Guest& guest = one->second;
    (void)os::send_message(guest.reply.get(),
                           Writer(Kind::exited).number(static_cast<std::uint64_t>(status)).bytes());
    guest.pid = 0;
    guest.status = static_cast<std::uint64_t>(status);
    guest.reply.reset();
    if (guest.note.empty()) {
      guests_.erase(one);
      return;
    }
    over_.push_back(one->first);
    if (over_.size() > most_told) {
      guests_.erase(over_.front());
      over_.pop_front();
    }
  }

 private:
  struct Guest {
    pid_t pid = 0;  // 0: it has ended
    std::uint64_t status = 0;
    os::Fd reply;
    // With a note it is kept, and so are copies of the server's ends of its streams.
    std::string note;
    std::string mark;
    std::vector<os::Fd> of_server;
    bool has_terminal = false;
  };

  // A copy of `reply` is kept if it has begun.
  Result<void> begin(std::uint64_t number, const os::Fd& reply, const os::Fd& body) {
    THAW_TRY(const std::string bytes, os::read_memory_file(body));
    THAW_TRY(const ProcessSpec wanted, decode_process(bytes));
    THAW_TRY(Ends ends, wanted.terminal ? open_terminal(*wanted.terminal) : make_pipes());
    Guest guest;
    guest.reply = os::Fd(::fcntl(reply.get(), F_DUPFD_CLOEXEC, 3));
    if (!guest.reply.valid()) {
      return Error::from_errno(errno, "copy a descriptor");
    }
    SandboxSpec spec;
    spec.argv = wanted.argv;
    spec.env = wanted.env;
    spec.cwd = wanted.cwd;
    spec.user = wanted.user;
    Surroundings surroundings;
    surroundings.output = ends.output.get();
    surroundings.error = ends.error.get();
    surroundings.input = ends.input.get();
    surroundings.input_is = ends.input_is;
    surroundings.niceness = house_.niceness;
    surroundings.ids = house_.ids;
    THAW_TRY(const MainProgram started, start_main_program(spec, surroundings));
    std::vector<int> fds;
    for (const os::Fd& end : ends.of_server) {
      fds.push_back(end.get());
    }
    const auto moment =
        static_cast<std::uint64_t>(Duration(started.started.time_since_epoch()).count());
    (void)os::send_message(reply.get(), Writer(Kind::started).number(moment).bytes(), fds);
    guest.pid = started.pid;
    guest.note = wanted.note;
    guest.has_terminal = wanted.terminal.has_value();
    if (!guest.note.empty()) {
      guest.of_server = std::move(ends.of_server);
    }
    highest_ = std::max(highest_, number);
    guests_[number] = std::move(guest);
    running_[started.pid] = number;
    return ok();
  }

  // What a server says of one that is kept.
  static void note(Guest& guest, Kind kind, Reader& reader) {
    if (kind == Kind::mark) {
      guest.mark = reader.text();
    } else if (kind == Kind::let_go) {
      guest.of_server.clear();
    } else if (kind == Kind::close_input && !guest.of_server.empty() && !guest.has_terminal) {
      guest.of_server[0].reset();
    }
  }

  // To the next server: the first one after `before`.
  void hand_over(std::uint64_t before, const os::Fd& reply, os::Fd report) {
    auto next = guests_.upper_bound(before);
    while (next != guests_.end() && next->second.note.empty()) {
      ++next;
    }
    if (next == guests_.end()) {
      (void)os::send_message(reply.get(), Writer(Kind::done).number(highest_).bytes());
      return;
    }
    Guest& guest = next->second;
    std::vector<int> fds;
    std::uint64_t open = 0;  // a bit for each
    for (std::size_t i = 0; i < guest.of_server.size(); ++i) {
      if (guest.of_server[i].valid()) {
        open |= std::uint64_t{1} << i;
        fds.push_back(guest.of_server[i].get());
      }
    }
    Writer told(Kind::started);
    told.number(next->first).text(guest.note).text(guest.mark).number(open);
    told.number(guest.has_terminal ? 1 : 0).number(guest.pid == 0 ? 1 : 0).number(guest.status);
    (void)os::send_message(reply.get(), told.bytes(), fds);
    if (guest.pid != 0) {
      guest.reply = std::move(report);
    }
  }

  // Each leads a session of its own, and so a process group.
  void kill(std::uint64_t number, int signal) {
    const auto found = guests_.find(number);
    if (found != guests_.end() && found->second.pid != 0) {
      ::kill(-found->second.pid, signal);
      ::kill(found->second.pid, signal);  // it may have gone to another group
    }
  }

  GuestsHouse house_;
  std::map<std::uint64_t, Guest> guests_;  // by number: those that run or are kept
  std::map<pid_t, std::uint64_t> running_;
  std::uint64_t highest_ = 0;       // number that was given
  std::deque<std::uint64_t> over_;  // that are kept and have ended, in that order
};

}  // namespace

std::uint64_t hosting_powers(Ids ids) {
  return kept_capabilities(Profile::function, ids) | bit(CAP_KILL) | bit(CAP_SETUID) |
         bit(CAP_SETGID) | bit(CAP_SETPCAP);
}

int host_guests(const os::Fd& report, pid_t main_program, GuestsHouse house) {
  sigset_t all;
  ::sigfillset(&all);
  const os::Fd signals(::signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK));
  Guests guests(house);
  bool is_heard = true;
  while (true) {
    int status = 0;
    for (pid_t pid = 0; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;) {
      if (pid == main_program) {
        return status;
      }
      guests.ended(pid, status);
    }
    pollfd watched[2] = {{signals.get(), POLLIN, 0}, {is_heard ? report.get() : -1, POLLIN, 0}};
    if (::poll(watched, 2, -1) <= 0) {
      continue;
    }
    signalfd_siginfo seen;
    while (::read(signals.get(), &seen, sizeof seen) > 0) {
      if (seen.ssi_signo != SIGCHLD && main_program > 0) {
        ::kill(main_program, static_cast<int>(seen.ssi_signo));
      }
    }
    if (watched[1].revents != 0) {
      os::Message message;
      const auto received = os::receive_message(report.get(), message);
      is_heard = received && *received != os::Transfer::end;
      if (received && *received == os::Transfer::done) {
        guests.serve(std::move(message));
      }
    }
  }
}

}  // namespace thaw::sandbox::detail
