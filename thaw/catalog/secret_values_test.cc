// SPDX-License-Identifier: Apache-2.0
#include "thaw/catalog/secret_values.h"

#include <doctest/doctest.h>

#include "thaw/store/temp_folder_test.h"

using namespace thaw;

TEST_CASE("what is sealed in a secret is a container's environment") {
  const store::TempFolder folder;
  const auto box = store::SecretBox::open(folder / "secret.key");
  REQUIRE(box);
  model::Secret secret;
  secret.id = model::SecretId("st-1");
  REQUIRE(catalog::seal_secret(*box, {{"A", "1"}, {"B", "x=y"}}, secret));
  CHECK(secret.keys == std::vector<std::string>{"A", "B"});
  CHECK(secret.sealed.find("x=y") == std::string::npos);
  CHECK(catalog::secret_env(*box, secret).value() == std::vector<std::string>{"A=1", "B=x=y"});
}

TEST_CASE("what no environment can hold is not sealed, or not handed out") {
  const store::TempFolder folder;
  const auto box = store::SecretBox::open(folder / "secret.key");
  REQUIRE(box);
  model::Secret secret;
  secret.id = model::SecretId("st-1");
  for (const std::string& name : {std::string(), std::string("A=B"), std::string("A\0B", 3)}) {
    const auto sealed = catalog::seal_secret(*box, {{name, "1"}}, secret);
    CHECK(sealed.error().code() == Code::invalid_argument);
  }
  const auto sealed = catalog::seal_secret(*box, {{"A", std::string("1\0", 2)}}, secret);
  CHECK(sealed.error().code() == Code::invalid_argument);
  REQUIRE(catalog::seal_secret(*box, {{"A", 1}}, secret));
  CHECK(catalog::secret_env(*box, secret).error().code() == Code::data_loss);
  REQUIRE(catalog::seal_secret(*box, {{"A", "1"}}, secret));
  secret.id = model::SecretId("st-2");
  CHECK(catalog::secret_env(*box, secret).error().code() == Code::data_loss);
}
