// SPDX-License-Identifier: Apache-2.0
//
// Resolver: the addresses of a host's name, as this machine's resolver has them, asked on a few
// threads of its own: a name server that is silent must hold up nobody else. Loop thread only.
#pragma once

#include <string>
#include <vector>

#include "thaw/async/loop.h"
#include "thaw/async/pool.h"
#include "thaw/async/task.h"
#include "thaw/net/ip_address.h"

namespace thaw::net {

class Resolver {
 public:
  explicit Resolver(async::Loop& loop, unsigned threads = 16);
  ~Resolver();

  // In the resolver's order, at most 8. `share`: whom it is done for; one of them never has all
  // threads. unavailable: there is no such name now; deadline_exceeded after `limit`, or
  // resource_exhausted if by then no thread was free to ask.
  async::Task<std::vector<IpAddress>> resolve(std::string host, std::string share, Duration limit);

 private:
  async::Loop& loop_;
  async::Pool pool_;
};

}  // namespace thaw::net
