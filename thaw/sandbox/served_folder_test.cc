// SPDX-License-Identifier: Apache-2.0
//
// Folders whose files a program outside serves: here the test, which knows of one empty folder.
#include <linux/fuse.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "thaw/sandbox/detail/wire.h"
#include "thaw/sandbox/testing/fixture.h"

using namespace thaw;
using namespace thaw::sandbox;
using namespace thaw::sandbox::testing;

namespace {

template <class Body>
void answer(int device, const fuse_in_header& request, const Body& body) {
  fuse_out_header head{};
  head.len = sizeof head + sizeof body;
  head.unique = request.unique;
  std::vector<char> bytes(head.len);
  std::memcpy(bytes.data(), &head, sizeof head);
  std::memcpy(bytes.data() + sizeof head, &body, sizeof body);
  (void)!::write(device, bytes.data(), bytes.size());
}

// Until the file system has gone.
void serve_empty_folder(int device) {
  std::vector<char> bytes(256u << 10);
  while (::read(device, bytes.data(), bytes.size()) >=
         static_cast<ssize_t>(sizeof(fuse_in_header))) {
    fuse_in_header request{};
    std::memcpy(&request, bytes.data(), sizeof request);
    if (request.opcode == FUSE_INIT) {
      fuse_init_out ready{};
      ready.major = FUSE_KERNEL_VERSION;
      ready.minor = 31;
      ready.max_write = 4096;
      answer(device, request, ready);
    } else if (request.opcode == FUSE_GETATTR) {
      fuse_attr_out attributes{};
      attributes.attr.ino = 1;
      attributes.attr.mode = S_IFDIR | 0755;
      attributes.attr.nlink = 2;
      answer(device, request, attributes);
    } else if (request.opcode != FUSE_FORGET && request.opcode != FUSE_INTERRUPT) {
      const fuse_out_header refused{
          .len = sizeof refused, .error = -ENOSYS, .unique = request.unique};
      (void)!::write(device, &refused, sizeof refused);
    }
  }
}

class Server {
 public:
  explicit Server(ServedMount served)
      : served_(std::move(served)), thread_(serve_empty_folder, served_.device.get()) {}
  // Its sandbox has ended.
  ~Server() {
    served_.mount.reset();
    thread_.join();
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

 private:
  ServedMount served_;
  std::thread thread_;
};

SandboxSpec with_folder(SandboxSpec spec, BindMount::Access access) {
  spec.served = {{"/served/deep", access}};
  return spec;
}

constexpr auto writable = BindMount::Access::read_write;

}  // namespace

TEST_CASE("a served folder is its sandbox's root's, whoever serves it") {
  if (skipped()) return;
  House house;
  auto sandbox = house.start(with_folder(house.spec({"owner", "/served/deep"}), writable));
  std::vector<ServedMount> served = sandbox->take_served();
  REQUIRE(served.size() == 1);
  CHECK(sandbox->take_served().empty());
  const Server server(std::move(served[0]));
  CHECK(house.finish(*sandbox).out.starts_with("0:0"));
  house.run(sandbox->remove());
}

TEST_CASE("nobody outside of a sandbox is led into what a stranger serves") {
  if (skipped()) return;
  House house;
  auto sandbox = house.start(with_folder(house.spec({"sleep", "600"}), writable));
  CHECK(house.first_output(*sandbox) == "sleeping\n");
  // Nobody answers: who got in would wait for ever.
  std::vector<ServedMount> served = sandbox->take_served();
  struct stat status {};
  const std::string inside = "/proc/" + std::to_string(sandbox->pid()) + "/root/served/deep";
  if (with_own_ids()) {
    CHECK(::stat(inside.c_str(), &status) != 0);
    CHECK(errno == EACCES);
  }
  served.clear();
  house.run(sandbox->remove());
}

TEST_CASE("a served folder fails at once when its server has gone") {
  if (skipped()) return;
  House house;
  auto sandbox = house.start(with_folder(house.spec({"owner", "/served/deep/x"}), writable));
  sandbox->take_served().clear();
  const std::string said = house.finish(*sandbox).out;
  CHECK((said.find("ENOTCONN") != std::string::npos ||
         said.find("ECONNABORTED") != std::string::npos));
  house.run(sandbox->remove());
}

TEST_CASE("a served folder that is read-only takes nothing") {
  if (skipped()) return;
  House house;
  auto sandbox =
      house.start(with_folder(house.spec({"chown", "/served/deep"}), BindMount::Access::read_only));
  std::vector<ServedMount> served = sandbox->take_served();
  REQUIRE(served.size() == 1);
  const Server server(std::move(served[0]));
  CHECK(house.finish(*sandbox).out == "EROFS\n");
  house.run(sandbox->remove());
}

TEST_CASE("folders are served to what is booted, and to so many at most") {
  SandboxSpec spec;
  spec.id = model::ContainerId("ta-1");
  spec.layers = {"/tmp"};
  spec.argv = {"probe"};
  spec.served = {{"/served", writable}};
  CHECK(detail::validate(spec));
  const auto decoded = detail::decode(detail::encode(spec));
  REQUIRE(decoded);
  REQUIRE(decoded->served.size() == 1);
  CHECK(decoded->served[0].target == "/served");
  CHECK(decoded->served[0].access == writable);
  spec.fork_from = model::ContainerId("ta-2");
  CHECK_FALSE(detail::validate(spec));
  spec.fork_from = {};
  spec.served[0].target = "served";
  CHECK_FALSE(detail::validate(spec));
  spec.served.assign(65, {"/served", writable});
  CHECK_FALSE(detail::validate(spec));
}
