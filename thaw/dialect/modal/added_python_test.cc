// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/added_python.h"

#include <doctest/doctest.h>

using namespace thaw;
using namespace thaw::dialect::modal;

TEST_CASE("the mount of a Python says its version, and is one for each minor version") {
  CHECK(added_python_of("python-build-standalone.20230826.3.11.5-gnu") == "3.11");
  CHECK(added_python_of("python-build-standalone.20261021.3.14.9t-gnu") == "3.14t");
  CHECK(added_python_of("python-build-standalone.3.12") == "3.12");
  CHECK(added_python_of("modal-client-mount-1.0") == "");
  CHECK(*added_python_mount("python-build-standalone.20230826.3.11.5-gnu") ==
        "python-build-standalone.3.11");
  CHECK(*added_python_mount("python-build-standalone.20261021.3.11.17-gnu") ==
        "python-build-standalone.3.11");
  for (const char* name :
       {"python-build-standalone.", "python-build-standalone.x.y.z-gnu",
        "python-build-standalone.20261021.3.14.9t-gnu",
        "python-build-standalone.20261021.2.7.1-gnu", "python-build-standalone.1.2.3.4.5.6"}) {
    CAPTURE(name);
    const auto refused = added_python_mount(name);
    REQUIRE(!refused);
    CHECK(refused.error().code() == Code::unimplemented);
  }
}

TEST_CASE("what copies from the mount copies from an image, and the rest stays") {
  image::Recipe recipe;
  recipe.dockerfile = {"FROM x", "COPY /python/. /usr/local",
                       "RUN ln -s /usr/local/bin/python3 /usr/local/bin/python", "ENV A=1"};
  image::Recipe other = recipe;
  add_python("python-build-standalone.3.11", recipe);
  CHECK(recipe.dockerfile ==
        std::vector<std::string>{
            "FROM x", "COPY --from=thaw/added-python:3.11 /python/. /usr/local", "ENV A=1"});
  add_python("python-build-standalone.3.12", other);
  CHECK(other.dockerfile == std::vector<std::string>{
                                "FROM x", "COPY --from=thaw/added-python:3.13 /python/. /usr/local",
                                "ENV THAW_WANTED_PYTHON=3.12", "ENV A=1"});
}
