// SPDX-License-Identifier: Apache-2.0
#include "thaw/sandbox/detail/rules.h"

#include <algorithm>
#include <cstdlib>
#include <iterator>

#include "thaw/base/log.h"
#include "thaw/os/files.h"
#include "thaw/sandbox/detail/nft.h"

namespace thaw::sandbox::detail {

namespace {

std::string table_name(const std::string& instance) { return "inet thaw_" + instance; }

// Where clouds keep the machine's own credentials and settings: link-local addresses (nearly all of
// them), Alibaba, Azure, Oracle.
constexpr const char* metadata_networks[] = {"169.254.0.0/16", "100.100.100.200/32",
                                             "168.63.129.16/32", "192.0.0.192/32"};

std::string network_set(const char* name, const std::vector<std::string>& networks) {
  std::string text = std::string(" set ") + name + " { type ipv4_addr; flags interval; auto-merge;";
  for (std::size_t i = 0; i < networks.size(); ++i) {
    text += (i == 0 ? " elements = { " : ", ") + networks[i];
  }
  return text + (networks.empty() ? " }\n" : " } }\n");
}

enum class Bounds { none, connections, connections_and_timeouts };

// What a container may have of the host's table of connections. Those that are closed are not
// counted and stay in the table for a while: hence the pace, and the timeouts.
std::string limits_chain(const Rules& rules, Bounds bounds) {
  std::string text;
  if (bounds == Bounds::connections_and_timeouts) {
    text +=
        " ct timeout brief { protocol tcp; l3proto ip; policy = { time_wait: 10, close: 5 }; }\n";
  }
  text += " set tracked { type ipv4_addr; size 65535; flags dynamic; }\n";
  text += " set paces { type ipv4_addr; size 65535; flags dynamic,timeout; timeout 60s; }\n";
  text += " chain limits {\n";
  text += "  ct state != new return\n";
  text += "  update @paces { ip saddr limit rate over " + std::to_string(rules.new_connections) +
          "/second burst " + std::to_string(rules.new_connections * 10) +
          " packets } reject with icmpx admin-prohibited\n";
  text += "  add @tracked { ip saddr ct count over " + std::to_string(rules.connections) +
          " } reject with icmpx admin-prohibited\n";
  if (bounds == Bounds::connections_and_timeouts) {
    text += "  meta l4proto tcp ct timeout set \"brief\"\n";
  }
  return text + " }\n";
}

std::string table_text(const Rules& rules, Bounds bounds) {
  const std::string table = table_name(rules.instance);
  const std::string from = "iifname \"" + rules.bridge + "\" ";
  const std::string to = "oifname \"" + rules.bridge + "\" ";
  const std::string bridge_address = os::address_text(rules.subnet.address);
  const std::string network =
      os::Subnet{rules.subnet.address & rules.subnet.mask(), rules.subnet.prefix}.to_string();
  std::vector<std::string> refused(std::begin(metadata_networks), std::end(metadata_networks));
  refused.insert(refused.end(), rules.refused_networks.begin(), rules.refused_networks.end());
  std::string text = "table " + table + "\ndelete table " + table + "\ntable " + table + " {\n";
  text += " set ports { type inet_service; }\n";
  text += network_set("refused", refused);
  text += network_set("allowed", rules.allowed_networks);
  std::string limited;
  if (bounds != Bounds::none) {
    text += limits_chain(rules, bounds);
    limited = "  " + from + "jump limits\n";
  }
  // Containers of all servers are behind "tw-" bridges. IPv6 leads nowhere, so its addresses of
  // such services (fd00:ec2::254) need no rule.
  text += " chain forward { type filter hook forward priority filter; policy accept;\n";
  text += "  " + from + "meta nfproto ipv6 drop\n";
  text += "  " + from + "oifname \"tw-*\" reject with icmpx admin-prohibited\n";
  text += limited;
  // In some clouds the name server has the address of the credentials, at another port.
  for (const std::string& server : rules.name_servers) {
    text += "  " + from + "ip daddr " + server + " meta l4proto { tcp, udp } th dport 53 accept\n";
  }
  text +=
      "  " + from + "ip daddr != @allowed ip daddr @refused reject with icmpx admin-prohibited\n";
  text += "  " + to + "ct state established,related accept\n";
  text += "  " + to + "drop\n }\n";
  text += " chain input { type filter hook input priority filter; policy accept;\n";
  text += "  " + from + "ct state established,related accept\n";
  text += limited;
  text += "  " + from + "ip daddr " + bridge_address + " tcp dport @ports accept\n";
  for (const std::string& server : rules.name_servers) {
    text += "  " + from + "ip daddr " + server + " meta l4proto { tcp, udp } th dport 53 accept\n";
  }
  text += "  " + from + "reject with icmpx admin-prohibited\n }\n";
  text += " chain postrouting { type nat hook postrouting priority srcnat; policy accept;\n";
  text += "  ip saddr " + network + " oifname != \"" + rules.bridge + "\" masquerade\n }\n}\n";
  return text;
}

}  // namespace

std::uint32_t connections_of_one() {
  const auto most = os::read_text("/proc/sys/net/netfilter/nf_conntrack_max");
  const auto number = most ? std::strtoul(most->c_str(), nullptr, 10) : 0;
  return std::clamp<std::uint32_t>(static_cast<std::uint32_t>(number / 64), 1024, 8192);
}

// A kernel that lacks what bounds connections has the other rules all the same.
Result<void> add_rules(const Rules& rules) {
  for (const Bounds bounds : {Bounds::connections_and_timeouts, Bounds::connections}) {
    const auto added = run_nft(table_text(rules, bounds));
    if (added) {
      return ok();
    }
    log_warning("this kernel does not bound containers' connections as it should",
                {{"error", added.error().to_string()}});
  }
  return run_nft(table_text(rules, Bounds::none));
}

Result<void> allow_port(const std::string& instance, std::uint16_t port) {
  return run_nft("add element " + table_name(instance) + " ports { " + std::to_string(port) +
                 " }\n");
}

Result<void> forbid_ports(const std::string& instance) {
  return run_nft("flush set " + table_name(instance) + " ports\n");
}

void remove_rules(const std::string& instance) {
  // "table" first, so that deleting is no error when there is none.
  const std::string table = table_name(instance);
  (void)run_nft("table " + table + "\ndelete table " + table + "\n");
}

}  // namespace thaw::sandbox::detail
