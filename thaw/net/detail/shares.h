// SPDX-License-Identifier: Apache-2.0
//
// Shares: what the peers of one server may make it hold. Every byte that is kept for a peer (bodies
// that nobody has read, replies that it has not taken, the state of a stream or a connection) is
// counted to an Account: of its address while it has shown no token, else of whoever the token
// stands for; a container's is part of its owner's. An account has a limit of its own, and all
// together have one; a small part is kept for each, so that whoever comes last still gets an answer
// while others hold all that is shared. Loop thread only; an account lives while somebody has it.
#pragma once

#include <boost/intrusive/list.hpp>
#include <deque>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>

#include "thaw/async/event.h"
#include "thaw/base/result.h"
#include "thaw/base/time.h"
#include "thaw/net/detail/turns.h"

namespace thaw::net::detail {

class Account;
class Shares;

using AutoUnlink = boost::intrusive::link_mode<boost::intrusive::auto_unlink>;

// A connection that has no request now may be asked to give way to others.
class Resting {
 public:
  virtual ~Resting() = default;
  // Others need its place; called while it rests.
  virtual void give_way() = 0;

  std::shared_ptr<Account> counted;  // whose connection it is
  boost::intrusive::list_member_hook<AutoUnlink> in_all;
  boost::intrusive::list_member_hook<AutoUnlink> in_account;
};
using RestingOfAll = boost::intrusive::list<
    Resting,
    boost::intrusive::member_hook<Resting, boost::intrusive::list_member_hook<AutoUnlink>,
                                  &Resting::in_all>,
    boost::intrusive::constant_time_size<false>>;
using RestingOfAccount = boost::intrusive::list<
    Resting,
    boost::intrusive::member_hook<Resting, boost::intrusive::list_member_hook<AutoUnlink>,
                                  &Resting::in_account>,
    boost::intrusive::constant_time_size<false>>;

class Account : public std::enable_shared_from_this<Account> {
 public:
  Account(std::shared_ptr<Shares> shares, std::string name, std::size_t limit,
          std::shared_ptr<Account> within);
  ~Account();
  Account(const Account&) = delete;
  Account& operator=(const Account&) = delete;

  const std::string& name() const { return name_; }
  std::size_t limit() const { return limit_; }
  std::size_t used() const { return used_; }

  // True if `bytes` more may be kept.
  bool has_room(std::size_t bytes) const;
  // Counts what is there, whether there is room for it or not.
  void charge(std::size_t bytes);
  void release(std::size_t bytes);
  // Waits, in the order of arrival, until there is room, and charges. resource_exhausted: it is
  // larger than the account, too many wait already, or there was no room until `deadline`.
  async::Task<void> reserve(std::size_t bytes, Instant deadline);
  // Says who holds too much of what, for the one who is refused.
  Error exhausted(std::string_view what) const;

  std::size_t connections = 0;
  RestingOfAccount resting;  // the one that rests longest is first
  TurnShare turns;           // of the loop's time

 private:
  friend class Shares;
  class InLine;
  bool is_owner() const;

  const std::shared_ptr<Shares> shares_;
  const std::string name_;
  const std::size_t limit_;
  const std::shared_ptr<Account> within_;
  std::size_t used_ = 0;
  std::deque<async::Event*> line_;  // those who wait; only the first is told of room
};

class Shares : public std::enable_shared_from_this<Shares> {
 public:
  explicit Shares(std::size_t bytes);
  Shares(const Shares&) = delete;
  Shares& operator=(const Shares&) = delete;

  enum class Kind { peer, owner };
  // The account of that name; made if there is none.
  std::shared_ptr<Account> account(Kind kind, const std::string& name,
                                   std::shared_ptr<Account> within = nullptr);
  std::size_t used() const { return used_; }
  std::size_t limit() const { return limit_; }

 private:
  friend class Account;
  void changed();

  const std::size_t limit_;
  std::size_t used_ = 0;
  std::size_t of_strangers_ = 0;  // of `used_`: of accounts that are neither an owner nor in one
  std::unordered_map<std::string, std::weak_ptr<Account>> accounts_;
  std::set<Account*> waited_for_;
};

// Bytes that one thing has charged to an account; given back when it goes.
class Held {
 public:
  Held() = default;
  explicit Held(std::shared_ptr<Account> account) : account_(std::move(account)) {}
  ~Held() { set(0); }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;

  void set(std::size_t bytes) {
    if (account_ && bytes > bytes_) {
      account_->charge(bytes - bytes_);
    } else if (account_ && bytes < bytes_) {
      account_->release(bytes_ - bytes);
    }
    bytes_ = bytes;
  }
  // The same bytes, held by another account from now on.
  void move_to(std::shared_ptr<Account> account) {
    const std::size_t bytes = bytes_;
    set(0);
    account_ = std::move(account);
    set(bytes);
  }
  std::size_t bytes() const { return bytes_; }
  Account* account() const { return account_.get(); }
  const std::shared_ptr<Account>& shared() const { return account_; }

 private:
  std::shared_ptr<Account> account_;
  std::size_t bytes_ = 0;
};

}  // namespace thaw::net::detail
