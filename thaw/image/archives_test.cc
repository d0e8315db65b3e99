// SPDX-License-Identifier: Apache-2.0
#include "thaw/image/archives.h"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "thaw/image/image_fixture_test.h"

using namespace thaw;
using namespace thaw::image;
using namespace std::string_literals;

namespace {

// The step's program by this machine's shell, on an archive that lies elsewhere.
int unpack(const std::string& tool, const std::string& file, const std::string& destination) {
  RunStep step = unpack_step({file, "parcel", tool}, destination);
  std::replace(step.argv.begin(), step.argv.end(), std::string(archive_path), file);
  std::vector<char*> argv;
  for (std::string& word : step.argv) {
    argv.push_back(word.data());
  }
  argv.push_back(nullptr);
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::execv(argv[0], argv.data());
    ::_exit(127);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

TEST_CASE("an archive is known by its content and not by its name") {
  CHECK(archive_tool("\x1f\x8b\x08"s) == "gzip");
  CHECK(archive_tool("BZh91AY"s) == "bzip2");
  CHECK(archive_tool("\3757zXZ\0\0"s) == "xz");
  CHECK(archive_tool("\x28\xb5\x2f\xfd"s) == "zstd");
  CHECK(archive_tool("PK\x03\x04"s).empty());
  CHECK(archive_tool("").empty());
  std::string block(512, '\0');
  CHECK(archive_tool(block).empty());
  block.replace(257, 5, "ustar");
  CHECK(archive_tool(block) == "tar");
  CHECK(archive_tool(block.substr(0, 300)).empty());
}

TEST_CASE("what unpacks an archive leaves what was packed, and copies what is none") {
  TempFolder folder;
  write_file(folder / "in/inner/file.txt", "packed");
  for (const std::string tool : {"tar", "gzip", "bzip2", "xz"}) {
    CAPTURE(tool);
    const std::string archive = folder / tool;
    const std::string by = tool == "tar" ? "" : "--use-compress-program=" + tool + " ";
    const std::string packs = "tar " + by + "-cf " + archive + " -C " + (folder / "in") + " .";
    // NOLINTNEXTLINE(bugprone-command-processor): spelt out here
    if (std::system(packs.c_str()) != 0) {
      MESSAGE("skipped: this machine has no " << tool);
      continue;
    }
    const std::string out = folder / ("out of " + tool) + "/deep/";
    CHECK(unpack(tool, archive, out) == 0);
    CHECK(read_file(out + "inner/file.txt") == "packed");
    if (tool != "tar") {
      const std::string only = folder / ("only by " + tool);
      // NOLINTNEXTLINE(bugprone-command-processor): spelt out here
      REQUIRE(std::system((tool + " -c < " + (folder / "in/inner/file.txt") + " > '" + only + "'")
                              .c_str()) == 0);
      CHECK(unpack(tool, only, out) == 0);
      CHECK(read_file(out + "parcel") == read_file(only));
    }
  }
}
