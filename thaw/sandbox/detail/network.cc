// SPDX-License-Identifier: Apache-2.0
#include "thaw/sandbox/detail/network.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <functional>

#include "thaw/base/check.h"
#include "thaw/os/files.h"
#include "thaw/os/message.h"
#include "thaw/os/process.h"
#include "thaw/sandbox/detail/host_settings.h"
#include "thaw/sandbox/detail/resolver.h"
#include "thaw/sandbox/detail/rules.h"
#include "thaw/sandbox/detail/user_namespace.h"
#include "thaw/sandbox/detail/wire.h"

namespace thaw::sandbox::detail {

namespace {

constexpr std::size_t ready_count = 4;  // of whoever asked last
constexpr std::size_t own_count = 8;    // with user namespaces of their own
constexpr std::size_t max_ready = 20;   // of all
constexpr std::uint32_t max_slots = 4000;
constexpr std::size_t short_count = 2;  // so few are made more at the next moment
constexpr int most_makers = 50;         // if something ends them again and again

os::MacAddress mac_of(std::uint32_t address) {
  // By address: a neighbour entry stays true when another sandbox gets the address.
  const auto byte = [address](int shift) { return static_cast<std::uint8_t>(address >> shift); };
  return {0x02, 0x42, byte(24), byte(16), byte(8), byte(0)};
}

Result<std::optional<os::Route>> find_overlap(const os::Subnet& subnet) {
  THAW_TRY(os::Netlink links, os::Netlink::open());
  THAW_TRY(const std::vector<os::Route> routes, links.routes());
  for (const os::Route& route : routes) {
    if (route.destination.overlaps(subnet)) {
      return std::optional(route);
    }
  }
  return std::optional<os::Route>();
}

// The default network first, then pieces of its neighbours.
Result<os::Subnet> pick_subnet(const std::string& instance) {
  std::vector<os::Subnet> others;
  for (const std::string& text : networks_of_others(instance)) {
    if (const auto other = os::Subnet::parse(text)) {
      others.push_back(*other);
    }
  }
  std::vector<os::Subnet> choices = {{0xac150001, 16}};
  for (std::uint32_t second = 22; second <= 31; ++second) {
    for (std::uint32_t third = 0; third < 256; third += 16) {
      choices.push_back({0xac000001 | second << 16 | third << 8, 20});
    }
  }
  for (const os::Subnet& subnet : choices) {
    THAW_TRY(const auto overlap, find_overlap(subnet));
    const bool is_anothers = std::any_of(others.begin(), others.end(),
                                         [&](const auto& other) { return other.overlaps(subnet); });
    if (!overlap && !is_anothers) {
      return subnet;
    }
  }
  return Error::resource_exhausted("no free network in 172.21.0.0 to 172.31.255.255");
}

Result<os::Subnet> choose_subnet(const std::string& wanted, const std::string& instance) {
  if (wanted == "auto") {
    return pick_subnet(instance);
  }
  THAW_TRY(const os::Subnet subnet, os::Subnet::parse(wanted));
  if (subnet.prefix < 8 || subnet.prefix > 28 || (subnet.address & ~subnet.mask()) == 0) {
    return Error::invalid_argument("the bridge address " + wanted +
                                   " must be a host's address with a prefix of 8 to 28");
  }
  THAW_TRY(const auto overlap, find_overlap(subnet));
  if (overlap) {
    std::string owner = "link " + std::to_string(overlap->link);
    for (const std::string& name : os::link_names()) {
      owner = os::link_index(name) == overlap->link ? name : owner;
    }
    return Error::failed_precondition("the container network " + wanted + " is already routed (" +
                                      overlap->destination.to_string() + " to " + owner +
                                      "); choose another bridge address");
  }
  return subnet;
}

void switch_off_ipv6(const std::string& link) {
  // A kernel without IPv6 has no such file.
  (void)os::write_text("/proc/sys/net/ipv6/conf/" + link + "/disable_ipv6", "1");
}

std::string bridge_name(const std::string& instance) { return "tw-" + instance; }

}  // namespace

std::string veth_prefix(const std::string& instance) {
  // A link's name has 15 letters; the instance may use 12 of them.
  const std::size_t hash = std::hash<std::string>{}(instance);
  std::string prefix = "tv";
  for (int i = 0; i < 6; ++i) {
    prefix += "abcdefghijklmnopqrstuvwxyz012345"[(hash >> (5 * i)) & 31];
  }
  return prefix + "-";
}

Result<void> remove_link(const std::string& name) {
  THAW_TRY(os::Netlink links, os::Netlink::open());
  return links.remove_link(name);
}

Result<void> remove_network(const std::string& instance) {
  Result<void> result = ok();
  for (const std::string& name : os::link_names()) {
    if (name.starts_with(veth_prefix(instance)) || name == bridge_name(instance)) {
      auto removed = remove_link(name);
      result = result ? std::move(removed) : std::move(result);
    }
  }
  remove_rules(instance);
  return result;
}

Result<std::string> Network::prepare() {
  if (options_.networking == SpawnerOptions::Networking::off) {
    return std::string();
  }
  THAW_TRY(const os::Fd lock, lock_machine());
  THAW_TRY(subnet_, choose_subnet(options_.bridge_address, options_.instance));
  THAW_TRY_VOID(make_bridge());
  THAW_TRY_VOID(write_rules());
  THAW_TRY_VOID(switch_on_forwarding());
  const std::uint32_t first = subnet_.address & subnet_.mask();
  const std::uint32_t hosts = std::min(~subnet_.mask(), max_slots);
  for (std::uint32_t slot = 1; slot < hosts; ++slot) {
    if (first + slot != subnet_.address) {
      free_slots_.push_back(slot);
    }
  }
  prepared_ = true;
  THAW_TRY_VOID(start_maker());
  return os::address_text(subnet_.address);
}

Result<void> Network::make_bridge() {
  const std::string name = bridge_name(options_.instance);
  THAW_TRY(os::Netlink links, os::Netlink::open());
  if (auto made = links.make_bridge(name, mac_of(subnet_.address)); !made) {
    if (made.error().message().find("not supported") != std::string::npos) {
      return Error::failed_precondition(
          "this kernel has no bridges (CONFIG_BRIDGE): containers "
          "cannot have a network; switch networking off");
    }
    return std::move(made).error().with("bridge", name);
  }
  switch_off_ipv6(name);
  bridge_ = os::link_index(name);
  THAW_TRY_VOID(links.add_address(bridge_, subnet_));
  return links.set_up(bridge_);
}

Result<void> Network::write_rules() {
  Rules rules;
  rules.instance = options_.instance;
  rules.bridge = bridge_name(options_.instance);
  rules.subnet = subnet_;
  rules.name_servers = name_servers(resolver_text(SandboxSpec::Network::bridge));
  rules.refused_networks = options_.refused_networks;
  rules.allowed_networks = options_.allowed_networks;
  rules.connections = connections_of_one();
  return add_rules(rules);
}

Result<void> Network::allow_port(std::uint16_t port) {
  if (!prepared_) {
    return Error::failed_precondition("there is no container network to allow a port in");
  }
  return detail::allow_port(options_.instance, port);
}

Result<void> Network::forbid_ports() const {
  return prepared_ ? detail::forbid_ports(options_.instance) : ok();
}

Lease Network::lease_of(std::uint32_t slot) const {
  Lease lease;
  lease.slot = slot;
  lease.address = os::address_text((subnet_.address & subnet_.mask()) + slot);
  lease.link = veth_prefix(options_.instance) + std::to_string(slot);
  return lease;
}

Result<Lease> Network::make(std::uint32_t slot, const os::Fd& user_namespace, IdRange range) const {
  Lease lease = lease_of(slot);
  lease.range = range;
  THAW_TRY(const os::Fd host, os::open_file("/proc/self/ns/net", O_RDONLY));
  if (range.valid()) {
    THAW_TRY(lease.user_namespace, make_user_namespace(range));
  }
  THAW_TRY(lease.network_namespace,
           make_network_namespace(range.valid() ? lease.user_namespace : user_namespace));
  if (::setns(lease.network_namespace.get(), CLONE_NEWNET) != 0) {
    return Error::from_errno(errno, "enter a network namespace");
  }
  auto made = make_in(lease, host);
  THAW_CHECK(::setns(host.get(), CLONE_NEWNET) == 0);
  if (!made) {
    return std::move(made).error().with("link", lease.link);
  }
  return lease;
}

// Starts and ends in the new namespace.
Result<void> Network::make_in(const Lease& lease, const os::Fd& host) const {
  const os::Subnet own{(subnet_.address & subnet_.mask()) + lease.slot, subnet_.prefix};
  // eth0 is IPv4 only: a link-local address would reach around the rules. lo keeps ::1.
  (void)os::write_text("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
  // Any user of its own network may listen on any port of it.
  (void)os::write_text("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
  os::VethOptions veth;
  veth.name = lease.link;
  veth.peer_name = "eth0";
  veth.peer_namespace = lease.network_namespace.get();
  veth.peer_mac = mac_of(own.address);
  veth.bridge = bridge_;
  THAW_TRY(os::Netlink inside, os::Netlink::open());
  if (::setns(host.get(), CLONE_NEWNET) != 0) {
    return Error::from_errno(errno, "return to the host's network");
  }
  auto plugged = [&]() -> Result<void> {
    THAW_TRY(os::Netlink outside, os::Netlink::open());
    THAW_TRY_VOID(outside.remove_link(veth.name));
    return outside.make_veth(veth);
  }();
  THAW_CHECK(::setns(lease.network_namespace.get(), CLONE_NEWNET) == 0);
  THAW_TRY_VOID(std::move(plugged));
  THAW_TRY_VOID(inside.set_up(os::link_index("lo")));
  const int eth0 = os::link_index("eth0");
  THAW_TRY_VOID(inside.add_address(eth0, own));
  THAW_TRY_VOID(inside.set_up(eth0));
  return inside.add_default_route(subnet_.address);
}

Result<void> Network::start_maker() {
  THAW_TRY(auto pair, os::make_message_pair());
  const pid_t spawner = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) {
    return Error::from_errno(errno, "fork the maker of networks");
  }
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::prctl(PR_SET_NAME, "thaw-network");
    ::setpriority(PRIO_PROCESS, 0, 0);
    if (::getppid() != spawner) {
      ::_exit(0);
    }
    // Above the numbers that stay free, so that nothing else of the spawner's is kept alive.
    const int socket = ::fcntl(pair.second.get(), F_DUPFD_CLOEXEC, 100);
    ::dup2(socket, 3);
    os::close_from(4);
    (void)pair.first.release();
    (void)pair.second.release();
    run_maker(os::Fd(3));
  }
  maker_ = std::move(pair.first);
  return ok();
}

void Network::run_maker(os::Fd socket) {
  os::Message message;
  while (true) {
    const auto received = os::receive_message(socket.get(), message);
    if (!received || *received == os::Transfer::end) {
      ::_exit(0);
    }
    Reader order(message.bytes);
    const auto slot = static_cast<std::uint32_t>(order.number());
    const IdRange range{static_cast<std::uint32_t>(order.number())};
    if (message.fds.size() != (range.valid() ? 0 : 1)) {
      ::_exit(1);
    }
    const os::Fd users = range.valid() ? os::Fd() : std::move(message.fds[0]);
    const auto lease = make(slot, users, range);
    std::vector<int> made;
    if (lease) {
      made.push_back(lease->network_namespace.get());
      if (range.valid()) {
        made.push_back(lease->user_namespace.get());
      }
    }
    const auto sent = lease ? os::send_message(socket.get(), Writer(Kind::done).bytes(), made)
                            : os::send_message(socket.get(), encode_failure(lease.error()));
    if (!sent) {
      ::_exit(1);
    }
  }
}

bool Network::wants_filling() const {
  return prepared_ && !cannot_fill_ && maker_.valid() && !free_slots_.empty() &&
         (wants_owned() || wants_own());
}

bool Network::wants_owned() const {
  return user_namespace_.valid() && ready_for(owner_) < ready_count;
}

bool Network::wants_own() const {
  return ranges_ != nullptr && is_own_wanted_ && ready_for("") < own_count;
}

bool Network::is_short() const {
  return wants_filling() && ((wants_owned() && ready_for(owner_) < short_count) ||
                             (wants_own() && ready_for("") < short_count));
}

// Those that are being made too.
std::size_t Network::ready_for(const std::string& owner) const {
  const auto is_its = [&owner](const auto& entry) { return entry.owner == owner; };
  return static_cast<std::size_t>(std::count_if(ready_.begin(), ready_.end(), is_its) +
                                  std::count_if(asked_.begin(), asked_.end(), is_its));
}

void Network::fill() {
  while (wants_filling()) {
    if (wants_owned()) {
      if (!ask_maker(owner_, {})) {
        return;
      }
      continue;
    }
    const auto range = ranges_->take();
    if (!range) {
      cannot_fill_ = true;  // until somebody needs one and hears why
      return;
    }
    if (!ask_maker("", *range)) {
      ranges_->give_back(*range);
      return;
    }
  }
}

bool Network::ask_maker(const std::string& owner, IdRange range) {
  const auto sent = os::send_message(
      maker_.get(), Writer().number(free_slots_.front()).number(range.first).bytes(),
      range.valid() ? std::vector<int>{} : std::vector<int>{user_namespace_.get()});
  if (!sent || *sent != os::Transfer::done) {
    maker_ended();
    return false;
  }
  asked_.push_back({free_slots_.front(), owner, range});
  free_slots_.pop_front();
  return true;
}

void Network::maker_ended() {
  maker_.reset();
  for (const Asked& asked : asked_) {
    free_slots_.push_back(asked.slot);
    if (asked.range.valid()) {
      ranges_->give_back(asked.range);
    }
  }
  asked_.clear();
  // Without one take() makes what it needs itself.
  if (++makers_ended_ < most_makers) {
    (void)start_maker();
  }
}

void Network::collect() {
  os::Message message;
  const auto received = os::receive_message(maker_.get(), message);
  if (!received || *received != os::Transfer::done || asked_.empty()) {
    maker_ended();
    return;
  }
  Lease lease = lease_of(asked_.front().slot);
  lease.owner = std::move(asked_.front().owner);
  lease.range = asked_.front().range;
  asked_.pop_front();
  if (message.fds.size() != (lease.range.valid() ? 2 : 1)) {
    cannot_fill_ = true;  // until somebody needs one and hears why
    free_slots_.push_back(lease.slot);
    if (lease.range.valid()) {
      ranges_->give_back(lease.range);
    }
    return;
  }
  lease.network_namespace = std::move(message.fds[0]);
  if (lease.range.valid()) {
    lease.user_namespace = std::move(message.fds[1]);
  }
  ready_.push_back(std::move(lease));
  // A namespace takes its links along. Nobody waits for those of who asked longest ago.
  const auto is_owned = [](const Lease& ready) { return !ready.range.valid(); };
  while (ready_.size() > max_ready) {
    const auto oldest = std::find_if(ready_.begin(), ready_.end(), is_owned);
    if (oldest == ready_.end()) {
      break;  // those are few by themselves
    }
    free_slots_.push_back(oldest->slot);
    ready_.erase(oldest);
  }
}

Result<Lease> Network::take_ready(const std::string& owner) {
  const auto found = std::find_if(ready_.begin(), ready_.end(),
                                  [&owner](const Lease& lease) { return lease.owner == owner; });
  if (found == ready_.end()) {
    return Error::not_found("no network is ready");
  }
  Lease lease = std::move(*found);
  ready_.erase(found);
  return lease;
}

Result<Lease> Network::take_or_wait(const std::string& owner) {
  if (!prepared_) {
    return Error::failed_precondition(
        "a container network was asked for, but networking is off or not prepared");
  }
  cannot_fill_ = false;
  auto lease = take_ready(owner);
  if (!lease) {
    fill();
    for (; !lease && maker_.valid() && ready_for(owner) > 0; lease = take_ready(owner)) {
      collect();
    }
  }
  if (!lease && free_slots_.empty()) {
    return Error::resource_exhausted("every address of the container network " +
                                     subnet_.to_string() + " is in use");
  }
  return lease;
}

Result<Lease> Network::take(const std::string& owner, const os::Fd& user_namespace) {
  if (owner != owner_ || !user_namespace_.valid()) {
    owner_ = owner;
    user_namespace_ = os::Fd(::fcntl(user_namespace.get(), F_DUPFD_CLOEXEC, 3));
  }
  auto lease = take_or_wait(owner);
  if (lease || lease.error().code() != Code::not_found) {
    return lease;
  }
  THAW_TRY(Lease made, make(free_slots_.front(), user_namespace, {}));
  made.owner = owner;
  free_slots_.pop_front();
  return made;
}

Result<Lease> Network::take_own() {
  THAW_CHECK(ranges_ != nullptr);
  is_own_wanted_ = true;
  auto lease = take_or_wait("");
  if (lease || lease.error().code() != Code::not_found) {
    return lease;
  }
  THAW_TRY(const IdRange range, ranges_->take());
  auto made = make(free_slots_.front(), os::Fd(), range);
  if (!made) {
    ranges_->give_back(range);
    return made;
  }
  free_slots_.pop_front();
  return made;
}

void Network::give_back(std::uint32_t slot) { free_slots_.push_back(slot); }

void Network::release_all() {
  prepared_ = false;
  ready_.clear();  // a namespace takes its links along
  maker_.reset();  // it ends at the end of its socket
}

}  // namespace thaw::sandbox::detail
