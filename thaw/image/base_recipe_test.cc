// SPDX-License-Identifier: Apache-2.0
#include "thaw/image/base_recipe.h"

#include <doctest/doctest.h>

#include "thaw/image/host_settings.h"
#include "thaw/image/plan.h"

using namespace thaw;
using namespace thaw::image;

namespace {

std::string name_of(std::string_view reference) {
  const auto recipe = find_base_recipe(reference);
  return recipe ? recipe->name() : "error";
}

}  // namespace

TEST_CASE("tags of Python take the Debian suite that ships it") {
  CHECK(name_of("python:3.11-slim-bookworm") == "python-3.11-bookworm");
  CHECK(name_of("python:3.11.12-slim-bookworm") == "python-3.11-bookworm");
  CHECK(name_of("python:3.11-slim") == "python-3.11-bookworm");
  CHECK(name_of("docker.io/library/python:3.13-slim-trixie") == "python-3.13-trixie");
  CHECK(name_of("python:3.13.3-slim-bookworm") == "python-3.13-trixie");
  CHECK(name_of("python:3") == "python-3.13-trixie");
  CHECK(name_of("python") == "python-3.13-trixie");
  CHECK(name_of("python:slim") == "python-3.13-trixie");
}

TEST_CASE("what differs from the tag is said") {
  CHECK(find_base_recipe("python:3.11-slim-bookworm")->note.empty());
  CHECK(find_base_recipe("python:3.13-slim-bookworm")->note.find("asks for Debian bookworm") !=
        std::string::npos);
  CHECK(find_base_recipe("python:3.11.12-slim")->note.find("not exactly 3.11.12") !=
        std::string::npos);
  CHECK(find_base_recipe("python:3.11")->note.find("slim variant") != std::string::npos);
}

TEST_CASE("tags of Debian are suites, numbers, dates") {
  CHECK(name_of("debian:bookworm-slim") == "debian-bookworm");
  CHECK(name_of("debian:12") == "debian-bookworm");
  CHECK(name_of("debian:12.5-slim") == "debian-bookworm");
  CHECK(name_of("debian:bookworm-20250520-slim") == "debian-bookworm");
  CHECK(name_of("debian:trixie") == "debian-trixie");
  CHECK(name_of("debian") == "debian-trixie");
  CHECK(name_of("scratch") == "scratch");
}

TEST_CASE("another base is not found, and the error names what can be had") {
  for (const char* reference :
       {"python:3.99-slim", "python:3.11-alpine", "python:2.7", "python:3.", "debian:buster",
        "ubuntu:24.04", "ghcr.io/x/y:latest", "python@sha256:00", "", ":", "python:", "python:-",
        "debian:-slim"}) {
    CAPTURE(reference);
    const auto recipe = find_base_recipe(reference);
    REQUIRE(!recipe);
    CHECK(recipe.error().code() == Code::not_found);
    CHECK(recipe.error().message().find("python:3.11-slim-bookworm") != std::string::npos);
    CHECK(recipe.error().message().find("Thaw builds python:3.11") != std::string::npos);
  }
}

TEST_CASE("the image of uv is made from the package index") {
  const auto package = [](std::string_view reference) {
    const auto made = find_derived_recipe(reference);
    return made ? made->recipe.dockerfile[1] : "none";
  };
  CHECK(package("ghcr.io/astral-sh/uv:latest").ends_with("\"/uv\", \"uv\"]"));
  CHECK(package("ghcr.io/astral-sh/uv:0.5.4").ends_with("\"uv==0.5.4\"]"));
  CHECK(package("ghcr.io/astral-sh/uv:0.5").ends_with("\"uv~=0.5.0\"]"));
  CHECK(package("ghcr.io/astral-sh/uv:debian") == "none");
  CHECK(package("ghcr.io/other/uv") == "none");
  CHECK(package("ghcr.io/astral-sh/uvx:1\" x") == "none");
}

TEST_CASE("a Python that no suite ships is the nearest one, and says so in the image") {
  const auto instead = [](std::string_view reference) {
    const auto made = find_derived_recipe(reference);
    return made ? made->recipe.dockerfile[0] + "; " + made->recipe.dockerfile[1] : "itself";
  };
  CHECK(instead("python:3.12.10-slim-bookworm") ==
        "FROM python:3.13-slim-trixie; ENV THAW_WANTED_PYTHON=3.12");
  CHECK(instead("docker.io/library/python:3.10") ==
        "FROM python:3.11-slim-bookworm; ENV THAW_WANTED_PYTHON=3.10");
  CHECK(instead("python:3.9-slim") == "FROM python:3.11-slim-bookworm; ENV THAW_WANTED_PYTHON=3.9");
  CHECK(instead("python:3.14.2-slim-bookworm") ==
        "FROM python:3.13-slim-trixie; ENV THAW_WANTED_PYTHON=3.14");
  CHECK(find_derived_recipe("python:3.12-slim")->note.find("Python 3.12 is not to be had") == 0);
  for (const char* reference :
       {"python:3.11-slim-bookworm", "python:3.13", "python", "python:3", "python:3.", "python:2.7",
        "python:3.7", "python:3.99", "python:3.123456789012", "python:3.12-alpine",
        "python:3.12@sha256:00", "ghcr.io/x/python:3.12", "mypython:3.12", "debian:12"}) {
    CAPTURE(reference);
    CHECK(instead(reference) == "itself");
  }
}

