// SPDX-License-Identifier: Apache-2.0
#include "thaw/sandbox/detail/door.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>

#include "thaw/os/message.h"
#include "thaw/sandbox/detail/wire.h"

namespace thaw::sandbox::detail {

namespace {

// Those who connect while the server is busy.
constexpr int backlog = 128;

}  // namespace

Result<void> open_door(const os::Fd& report, std::uint16_t port) {
  const os::Fd door(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (!door.valid() ||
      ::bind(door.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(door.get(), backlog) != 0) {
    return Error::from_errno(errno, "open the door of a sandbox at port " + std::to_string(port));
  }
  THAW_TRY(const os::Transfer sent,
           os::send_message(report.get(), Writer(Kind::door).bytes(), {door.get()}));
  if (sent != os::Transfer::done) {
    return Error::unavailable("who wanted a sandbox is gone");
  }
  return ok();
}

}  // namespace thaw::sandbox::detail
