// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/public_error.h"

#include <doctest/doctest.h>

using namespace thaw;
using gateway::without_paths;

TEST_CASE("a client is not told where the server keeps its files") {
  const std::vector<std::string> folders{"/var/lib/thaw", "/run/thaw"};
  CHECK(without_paths("cannot write /var/lib/thaw/blobs/ab/cd.tmp: No space left on device",
                      folders) == "cannot write a file of the server: No space left on device");
  CHECK(without_paths("rename /run/thaw/a to \"/var/lib/thaw\", twice", folders) ==
        "rename a file of the server to \"a file of the server\", twice");
  CHECK(without_paths("no module at /root/app.py", folders) == "no module at /root/app.py");
  CHECK(without_paths("", folders).empty());
  gateway::PublicErrors errors(folders);
  CHECK(errors.told(Error::internal("/run/thaw").with("file", "/run/thaw/x")) ==
        "a file of the server");
}
