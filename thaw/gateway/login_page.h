// SPDX-License-Identifier: Apache-2.0
//
// LoginPage: the page of a login (logins.h), at /login/ID. It never shows the login's code: who
// approves has it from the terminal that asks, so that nobody approves a stranger's login by a
// click on a link. Where the operator allows it, somebody on the server's own machine types the
// code into the page; else the page says which command approves. Loop thread only.
#pragma once

#include "thaw/gateway/logins.h"
#include "thaw/net/http.h"
#include "thaw/store/secret_box.h"

namespace thaw::gateway {

struct LoginPageOptions {
  // loopback: a browser on the server's machine may approve, for the default workspace. Then all of
  // its users may, and all whom a proxy there lets through: not the default.
  enum class Click { never, loopback } click = Click::never;
};

class LoginPage {
 public:
  // All outlive it.
  LoginPage(Logins& logins, const store::SecretBox& box, const catalog::Catalog& catalog,
            LoginPageOptions options)
      : logins_(logins), box_(box), catalog_(catalog), options_(options) {}

  async::Task<void> serve(net::HttpExchange& exchange);

 private:
  bool may_click(const net::HttpRequest& request) const;
  std::string form_key(const std::string& id) const;
  async::Task<void> approve(net::HttpExchange& exchange, std::string id);

  Logins& logins_;
  const store::SecretBox& box_;
  const catalog::Catalog& catalog_;
  LoginPageOptions options_;
};

}  // namespace thaw::gateway
