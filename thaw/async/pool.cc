// SPDX-License-Identifier: Apache-2.0
#include "thaw/async/pool.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

namespace thaw::async {

namespace {

unsigned left_to_shares(unsigned threads) {
  return threads < 2 ? threads : threads - (threads + 2) / 4;
}

}  // namespace

Pool::Pool(unsigned threads)
    : all_(std::max(1u, threads)),
      for_shares_(left_to_shares(all_)),
      for_one_share_((for_shares_ + 1) / 2),
      threads_(all_) {}

void Pool::post(const std::string& share, std::unique_ptr<Work> work) {
  const std::lock_guard held(mutex_);
  Share& own = shares_[share];
  own.waiting.push_back(std::move(work));
  if (!own.has_turn) {
    own.has_turn = true;
    // The server's own work is what callers of every share wait for.
    share.empty() ? turns_.push_front(share) : turns_.push_back(share);
  }
  start_what_may();
}

void Pool::start_what_may() {
  for (std::size_t looked_at = 0; running_ < all_ && looked_at < turns_.size();) {
    const std::string name = std::move(turns_[looked_at]);
    Share& share = shares_[name];
    const bool may_run =
        name.empty() || (running_in_shares_ < for_shares_ && share.running < for_one_share_);
    if (!may_run) {
      turns_[looked_at++] = name;
      continue;
    }
    turns_.erase(turns_.begin() + static_cast<std::ptrdiff_t>(looked_at));
    std::shared_ptr<Work> work = std::move(share.waiting.front());
    share.waiting.pop_front();
    ++share.running;
    ++running_;
    running_in_shares_ += name.empty() ? 0 : 1;
    share.has_turn = !share.waiting.empty();
    if (share.has_turn) {
      turns_.push_back(name);
    }
    boost::asio::post(threads_, [this, name, work = std::move(work)]() mutable {
      work->run();
      work.reset();
      ended(name);
    });
  }
}

void Pool::ended(const std::string& name) {
  const std::lock_guard held(mutex_);
  const auto share = shares_.find(name);
  --share->second.running;
  --running_;
  running_in_shares_ -= name.empty() ? 0 : 1;
  if (share->second.running == 0 && share->second.waiting.empty()) {
    shares_.erase(share);
  }
  start_what_may();
}

}  // namespace thaw::async
