// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/loopback_hosts.h"

#include "thaw/store/blob_store.h"

namespace thaw::gateway {

namespace {

// 127.64.0.1 to 127.127.255.254, by a digest of the label and of how often it was in vain.
std::string address_for(const std::string& label, int attempt) {
  const std::string digest = store::sha256_hex(label + "\n" + std::to_string(attempt));
  const auto byte = [&](std::size_t at) {
    return std::stoi(digest.substr(at * 2, 2), nullptr, 16);
  };
  return "127." + std::to_string(64 + byte(0) % 64) + "." + std::to_string(byte(1)) + "." +
         std::to_string(1 + byte(2) % 254);
}

}  // namespace

std::string LoopbackHosts::address_of(const std::string& label, const model::WorkspaceId& workspace,
                                      const std::function<net::HttpHandler()>& handler) {
  if (const auto known = addresses_.find(label); known != addresses_.end()) {
    return known->second;
  }
  std::size_t& count = counts_[workspace];
  if (addresses_.size() >= most_ || count >= most_of_a_workspace_) {
    return {};
  }
  constexpr int attempts = 4;
  for (int attempt = 0; attempt < attempts; ++attempt) {
    const std::string address = address_for(label, attempt);
    if (!taken_.contains(address) && listen_(address, handler())) {
      taken_.insert(address);
      addresses_[label] = address;
      ++count;
      return address;
    }
  }
  return {};
}

}  // namespace thaw::gateway
