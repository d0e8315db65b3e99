// SPDX-License-Identifier: Apache-2.0
//
// The network of one server: a bridge, NAT out of it, and for each sandbox a network namespace
// with one veth pair, "eth0" inside. Namespaces are made ahead of need, so that a start only
// enters one, and by a child process, because making links waits for locks of the kernel while
// starts should not. Each belongs for life to a user namespace: to one that is made along with it,
// for a sandbox with a range of ids of its own, or to a workspace's, whose templates can enter it;
// the workspace that asked last is the one that finds some ready. They are held by descriptors
// alone: nothing is pinned in the file system, and all of them vanish with the spawner. Containers
// reach the outside, and of this machine only the ports that were allowed on the bridge's own
// address; never each other.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "thaw/base/result.h"
#include "thaw/os/fd.h"
#include "thaw/os/netlink.h"
#include "thaw/sandbox/detail/id_ranges.h"
#include "thaw/sandbox/sandbox.h"

namespace thaw::sandbox::detail {

struct Lease {  // one sandbox's place in the network
  os::Fd network_namespace;
  std::uint32_t slot = 0;  // its address is that of the subnet plus slot
  std::string link;        // the end of the veth on the host
  std::string address;
  std::string owner;      // whose user namespace it is in; empty: its own
  os::Fd user_namespace;  // its own, with
  IdRange range;
};

class Network {
 public:
  explicit Network(SpawnerOptions options) : options_(std::move(options)) {}

  // Picks the subnet, makes bridge, rules and forwarding. Returns the bridge's own address.
  Result<std::string> prepare();
  Result<void> allow_port(std::uint16_t port);
  // The server that had them is gone.
  Result<void> forbid_ports() const;
  std::string address_text() const { return os::address_text(subnet_.address); }  // the bridge's
  // The bridge's own address and the network's size; empty without a network.
  std::string subnet_text() const { return prepared_ ? subnet_.to_string() : std::string(); }
  // Asks the maker for what is missing of the leases in advance.
  void fill();
  bool wants_filling() const;
  // Starts would soon have to wait for one.
  bool is_short() const;
  // Becomes readable when the maker has one; then call collect(). -1: there is no maker.
  int maker_socket() const { return maker_.get(); }
  void collect();
  // A lease from those in advance, else waits for one. `user_namespace` is the owner's, whose name
  // is another one when its namespace is.
  Result<Lease> take(const std::string& owner, const os::Fd& user_namespace);
  // From now on there are leases with user namespaces of their own; `ranges` outlives this.
  void use_ranges(IdRanges& ranges) { ranges_ = &ranges; }
  Result<Lease> take_own();
  // Once the lease's link is gone.
  void give_back(std::uint32_t slot);
  // Lets the ready ones and the maker go; what stays is removed by remove_network.
  void release_all();

 private:
  // With a range: in a new user namespace, which is the lease's own.
  Result<Lease> make(std::uint32_t slot, const os::Fd& user_namespace, IdRange range) const;
  bool wants_owned() const;
  bool wants_own() const;
  bool ask_maker(const std::string& owner, IdRange range);
  Result<Lease> take_or_wait(const std::string& owner);
  std::size_t ready_for(const std::string& owner) const;
  Result<Lease> take_ready(const std::string& owner);
  Result<void> make_in(const Lease& lease, const os::Fd& host) const;
  Lease lease_of(std::uint32_t slot) const;
  Result<void> start_maker();
  void maker_ended();
  [[noreturn]] void run_maker(os::Fd socket);
  Result<void> make_bridge();
  Result<void> write_rules();

  SpawnerOptions options_;
  bool prepared_ = false;
  bool cannot_fill_ = false;  // until the next take() has said why
  os::Subnet subnet_;         // with the bridge's own address
  int bridge_ = 0;
  IdRanges* ranges_ = nullptr;
  bool is_own_wanted_ = false;            // somebody has asked for one
  std::string owner_;                     // who asked last
  os::Fd user_namespace_;                 // of that one
  std::deque<std::uint32_t> free_slots_;  // used in turn: an address rests before its next use
  std::deque<Lease> ready_;
  os::Fd maker_;
  int makers_ended_ = 0;
  struct Asked {
    std::uint32_t slot;
    std::string owner;
    IdRange range;
  };
  std::deque<Asked> asked_;  // in the order in which the maker answers
};

// Of the host's ends of this instance's veths.
std::string veth_prefix(const std::string& instance);

// Removes the link; gone with its namespace is fine.
Result<void> remove_link(const std::string& name);

// What an instance's server left in the kernel: bridge, veths, rules.
Result<void> remove_network(const std::string& instance);

}  // namespace thaw::sandbox::detail
