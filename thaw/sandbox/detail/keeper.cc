// SPDX-License-Identifier: Apache-2.0
#include "thaw/sandbox/detail/keeper.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "thaw/base/log.h"
#include "thaw/os/files.h"
#include "thaw/os/message.h"
#include "thaw/sandbox/detail/host_settings.h"
#include "thaw/sandbox/detail/wire.h"

namespace thaw::sandbox::detail {

namespace {

constexpr std::size_t key_letters = 64;
// The keeper serves one thing after the other, each in milliseconds.
constexpr time_t patience_s = 30;

std::string socket_path(const std::string& instance) {
  return machine_folder("keepers") + "/" + instance;
}

Result<os::Fd> open_socket(const std::string& instance, sockaddr_un& address) {
  const std::string path = socket_path(instance);
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return Error::invalid_argument("the name of a keeper's socket is too long").with("path", path);
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  os::Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!socket.valid()) {
    return Error::from_errno(errno, "make a socket");
  }
  return socket;
}

bool is_key(const std::string& text) {
  return text.size() == key_letters &&
         text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

std::string key_path(const std::string& folder) { return folder + "/keeper-key"; }

// Empty: there is none.
std::string known_key(const std::string& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) {
    return "";
  }
  auto known = os::read_text(path);
  return known && is_key(*known) ? std::move(*known) : std::string();
}

}  // namespace

std::string encode(const KeptFacts& facts) {
  return Writer()
      .text(facts.workspace)
      .number(static_cast<std::uint64_t>(facts.until.time_since_epoch().count()))
      .number(static_cast<std::uint64_t>(facts.started.time_since_epoch().count()))
      .bytes();
}

Result<KeptFacts> decode_facts(std::string_view bytes) {
  Reader in(bytes);
  KeptFacts facts;
  facts.workspace = in.text();
  facts.until = Instant(Duration(static_cast<std::int64_t>(in.number())));
  facts.started = Instant(Duration(static_cast<std::int64_t>(in.number())));
  if (!in.is_whole()) {
    return Error::internal("what is to be known of a kept sandbox was cut short");
  }
  return facts;
}

Result<std::string> keeper_key(const std::string& folder, SpawnerOptions::Keeping keeping) {
  const std::string path = key_path(folder);
  if (std::string known = known_key(path); !known.empty()) {
    return known;
  }
  if (keeping == SpawnerOptions::Keeping::off) {
    return std::string();
  }
  THAW_TRY_VOID(os::remove_tree(path));
  unsigned char bytes[key_letters / 2];
  if (::getrandom(bytes, sizeof bytes, 0) != sizeof bytes) {
    return Error::from_errno(errno, "get random bytes");
  }
  std::string key;
  for (const unsigned char byte : bytes) {
    key += "0123456789abcdef"[byte >> 4];
    key += "0123456789abcdef"[byte & 15];
  }
  THAW_TRY_VOID(os::create_text(path, key, 0600));
  return key;
}

bool has_lost_folder(const std::string& folder, const std::string& key) {
  const std::string path = key_path(folder);
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) {
    return errno == ENOENT || errno == ENOTDIR;
  }
  const std::string known = known_key(path);
  return !known.empty() && !is_same_key(known, key);
}

// In as much time whether they differ early or late.
bool is_same_key(std::string_view a, std::string_view b) {
  unsigned difference = a.size() == b.size() ? 0 : 1;
  for (std::size_t i = 0; i < a.size() && i < b.size(); ++i) {
    difference |= static_cast<unsigned char>(a[i] ^ b[i]);
  }
  return difference == 0;
}

// One that does not care which network it has is content with any.
bool is_same_wish(const SpawnerOptions& kept, const SpawnerOptions& wanted) {
  SpawnerOptions like = kept;
  if (wanted.bridge_address == "auto") {
    like.bridge_address = wanted.bridge_address;
  }
  return encode(like) == encode(wanted);
}

Result<os::Fd> listen_as_keeper(const std::string& instance) {
  // The folder goes with the last who is in it.
  THAW_TRY(const os::Fd machine, lock_machine());
  THAW_TRY_VOID(os::make_own_folder(machine_folder("keepers"), 0700));
  sockaddr_un address{};
  THAW_TRY(os::Fd socket, open_socket(instance, address));
  ::unlink(address.sun_path);
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::chmod(address.sun_path, 0600) != 0 || ::listen(socket.get(), 4) != 0 ||
      ::fcntl(socket.get(), F_SETFL, O_NONBLOCK) != 0) {
    return Error::from_errno(errno, std::string("listen at ") + address.sun_path);
  }
  return socket;
}

void stop_listening(const std::string& instance) {
  ::unlink(socket_path(instance).c_str());
  ::rmdir(machine_folder("keepers").c_str());
}

Result<std::optional<TakenOver>> take_over(const SpawnerOptions& options, const std::string& key) {
  const auto nothing = [] { return std::optional<TakenOver>(); };
  sockaddr_un address{};
  THAW_TRY(const os::Fd socket, open_socket(options.instance, address));
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return nothing();  // there is none, or it has died
  }
  ucred peer{};
  socklen_t size = sizeof peer;
  const timeval patience{patience_s, 0};
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || peer.uid != 0 ||
      ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0) {
    return Error::permission_denied(std::string("who listens at ") + address.sun_path +
                                    " is not root: remove it");
  }
  THAW_TRY(auto control, os::make_message_pair());
  Writer request(Kind::take_over);
  request.number(keeper_version).text(key).text(encode(options));
  THAW_TRY(const os::Transfer sent,
           os::send_message(socket.get(), request.bytes(), {control.second.get(), STDERR_FILENO}));
  control.second.reset();
  os::Message answer;
  const auto received =
      sent == os::Transfer::done ? os::receive_message(socket.get(), answer) : sent;
  if (received && *received == os::Transfer::later) {
    return Error::deadline_exceeded("the process that keeps this folder's sandboxes (" +
                                    std::to_string(peer.pid) +
                                    ") does not answer; if it stays so, end it");
  }
  if (!received || *received == os::Transfer::end) {
    return nothing();  // it ends
  }
  Reader reader(answer.bytes);
  if (reader.kind() != Kind::done || answer.fds.size() != 3) {
    const Error refused = decode_failure(reader);
    if (refused.code() == Code::permission_denied) {
      return Error::failed_precondition(
                 "sandboxes of another data folder are kept at this path, "
                 "by process " +
                 std::to_string(peer.pid) + "; end it, and them with it")
          .with("because", refused.to_string());
    }
    log_warning("sandboxes that have outlived the last server end now",
                {{"because", refused.to_string()}});
    return nothing();
  }
  TakenOver taken;
  taken.process.pid = peer.pid;
  taken.process.process = std::move(answer.fds[0]);
  taken.process.control = std::move(control.first);
  taken.lock = std::move(answer.fds[1]);
  taken.membership = std::move(answer.fds[2]);
  return std::optional(std::move(taken));
}

}  // namespace thaw::sandbox::detail
