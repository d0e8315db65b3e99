// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/tls_watch.h"

#include <chrono>

#include "thaw/net/tls_fixture_test.h"

using namespace thaw;
using namespace thaw::net;
using namespace thaw::net::testing;

namespace {

// A watch whose clocks the test moves.
struct Watched {
  explicit Watched(const std::vector<TlsFiles>& files) : watch(files) {}

  std::string look(std::chrono::microseconds later = 5s) {
    passed += later;
    const auto found = watch.look(wall_now() + passed, monotonic_now() + passed);
    return !found ? found.error().message() : *found ? "read" : "as before";
  }

  TlsWatch watch;
  std::chrono::microseconds passed{};
};

}  // namespace

TEST_CASE("certificates are read when they have changed, and each day") {
  Certificates all;
  const Validity week{wall_now() - 1h, wall_now() + 7 * 24h};
  Watched watched({all.make("own", {"localhost"}, week)});
  CHECK(watched.look() == "read");
  CHECK(watched.look() == "as before");
  (void)all.make("own", {"localhost"}, week);
  CHECK(watched.look() == "read");
  CHECK(watched.look() == "as before");
  CHECK(watched.look(23h) == "as before");
  CHECK(watched.look(1h) == "read");
}

TEST_CASE("what cannot be used is told once, and tried until it can be") {
  Certificates all;
  const Validity later{wall_now() + 1h, wall_now() + 24h};
  Watched watched({all.make("early", {"localhost"}, later)});
  CHECK(watched.look(10s).find("early.pem cannot be used: it is valid from") != std::string::npos);
  CHECK(watched.look(5s) == "as before");
  // Nothing of the files changes, and they become good.
  CHECK(watched.look(2h) == "read");
  CHECK(watched.look() == "as before");
  CHECK(watched.look(21h + 30min) == "as before");
  CHECK(watched.look(1h).empty() == false);
}

TEST_CASE("a file that others have made readable is read, though nothing of its text has changed") {
  Certificates all;
  const TlsFiles files = all.make("own", {"localhost"});
  // As a file that may not be read is: the same for root, who runs most tests.
  std::filesystem::rename(files.key, files.key + ".kept");
  std::filesystem::create_directory(files.key);
  Watched watched({files});
  CHECK(watched.look().find(files.key) != std::string::npos);
  CHECK(watched.look() == "as before");
  std::filesystem::remove(files.key);
  std::filesystem::rename(files.key + ".kept", files.key);
  CHECK(watched.look() == "read");
}

TEST_CASE("who may read a file is a part of what it is like") {
  Certificates all;
  const TlsFiles files = all.make("own", {"localhost"});
  Watched watched({files});
  CHECK(watched.look() == "read");
  std::filesystem::permissions(files.key, std::filesystem::perms::owner_read);
  CHECK(watched.look() == "read");
}
