// SPDX-License-Identifier: Apache-2.0
#include "thaw/image/copy_files.h"

#include "thaw/image/image_fixture_test.h"

using namespace thaw;
using namespace thaw::image;

namespace {

CopyItem file_item(const std::string& name, const std::string& bytes) {
  CopyItem item;
  item.name = name;
  item.entries.push_back({"", "", bytes, 0644});
  return item;
}

// A lower layer full of traps, and a folder outside that no copy may reach.
struct HostileHouse {
  HostileHouse() {
    std::filesystem::create_directories(outside);
    std::filesystem::create_directories(layer + "/etc");
    std::filesystem::create_directories(layer + "/usr/bin");
    const auto link = [&](const std::string& to, const std::string& name) {
      std::filesystem::create_symlink(to, layer + name);
    };
    link(outside, "/absolute");
    link("../../../../../../../../" + outside.substr(1), "/relative");
    link(outside + "/victim", "/etc/target");
    link("usr/bin", "/bin");
    link("loop", "/loop");
    link("/nowhere", "/dangling");
    write_file(outside + "/victim", "untouched");
  }
  Result<void> copy(const std::string& destination, const std::string& bytes = "evil") {
    CopyStep step;
    step.items = {file_item("f", bytes)};
    step.destination = destination;
    THAW_TRY(const RootTree tree, RootTree::open_writable({layer}, draft));
    return copy_items(tree, step, {});
  }
  std::string upper(const std::string& path) const { return read_file(draft + "/upper" + path); }

  TempFolder folder;
  std::string layer = folder / "layer";
  std::string outside = folder / "outside";
  std::string draft = folder / "draft";
};

}  // namespace

TEST_CASE("links of a layer that point out of it stay inside") {
  if (!can_mount()) return;
  HostileHouse house;
  // The link leads to the image's own folder of that name, which is made.
  REQUIRE(house.copy("/absolute/f"));
  CHECK(house.upper(house.outside + "/f") == "evil");
  REQUIRE(house.copy("/dangling/f"));
  CHECK(house.upper("/nowhere/f") == "evil");
  REQUIRE(house.copy("/relative/f", "more"));
  CHECK(house.upper(house.outside + "/f") == "more");
  CHECK(!house.copy("/loop/f"));
  CHECK(os::list_folder(house.outside) == std::vector<std::string>{"victim"});
  CHECK(read_file(house.outside + "/victim") == "untouched");
}

TEST_CASE("a link in the place of the file is replaced, not written through") {
  if (!can_mount()) return;
  HostileHouse house;
  REQUIRE(house.copy("/etc/target"));
  CHECK(read_file(house.outside + "/victim") == "untouched");
  CHECK(std::filesystem::is_regular_file(
      std::filesystem::symlink_status(house.draft + "/upper/etc/target")));
  CHECK(house.upper("/etc/target") == "evil");
}

TEST_CASE("a linked folder of the layer is followed inside and stays a link") {
  if (!can_mount()) return;
  HostileHouse house;
  REQUIRE(house.copy("/bin/tool"));
  CHECK(house.upper("/usr/bin/tool") == "evil");
  CHECK(!os::exists(house.draft + "/upper/bin"));
}

TEST_CASE("dots in a destination stop at the root") {
  if (!can_mount()) return;
  HostileHouse house;
  REQUIRE(house.copy("/../../../f"));
  CHECK(house.upper("/f") == "evil");
}

TEST_CASE("an existing folder takes the file, a file cannot replace a folder") {
  if (!can_mount()) return;
  HostileHouse house;
  REQUIRE(house.copy("/etc"));
  CHECK(house.upper("/etc/f") == "evil");
  std::filesystem::create_directories(house.layer + "/etc/sub/f");
  const auto refused = house.copy("/etc/sub");
  REQUIRE(!refused);
  CHECK(refused.error().message().find("cannot replace the folder") != std::string::npos);
}

TEST_CASE("owners are found in the image's own files") {
  TempFolder folder;
  write_file(folder / "etc/passwd", "root:x:0:0::/:/bin/sh\nbroken\nann:x:1001:1002:::\n");
  write_file(folder / "etc/group", "staff:x:50:ann\n");
  const auto tree = RootTree::open_folder(folder.path);
  REQUIRE(tree);
  const auto owner = [&](const char* text) {
    const auto found = find_owner(*tree, text);
    return found ? std::to_string(found->uid) + ":" + std::to_string(found->gid) : "error";
  };
  CHECK(owner("") == "0:0");
  CHECK(owner("ann") == "1001:1002");
  CHECK(owner("ann:staff") == "1001:50");
  CHECK(owner("7") == "7:7");
  CHECK(owner("7:8") == "7:8");
  CHECK(owner("nobody") == "error");
  CHECK(owner("ann:nobody") == "error");
}

TEST_CASE("a tree with pipes, links and deep folders copies as far as it may") {
  if (!can_mount()) return;
  HostileHouse house;
  TempFolder source;
  write_file(source / "tree/a/file", "1");
  ::mkfifo((source / "tree/pipe").c_str(), 0644);
  std::filesystem::create_symlink("/etc/shadow", source / "tree/link");
  std::filesystem::permissions(source / "tree/a", std::filesystem::perms(0700));
  CopyStep step;
  step.patterns = {"/tree"};
  step.destination = "/copied/";
  const auto from = RootTree::open_folder(source.path);
  {
    const auto target = RootTree::open_writable({house.layer}, house.draft);
    REQUIRE(target);
    REQUIRE(copy_from_tree(*target, step, *from));
    step.patterns = {"/tree/link"};  // leads to the source's own /etc/shadow: not there
    CHECK(!copy_from_tree(*target, step, *from));
    step.patterns = {"/tree/pipe"};
    CHECK(!copy_from_tree(*target, step, *from));
  }
  CHECK(house.upper("/copied/a/file") == "1");
  CHECK(std::filesystem::is_symlink(house.draft + "/upper/copied/link"));
  CHECK(!os::exists(house.draft + "/upper/copied/pipe"));
  CHECK((std::filesystem::status(house.draft + "/upper/copied/a").permissions() ==
         std::filesystem::perms(0700)));
}
