// SPDX-License-Identifier: Apache-2.0
#include "thaw/store/secret_box.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include "thaw/store/temp_folder_test.h"

using namespace thaw;
using namespace thaw::store;

TEST_CASE("a sealed value opens again with the same key and context only") {
  TempFolder folder;
  const auto box = SecretBox::open(folder / "secret.key");
  REQUIRE(box);
  for (const std::string& plain :
       {std::string(), std::string("hunter2"), std::string(100'000, 'p')}) {
    const auto sealed = box->seal(plain, "st-1");
    REQUIRE(sealed);
    CHECK((plain.empty() || sealed->find(plain) == std::string::npos));
    CHECK(*box->unseal(*sealed, "st-1") == plain);
    CHECK(box->unseal(*sealed, "st-2").error().code() == Code::data_loss);
    CHECK(*box->seal(plain, "st-1") != *sealed);
    const auto again = SecretBox::open(folder / "secret.key");
    REQUIRE(again);
    CHECK(*again->unseal(*sealed, "st-1") == plain);
  }
}

TEST_CASE("no changed byte of a sealed value goes unnoticed") {
  TempFolder folder;
  const auto box = SecretBox::open(folder / "secret.key");
  REQUIRE(box);
  const std::string sealed = *box->seal("secret", "context");
  for (std::size_t i = 0; i < sealed.size(); ++i) {
    std::string changed = sealed;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    CHECK_FALSE(box->unseal(changed, "context"));
    CHECK_FALSE(box->unseal(sealed.substr(0, i), "context"));
  }
}

TEST_CASE("another key opens nothing") {
  TempFolder folder;
  const auto mine = SecretBox::open(folder / "a.key");
  const auto yours = SecretBox::open(folder / "b.key");
  REQUIRE(mine);
  REQUIRE(yours);
  CHECK_FALSE(yours->unseal(*mine->seal("secret", ""), ""));
  CHECK(yours->sign("url", "x") != mine->sign("url", "x"));
}

TEST_CASE("a key that others can read, or that is cut short, is refused") {
  TempFolder folder;
  const std::string path = folder / "secret.key";
  REQUIRE(SecretBox::open(path));
  ::chmod(path.c_str(), 0640);
  CHECK(SecretBox::open(path).error().code() == Code::permission_denied);
  shorten(path, 31);
  CHECK(SecretBox::open(path).error().code() == Code::data_loss);
}

TEST_CASE("a signature depends on its purpose and its text") {
  TempFolder folder;
  const auto box = SecretBox::open(folder / "secret.key");
  REQUIRE(box);
  const std::string signature = box->sign("url", "text");
  CHECK(signature.size() == 64);
  CHECK(signature == box->sign("url", "text"));
  CHECK(signature != box->sign("url", "texT"));
  CHECK(signature != box->sign("token", "text"));
}
