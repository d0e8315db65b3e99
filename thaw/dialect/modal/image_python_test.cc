// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/image_python.h"

#include <doctest/doctest.h>

using namespace thaw;
using namespace thaw::dialect::modal;

namespace {

image::BuiltImage image_with(std::string python, std::vector<std::string> env = {}) {
  image::BuiltImage image;
  image.python = std::move(python);
  image.config.env = std::move(env);
  return image;
}

::modal::client::Function function(bool pickled) {
  ::modal::client::Function definition;
  definition.set_function_name("f");
  definition.set_function_serialized(pickled ? "pickle" : "");
  return definition;
}

}  // namespace

TEST_CASE("an image with the Python that was asked for is not spoken of") {
  CHECK(*check_python(function(false), image_with("3.11"), "3.12.1") == "");
  CHECK(*check_python(function(true), image_with("3.11"), "3.11.7") == "");
  // The user put it there by other means.
  CHECK(*check_python(function(false), image_with("3.12", {"THAW_WANTED_PYTHON=3.12"}), "3.12.1") ==
        "");
}

TEST_CASE("another Python than was asked for is a warning that names both") {
  const std::string warning = *check_python(
      function(false), image_with("3.13", {"A=b", "THAW_WANTED_PYTHON=3.12"}), "3.12");
  CHECK(warning.find("asks for Python 3.12") != std::string::npos);
  CHECK(warning.find("it has Python 3.13") != std::string::npos);
}

TEST_CASE("a pickled function that its image cannot load is refused with the way out") {
  const auto refused =
      check_python(function(true), image_with("3.13", {"THAW_WANTED_PYTHON=3.12"}), "3.12.10");
  REQUIRE(!refused);
  CHECK(refused.error().code() == Code::failed_precondition);
  CHECK(refused.error().message().find("Run the client with Python 3.13") != std::string::npos);
  // Nothing is known of the client, or of the image: no ground to refuse.
  CHECK(check_python(function(true), image_with("3.13"), ""));
  CHECK(check_python(function(true), image_with(""), "3.12.1"));
}
