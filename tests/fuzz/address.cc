// SPDX-License-Identifier: Apache-2.0
//
// Addresses in all their forms: of callbacks, of hosts, of networks, paths of volumes, and what a
// receiver says of when to come again. What is taken is taken as the same in its own writing, and
// no address is two to two readers. The first byte says what the text is.
#include <arpa/inet.h>

#include "tests/fuzz/target.h"
#include "thaw/dialect/native/callbacks.h"
#include "thaw/gateway/callback_rules.h"
#include "thaw/gateway/function_hosts.h"
#include "thaw/gateway/sink_rules.h"
#include "thaw/gateway/web_origin.h"
#include "thaw/net/detail/authority.h"
#include "thaw/net/web_client.h"
#include "thaw/worker/volume_paths.h"

namespace thaw::fuzz {

namespace {

void check_url(std::string_view text) {
  const auto url = net::parse_web_url(text);
  if (!url) {
    expect_sentence(url.error());
    return;
  }
  expect(url->scheme == "http" || url->scheme == "https", "a web address is one of the web");
  expect(url->port != 0 && !url->host.empty(), "it has a host and a port");
  expect(url->text.find('#') == std::string::npos, "nobody is told a fragment");
  const auto again = net::parse_web_url(url->text);
  expect(again && again->scheme == url->scheme && again->host == url->host &&
             again->port == url->port && again->text == url->text,
         "a web address is the same in its own writing");
  const auto origin = net::parse_web_url(url->origin());
  expect(origin && origin->host == url->host && origin->port == url->port,
         "and so is what stands for its server");
  // Whatever is a number to those who connect must not be a name to those who judge.
  in_addr four{};
  const bool is_old_form = ::inet_aton(url->host.c_str(), &four) == 1;
  expect(!is_old_form || net::IpAddress::parse(url->host).has_value(),
         "a host that is a number is an address");
}

void check_authority(std::string_view text) {
  if (const auto checked = net::detail::check_authority(text, "the Host"); !checked) {
    expect_sentence(checked.error());
    return;
  }
  expect(text.find_first_of(std::string_view("/\\@?# \t\r\n\0", 10)) == std::string_view::npos,
         "a host has nothing that ends one");
  const gateway::FunctionHosts hosts("thaw.example:8700", "fn.example");
  if (const auto label = hosts.label_of(text)) {
    expect(!label->empty() && label->size() <= 63 && label->find('.') == std::string::npos,
           "a label is one part of a host");
  }
}

void check_target(std::string_view text) {
  net::HttpRequest request;
  request.authority = "old";
  request.target = text;
  if (const auto checked = net::detail::check_target("GET", text); !checked) {
    expect_sentence(checked.error());
    return;
  }
  net::detail::take_absolute_target(request);
  expect(request.target.starts_with('/'), "a target that passes is a path in the end");
  expect(net::detail::check_authority(request.authority, "it").has_value(),
         "of a host that passes");
}

void check_network(const std::string& text) {
  if (const auto address = net::IpAddress::parse(text)) {
    expect(text.find_first_not_of("0123456789abcdefABCDEF:.") == std::string::npos,
           "an address is nothing but an address");
    expect(net::IpAddress::parse(address->str()) == address, "an address is the same again");
    (void)address->place();
  }
  if (const auto network = net::IpNetwork::parse(text)) {
    expect(network->prefix >= 0 && network->prefix <= (network->address.is_v4() ? 32 : 128),
           "a network's prefix is no longer than an address");
    expect(network->contains(network->address), "a network has its own address");
  }
  for (const auto& rules :
       {gateway::SinkRules::parse({text}), gateway::SinkRules::parse({"10.0.0.0/8", text})}) {
    if (!rules) {
      expect_sentence(rules.error());
    }
  }
  if (const auto proxies = gateway::TrustedProxies::parse({text}); !proxies) {
    expect_sentence(proxies.error());
  }
}

void check_origin(Bytes bytes) {
  static const auto proxies = gateway::TrustedProxies::parse({"127.0.0.0/8", "::1"});
  net::HttpRequest request;
  request.scheme = "http";
  request.authority = bytes.line();
  request.peer.address = std::string(bytes.line());
  const bool is_trusted = request.peer.address.starts_with("127.0.0.1:");
  for (const char* name : {"x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"}) {
    request.headers.add(name, std::string(bytes.line()));
  }
  const gateway::WebOrigin origin = proxies->origin_of(request);
  expect(origin.scheme == "http" || origin.scheme == "https", "an origin has a scheme of the web");
  expect(origin.client == request.peer.address || origin.client.find('\0') == std::string::npos,
         "no client is one to the first NUL only");
  expect(is_trusted || request.peer.address.empty() || request.peer.address[0] == '1' ||
             request.peer.address[0] == '[' || request.peer.address[0] == ':' ||
             origin.client == request.peer.address,
         "a stranger is not believed who it is");
}

void check_callbacks(Bytes bytes) {
  net::Headers headers;
  for (const char* name : {"thaw-callback", "thaw-callback-on", "thaw-callback-for"}) {
    if (const std::string_view value = bytes.line(); !value.empty()) {
      headers.add(name, std::string(value));
    }
  }
  const auto callbacks = dialect::native::read_callbacks(headers, gateway::SinkRules());
  if (!callbacks) {
    expect_sentence(callbacks.error());
    return;
  }
  for (const model::Callback& one : *callbacks) {
    const bool is_function = one.sink.starts_with(model::function_sink);
    expect(is_function || net::parse_web_url(one.sink).has_value(), "a callback goes somewhere");
    expect(one.try_for > Duration::zero(), "and for some time");
  }
}

void check_pause(std::string_view text) {
  const WallTime now{std::chrono::seconds(1'800'000'000)};
  const auto answer = gateway::judge_status(503, text, now);
  const Duration asked = answer.after.value_or(Duration::zero());
  expect(asked >= Duration::zero() && asked <= std::chrono::hours(24 * 366),
         "a pause that is asked for is from none to a year");
  const Duration pause = gateway::callback_pause(1, answer.after, 0.5);
  expect(pause > Duration::zero() && pause <= gateway::longest_callback_pause,
         "a pause is within its bounds");
}

void check_path(std::string_view text) {
  const auto path = worker::volume_path(text);
  if (!path) {
    expect_sentence(path.error());
    return;
  }
  expect(worker::volume_path(*path) == *path, "a path in a volume is the same again");
  const std::string whole = "/" + *path + "/";
  expect(whole.find("/../") == std::string::npos && whole.find('\0') == std::string::npos &&
             (path->empty() || whole.find("//") == std::string::npos),
         "and leads nowhere else");
}

}  // namespace

void run(std::string_view input) {
  Bytes bytes(input);
  switch (bytes.byte() % 8) {
    case 0: check_url(bytes.rest()); break;
    case 1: check_authority(bytes.rest()); break;
    case 2: check_target(bytes.rest()); break;
    case 3: check_network(std::string(bytes.rest())); break;
    case 4: check_origin(bytes); break;
    case 5: check_callbacks(bytes); break;
    case 6: check_pause(bytes.rest()); break;
    default: check_path(bytes.rest());
  }
}

}  // namespace thaw::fuzz
