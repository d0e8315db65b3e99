// SPDX-License-Identifier: Apache-2.0
#include "thaw/image/layer_unpacker.h"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <cstdio>
#include <filesystem>

#include "thaw/image/image_fixture_test.h"
#include "thaw/image/tar_fixture_test.h"

using namespace thaw;
using namespace thaw::image;

namespace {

struct Place {
  TempFolder temp;
  std::string root = temp / "fs";
  UnpackLimits limits;
  std::atomic<bool> stop = false;

  Place() { std::filesystem::create_directories(root); }

  Result<Unpacked> try_unpack(const std::string& stream) {
    write_file(temp / "layer", stream);
    auto file = os::open_file(temp / "layer", O_RDONLY);
    REQUIRE(file);
    return unpack_layer(*file, root, limits, stop);
  }
  Unpacked unpack(const TarText& tar) {
    auto done = try_unpack(tar.str());
    REQUIRE_MESSAGE(done, (done ? "" : done.error().to_string()));
    return *done;
  }
  Error refused(const TarText& tar) {
    auto done = try_unpack(tar.str());
    REQUIRE(!done);
    // Whatever it was, nothing of it is beside the folder.
    std::vector<std::string> left = os::list_folder(temp.path);
    std::sort(left.begin(), left.end());
    CHECK(left == std::vector<std::string>{"fs", "layer"});
    return done.error();
  }
  struct stat look(const std::string& path) {
    struct stat status {};
    REQUIRE_MESSAGE(::lstat((root + path).c_str(), &status) == 0, path);
    return status;
  }
  bool is_there(const std::string& path) {
    struct stat status {};
    return ::lstat((root + path).c_str(), &status) == 0;
  }
  bool is_whiteout(const std::string& path) {
    const struct stat status = look(path);
    return S_ISCHR(status.st_mode) && status.st_rdev == makedev(0, 0);
  }
  bool is_opaque(const std::string& path) {
    char value = 0;
    return ::lgetxattr((root + path).c_str(), "trusted.overlay.opaque", &value, 1) == 1 &&
           value == 'y';
  }
};

// Device nodes, owners and trusted attributes need root.
bool may_unpack() {
  static const bool may = ::geteuid() == 0;
  if (!may) {
    std::puts("skipped: layers are unpacked by root only");
  }
  return may;
}

}  // namespace

