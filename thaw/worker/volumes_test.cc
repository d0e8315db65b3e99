// SPDX-License-Identifier: Apache-2.0
#include "thaw/worker/volumes.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>

#include "thaw/store/blob_store.h"
#include "thaw/store/temp_folder_test.h"
#include "thaw/worker/volume_copy.h"
#include "thaw/worker/volume_files.h"
#include "thaw/worker/volume_listing.h"
#include "thaw/worker/volume_paths.h"
#include "thaw/worker/volume_upload.h"

using namespace thaw;
using namespace thaw::worker;
namespace fs = std::filesystem;

namespace {

// A volume with a neighbour that nothing may reach.
struct House {
  store::TempFolder temporary;
  VolumeFolder volume;

  House() {
    fs::create_directories(temporary / "vo-1/files");
    fs::create_directories(temporary / "vo-1/staging");
    write("../../secret", "the neighbour's");
    volume = std::move(*open_volume(temporary / "vo-1"));
  }
  std::string host(const std::string& path) const { return temporary / ("vo-1/files/" + path); }
  void write(const std::string& path, const std::string& text) const {
    fs::create_directories(fs::path(host(path)).parent_path());
    std::ofstream(host(path)) << text;
  }
  std::string read(const std::string& path) const {
    std::ifstream in(host(path), std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  void link(const std::string& target, const std::string& path) const {
    fs::create_symlink(target, host(path));
  }
  std::size_t staged() const {
    return static_cast<std::size_t>(
        std::distance(fs::directory_iterator(temporary / "vo-1/staging"), {}));
  }
  // The name under which the bytes are staged.
  std::string stage(const std::string& bytes) {
    const std::string name = new_block_name(store::sha256_hex(bytes));
    auto writer = std::move(
        *BlockWriter::create(std::move(*open_volume(temporary / "vo-1")), name, volume_block_size));
    REQUIRE(writer->append(bytes));
    REQUIRE(writer->finish());
    return name;
  }
  Result<void> upload(UploadedFile file, Existing existing = Existing::replace) {
    const std::vector<UploadedFile> files = {std::move(file)};
    THAW_TRY_VOID(check_targets(volume, files, existing));
    const auto staged_files = StagedFiles::begin(volume, files);
    THAW_TRY_VOID(to_the_end([&] { return staged_files->assemble(); }));
    return to_the_end([&] { return staged_files->place(existing); });
  }
  Result<void> copy(std::vector<std::string> from, const std::string& to, Subtree subtree) {
    THAW_TRY(const auto copying, VolumeCopy::begin(volume, std::move(from), to, subtree));
    return to_the_end([&] { return copying->step(); });
  }
  static Result<void> to_the_end(const std::function<Result<ByteCopy::Progress>()>& step) {
    while (true) {
      THAW_TRY(const ByteCopy::Progress progress, step());
      if (progress == ByteCopy::Progress::done) {
        return ok();
      }
    }
  }
};

UploadedFile file_of(std::string path, std::uint64_t size, std::vector<std::string> blocks) {
  UploadedFile file;
  file.path = std::move(path);
  file.size = size;
  file.blocks = std::move(blocks);
  return file;
}

std::vector<std::string> list(const House& house, const std::string& path,
                              VolumeListing::Depth depth) {
  auto listing = VolumeListing::open(house.volume, path, depth);
  REQUIRE(listing);
  std::vector<std::string> paths;
  while (true) {
    const auto piece = std::move(*listing->next());
    if (piece.empty()) {
      return paths;
    }
    CHECK(piece.size() < 2000);
    for (const VolumeEntry& entry : piece) {
      paths.push_back(entry.path);
    }
  }
}

}  // namespace

TEST_CASE("a path of a volume is plain names, and never one above it") {
  CHECK(*volume_path("/a//./b/") == "a/b");
  CHECK(volume_path("/")->empty());
  CHECK(volume_path(".")->empty());
  CHECK(*volume_path("new\nline/\xff\xfe") == "new\nline/\xff\xfe");
  CHECK(*volume_path("..a/b..") == "..a/b..");
  for (const char* bad : {"..", "/a/../b", "a/..", "/.."}) {
    CHECK_FALSE(volume_path(bad));
  }
  CHECK_FALSE(volume_path(std::string("a\0b", 3)));
  CHECK_FALSE(volume_path(std::string(256, 'x')));
  std::string deep;
  for (int i = 0; i < 3000; ++i) {
    deep += "a/";
  }
  CHECK_FALSE(volume_path(deep));
}

TEST_CASE("links lead nowhere outside of a volume") {
  House house;
  house.write("inner/file", "inside");
  house.link("../../secret", "up");
  house.link("/etc/passwd", "absolute");
  house.link("../..", "folder_up");
  house.link("/proc/self/root", "magic");
  house.link("loop", "loop");
  house.link("inner/file", "fine");
  house.link("/inner", "fine_absolute");
  CHECK(look_at_file(house.volume, "fine")->size == 6);
  CHECK(look_at_file(house.volume, "fine_absolute/file")->size == 6);
  for (const char* path : {"up", "absolute", "folder_up/secret", "magic/etc/passwd", "loop"}) {
    CHECK_MESSAGE(!look_at_file(house.volume, path), path);
  }
  // What "folder_up" leads to is the volume's own root: the file appears there.
  REQUIRE(house.upload(file_of("folder_up/put", 3, {house.stage("put")})));
  CHECK(house.read("put") == "put");
  CHECK(fs::exists(house.temporary / "secret"));
  // A link is replaced and removed itself, not what it points to.
  REQUIRE(house.upload(file_of("up", 3, {house.stage("new")})));
  CHECK(house.read("up") == "new");
  REQUIRE(remove_entry(house.volume, "folder_up", Subtree::include));
  REQUIRE(remove_entry(house.volume, "fine_absolute", Subtree::refuse));
  CHECK(house.read("inner/file") == "inside");
  std::ifstream secret(house.temporary / "secret");
  CHECK(std::string(std::istreambuf_iterator<char>(secret), {}) == "the neighbour's");
}

TEST_CASE("a sub path is made, but not through a link") {
  House house;
  REQUIRE(make_sub_folder(house.volume.files, "users/ann/data"));
  CHECK(fs::is_directory(house.host("users/ann/data")));
  REQUIRE(make_sub_folder(house.volume.files, "users/ann/data"));
  house.link("ann", "users/bob");
  house.write("file", "");
  CHECK_FALSE(make_sub_folder(house.volume.files, "users/bob/data"));
  CHECK_FALSE(make_sub_folder(house.volume.files, "users/bob"));
  CHECK_FALSE(make_sub_folder(house.volume.files, "file/x"));
}

TEST_CASE("a listing shows every name and enters no link") {
  House house;
  house.write("b/2", "");
  house.write("b/c/3", "");
  house.write("a", "x");
  house.write("new\nline", "");
  house.write("\xff\xfe", "");
  house.link("b", "d");
  ::mkfifo(house.host("fifo").c_str(), 0600);
  using Depth = VolumeListing::Depth;
  CHECK(list(house, "", Depth::one_folder) ==
        std::vector<std::string>{"a", "b", "d", "fifo", "new\nline", "\xff\xfe"});
  CHECK(list(house, "", Depth::recursive).size() == 9);
  CHECK(list(house, "b", Depth::recursive) == std::vector<std::string>{"b/2", "b/c", "b/c/3"});
  CHECK(list(house, "a", Depth::one_folder) == std::vector<std::string>{"a"});
  CHECK(list(house, "d", Depth::one_folder) == std::vector<std::string>{"d/2", "d/c"});
  CHECK(VolumeListing::open(house.volume, "gone", Depth::recursive).error().code() ==
        Code::not_found);
}

TEST_CASE("a huge folder and a deep one are listed in pieces") {
  House house;
  for (int i = 0; i < 2500; ++i) {
    house.write("many/" + std::to_string(i), "");
  }
  CHECK(list(house, "many", VolumeListing::Depth::recursive).size() == 2500);
  std::string deep = "deep";
  for (int i = 0; i < 300; ++i) {
    deep += "/d";
  }
  fs::create_directories(house.host(deep));
  const std::size_t found = list(house, "deep", VolumeListing::Depth::recursive).size();
  CHECK(found > 150);
  CHECK(found < 300);
}

TEST_CASE("blocks become a file, with the zeros that they leave out") {
  House house;
  const std::string first(volume_block_size, 'a');
  const std::string end = "the end";
  const std::string name = house.stage(first);
  // The same block three times, a block of zeros, and a short one with zeros behind it.
  const std::uint64_t size = 4 * volume_block_size + 10;
  UploadedFile file = file_of("new/file", size, {name, "", name, name, house.stage(end)});
  file.mode = 06755;
  REQUIRE(house.upload(file));
  const std::string made = house.read("new/file");
  CHECK(made.size() == size);
  CHECK(made ==
        first + std::string(volume_block_size, '\0') + first + first + end + std::string(3, '\0'));
  CHECK(house.staged() == 0);
  struct stat status;
  REQUIRE(::stat(house.host("new/file").c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0755);
}

TEST_CASE("an upload replaces a file whole, and only if it may") {
  House house;
  house.write("file", "old");
  const os::Fd reader = std::move(*open_in_volume(house.volume.files, "file", O_RDONLY));
  CHECK(house.upload(file_of("file", 3, {house.stage("new")}), Existing::refuse).error().code() ==
        Code::already_exists);
  CHECK(house.read("file") == "old");
  REQUIRE(house.upload(file_of("file", 3, {house.stage("new")})));
  CHECK(house.read("file") == "new");
  char text[4] = {};
  CHECK(::read(reader.get(), text, 3) == 3);
  CHECK(std::string(text) == "old");
  house.write("folder/x", "");
  CHECK(house.upload(file_of("folder", 3, {house.stage("new")})).error().code() ==
        Code::failed_precondition);
  CHECK(house.upload(file_of("file/below", 3, {house.stage("new")})).error().code() ==
        Code::failed_precondition);
  CHECK_FALSE(house.upload(file_of("", 0, {})));
  CHECK_FALSE(house.upload(file_of("lost", 3, {new_block_name(store::sha256_hex("lost"))})));
  CHECK_FALSE(fs::exists(house.host("lost")));
}

TEST_CASE("a block that is not what it says leaves nothing") {
  House house;
  const auto writer = [&](const std::string& digest, std::uint64_t most) {
    return std::move(*BlockWriter::create(std::move(*open_volume(house.temporary / "vo-1")),
                                          new_block_name(digest), most));
  };
  {
    auto wrong = writer(store::sha256_hex("this"), 100);
    REQUIRE(wrong->append("that"));
    CHECK(wrong->finish().error().code() == Code::invalid_argument);
    auto long_one = writer(store::sha256_hex("12345"), 4);
    CHECK(long_one->append("12345").error().code() == Code::out_of_range);
    auto dropped = writer(store::sha256_hex("x"), 4);
    REQUIRE(dropped->append("x"));
  }
  CHECK(house.staged() == 0);
  const std::string digest = store::sha256_hex("x");
  CHECK(is_block_name(new_block_name(digest), digest));
  CHECK_FALSE(is_block_name(digest, digest));
  CHECK_FALSE(is_block_name("../" + new_block_name(digest), digest));
  CHECK_FALSE(is_block_name(digest + "./../../../../../../../../../x", digest));
  CHECK_FALSE(is_block_name("", ""));
}

TEST_CASE("a range is of the file that was looked at, or of none") {
  House house;
  house.write("file", "0123456789");
  const VolumeFile seen = *look_at_file(house.volume, "file");
  CHECK(open_range(house.volume, {"file", seen.identity, 4, 6}));
  CHECK(open_range(house.volume, {"file", seen.identity, 4, 7}).error().code() == Code::aborted);
  house.write("file", "0123456789 and more");  // the same file, longer
  CHECK(open_range(house.volume, {"file", seen.identity, 4, 6}));
  house.write("other", "another one");
  fs::rename(house.host("other"), house.host("file"));
  CHECK(open_range(house.volume, {"file", seen.identity, 4, 6}).error().code() == Code::aborted);
  ::mkfifo(house.host("fifo").c_str(), 0600);
  CHECK_FALSE(look_at_file(house.volume, "fifo"));
  CHECK_FALSE(open_range(house.volume, {"fifo", seen.identity, 0, 1}));
}

TEST_CASE("copying follows cp") {
  House house;
  house.write("a", "A");
  house.write("tree/one", "1");
  house.write("tree/sub/two", "2");
  house.link("one", "tree/link");
  house.write("folder/x", "");
  REQUIRE(house.copy({"a"}, "b", Subtree::refuse));
  CHECK(house.read("b") == "A");
  REQUIRE(house.copy({"a", "b"}, "folder", Subtree::refuse));
  CHECK(house.read("folder/b") == "A");
  REQUIRE(house.copy({"tree"}, "again", Subtree::include));
  CHECK(house.read("again/sub/two") == "2");
  CHECK(fs::read_symlink(house.host("again/link")) == "one");
  REQUIRE(house.copy({"tree"}, "folder", Subtree::include));
  CHECK(house.read("folder/tree/one") == "1");
  CHECK_FALSE(house.copy({"tree"}, "third", Subtree::refuse));
  CHECK_FALSE(house.copy({"a", "b"}, "nowhere", Subtree::refuse));
  CHECK_FALSE(house.copy({"tree"}, "tree/sub", Subtree::include));
  CHECK_FALSE(house.copy({"tree"}, "tree/sub/new", Subtree::include));
  CHECK_FALSE(house.copy({"a"}, "a", Subtree::refuse));
  CHECK(house.copy({"gone"}, "b", Subtree::refuse).error().code() == Code::not_found);
  // A folder has the name that the file would get.
  house.write("in-the-way/a/x", "x");
  CHECK(house.copy({"a"}, "in-the-way", Subtree::refuse).error().code() ==
        Code::failed_precondition);
  CHECK(house.staged() == 0);
}

TEST_CASE("a copy keeps the holes of a file, and takes the room that its data take") {
  House house;
  {
    const os::Fd file(::open(house.host("sparse").c_str(), O_WRONLY | O_CREAT, 0644));
    REQUIRE(::ftruncate(file.get(), off_t{1} << 40) == 0);
    REQUIRE(::pwrite(file.get(), "middle", 6, off_t{1} << 39) == 6);
  }
  REQUIRE(house.copy({"sparse"}, "copy", Subtree::refuse));
  struct stat status;
  REQUIRE(::stat(house.host("copy").c_str(), &status) == 0);
  CHECK(status.st_size == off_t{1} << 40);
  CHECK(status.st_blocks * 512 < 1 << 20);
  std::ifstream in(house.host("copy"), std::ios::binary);
  in.seekg(off_t{1} << 39);
  std::string middle(6, ' ');
  in.read(middle.data(), 6);
  CHECK(middle == "middle");
  house.write("empty", "");
  REQUIRE(house.copy({"empty", "sparse"}, "", Subtree::refuse).error().code() ==
          Code::invalid_argument);
}

TEST_CASE("a copy goes in steps of bounded size, and leaves whole files when it is dropped") {
  House house;
  house.write("large", std::string(3 * copy_step_bytes + 5, 'x'));
  house.write("tree/a", "A");
  {
    const auto copying = *VolumeCopy::begin(house.volume, {"large"}, "copy", Subtree::refuse);
    CHECK(*copying->step() == ByteCopy::Progress::more);
    CHECK(*copying->step() == ByteCopy::Progress::more);
    CHECK_FALSE(fs::exists(house.host("copy")));
    CHECK(house.staged() == 1);
  }
  CHECK(house.staged() == 0);
  CHECK_FALSE(fs::exists(house.host("copy")));
  REQUIRE(house.copy({"large"}, "copy", Subtree::refuse));
  CHECK(house.read("copy") == house.read("large"));
  // A file of very many small pieces is no long step either.
  {
    const os::Fd file(::open(house.host("pieces").c_str(), O_WRONLY | O_CREAT, 0644));
    for (off_t i = 0; i < 600; ++i) {
      REQUIRE(::pwrite(file.get(), "x", 1, i * (64 << 10)) == 1);
    }
  }
  const auto copying = *VolumeCopy::begin(house.volume, {"pieces"}, "pieces2", Subtree::refuse);
  int steps = 1;
  while (*copying->step() == ByteCopy::Progress::more) {
    ++steps;
  }
  CHECK(steps >= 3);
  CHECK(house.read("pieces2") == house.read("pieces"));
}

TEST_CASE("removal takes files, and folders only when told; never the root") {
  House house;
  house.write("tree/one", "1");
  CHECK(remove_entry(house.volume, "tree", Subtree::refuse).error().code() ==
        Code::invalid_argument);
  REQUIRE(remove_entry(house.volume, "tree/one", Subtree::refuse));
  REQUIRE(remove_entry(house.volume, "tree", Subtree::include));
  CHECK(remove_entry(house.volume, "tree", Subtree::include).error().code() == Code::not_found);
  CHECK_FALSE(remove_entry(house.volume, "", Subtree::include));
  CHECK(house.staged() == 0);
}

TEST_CASE("a volume is made, mounted by parts, and gone with its files") {
  store::TempFolder temporary;
  async::Loop loop;
  store::DiskShares disk(temporary.path(), {.bytes_per_owner = 1u << 30, .reserve_bytes = 0});
  Volumes volumes(loop, temporary / "volumes", disk);
  REQUIRE(volumes.start());
  const model::VolumeId id("vo-1");
  REQUIRE(loop.run_task(volumes.create(id)));
  REQUIRE(loop.run_task(volumes.flush()));
  std::ofstream(volumes.files_of(id) + "/file") << "text";
  using Access = model::VolumeMount::Access;
  const std::vector<model::VolumeMount> mounts = {{id, "/data/inner", Access::read_only, "a/b"},
                                                  {id, "/data", Access::read_write, ""}};
  const auto binds = std::move(*loop.run_task(volumes.binds(mounts)));
  REQUIRE(binds.size() == 2);
  CHECK(binds[0].target == "/data");
  CHECK(binds[0].access == sandbox::BindMount::Access::read_write);
  CHECK(binds[1].inside == "a/b");
  CHECK(binds[1].access == sandbox::BindMount::Access::read_only);
  CHECK(fs::is_directory(volumes.files_of(id) + "/a/b"));
  REQUIRE(loop.run_task(volumes.erase(id)));
  CHECK_FALSE(fs::exists(temporary / "volumes/vo-1"));
  REQUIRE(loop.run_task(volumes.erase(id)));
  const auto after = loop.run_task(volumes.binds(mounts));
  CHECK(after.error().code() == Code::not_found);
  CHECK(volumes.check_space(id, 0));
  CHECK(volumes.check_space(id, std::uint64_t{1} << 60).error().code() == Code::resource_exhausted);
  REQUIRE(loop.run_task(volumes.stop()));
}

TEST_CASE("a volume past its owner's quota is read-only until it holds less") {
  store::TempFolder temporary;
  async::Loop loop;
  store::DiskShares disk(temporary.path(), {.bytes_per_owner = 1u << 20, .reserve_bytes = 0});
  Volumes volumes(loop, temporary / "volumes", disk,
                  [](const model::VolumeId&) { return std::string("ac-ann"); });
  REQUIRE(volumes.start());
  const model::VolumeId id("vo-1");
  REQUIRE(loop.run_task(volumes.create(id)));
  using Access = sandbox::BindMount::Access;
  const std::vector<model::VolumeMount> mounts = {
      {id, "/data", model::VolumeMount::Access::read_write, ""}};
  std::ofstream(volumes.files_of(id) + "/file") << std::string(2 << 20, 'x');
  REQUIRE(loop.run_task(volumes.measure()));
  CHECK(disk.used("ac-ann", store::DiskShares::Kind::volumes) >= 2u << 20);
  CHECK((*loop.run_task(volumes.binds(mounts)))[0].access == Access::read_only);
  CHECK(volumes.check_space(id, 1).error().message().find("workspace_disk_gb") !=
        std::string::npos);
  const auto step = [] { return Result<ByteCopy::Progress>(ByteCopy::Progress::done); };
  CHECK(loop.run_task(volumes.run_steps(id, step)).error().code() == Code::resource_exhausted);
  fs::remove(volumes.files_of(id) + "/file");
  REQUIRE(loop.run_task(volumes.measure()));
  CHECK((*loop.run_task(volumes.binds(mounts)))[0].access == Access::read_write);
  REQUIRE(loop.run_task(volumes.stop()));
}

TEST_CASE("what is told of a volume that cannot be opened says nothing of where it lies") {
  const store::TempFolder folder;
  fs::create_directory(folder / "files");
  std::ofstream(folder / "staging") << "is no folder";
  const auto opened = open_volume(folder.path());
  REQUIRE(!opened);
  CHECK(opened.error().message().find(folder.path()) == std::string::npos);
  CHECK(opened.error().to_string().find(folder.path()) != std::string::npos);
}
