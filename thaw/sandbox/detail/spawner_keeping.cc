// SPDX-License-Identifier: Apache-2.0
//
// The part of the spawner process that keeps sandboxes when its server has gone, until the next one
// takes them over, or their time is over.
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "thaw/base/log.h"
#include "thaw/os/process.h"
#include "thaw/sandbox/detail/keeper.h"
#include "thaw/sandbox/detail/spawner_process.h"

namespace thaw::sandbox::detail {

bool SpawnerProcess::has_server_gone() const {
  return server_ != 0 && os::has_ended(server_pidfd_);
}

void SpawnerProcess::begin_listening() {
  if (options_.keeping == SpawnerOptions::Keeping::off) {
    return;
  }
  if (auto listening = listen_as_keeper(options_.instance)) {
    keeper_ = std::move(*listening);
  } else {
    log_warning("sandboxes will not outlive this server",
                {{"error", listening.error().to_string()}});
  }
}

void SpawnerProcess::keep(Reader& reader, std::vector<os::Fd> fds) {
  const auto found = trees_.find(reader.text());
  auto facts = decode_facts(reader.text());
  if (found == trees_.end() || found->second.is_removing || !facts || fds.size() != 2 ||
      !keeper_.valid()) {
    return;  // it ends with its server, then
  }
  found->second.kept.emplace(Tree::Kept{std::move(*facts), std::move(fds[0]), std::move(fds[1])});
}

// One after the other, by their names: a message holds few descriptors.
void SpawnerProcess::tell_next_kept(const std::string& before, const os::Fd& reply) {
  auto next = trees_.upper_bound(before);
  while (next != trees_.end() && (!next->second.kept || next->second.is_removing)) {
    ++next;
  }
  Writer told(Kind::done);
  if (next == trees_.end()) {
    (void)os::send_message(reply.get(), told.text("").bytes());
    return;
  }
  const Tree& tree = next->second;
  told.text(next->first).number(static_cast<std::uint64_t>(tree.pid));
  told.text(tree.address).text(tree.folders.upper).text(encode(tree.kept->facts));
  (void)os::send_message(reply.get(), told.bytes(),
                         {tree.pidfd.get(), tree.kept->report.get(), tree.kept->note.get()});
}

// All that nobody keeps ends now. What is kept goes on.
void SpawnerProcess::lose_server() {
  control_.reset();
  missing_spares_.clear();
  std::vector<std::string> ending;
  for (const auto& [id, tree] : trees_) {
    if (!tree.kept) {
      ending.push_back(id);
    }
  }
  if (ending.size() == trees_.size()) {
    end_of_server();
    is_running_ = false;
    return;
  }
  lost_server_ = std::exchange(server_, 0);
  server_pidfd_.reset();
  ::prctl(PR_SET_PDEATHSIG, 0);
  // Who waits for the end of the last one's log is not to wait for this.
  const os::Fd nowhere(::open("/dev/null", O_RDWR | O_CLOEXEC));
  ::dup2(nowhere.get(), STDERR_FILENO);
  (void)network_.forbid_ports();  // the server's own, which somebody else may get
  for (const std::string& id : ending) {
    remove(id, os::Fd());
  }
}

void SpawnerProcess::look_after_kept() {
  if (server_ != 0) {
    return;
  }
  if (has_lost_folder(options_.folder, key_)) {
    end_of_server();
    is_running_ = false;
    return;
  }
  std::vector<std::string> ending;
  bool is_any = false;
  for (const auto& [id, tree] : trees_) {
    const bool has_ended =
        tree.pid == 0 || (tree.kept && tree.kept->facts.until <= monotonic_now());
    if (!tree.is_removing && has_ended) {
      ending.push_back(id);
    }
    is_any |= tree.kept && !tree.is_removing && !has_ended;
  }
  for (const std::string& id : ending) {
    remove(id, os::Fd());
  }
  if (!is_any) {
    end_of_server();
    is_running_ = false;
  }
}

// What ends with its server has not ended yet: the next one would start the same work beside it.
bool SpawnerProcess::is_settling() const {
  return server_ == 0 && std::any_of(trees_.begin(), trees_.end(), [](const auto& entry) {
           return !entry.second.kept || entry.second.is_removing;
         });
}

// Somebody comes who says that it is the next server.
void SpawnerProcess::meet_server() {
  if (has_server_gone()) {
    lose_server();
  }
  if (!is_running_ || is_settling()) {
    return;  // it waits
  }
  const os::Fd socket(::accept4(keeper_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  ucred peer{};
  socklen_t size = sizeof peer;
  const timeval patience{1, 0};
  if (!socket.valid() || ::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 ||
      peer.uid != 0) {
    return;
  }
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  os::Message message;
  const auto received = os::receive_message(socket.get(), message);
  if (!received || *received != os::Transfer::done) {
    return;
  }
  Reader reader(message.bytes);
  if (reader.kind() != Kind::take_over) {
    return;
  }
  const std::uint64_t version = reader.number();
  if (server_ != 0) {
    answer(socket, Error::permission_denied("this data folder has a server, process " +
                                            std::to_string(server_)));
    return;
  }
  const Result<void> fits = check_server(version, reader, message.fds.size());
  if (!fits) {
    answer(socket, fits.error());
    if (fits.error().code() != Code::permission_denied) {
      end_of_server();
      is_running_ = false;
    }
    return;
  }
  os::Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, peer.pid, 0)));
  if (!pidfd.valid()) {
    return;  // it has gone already
  }
  server_ = peer.pid;
  server_pidfd_ = std::move(pidfd);
  control_ = std::move(message.fds[0]);
  ::dup2(message.fds[1].get(), STDERR_FILENO);
  (void)os::send_message(socket.get(), Writer(Kind::done).bytes(),
                         {self_.get(), lock_.get(), membership_.get()});
}

// permission_denied: it is somebody else's. failed_precondition: it cannot use what is kept.
Result<void> SpawnerProcess::check_server(std::uint64_t version, Reader& reader,
                                          std::size_t descriptors) const {
  if (version != keeper_version) {
    return Error::failed_precondition(
        "they are kept by a version of this program that speaks otherwise (" +
        std::to_string(keeper_version) + ", and not " + std::to_string(version) + ")");
  }
  if (!is_same_key(reader.text(), key_)) {
    return Error::permission_denied("it does not have the secret of the folder");
  }
  const auto wanted = decode_options(reader.text());
  if (!wanted || !reader.is_whole() || descriptors != 2 || !is_same_wish(options_, *wanted)) {
    return Error::failed_precondition(
        "the configuration of containers (their networks, user ids, checkpoints, or whether "
        "sandboxes outlive the server) is another one now");
  }
  return ok();
}

}  // namespace thaw::sandbox::detail
