// SPDX-License-Identifier: Apache-2.0
#include "thaw/model/token.h"

#include <doctest/doctest.h>

using namespace thaw;
using namespace thaw::model;

TEST_CASE("admin holds every scope, deploy holds read, and invoke no other") {
  const auto may = [](TokenScopes scopes, TokenScope wanted) {
    return Grants{scopes, ""}.allow(wanted);
  };
  for (const TokenScope each :
       {TokenScope::invoke, TokenScope::read, TokenScope::deploy, TokenScope::admin}) {
    CHECK(may(TokenScope::admin, each));
    CHECK(may(each, each));
  }
  CHECK(may(TokenScope::deploy, TokenScope::read));
  CHECK_FALSE(may(TokenScope::deploy, TokenScope::invoke));
  CHECK_FALSE(may(TokenScope::deploy, TokenScope::admin));
  CHECK_FALSE(may(TokenScope::invoke, TokenScope::read));
  CHECK_FALSE(may(TokenScope::read, TokenScope::invoke));
  CHECK_FALSE(may(TokenScope::read, TokenScope::deploy));
  CHECK_FALSE(may(TokenScopes(), TokenScope::read));
  CHECK(Grants{TokenScope::read, ""}.allow(TokenScope::invoke | TokenScope::read));
}

TEST_CASE("scopes are read as they are written") {
  CHECK(*parse_scopes("invoke") == TokenScopes(TokenScope::invoke));
  CHECK(*parse_scopes(" read, invoke,,deploy ") ==
        (TokenScope::invoke | TokenScope::read | TokenScope::deploy));
  CHECK(*parse_scopes("all") == all_scopes);
  CHECK(scopes_text(*parse_scopes("deploy,invoke")) == "invoke, deploy");
  CHECK(*parse_scopes(scopes_text(all_scopes)) == all_scopes);
  for (const char* wrong : {"", " , ", "write", "invoke write", "INVOKE", "invoke;read"}) {
    CAPTURE(wrong);
    const auto scopes = parse_scopes(wrong);
    REQUIRE_FALSE(scopes);
    CHECK(scopes.error().code() == Code::invalid_argument);
  }
}

TEST_CASE("a pattern names apps, or functions of them") {
  struct Row {
    const char* pattern;
    const char* app;
    const char* function;
    bool is_named;
  };
  for (const Row& row :
       {Row{"", "shop", "pay", true}, Row{"shop", "shop", "pay", true},
        Row{"shop", "shop2", "pay", false}, Row{"shop*", "shop2", "pay", true},
        Row{"*", "shop", "pay", true}, Row{"shop/pay", "shop", "pay", true},
        Row{"shop/pay", "shop", "refund", false}, Row{"shop/p*y", "shop", "pretty", true},
        Row{"*/pay", "other", "pay", true}, Row{"*/pay", "other", "payer", false},
        Row{"s*p/Model.*", "shop", "Model.run", true}, Row{"SHOP", "shop", "pay", false},
        Row{"*a*b*", "xxaxxbxx", "f", true}, Row{"*a*b", "xxaxxbxx", "f", false},
        Row{"shop", "", "", false}}) {
    CAPTURE(row.pattern);
    CAPTURE(row.app);
    CAPTURE(row.function);
    CHECK(Grants{all_scopes, row.pattern}.names(row.app, row.function) == row.is_named);
  }
  CHECK(Grants{all_scopes, "shop/pay"}.names_app("shop"));
  CHECK_FALSE(Grants{all_scopes, "shop/pay"}.names_app("other"));
  CHECK(Grants().names_app("other"));
}

TEST_CASE("a pattern of stars costs no more than its letters") {
  const Grants grants{all_scopes, std::string(199, '*') + "b"};
  CHECK_FALSE(grants.names(std::string(10'000, 'a'), "f"));
}

TEST_CASE("what is no pattern is told so") {
  for (const std::string& wrong :
       {std::string("a/b/c"), std::string("/a"), std::string("a/"), std::string("a b"),
        std::string("a?"), std::string("ä"), std::string("a\0b", 3), std::string(201, 'a')}) {
    CAPTURE(wrong);
    CHECK_FALSE(check_function_pattern(wrong));
  }
  for (const char* right : {"", "*", "a-b_c.d", "a/b", "a*/b*"}) {
    CAPTURE(right);
    CHECK(check_function_pattern(right));
  }
}
