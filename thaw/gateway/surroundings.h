// SPDX-License-Identifier: Apache-2.0
//
// Surroundings: where this server stands, as its clients and its containers reach it. Known once it
// listens; values.
#pragma once

#include <cstdint>
#include <string>

#include "thaw/gateway/base_url.h"
#include "thaw/gateway/web_origin.h"

namespace thaw::gateway {

struct Surroundings {
  std::string scheme = "http";      // "https": the server has certificates
  std::string authority;            // host:port at which clients reach this server
  std::string container_authority;  // where containers reach signed addresses
  std::string web_domain;           // functions are reached at LABEL.<this>; empty: none
  bool knows_localhost = false;     // this machine's clients find LABEL.localhost
  // Nobody but who is on this machine reaches it.
  bool is_on_loopback = false;
  TrustedProxies proxies;
  // How it knows itself, for who has not come by an address.
  BaseUrl base() const { return {scheme, authority}; }
  // How containers reach signed addresses: on this machine, without TLS.
  BaseUrl containers_base() const { return {"http", container_authority}; }
  std::uint64_t memory_bytes = UINT64_MAX;          // that this process may have
  std::uint64_t message_buffer_bytes = UINT64_MAX;  // of what one workspace has on its way
};

}  // namespace thaw::gateway
