// SPDX-License-Identifier: Apache-2.0
#include "thaw/image/archives.h"

#include <doctest/doctest.h>

using namespace thaw;
using namespace thaw::image;
using namespace std::string_literals;

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
