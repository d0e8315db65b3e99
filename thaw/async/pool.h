// SPDX-License-Identifier: Apache-2.0
//
// Pool: a bounded set of threads for calls that block (mount, fsync, waitpid, hashing of large
// files). Work may carry a share: the name of the one it is done for, such as a workspace. Shares
// take turns, one share never has more than half of the threads that shares may have together, and
// some threads are left to work without a share, which is the server's own. So work for one
// caller, however much of it waits, delays another's by pieces of work, not by all of it: work of
// unknown length comes in pieces. Members may be called from any thread.
#pragma once

#include <boost/asio/thread_pool.hpp>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

namespace thaw::async {

class Pool {
 public:
  // One piece of work; destroyed without run() if the pool goes away first.
  class Work {
   public:
    virtual ~Work() = default;
    virtual void run() = 0;
  };

  explicit Pool(unsigned threads);
  // "" is the server's own share.
  void post(const std::string& share, std::unique_ptr<Work> work);
  // Waits for work that was started; call before the objects that the work uses go away.
  void join() { threads_.join(); }

  // How many threads all shares have together, and one of them.
  unsigned for_shares() const { return for_shares_; }        // tidy(unused): a test counts them
  unsigned for_one_share() const { return for_one_share_; }  // tidy(unused): a test counts them

 private:
  struct Share {
    std::deque<std::unique_ptr<Work>> waiting;
    unsigned running = 0;
    bool has_turn = false;  // in `turns_`
  };
  void start_what_may();  // with mutex_ held
  void ended(const std::string& share);

  const unsigned all_;
  const unsigned for_shares_;
  const unsigned for_one_share_;
  std::mutex mutex_;
  std::unordered_map<std::string, Share> shares_;
  std::deque<std::string> turns_;  // shares with work that waits
  unsigned running_ = 0;
  unsigned running_in_shares_ = 0;
  boost::asio::thread_pool threads_;  // declared last: ends before what its work uses
};

// Work for one share of a pool; a value.
struct PoolShare {
  Pool& pool;
  std::string share;
};

}  // namespace thaw::async
