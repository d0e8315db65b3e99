// SPDX-License-Identifier: Apache-2.0
#include "thaw/sandbox/detail/page_trust.h"

#include <doctest/doctest.h>

#include "thaw/sandbox/testing/fixture.h"

using namespace thaw::sandbox::detail;
using namespace thaw::sandbox::testing;

namespace {

// A /proc with processes that have mapped files of these contents.
struct Processes {
  Processes() : proc(temporary.folder + "/proc") { std::filesystem::create_directories(proc); }

  void add(int pid, const std::vector<std::string>& contents, const char* rights = "r-xp") {
    const std::string place = proc + "/" + std::to_string(pid);
    std::string maps;
    for (const std::string& bytes : contents) {
      // Low addresses have zeros in front in the one place and not in the other.
      const std::string range = std::to_string(1000 + count) + "-" + std::to_string(1001 + count);
      const std::string file = temporary.folder + "/file" + std::to_string(count++);
      write_file(file, bytes);
      std::filesystem::create_directories(place + "/map_files");
      std::filesystem::create_symlink(file, place + "/map_files/" + range);
      maps += "0000" + std::to_string(1000 + count - 1) + "-0000" + std::to_string(1000 + count) +
              " " + rights + " 00000000 00:00 1 " + file + "\n";
    }
    write_file(place + "/maps", maps);
  }

  Temporary temporary;
  std::string proc;
  int count = 0;
};

const std::string mark = "# Fatal error in %s, line %d";

}  // namespace

TEST_CASE("V8 is known by what it says when it dies, in whichever process and piece of a file") {
  Processes processes;
  processes.add(1, {mark});  // of the sandbox, and this very program
  processes.add(2, {"a program", ""});
  processes.add(3, {mark}, "r--p");
  write_file(processes.proc + "/version", mark);
  CHECK_FALSE(gives_memory_back_or_dies(processes.proc));
  processes.add(37, {"another", std::string((1 << 20) - 5, 'x') + mark + "y"});
  CHECK(gives_memory_back_or_dies(processes.proc));
}

TEST_CASE("what takes too long to look through has its pages read") {
  Processes processes;
  processes.add(1000, {std::string(3 << 20, 'x'), std::string(3 << 20, 'y')});
  CHECK_FALSE(gives_memory_back_or_dies(processes.proc));
  CHECK(gives_memory_back_or_dies(processes.proc, {.file_bytes = 5 << 20}));
  CHECK(gives_memory_back_or_dies(processes.proc, {.maps_bytes = 20}));
}
