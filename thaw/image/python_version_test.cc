// SPDX-License-Identifier: Apache-2.0
#include "thaw/image/python_version.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "thaw/image/image_fixture_test.h"

using namespace thaw;
using namespace thaw::image;

namespace {

struct Root {
  TempFolder folder;

  void link(const std::string& target, const std::string& name) {
    std::filesystem::create_directories((folder / name).substr(0, (folder / name).rfind('/')));
    std::filesystem::create_symlink(target, folder / name);
  }
  std::string python(std::string_view path) const {
    return find_python_version(*RootTree::open_folder(folder.path), path);
  }
};

}  // namespace

TEST_CASE("the Python of an image is the first one on its PATH") {
  Root root;
  CHECK(root.python("/usr/local/bin:/usr/bin").empty());
  write_file(root.folder / "usr/bin/python3.13", "");
  root.link("python3.13", "usr/bin/python3");
  CHECK(root.python("/usr/local/bin:/usr/bin").empty());  // python3 is not what is called
  root.link("python3", "usr/bin/python");
  CHECK(root.python("/usr/local/bin:/usr/bin") == "3.13");
  CHECK(root.python("/bin").empty());
  CHECK(root.python("usr/bin::").empty());
  write_file(root.folder / "usr/local/bin/python", "copied");
  write_file(root.folder / "usr/local/lib/python3.11/os.py", "");
  CHECK(root.python("/usr/local/bin:/usr/bin") == "3.11");
  CHECK(root.python("/usr/bin:/usr/local/bin") == "3.13");
}

TEST_CASE("a virtual environment says its Python, or the interpreter that it links to does") {
  Root root;
  write_file(root.folder / "usr/local/bin/python", "copied");
  write_file(root.folder / "usr/local/lib/python3.11/os.py", "");
  root.link("/usr/local/bin/python", "venv/bin/python");
  CHECK(root.python("/venv/bin") == "3.11");
  write_file(root.folder / "venv/pyvenv.cfg", "home = /usr/bin\nversion_info = 3.12.1.final.0\n");
  CHECK(root.python("/venv/bin") == "3.12");
  write_file(root.folder / "venv/pyvenv.cfg", "version = 3.14.0\n");
  CHECK(root.python("/venv/bin") == "3.14");
}
