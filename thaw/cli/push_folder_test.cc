// SPDX-License-Identifier: Apache-2.0
#include "thaw/cli/push_folder.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

using namespace thaw;
using namespace thaw::cli;
namespace fs = std::filesystem;

namespace {

struct Folder {
  std::string path;
  Folder() {
    std::string name = (fs::temp_directory_path() / "thaw-push-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~Folder() { fs::remove_all(path); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  void write(const std::string& name, const std::string& text) const {
    fs::create_directories(fs::path(path + "/" + name).parent_path());
    std::ofstream(path + "/" + name) << text;
  }
  FolderContents read(const char* rules = "", const FolderLimits& limits = {}) const {
    const auto contents = read_folder(path, IgnoreRules(rules), limits);
    REQUIRE_MESSAGE(contents, (contents ? "" : contents.error().to_string()));
    return *contents;
  }
};

std::string paths_of(const FolderContents& contents) {
  std::string out;
  for (const FolderFile& file : contents.files) {
    out += file.path + " ";
  }
  return out;
}

}  // namespace

TEST_CASE("a folder's files have paths, sizes, modes and digests, in order") {
  const Folder folder;
  folder.write("b/run.sh", "abc");
  folder.write("a.txt", "");
  fs::permissions(folder.path + "/b/run.sh", fs::perms(0750));
  const FolderContents contents = folder.read();
  REQUIRE(paths_of(contents) == "/a.txt /b/run.sh ");
  const FolderFile& script = contents.files.at(1);
  CHECK(script.size == 3);
  CHECK(script.mode == 0750);
  CHECK(script.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  SentFile sent(script);
  CHECK(*sent.next() == "abc");
  CHECK(sent.next().error().message().find("push again") != std::string::npos);
}

TEST_CASE("what .dockerignore names is not sent, and what it takes back is") {
  const Folder folder;
  for (const char* name : {"src/a.py", "src/a.pyc", "node_modules/x/y.js", ".git/HEAD"}) {
    folder.write(name, name);
  }
  CHECK(paths_of(folder.read("**/*.pyc\nnode_modules\n.git")) == "/src/a.py ");
  CHECK(paths_of(folder.read("*\n!src/a.py\n!node_modules/x")) ==
        "/node_modules/x/y.js /src/a.py ");
}

TEST_CASE("no link leads out of the folder, and what is no file is left out with a word") {
  const Folder outside;
  outside.write("secret", "secret");
  const Folder folder;
  folder.write("real/a", "abc");
  fs::create_symlink("real/a", folder.path + "/inside");
  fs::create_symlink(outside.path + "/secret", folder.path + "/outside");
  fs::create_symlink(outside.path, folder.path + "/outside_folder");
  fs::create_symlink("real", folder.path + "/folder");
  fs::create_symlink(".", folder.path + "/itself");
  fs::create_symlink("nowhere", folder.path + "/nothing");
  REQUIRE(::mkfifo((folder.path + "/pipe").c_str(), 0600) == 0);
  const FolderContents contents = folder.read();
  CHECK(paths_of(contents) == "/inside /real/a ");
  CHECK(contents.files.at(0).size == 3);
  CHECK(contents.notes.size() == 6);
  CHECK(folder.read("outside*\nfolder\nitself\nnothing\npipe").notes.empty());
}

TEST_CASE("a folder that is too large is refused with what to do") {
  const Folder folder;
  folder.write("a", "12345");
  folder.write("b", "12345");
  const auto refusal = [&](const FolderLimits& limits) {
    const auto contents = read_folder(folder.path, IgnoreRules(), limits);
    REQUIRE_FALSE(contents);
    CHECK(contents.error().code() == Code::resource_exhausted);
    return contents.error().to_string();
  };
  CHECK(refusal({1, 100}).find("more than 1 files") != std::string::npos);
  CHECK(refusal({10, 9}).find("more than 9 bytes") != std::string::npos);
  CHECK_FALSE(read_folder(folder.path + "/none", IgnoreRules(), {}));
}

TEST_CASE("a folder without a Dockerfile is told so") {
  const Folder folder;
  const auto sentence = [&](const std::string& given) {
    const auto found = find_dockerfile(folder.path, given);
    return found ? *found : found.error().to_string();
  };
  CHECK(sentence("").find("has no Dockerfile") != std::string::npos);
  CHECK(sentence(folder.path + "/Other").find("/Other") != std::string::npos);
  folder.write("Dockerfile", "FROM scratch");
  CHECK(sentence("") == folder.path + "/Dockerfile");
}
