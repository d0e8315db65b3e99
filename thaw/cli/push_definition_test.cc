// SPDX-License-Identifier: Apache-2.0
#include "thaw/cli/push_definition.h"

#include <doctest/doctest.h>

using namespace thaw;
using namespace thaw::cli;

namespace {

FolderContents one_file() {
  FolderContents contents;
  contents.files.push_back({"/app.py", "/here/app.py", "abc", 3, 0640});
  return contents;
}

}  // namespace

TEST_CASE("what was not said is not sent") {
  PushOptions options;
  const auto because = fill_in(options, one_file(), "FROM x\nCMD y\n", "My Folder");
  REQUIRE(because);
  const auto definition = definition_of(options, one_file(), "FROM x\r\nCMD y\n");
  REQUIRE(definition);
  CHECK(codec::dump_json(*definition) ==
        R"({"build_args":{},"dockerfile":["FROM x","CMD y"],"env":{},)"
        R"("files":[{"mode":416,"path":"/app.py","sha256":"abc"}],)"
        R"("name":"my-folder","preset":"plain"})");
}

TEST_CASE("what was said comes before what the folder says") {
  PushOptions options;
  options.name = "hello";
  options.preset = "vllm";
  options.port = 9000;
  options.env = {"A=b=c", "EMPTY="};
  options.build_args = {"V=1"};
  options.memory = "2GiB";
  options.cpu = 0.5;
  options.min = 0;
  options.max = 4;
  options.concurrency = 8;
  options.idle_s = 1.5;
  options.timeout_s = 30;
  options.callers = "tokens";
  options.wire = "h2c";
  options.ready_path = "/ready";
  options.health_path = "/health";
  options.gpu = "any";
  options.keep_versions = 3;
  options.aliases = {"live=10"};
  options.snapshot = PushOptions::Snapshot::at_ready;
  options.restored_path = "/renew";
  REQUIRE(fill_in(options, one_file(), "FROM x\nEXPOSE 80", "other"));
  const auto definition = definition_of(options, one_file(), "FROM x");
  REQUIRE(definition);
  const codec::Json expected = {{"name", "hello"},
                                {"preset", "vllm"},
                                {"port", 9000},
                                {"dockerfile", {"FROM x"}},
                                {"files", (*definition)["files"]},
                                {"env", {{"A", "b=c"}, {"EMPTY", ""}}},
                                {"build_args", {{"V", "1"}}},
                                {"memory_bytes", 2ull << 30},
                                {"cpu_millis", 500},
                                {"snapshot", "ready"},
                                {"restored_path", "/renew"},
                                {"min", 0},
                                {"max", 4},
                                {"concurrency", 8},
                                {"idle_s", 1.5},
                                {"timeout_s", 30},
                                {"callers", "tokens"},
                                {"wire", "h2c"},
                                {"ready_path", "/ready"},
                                {"health_path", "/health"},
                                {"gpu", "any"},
                                {"keep_versions", 3},
                                {"aliases", {{"live", 10}}}};
  CHECK(*definition == expected);
}

TEST_CASE("EXPOSE says the port of any preset, and a mistake is named") {
  PushOptions options;
  REQUIRE(fill_in(options, one_file(), "FROM x\nEXPOSE 81\nCMD vllm serve", "a"));
  CHECK(options.preset == "vllm");
  CHECK(options.port == 81);
  options.preset = "nosuch";
  CHECK(fill_in(options, one_file(), "", "a").error().message().find("there are plain") !=
        std::string::npos);
  options.env = {"novalue"};
  CHECK(definition_of(options, one_file(), "").error().message().find("'novalue'") !=
        std::string::npos);
  options.env.clear();
  options.memory = "much";
  CHECK_FALSE(definition_of(options, one_file(), ""));
}
