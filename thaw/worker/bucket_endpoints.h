// SPDX-License-Identifier: Apache-2.0
//
// BucketEndpoints: whether, and where, this machine reaches the endpoint of a bucket, and whether
// the bucket is there for its credentials. Each address is judged by the configuration's rules at
// each connection: an endpoint is named by users. Loop thread only.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "thaw/async/task.h"
#include "thaw/net/ip_address.h"
#include "thaw/net/resolver.h"
#include "thaw/net/web_client.h"
#include "thaw/worker/bucket_plan.h"

namespace thaw::worker {

class BucketEndpoints {
 public:
  // May such an address be connected to? Any thread.
  using Judge = std::function<Result<void>(const net::WebUrl&, const net::IpAddress&)>;

  // Both outlive it.
  BucketEndpoints(net::Resolver& resolver, net::WebClient& client, Judge judge)
      : resolver_(resolver), client_(client), judge_(std::move(judge)) {}

  // Those that may be connected to now, at least one. permission_denied says what would allow it;
  // unavailable: its name has no address. `share`: whose it is.
  async::Task<std::vector<net::IpAddress>> addresses_of(net::WebUrl url, std::string share);
  // The bucket as it is to be asked for, perhaps in another region. permission_denied: its
  // credentials are refused; not_found: there is no such bucket; unavailable: the endpoint does
  // not answer, or with something else.
  async::Task<BucketPlan> check(BucketPlan plan, std::string share);

 private:
  net::Resolver& resolver_;
  net::WebClient& client_;
  Judge judge_;
};

}  // namespace thaw::worker
