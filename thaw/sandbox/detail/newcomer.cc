// SPDX-License-Identifier: Apache-2.0
#include "thaw/sandbox/detail/newcomer.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "thaw/os/files.h"
#include "thaw/os/message.h"
#include "thaw/sandbox/detail/capabilities.h"
#include "thaw/sandbox/detail/user_lookup.h"
#include "thaw/sandbox/detail/wire.h"

namespace thaw::sandbox::detail {

namespace {

void put(Writer& out, const std::vector<std::string>& texts) {
  out.number(texts.size());
  for (const std::string& text : texts) {
    out.text(text);
  }
}

struct Heard {
  std::string text;
  pid_t pid = 0;  // 0: not of this pid namespace
};

// Descriptors that come along are closed by the kernel, for want of room.
Result<Heard> hear(const os::Fd& socket, Instant deadline) {
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - monotonic_now());
    pollfd watched{socket.get(), POLLIN, 0};
    const int ready =
        ::poll(&watched, 1, static_cast<int>(std::max<std::int64_t>(0, left.count())));
    if (ready == 0) {
      return Error::deadline_exceeded("the template did not fork in time");
    }
    if (ready < 0) {
      continue;
    }
    char text[512];
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(ucred))];
    iovec body{text, sizeof text};
    msghdr header{};
    header.msg_iov = &body;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    const ssize_t size = ::recvmsg(socket.get(), &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) {
      continue;
    }
    if (size <= 0) {
      return Error::unavailable("the template let go of a fork");
    }
    Heard heard;
    heard.text.assign(text, static_cast<std::size_t>(size));
    const cmsghdr* part = CMSG_FIRSTHDR(&header);
    if (part != nullptr && part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_CREDENTIALS &&
        part->cmsg_len >= CMSG_LEN(sizeof(ucred))) {
      ucred credentials;
      std::memcpy(&credentials, CMSG_DATA(part), sizeof credentials);
      heard.pid = credentials.pid;
    }
    return heard;
  }
}

std::string_view field(std::string_view status, std::string_view name) {
  const std::string key = "\n" + std::string(name) + ":\t";
  const std::size_t found = status.find(key);
  if (found == std::string_view::npos) {
    return {};
  }
  const std::string_view rest = status.substr(found + key.size());
  return rest.substr(0, rest.find('\n'));
}

}  // namespace

Result<void> check_newcomer(const std::string& status, std::uint64_t kept, uid_t uid,
                            IdRange range) {
  const Error refused = Error::permission_denied("what the template forked is not fit to run");
  for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"}) {
    const std::string_view value = field(status, set);
    // Whoever is not root has none, only the bound of its profile.
    const std::uint64_t allowed = uid == 0 || set == std::string_view("CapBnd") ? kept : 0;
    if (value.size() != 16 ||
        (std::strtoull(std::string(value).c_str(), nullptr, 16) & ~allowed) != 0) {
      return Error(refused).with("because of", set);
    }
  }
  const std::string id = std::to_string(range.first + uid);
  if (field(status, "Uid") != id + "\t" + id + "\t" + id + "\t" + id) {
    return Error(refused).with("because of", "Uid");
  }
  if (field(status, "PPid") != "1" || field(status, "NoNewPrivs") != "1" ||
      field(status, "Seccomp") != "2") {
    return Error(refused).with("because of", "PPid, NoNewPrivs or Seccomp");
  }
  // Kernels before 5.10 do not count.
  const std::string_view filters = field(status, "Seccomp_filters");
  if (!filters.empty() && std::atoi(std::string(filters).c_str()) < 2) {
    return Error(refused).with("because of", "Seccomp_filters");
  }
  return ok();
}

Result<Newcomer> Newcomer::ask_for(const os::Fd& control, const os::Fd& pid_namespace) {
  THAW_TRY(auto pair, os::make_message_pair());
  // The kernel then says who sent a message, in this process's numbers.
  const int on = 1;
  if (::setsockopt(pair.first.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on) != 0) {
    return Error::from_errno(errno, "ask for credentials");
  }
  THAW_TRY(const os::Transfer transfer,
           os::send_message(control.get(), "fork", {pid_namespace.get(), pair.second.get()}));
  if (transfer == os::Transfer::later) {
    return Error::resource_exhausted("the template is busy");
  }
  if (transfer == os::Transfer::end) {
    return Error::unavailable("the template has ended");
  }
  Newcomer newcomer;
  newcomer.socket_ = std::move(pair.first);
  return newcomer;
}

Result<void> Newcomer::expect(const char* word, Instant deadline) {
  THAW_TRY(const Heard heard, hear(socket_, deadline));
  if (heard.text != word) {
    // Its own words, for the log; they may be anybody's.
    std::string words = heard.text.substr(0, 200);
    std::replace_if(
        words.begin(), words.end(), [](unsigned char c) { return c < 32 || c > 126; }, '?');
    return Error::failed_precondition("the template refuses to fork: " + words);
  }
  if (heard.pid <= 1 || heard.pid == ::getpid() || (pid_ != 0 && heard.pid != pid_)) {
    return Error::permission_denied("what the template forked is elsewhere");
  }
  pid_ = heard.pid;
  return ok();
}

Result<pid_t> Newcomer::arrive(Instant deadline) {
  THAW_TRY_VOID(expect("here", deadline));
  return pid_;
}

Result<void> Newcomer::prepare(Instant deadline) {
  THAW_TRY(const os::Transfer sent, os::send_message(socket_.get(), "prepare"));
  if (sent != os::Transfer::done) {
    return Error::unavailable("the template let go of a fork");
  }
  return expect("ready", deadline);
}

Result<void> Newcomer::let_in(const ForkOrder& order, Instant deadline) {
  THAW_TRY(const UserIds ids, find_user(order.spec->user, order.range.ids()));
  const std::uint64_t kept = kept_capabilities(Profile::function, order.range.ids());
  Writer body;
  body.number(kept);
  body.text({reinterpret_cast<const char*>(order.filter->data()),
             order.filter->size() * sizeof(sock_filter)});
  put(body, order.spec->argv);
  put(body, order.spec->env);
  body.text(order.spec->cwd);
  THAW_TRY(const os::Fd file, os::make_memory_file(body.bytes()));
  Writer message;
  message.number(ids.uid).number(ids.gid).text(ids.home).number(ids.groups.size());
  for (const gid_t group : ids.groups) {
    message.number(group);
  }
  std::vector<int> fds = order.namespaces;
  fds.insert(fds.end(), {order.standard_output, order.standard_error, file.get()});
  THAW_TRY(const os::Transfer sent, os::send_message(socket_.get(), message.bytes(), fds));
  if (sent != os::Transfer::done) {
    return Error::unavailable("the template let go of a fork");
  }
  THAW_TRY_VOID(expect("fit", deadline));
  THAW_TRY(const std::string status, os::read_text("/proc/" + std::to_string(pid_) + "/status"));
  return check_newcomer(status, kept, ids.uid, order.range);
}

Result<void> Newcomer::go() {
  THAW_TRY(const os::Transfer sent, os::send_message(socket_.get(), "go"));
  if (sent != os::Transfer::done) {
    return Error::unavailable("what the template forked is gone");
  }
  return ok();
}

}  // namespace thaw::sandbox::detail
