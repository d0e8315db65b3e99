// SPDX-License-Identifier: Apache-2.0
//
// Logins: somebody without a token asks for one, and is shown a code; who runs this server, told
// that code by them, approves it; and then the asker, who alone has the login's secret, is given a
// token. In memory only: one that is not approved within some minutes, or whose server has ended,
// begins again. Strangers make them, so there are few for each address, and for each /64 of IPv6,
// and the oldest of those who have most make room. Loop thread only.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "thaw/async/event.h"
#include "thaw/gateway/access.h"

namespace thaw::gateway {

struct LoginLimits {
  std::size_t per_address = 10;  // and per /64 of IPv6
  std::size_t all = 1'000;
  std::size_t waits = 4;                     // requests at one time that wait for one of them
  int wrong_codes = 5;                       // typed into its page; with one more it is over
  Duration keep = std::chrono::minutes(10);  // until it is approved, and then until it is taken
  Duration keep_taken = std::chrono::minutes(2);  // for an answer that was lost
};

class Logins {
 public:
  explicit Logins(Access& access, LoginLimits limits = {}) : access_(access), limits_(limits) {}

  struct Begun {
    std::string id;      // part of the address of its page; anybody may know it
    std::string code;    // what people read out and type: XXXX-XXXX
    std::string secret;  // the asker's
  };
  // `from`: the asker's address, without its port. `good_for`: how long its token is to be good;
  // zero: until it is revoked.
  Begun begin(const std::string& from, Duration good_for = Duration::zero());

  struct Given {
    NewToken token;
    model::WorkspaceId workspace;
  };
  // None: it has not been approved by then. The token is made with the first answer; who asks
  // again gets the same. not_found: there is no such login, or not with that secret;
  // resource_exhausted: too many wait for it.
  async::Task<std::optional<Given>> wait(std::string id, std::string secret, Instant deadline);

  struct View {
    std::string from;
    Instant since{};
  };
  // None: there is none (any more).
  std::optional<View> find(const std::string& id);
  // By who may do that, of any login. not_found.
  Result<View> approve(const std::string& code, model::WorkspaceId workspace,
                       std::string token_name);
  // The same, of this one only, by its page. invalid_argument: the code is another one; not_found.
  Result<View> approve_this(const std::string& id, const std::string& code,
                            model::WorkspaceId workspace);

  std::size_t size() const { return logins_.size(); }

 private:
  struct Login {
    std::string id;
    std::string code;  // without the dash
    std::string secret;
    std::string from;
    std::string sharer;  // by whom `from` counts
    Instant since{};
    Instant until{};
    std::uint64_t number = 0;
    int wrong_codes = 0;
    std::size_t waits = 0;
    bool is_approved = false;
    model::WorkspaceId workspace;
    std::string token_name;
    Duration good_for = Duration::zero();  // of the token
    bool is_being_made = false;            // the token
    std::optional<Given> given;
    async::Event changed;
  };
  using LoginPtr = std::shared_ptr<Login>;
  void forget_old();
  void make_room(const std::string& sharer);
  LoginPtr get(const std::string& id);
  std::string fresh_code() const;
  void grant(Login& login, model::WorkspaceId workspace, std::string token_name);

  Access& access_;
  LoginLimits limits_;
  std::map<std::string, LoginPtr> logins_;  // by id
  std::uint64_t made_ = 0;
};

}  // namespace thaw::gateway
