// SPDX-License-Identifier: Apache-2.0
#include "thaw/os/netlink.h"

#include <arpa/inet.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sys/socket.h>

#include <cerrno>
#include <charconv>
#include <cstring>

namespace thaw::os {

std::string address_text(std::uint32_t address) {
  const in_addr in{htonl(address)};
  char text[INET_ADDRSTRLEN];
  return ::inet_ntop(AF_INET, &in, text, sizeof text);
}

std::string Subnet::to_string() const {
  return address_text(address) + "/" + std::to_string(prefix);
}

Result<Subnet> Subnet::parse(std::string_view text) {
  const std::size_t slash = text.find('/');
  Subnet subnet;
  in_addr in{};
  if (slash != std::string_view::npos &&
      ::inet_pton(AF_INET, std::string(text.substr(0, slash)).c_str(), &in) == 1) {
    const std::string_view digits = text.substr(slash + 1);
    const auto [stop, failed] =
        std::from_chars(digits.data(), digits.data() + digits.size(), subnet.prefix);
    if (failed == std::errc() && stop == digits.data() + digits.size() && subnet.prefix >= 0 &&
        subnet.prefix <= 32) {
      subnet.address = ntohl(in.s_addr);
      return subnet;
    }
  }
  return Error::invalid_argument("'" + std::string(text) +
                                 "' is not an IPv4 network such as 172.21.0.1/16");
}

namespace {

// Builds one netlink message: a header, a fixed struct, then attributes that may nest.
class Request {
 public:
  template <class Body>
  Request(std::uint16_t type, int flags, const Body& body) {
    nlmsghdr header{};
    header.nlmsg_type = type;
    header.nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
    raw(&header, sizeof header);
    raw(&body, sizeof body);
  }

  Request& put(int type, const void* data, std::size_t size) {
    const std::size_t start = open(type);
    raw(data, size);
    close(start);
    return *this;
  }
  Request& put(int type, std::string_view text) {
    return put(type, std::string(text).c_str(), text.size() + 1);
  }
  template <class T>
    requires std::is_integral_v<T>
  Request& put(int type, T number) {
    return put(type, &number, sizeof number);
  }