TEST_CASE("a Python that is added to any image is the nearest one that can be had") {
  CHECK(find_added_python("3.11")->python == "3.11");
  CHECK(find_added_python("3.12")->python == "3.13");
  CHECK(find_added_python("3.10")->python == "3.11");
  for (const char* version : {"", "3", "3.", "3.7", "3.99", "3.100", "2.7", "3.x", "3.13t"}) {
    CAPTURE(version);
    CHECK(!find_added_python(version));
  }
  const auto made = find_derived_recipe(find_added_python("3.12")->reference);
  REQUIRE(made);
  CHECK(made->recipe.dockerfile.front() == "FROM python:3.13-slim-trixie AS maker");
  CHECK(!find_derived_recipe("thaw/added-python:3.12"));
}

TEST_CASE("the host's own sources move to another suite") {
  const std::vector<AptSourceFile> files = {
      {"debian.sources",
       "Types: deb deb-src\n# words\nURIs: http://archive/debian\nSuites: bookworm "
       "bookworm-updates bookworm-backports\nComponents: main extra\n"
       "Signed-By: /usr/share/keyrings/k.gpg\n\n"
       "Types: deb\nEnabled: no\nURIs: http://off\nSuites: bookworm\nComponents: main\n"},
      {"more.list",
       "deb [signed-by=/etc/apt/keyrings/d.asc arch=amd64] http://vendor bookworm stable\n"
       "deb-src http://archive bookworm main\n"
       "deb [ trusted=yes ] http://security bookworm-security main # words\n"},
  };
  CHECK(sources_for_suite(files, "bookworm", "trixie") ==
        "Types: deb\nURIs: http://archive/debian\nSuites: trixie trixie-updates\n"
        "Components: main\nSigned-By: /usr/share/keyrings/k.gpg\n\n"
        "Types: deb\nURIs: http://security\nSuites: trixie-security\nComponents: main\n"
        "Trusted: yes\n\n");
  CHECK(sources_for_suite(files, "noble", "trixie").empty());
}

TEST_CASE("only how the host reaches archives is kept of its apt settings") {
  CHECK(apt_transport_settings("Acquire::http::Proxy \"http://p:1\";\n"
                               "Acquire::https::CaInfo \"/etc/x.crt\";\n"
                               "Acquire::Check-Valid-Until \"false\";\n"
                               "Acquire::http \"\";\n"
                               "Acquire::Languages \"de\";\n"
                               "DPkg::Post-Invoke:: \"rm x\";\n") ==
        "Acquire::http::Proxy \"http://p:1\";\nAcquire::Check-Valid-Until \"false\";\n");
}

TEST_CASE("pip.conf becomes environment, paths of the host stay behind") {
  CHECK(pip_environment("[global]\nindex-url = https://i/simple\ncert = /x.crt\n# words\n"
                        "find-links =\n    /a\n    https://b\n[list]\nformat = json\n"
                        "[install]\ntrusted-host: i\n") ==
        std::vector<std::string>{"PIP_INDEX_URL=https://i/simple", "PIP_FIND_LINKS=/a https://b",
                                 "PIP_TRUSTED_HOST=i"});
}

TEST_CASE("of npmrc the lines about registries are kept") {
  CHECK(npm_transport_settings("registry=https://r\nnodedir=/usr\n@a:registry=https://s\n"
                               "//r/:_authToken=t\n") ==
        "registry=https://r\n@a:registry=https://s\n//r/:_authToken=t\n");
}

TEST_CASE("steps inherit what is listed, and nothing when asked for nothing") {
  Host host;
  host.env = {"PIP_INDEX_URL=https://e", "SECRET=x", "http_proxy=http://p"};
  host.pip_conf = "[global]\nindex-url = https://conf\n";
  BuilderOptions options;
  options.inherit_package_settings = false;
  const auto settings = make_step_settings(host, options, "/nonexistent");
  REQUIRE(settings);
  CHECK(env_value(settings->env, "PIP_INDEX_URL") == "https://e");
  CHECK(env_value(settings->env, "UV_DEFAULT_INDEX") == "https://e");
  CHECK(env_value(settings->env, "http_proxy") == "http://p");
  CHECK(!env_value(settings->env, "SECRET"));
  CHECK(settings->binds.empty());
  options.inherit_env.clear();
  CHECK(make_step_settings(host, options, "/nonexistent")->env.empty());
}
