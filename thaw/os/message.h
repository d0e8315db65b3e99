// SPDX-License-Identifier: Apache-2.0
//
// Datagrams with descriptors between two of our own processes, over a SOCK_SEQPACKET pair. A large
// body travels as a sealed memory file, so that a message is always small.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "thaw/base/result.h"
#include "thaw/os/fd.h"

namespace thaw::os {

constexpr std::size_t max_message_bytes = 16 * 1024;
constexpr std::size_t max_message_fds = 8;

struct Message {
  std::string bytes;
  std::vector<Fd> fds;
};

Result<std::pair<Fd, Fd>> make_message_pair();

// A non-blocking socket that is full or empty says `later`. An end is a peer that is gone.
enum class Transfer { done, later, end };

Result<Transfer> send_message(int socket, std::string_view bytes, const std::vector<int>& fds = {});
// Replaces `message`.
Result<Transfer> receive_message(int socket, Message& message);

Result<Fd> make_memory_file(std::string_view bytes);
// Reads all of a memory file that a peer has sent.
Result<std::string> read_memory_file(const Fd& fd);

}  // namespace thaw::os
