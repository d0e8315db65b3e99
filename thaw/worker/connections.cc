// SPDX-License-Identifier: Apache-2.0
#include "thaw/worker/connections.h"

#include <algorithm>
#include <charconv>
#include <string>

#include "thaw/os/files.h"

namespace thaw::worker {

namespace {

// Of include/net/tcp_states.h, as they are written there.
constexpr unsigned established = 1;
constexpr unsigned syn_sent = 2;
constexpr unsigned syn_received = 3;
constexpr unsigned fin_wait_1 = 4;
constexpr unsigned close_wait = 8;
constexpr unsigned last_ack = 9;
constexpr int listening = 10;

bool is_open(unsigned state) {
  return state == established || state == syn_sent || state == syn_received ||
         state == fin_wait_1 || state == close_wait || state == last_ack;
}

// "0100007F:1F90" is 127.0.0.1, in words of this machine; one of IPv6 may stand for it.
bool is_loopback(std::string_view place) {
  constexpr std::string_view mapped = "0000000000000000FFFF0000";
  std::string_view address = place.substr(0, place.find(':'));
  if (address.starts_with(mapped)) {
    address.remove_prefix(mapped.size());
  }
  return (address.size() == 8 && address.ends_with("7F")) ||
         address == "00000000000000000000000001000000";
}

// -1: it is none.
int hex(std::string_view text) {
  unsigned number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, 16);
  const bool is_whole = error == std::errc() && end == text.data() + text.size();
  return is_whole && number <= 0xffff ? static_cast<int>(number) : -1;
}

int port_of(std::string_view place) {
  return hex(place.substr(std::min(place.find(':'), place.size() - 1) + 1));
}

std::string_view take_word(std::string_view& line) {
  const std::size_t begin = std::min(line.find_first_not_of(' '), line.size());
  line.remove_prefix(begin);
  const std::size_t end = std::min(line.find(' '), line.size());
  const std::string_view word = line.substr(0, end);
  line.remove_prefix(end);
  return word;
}

struct Entry {
  std::string_view local, remote, state, queues;
};

template <class Visit>
void for_each_entry(std::string_view table, Visit visit) {
  while (!table.empty()) {
    const std::size_t end = std::min(table.find('\n'), table.size());
    std::string_view line = table.substr(0, end);
    table.remove_prefix(std::min(end + 1, table.size()));
    (void)take_word(line);  // its number
    Entry entry;
    for (std::string_view* field : {&entry.local, &entry.remote, &entry.state, &entry.queues}) {
      *field = take_word(line);
    }
    visit(entry);
  }
}

// A machine without IPv6 has no tcp6.
template <class Visit>
Result<void> for_each_table(int pid, Visit visit) {
  for (const char* name : {"tcp", "tcp6"}) {
    const auto table = os::read_text("/proc/" + std::to_string(pid) + "/net/" + name);
    if (table) {
      visit(*table);
    } else if (name == std::string_view("tcp")) {
      return Error::unavailable("the connections of a container cannot be read: " +
                                table.error().message());
    }
  }
  return ok();
}

}  // namespace

std::size_t count_connections_in(std::string_view table) {
  std::size_t count = 0;
  for_each_entry(table, [&count](const Entry& entry) {
    const bool is_inside = is_loopback(entry.local) && is_loopback(entry.remote);
    const int state = entry.state.size() == 2 ? hex(entry.state) : -1;
    count += state >= 0 && is_open(static_cast<unsigned>(state)) && !is_inside ? 1 : 0;
  });
  return count;
}

bool has_queued_in(std::string_view table, std::uint16_t port) {
  bool found = false;
  for_each_entry(table, [&found, port](const Entry& entry) {
    const bool is_its = port_of(entry.local) == port || port_of(entry.remote) == port;
    found |= is_its && entry.queues.find_first_not_of("0:") != std::string_view::npos;
  });
  return found;
}

bool has_listener_in(std::string_view table, std::uint16_t port) {
  bool found = false;
  for_each_entry(table, [&found, port](const Entry& entry) {
    found |=
        port_of(entry.local) == port && entry.state.size() == 2 && hex(entry.state) == listening;
  });
  return found;
}

Result<bool> has_listener(int pid, std::uint16_t port) {
  bool found = false;
  THAW_TRY_VOID(for_each_table(
      pid, [&found, port](std::string_view table) { found |= has_listener_in(table, port); }));
  return found;
}

Result<std::size_t> count_connections(int pid) {
  std::size_t count = 0;
  THAW_TRY_VOID(for_each_table(
      pid, [&count](std::string_view table) { count += count_connections_in(table); }));
  return count;
}

Result<bool> has_queued(int pid, std::uint16_t port) {
  THAW_TRY(const std::string table, os::read_text("/proc/" + std::to_string(pid) + "/net/tcp"));
  return has_queued_in(table, port);
}

}  // namespace thaw::worker