TEST_CASE("a layer is unpacked with owners, modes, links and times") {
  if (!may_unpack()) {
    return;
  }
  Place place;
  TarText tar;
  tar.folder("./").folder("bin/", 0711).file("bin/tool", "content").symlink("tool", "bin/tool");
  tar.hardlink("again", "bin/tool").add({.name = "own", .content = "x", .mode = 0600, .uid = 1234});
  tar.add({.name = "pipe", .type = '6'});
  tar.file("not/there/before", "y");
  const Unpacked done = place.unpack(tar);
  CHECK(done.layer_id == sha256_of(tar.str()));
  CHECK(done.bytes == 9);
  CHECK(read_file(place.root + "/bin/tool") == "content");
  CHECK((place.look("/bin").st_mode & 07777) == 0711);
  CHECK(place.look("/bin/tool").st_mtime == 1'000'000'000);
  CHECK(place.look("/again").st_ino == place.look("/bin/tool").st_ino);
  CHECK(place.look("/own").st_uid == 1234);
  CHECK(S_ISFIFO(place.look("/pipe").st_mode));
  CHECK((place.look("/not").st_mode & 07777) == 0755);
  CHECK(std::filesystem::read_symlink(place.root + "/tool") == "bin/tool");
}

TEST_CASE("a layer is the same by its own name, however it is compressed") {
  if (!may_unpack()) {
    return;
  }
  TarText tar;
  tar.file("a", std::string(300'000, 'a')).file("b", "b");
  for (const char* filter : {"gzip", "zstd"}) {
    CAPTURE(filter);
    Place place;
    const auto done = place.try_unpack(compressed(tar.str(), filter));
    REQUIRE(done);
    CHECK(done->layer_id == sha256_of(tar.str()));
    CHECK(read_file(place.root + "/b") == "b");
  }
  // In two pieces, as tools write that compress in parallel.
  Place place;
  const std::string text = tar.str();
  const auto done = place.try_unpack(compressed(text.substr(0, 100'000), "gzip") +
                                     compressed(text.substr(100'000), "gzip"));
  REQUIRE(done);
  CHECK(done->layer_id == sha256_of(text));
}

TEST_CASE("absolute paths are paths of the image") {
  if (!may_unpack()) {
    return;
  }
  Place place;
  place.unpack(TarText().file("/thaw-of-a-layer", "x").file("//a//./b", "y"));
  CHECK(read_file(place.root + "/thaw-of-a-layer") == "x");
  CHECK(read_file(place.root + "/a/b") == "y");
  CHECK(!os::exists("/thaw-of-a-layer"));
}

TEST_CASE("a path with .. is refused") {
  if (!may_unpack()) {
    return;
  }
  for (const char* path : {"../x", "a/../../x", "/..", "a/.."}) {
    CAPTURE(path);
    Place place;
    const Error error = place.refused(TarText().folder("a/").file(path, "x"));
    CHECK(error.code() == Code::failed_precondition);
    CHECK(error.message().find("..") != std::string::npos);
  }
}

TEST_CASE("a link that leads out leads to the same place inside") {
  if (!may_unpack()) {
    return;
  }
  Place place;
  TempFolder outside;
  write_file(outside / "file", "untouched");
  TarText tar;
  tar.symlink("out", outside.path).symlink("up", "../../../../../..");
  tar.file("out/file", "of the layer").file("up/etc/thaw-of-a-layer", "of the layer");
  place.unpack(tar);
  CHECK(read_file(outside / "file") == "untouched");
  CHECK(read_file(place.root + outside.path + "/file") == "of the layer");
  CHECK(read_file(place.root + "/etc/thaw-of-a-layer") == "of the layer");
  CHECK(!os::exists("/etc/thaw-of-a-layer"));
}

TEST_CASE("nothing is written through a link or a second name") {
  if (!may_unpack()) {
    return;
  }
  Place place;
  TempFolder outside;
  write_file(outside / "file", "untouched");
  TarText tar;
  tar.symlink("link", outside / "file").file("link", "replaced");
  tar.file("first", "first").hardlink("second", "first").file("second", "second");
  place.unpack(tar);
  CHECK(read_file(outside / "file") == "untouched");
  CHECK(read_file(place.root + "/link") == "replaced");
  CHECK(read_file(place.root + "/first") == "first");
  CHECK(read_file(place.root + "/second") == "second");
}

TEST_CASE("a hard link to a file outside, to nothing or to a folder is refused") {
  if (!may_unpack()) {
    return;
  }
  TempFolder outside;
  write_file(outside / "file", "untouched");
  for (const std::string& target :
       {std::string("../layer"), outside / "file", std::string("missing"), std::string("link/file"),
        std::string("folder"), std::string("/")}) {
    CAPTURE(target);
    Place place;
    TarText tar;
    tar.folder("folder/").symlink("link", outside.path).hardlink("name", target);
    CHECK(place.refused(tar).code() == Code::failed_precondition);
    CHECK(!place.is_there("/name"));
  }
  struct stat status {};
  REQUIRE(::lstat((outside / "file").c_str(), &status) == 0);
  CHECK(status.st_nlink == 1);
}

TEST_CASE("device nodes are left out, a whiteout in disguise among them") {
  if (!may_unpack()) {
    return;
  }
  Place place;
  TarText tar;
  tar.add({.name = "char", .type = '3'}).add({.name = "block", .type = '4'}).file("file", "x");
  const Unpacked done = place.unpack(tar);
  CHECK(done.left_out == 2);
  CHECK(!place.is_there("/char"));
  CHECK(!place.is_there("/block"));
  CHECK(place.is_there("/file"));
}

TEST_CASE("setuid bits are kept, for only containers see them") {
  if (!may_unpack()) {
    return;
  }
  Place place;
  place.unpack(TarText().add({.name = "su", .content = "x", .mode = 04755, .uid = 7}));
  CHECK((place.look("/su").st_mode & 07777) == 04755);
  CHECK(place.look("/su").st_uid == 7);
}

TEST_CASE("attributes that speak to overlayfs are not set, those of users are") {
  if (!may_unpack()) {
    return;
  }
  Place place;
  std::string pax;
  for (const char* name : {"trusted.overlay.opaque", "trusted.overlay.redirect",
                           "user.overlay.opaque", "security.selinux", "trusted.x"}) {
    pax += TarText::record(std::string("SCHILY.xattr.") + name, "y");
  }
  TarText tar;
  tar.add({.name = "folder/", .type = '5', .mode = 0755, .pax = pax});
  tar.add({.name = "file", .pax = TarText::record("SCHILY.xattr.user.mine", "1")});
  place.unpack(tar);
  char names[4096];
  const ssize_t size = ::llistxattr((place.root + "/folder").c_str(), names, sizeof names);
  const std::string listed(names, static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
  CHECK(listed.find("overlay") == std::string::npos);
  CHECK(listed.find("trusted") == std::string::npos);
}

TEST_CASE("what a layer deletes becomes a whiteout") {
  if (!may_unpack()) {
    return;
  }
  Place place;
  TarText tar;
  tar.file("a/.wh.gone", "").file("b/.wh..wh..opq", "").file("b/new", "x");
  tar.file(".wh..wh.plnk", "");
  place.unpack(tar);
  CHECK(place.is_whiteout("/a/gone"));
  CHECK(!place.is_there("/a/.wh.gone"));
  CHECK(place.is_opaque("/b"));
  CHECK(!place.is_there("/b/.wh..wh..opq"));
  CHECK(os::list_folder(place.root).size() == 2);
}

TEST_CASE("a layer that deletes and makes the same name has what it makes, in either order") {
  if (!may_unpack()) {
    return;
  }
  Place place;
  TarText tar;
  tar.file(".wh.folder", "").folder("folder/").file("folder/new", "x");
  tar.folder("late/").file("late/new", "x").file(".wh.late", "");
  tar.file(".wh.file", "").file("file", "x").file("file2", "x").file(".wh.file2", "");
  place.unpack(tar);
  CHECK(place.is_opaque("/folder"));
  CHECK(place.is_there("/folder/new"));
  CHECK(place.is_opaque("/late"));
  CHECK(place.is_there("/late/new"));
  CHECK(read_file(place.root + "/file") == "x");
  CHECK(read_file(place.root + "/file2") == "x");
}

TEST_CASE("a deletion of nothing, or of the folder itself, is refused") {
  if (!may_unpack()) {
    return;
  }
  for (const char* name : {"a/.wh.", "a/.wh..", "a/.wh..."}) {
    CAPTURE(name);
    Place place;
    CHECK(place.refused(TarText().file(name, "")).code() == Code::failed_precondition);
  }
}

TEST_CASE("of entries with one name the last counts, whatever kind they are") {
  if (!may_unpack()) {
    return;
  }
  Place place;
  TarText tar;
  tar.file("a", "first").file("a", "second");
  tar.folder("b/").file("b/c", "x").file("b", "now a file");
  tar.file("d", "x").folder("d/").file("d/e", "now a folder");
  tar.folder("f/").file("f/keep", "x").folder("f/", 0700);
  place.unpack(tar);
  CHECK(read_file(place.root + "/a") == "second");
  CHECK(read_file(place.root + "/b") == "now a file");
  CHECK(read_file(place.root + "/d/e") == "now a folder");
  CHECK(read_file(place.root + "/f/keep") == "x");
  CHECK((place.look("/f").st_mode & 07777) == 0700);
}

TEST_CASE("a sparse bomb is refused before anything of its size is there") {
  if (!may_unpack()) {
    return;
  }
  Place place;
  place.limits.bytes = 64u << 20;
  TarEntry bomb{.name = "bomb", .content = "x"};
  bomb.pax = TarText::record("GNU.sparse.major", "0") + TarText::record("GNU.sparse.minor", "1") +
             TarText::record("GNU.sparse.name", "bomb") +
             TarText::record("GNU.sparse.size", "1125899906842624") +
             TarText::record("GNU.sparse.numblocks", "1") +
             TarText::record("GNU.sparse.map", "1125899906842623,1");
  CHECK(place.refused(TarText().add(bomb)).code() == Code::resource_exhausted);
  CHECK(!place.is_there("/bomb"));
}

TEST_CASE("a stream that is small only while it is compressed is refused at its limit") {
  if (!may_unpack()) {
    return;
  }
  Place place;
  place.limits.bytes = 1u << 20;
  TarText tar;
  tar.file("zeros", std::string(8u << 20, '\0'));
  auto done = place.try_unpack(compressed(tar.str(), "gzip"));
  REQUIRE(!done);
  CHECK(done.error().code() == Code::resource_exhausted);
  // Behind the last entry too.
  Place behind;
  behind.limits.bytes = 1u << 20;
  done = behind.try_unpack(
      compressed(TarText().file("a", "x").str() + std::string(8u << 20, '\0'), "zstd"));
  REQUIRE(!done);
  CHECK(done.error().code() == Code::resource_exhausted);
}

TEST_CASE("a map of holes that is longer than any head is refused, not held") {
  if (!may_unpack()) {
    return;
  }
  Place place;
  TarEntry entry{.name = "sparse", .content = "30000000\n"};
  while (entry.content.size() < (16u << 20)) {
    entry.content += "0\n0\n0\n0\n0\n0\n0\n0\n";
  }
  entry.pax = TarText::record("GNU.sparse.major", "1") + TarText::record("GNU.sparse.minor", "0") +
              TarText::record("GNU.sparse.name", "sparse") +
              TarText::record("GNU.sparse.realsize", "1");
  CHECK(place.refused(TarText().add(entry)).code() == Code::resource_exhausted);
  // What an entry before has is not counted.
  Place large;
  const std::string zeros(9u << 20, '\0');
  CHECK(large.unpack(TarText().file("a", zeros).file("b", zeros)).entries == 2);
}

TEST_CASE("what is compressed twice is no layer, and a stream without end of empty pieces ends") {
  if (!may_unpack()) {
    return;
  }
  Place place;
  const std::string once = compressed(TarText().file("a", "x").str(), "gzip");
  const auto twice = place.try_unpack(compressed(once, "gzip"));
  REQUIRE(!twice);
  CHECK(twice.error().code() == Code::failed_precondition);
  Place empty;
  empty.limits.time = std::chrono::milliseconds(200);
  const std::string piece = compressed("", "gzip");
  std::string many;
  while (many.size() < (32u << 20)) {
    many += piece;
  }
  const auto ended = empty.try_unpack(many);
  REQUIRE(!ended);  // at its time, or at its end: it is no tar stream
}

TEST_CASE("layers of one image share what it may have") {
  if (!may_unpack()) {
    return;
  }
  Place first;
  first.limits.of_image = std::make_shared<UnpackBudget>();
  first.limits.of_image->bytes = 1'000;
  first.limits.of_image->entries = 3;
  Place second;
  second.limits = first.limits;
  Place third;
  third.limits = first.limits;
  first.unpack(TarText().file("a", std::string(600, 'x')));
  CHECK(second.refused(TarText().file("a", std::string(600, 'x'))).code() ==
        Code::resource_exhausted);
  CHECK(third.refused(TarText().folder("a/").folder("b/")).code() == Code::resource_exhausted);
}

TEST_CASE("folders that a layer only passes through are as they are everywhere") {
  if (!may_unpack()) {
    return;
  }
  Place place;
  place.unpack(TarText().file("tmp/a/b", "x").file("var/tmp/c", "x").file("root/d", "x"));
  CHECK((place.look("/tmp").st_mode & 07777) == 01777);
  CHECK((place.look("/tmp/a").st_mode & 07777) == 0755);
  CHECK((place.look("/var/tmp").st_mode & 07777) == 01777);
  CHECK((place.look("/root").st_mode & 07777) == 0700);
}

TEST_CASE("names that no file can have are refused") {
  if (!may_unpack()) {
    return;
  }
  const auto named = [](const std::string& name) {
    return TarText().add({.name = "x", .pax = TarText::record("path", name)});
  };
  std::string deep;
  for (int i = 0; i < 2'000; ++i) {
    deep += "d/";
  }
  for (const std::string& name :
       {std::string(100'000, 'n'), std::string(300, 'n'), deep + "file"}) {
    Place place;
    CHECK(place.refused(named(name)).code() == Code::failed_precondition);
  }
  Place place;
  TarEntry link{.name = "link", .type = '2'};
  link.pax = TarText::record("linkpath", std::string(100'000, 'l'));
  CHECK(place.refused(TarText().add(link)).code() == Code::failed_precondition);
}

TEST_CASE("names are bytes, in whatever alphabet") {
  if (!may_unpack()) {
    return;
  }
  Place place;
  place.unpack(
      TarText().add({.name = "x", .content = "x", .pax = TarText::record("path", "häuser/größe")}));
  CHECK(read_file(place.root + "/häuser/größe") == "x");
}

TEST_CASE("more entries than the limit are refused") {
  if (!may_unpack()) {
    return;
  }
  Place place;
  place.limits.entries = 100;
  TarText tar;
  for (int i = 0; i < 200; ++i) {
    tar.file("f" + std::to_string(i), "");
  }
  CHECK(place.refused(tar).code() == Code::resource_exhausted);
}

TEST_CASE("what is broken or no layer says so") {
  if (!may_unpack()) {
    return;
  }
  TarText tar;
  tar.file("a", std::string(5'000, 'a'));
  const std::string packed = compressed(tar.str(), "gzip");
  for (const std::string& stream :
       {std::string(), std::string("no tar at all"), std::string(2'000, 'x'),
        tar.str().substr(0, 3'000), packed.substr(0, packed.size() / 2)}) {
    Place place;
    const auto done = place.try_unpack(stream);
    REQUIRE(!done);
    CHECK(done.error().code() == Code::failed_precondition);
  }
}

TEST_CASE("unpacking ends when it is told to, and at its time limit") {
  if (!may_unpack()) {
    return;
  }
  Place place;
  place.stop = true;
  CHECK(place.refused(TarText().file("a", "x")).code() == Code::cancelled);
  Place late;
  late.limits.time = Duration::zero();
  CHECK(late.refused(TarText().file("a", "x")).code() == Code::deadline_exceeded);
}
