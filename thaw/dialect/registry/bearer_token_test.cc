// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/registry/bearer_token.h"

#include <doctest/doctest.h>

#include "thaw/store/temp_folder_test.h"

using namespace thaw;
using namespace thaw::dialect::registry;

TEST_CASE("a token says what was put into it, and to no other server") {
  store::TempFolder folder;
  const store::SecretBox box = std::move(*store::SecretBox::open(folder / "key"));
  const store::SecretBox other = std::move(*store::SecretBox::open(folder / "other"));
  BearerToken token;
  token.token = model::TokenId("ak-1");
  token.scopes = read_scopes("repository:a/b:pull repository:c:push,delete");
  token.good_until = 1'234'567'890;
  const std::string text = write_token(token, box);
  CHECK(is_bearer_token(text));
  const auto read = read_token(text, box);
  REQUIRE(read);
  CHECK(read->token.str() == "ak-1");
  CHECK(read->good_until == token.good_until);
  REQUIRE(read->scopes.size() == 2);
  CHECK(write_scope(read->scopes[1]) == "repository:c:push,delete");
  CHECK(!read_token(text, other));
}

TEST_CASE("a token of which a letter was changed is none") {
  store::TempFolder folder;
  const store::SecretBox box = std::move(*store::SecretBox::open(folder / "key"));
  const std::string text = write_token({model::TokenId("ak-1"), {}, 1}, box);
  for (std::size_t i = 0; i < text.size(); ++i) {
    std::string changed = text;
    changed[i] = changed[i] == 'x' ? 'y' : 'x';
    CHECK(!read_token(changed, box));
  }
  for (const char* none : {"", "thaw-registry.", "thaw-registry..", "ak-1:secret"}) {
    CHECK(!read_token(none, box));
  }
}
