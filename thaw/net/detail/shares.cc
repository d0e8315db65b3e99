// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/detail/shares.h"

#include <algorithm>

#include "thaw/base/check.h"

namespace thaw::net::detail {

namespace {

// Of all bytes: what an owner (and all its containers) may hold, what one container or address may,
// and what everybody gets though the rest is taken.
constexpr std::size_t owners_part = 2;
constexpr std::size_t peers_part = 4;
constexpr std::size_t kept_part = 64;
// Of that, what all addresses together may hold.
constexpr std::size_t strangers_kept_part = 8;
constexpr std::size_t longest_line = 4096;

std::string megabytes(std::size_t bytes) {
  const std::size_t tenths = (bytes * 10 + (1u << 19)) >> 20;
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " MB";
}

}  // namespace

Account::Account(std::shared_ptr<Shares> shares, std::string name, std::size_t limit,
                 std::shared_ptr<Account> within)
    : shares_(std::move(shares)),
      name_(std::move(name)),
      limit_(limit),
      within_(std::move(within)) {}

Account::~Account() {
  shares_->waited_for_.erase(this);
  shares_->accounts_.erase(name_);
}

bool Account::has_room(std::size_t bytes) const {
  const Account* top = this;
  for (const Account* at = this; at != nullptr; at = at->within_.get()) {
    if (at->used_ + bytes > at->limit_) {
      return false;
    }
    top = at;
  }
  if (shares_->used_ + bytes <= shares_->limit_ - shares_->limit_ / 8) {
    return true;
  }
  // Owners are few; addresses are as many as somebody cares to use.
  return top->used_ + bytes <= shares_->limit_ / kept_part &&
         (top->is_owner() ||
          shares_->of_strangers_ + bytes <= shares_->limit_ / strangers_kept_part);
}

bool Account::is_owner() const { return limit_ > shares_->limit_ / peers_part; }

void Account::charge(std::size_t bytes) {
  for (Account* at = this; at != nullptr; at = at->within_.get()) {
    at->used_ += bytes;
    shares_->of_strangers_ += at->within_ || at->is_owner() ? 0 : bytes;
  }
  shares_->used_ += bytes;
}

void Account::release(std::size_t bytes) {
  for (Account* at = this; at != nullptr; at = at->within_.get()) {
    THAW_CHECK(at->used_ >= bytes);
    at->used_ -= bytes;
    shares_->of_strangers_ -= at->within_ || at->is_owner() ? 0 : bytes;
  }
  shares_->used_ -= bytes;
  shares_->changed();
}

Error Account::exhausted(std::string_view what) const {
  const Account* full = this;
  while (full->within_ && full->used_ < full->limit_ / 2) {
    full = full->within_.get();
  }
  return Error::resource_exhausted(std::string(what) + " was not taken: the server holds " +
                                   megabytes(full->used_) + " of requests and replies for " +
                                   full->name_ + ", of at most " + megabytes(full->limit_) + " (" +
                                   megabytes(shares_->used_) + " of " + megabytes(shares_->limit_) +
                                   " for all, [server] buffers_mb); try again when some are done");
}

// Leaves the line however the frame ends, and tells the next one.
class Account::InLine {
 public:
  InLine(Account& account, async::Event& room) : account_(account), room_(room) {
    account_.line_.push_back(&room_);
    account_.shares_->waited_for_.insert(&account_);
  }
  ~InLine() {
    auto& line = account_.line_;
    line.erase(std::find(line.begin(), line.end(), &room_));
    if (line.empty()) {
      account_.shares_->waited_for_.erase(&account_);
    } else {
      line.front()->notify_all();
    }
  }
  InLine(const InLine&) = delete;
  InLine& operator=(const InLine&) = delete;

 private:
  Account& account_;
  async::Event& room_;
};

async::Task<void> Account::reserve(std::size_t bytes, Instant deadline) {
  const auto self = shared_from_this();
  for (const Account* at = this; at != nullptr; at = at->within_.get()) {
    if (bytes > at->limit_) {
      co_return Error::resource_exhausted("a message of " + megabytes(bytes) +
                                          " was not taken: at most " + megabytes(at->limit_) +
                                          " are held for " + at->name_ + " ([server] buffers_mb)");
    }
  }
  if (!line_.empty() || !has_room(bytes)) {
    if (line_.size() >= longest_line) {
      co_return exhausted("a message of " + megabytes(bytes));
    }
    Result<bool> woken = true;
    {
      async::Event room;
      const InLine place(*this, room);
      while (woken && *woken && (line_.front() != &room || !has_room(bytes))) {
        woken = co_await room.wait(deadline);
      }
    }
    if (!woken) {
      co_return woken.error();
    }
    if (!*woken) {
      co_return exhausted("a message of " + megabytes(bytes));
    }
  }
  charge(bytes);
  co_return ok();
}

Shares::Shares(std::size_t bytes) : limit_(bytes) {}

std::shared_ptr<Account> Shares::account(Kind kind, const std::string& name,
                                         std::shared_ptr<Account> within) {
  auto& known = accounts_[name];
  if (auto found = known.lock()) {
    return found;
  }
  const std::size_t limit = limit_ / (kind == Kind::owner ? owners_part : peers_part);
  auto made = std::make_shared<Account>(shared_from_this(), name, limit, std::move(within));
  known = made;
  return made;
}

void Shares::changed() {
  for (Account* account : waited_for_) {
    account->line_.front()->notify_all();
  }
}

}  // namespace thaw::net::detail