  std::size_t open(int type) {
    const std::size_t start = bytes_.size();
    const rtattr attribute{0, static_cast<unsigned short>(type)};
    raw(&attribute, sizeof attribute);
    return start;
  }
  void close(std::size_t start) {
    const auto length = static_cast<unsigned short>(bytes_.size() - start);
    std::memcpy(bytes_.data() + start, &length, sizeof length);
    bytes_.resize((bytes_.size() + 3) & ~std::size_t{3});
  }
  void raw(const void* data, std::size_t size) {
    bytes_.append(static_cast<const char*>(data), size);
  }
  std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

constexpr int create = NLM_F_CREATE | NLM_F_EXCL;

ifinfomsg link_message(int index, unsigned flags = 0) {
  ifinfomsg message{};
  message.ifi_family = AF_UNSPEC;
  message.ifi_index = index;
  message.ifi_flags = flags;
  message.ifi_change = flags;
  return message;
}

}  // namespace

Result<Netlink> Netlink::open() {
  Fd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!socket.valid()) {
    return Error::from_errno(errno, "open a netlink socket");
  }
  return Netlink(std::move(socket));
}

Result<void> Netlink::perform(std::string request) {
  nlmsghdr header;
  std::memcpy(&header, request.data(), sizeof header);
  header.nlmsg_len = static_cast<std::uint32_t>(request.size());
  header.nlmsg_flags |= NLM_F_ACK;
  header.nlmsg_seq = ++sequence_;
  std::memcpy(request.data(), &header, sizeof header);
  if (::send(socket_.get(), request.data(), request.size(), 0) < 0) {
    return Error::from_errno(errno, "netlink request");
  }
  alignas(nlmsghdr) char reply[8192];
  const ssize_t size = ::recv(socket_.get(), reply, sizeof reply, 0);
  const auto* answer = reinterpret_cast<const nlmsghdr*>(reply);
  if (size < static_cast<ssize_t>(NLMSG_LENGTH(sizeof(nlmsgerr))) ||
      answer->nlmsg_type != NLMSG_ERROR || answer->nlmsg_seq != sequence_) {
    return Error::internal("netlink: an answer that is no acknowledgement");
  }
  const int failure = -static_cast<const nlmsgerr*>(NLMSG_DATA(answer))->error;
  return failure == 0 ? ok() : Result<void>(Error::from_errno(failure, "netlink request"));
}

Result<void> Netlink::make_bridge(const std::string& name, const MacAddress& mac) {
  Request request(RTM_NEWLINK, create, link_message(0));
  request.put(IFLA_IFNAME, name).put(IFLA_ADDRESS, mac.data(), mac.size());
  const std::size_t info = request.open(IFLA_LINKINFO);
  request.put(IFLA_INFO_KIND, std::string_view("bridge"));
  request.close(info);
  return perform(request.take());
}

Result<void> Netlink::make_veth(const VethOptions& options) {
  Request request(RTM_NEWLINK, create, link_message(0, IFF_UP));
  request.put(IFLA_IFNAME, options.name).put(IFLA_MASTER, options.bridge);
  const std::size_t info = request.open(IFLA_LINKINFO);
  request.put(IFLA_INFO_KIND, std::string_view("veth"));
  const std::size_t details = request.open(IFLA_INFO_DATA);
  const std::size_t peer = request.open(VETH_INFO_PEER);
  const ifinfomsg peer_message = link_message(0);
  request.raw(&peer_message, sizeof peer_message);
  request.put(IFLA_IFNAME, options.peer_name).put(IFLA_NET_NS_FD, options.peer_namespace);
  request.put(IFLA_ADDRESS, options.peer_mac.data(), options.peer_mac.size());
  request.close(peer);
  request.close(details);
  request.close(info);
  THAW_TRY_VOID(perform(request.take()));

  Request port(RTM_NEWLINK, 0, link_message(link_index(options.name)));
  const std::size_t slave = port.open(IFLA_LINKINFO);
  port.put(IFLA_INFO_SLAVE_KIND, std::string_view("bridge"));
  const std::size_t settings = port.open(IFLA_INFO_SLAVE_DATA);
  port.put(IFLA_BRPORT_ISOLATED, std::uint8_t{1});
  port.close(settings);
  port.close(slave);
  return perform(port.take());
}

Result<void> Netlink::set_up(int link) {
  return perform(Request(RTM_NEWLINK, 0, link_message(link, IFF_UP)).take());
}

Result<void> Netlink::add_address(int link, const Subnet& subnet) {
  ifaddrmsg message{};
  message.ifa_family = AF_INET;
  message.ifa_prefixlen = static_cast<std::uint8_t>(subnet.prefix);
  message.ifa_index = static_cast<unsigned>(link);
  Request request(RTM_NEWADDR, create, message);
  const std::uint32_t address = htonl(subnet.address);
  const std::uint32_t broadcast = htonl(subnet.address | ~subnet.mask());
  request.put(IFA_LOCAL, address).put(IFA_ADDRESS, address).put(IFA_BROADCAST, broadcast);
  return perform(request.take());
}

Result<void> Netlink::add_default_route(std::uint32_t gateway) {
  rtmsg message{};
  message.rtm_family = AF_INET;
  message.rtm_table = RT_TABLE_MAIN;
  message.rtm_protocol = RTPROT_STATIC;
  message.rtm_scope = RT_SCOPE_UNIVERSE;
  message.rtm_type = RTN_UNICAST;
  Request request(RTM_NEWROUTE, create, message);
  request.put(RTA_GATEWAY, htonl(gateway));
  return perform(request.take());
}

Result<void> Netlink::remove_link(const std::string& name) {
  const int index = link_index(name);
  if (index == 0) {
    return ok();
  }
  auto removed = perform(Request(RTM_DELLINK, 0, link_message(index)).take());
  if (!removed && link_index(name) == 0) {
    return ok();
  }
  return removed;
}

namespace {

void add_route(const nlmsghdr* answer, std::vector<Route>& routes) {
  const auto* message = static_cast<const rtmsg*>(NLMSG_DATA(answer));
  if (message->rtm_type != RTN_UNICAST || message->rtm_table != RT_TABLE_MAIN ||
      message->rtm_dst_len == 0) {
    return;
  }
  Route route;
  route.destination.prefix = message->rtm_dst_len;
  auto left = static_cast<unsigned>(answer->nlmsg_len - NLMSG_LENGTH(sizeof *message));
  for (const rtattr* part = RTM_RTA(message); RTA_OK(part, left); part = RTA_NEXT(part, left)) {
    if (part->rta_type == RTA_DST) {
      std::uint32_t address = 0;
      std::memcpy(&address, RTA_DATA(part), sizeof address);
      route.destination.address = ntohl(address);
    } else if (part->rta_type == RTA_OIF) {
      std::memcpy(&route.link, RTA_DATA(part), sizeof route.link);
    }
  }
  routes.push_back(route);
}

}  // namespace

Result<std::vector<Route>> Netlink::routes() {
  rtmsg message{};
  message.rtm_family = AF_INET;
  std::string request = Request(RTM_GETROUTE, NLM_F_DUMP, message).take();
  nlmsghdr header;
  std::memcpy(&header, request.data(), sizeof header);
  header.nlmsg_len = static_cast<std::uint32_t>(request.size());
  header.nlmsg_seq = ++sequence_;
  std::memcpy(request.data(), &header, sizeof header);
  if (::send(socket_.get(), request.data(), request.size(), 0) < 0) {
    return Error::from_errno(errno, "ask for routes");
  }
  std::vector<Route> routes;
  alignas(nlmsghdr) char reply[32768];
  while (true) {
    const ssize_t size = ::recv(socket_.get(), reply, sizeof reply, 0);
    if (size < 0) {
      return Error::from_errno(errno, "read routes");
    }
    auto left = static_cast<unsigned>(size);
    for (const auto* answer = reinterpret_cast<const nlmsghdr*>(reply); NLMSG_OK(answer, left);
         answer = NLMSG_NEXT(answer, left)) {
      if (answer->nlmsg_type == NLMSG_DONE) {
        return routes;
      }
      if (answer->nlmsg_type == NLMSG_ERROR) {
        return Error::internal("netlink: routes cannot be listed");
      }
      add_route(answer, routes);
    }
  }
}

int link_index(const std::string& name) { return static_cast<int>(::if_nametoindex(name.c_str())); }

std::vector<std::string> link_names() {
  std::vector<std::string> names;
  if (struct if_nameindex* list = ::if_nameindex(); list != nullptr) {
    for (const struct if_nameindex* link = list; link->if_index != 0; ++link) {
      names.emplace_back(link->if_name);
    }
    ::if_freenameindex(list);
  }
  return names;
}

}  // namespace thaw::os
