// SPDX-License-Identifier: Apache-2.0
#include "thaw/worker/output_journal.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "thaw/store/temp_folder_test.h"

using namespace thaw;
using namespace thaw::worker;

namespace {

void write(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

}  // namespace

TEST_CASE("a journal is read from where it was not forgotten, and no more than is wanted") {
  const store::TempFolder folder;
  OutputJournal journal(folder / "1.out");
  CHECK(journal.load(100).bytes.empty());
  const std::string text = std::string(600u << 10, 'a') + std::string(600u << 10, 'b');
  write(journal.path(), text);
  CHECK(journal.load(text.size()).bytes == text);
  const auto last = journal.load(10);
  CHECK(last.begin == text.size() - 10);
  CHECK(last.bytes == "bbbbbbbbbb");
  journal.drop_until(100);  // not worth it
  CHECK(journal.load(text.size()).begin == 0);
  struct stat before {};
  ::stat(journal.path().c_str(), &before);
  journal.drop_until(700u << 10);
  const auto rest = journal.load(text.size());
  CHECK(rest.begin == 700u << 10);
  CHECK(rest.bytes == text.substr(700u << 10));
  struct stat after {};
  ::stat(journal.path().c_str(), &after);
  CHECK(after.st_size == before.st_size);
  CHECK(after.st_blocks < before.st_blocks);
}

TEST_CASE("a journal goes with its owner, unless it is left") {
  const store::TempFolder folder;
  const std::string path = folder / "1.out";
  write(path, "text");
  { const OutputJournal journal(path); }
  CHECK_FALSE(std::filesystem::exists(path));
  write(path, "text");
  {
    OutputJournal journal(path);
    journal.leave();
  }
  CHECK(std::filesystem::exists(path));
}

TEST_CASE("what is no journal is an empty one") {
  const store::TempFolder folder;
  const std::string path = folder / "1.out";
  std::filesystem::create_directory(path);
  CHECK(OutputJournal(path).load(100).bytes.empty());
  std::filesystem::remove(path);
  REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
  CHECK(OutputJournal(path).load(100).bytes.empty());
}

TEST_CASE("the journals of boxes that are not there any more go") {
  const store::TempFolder folder;
  const OutputJournals journals(folder / "all");
  const auto of_one = journals.place(model::ContainerId("ta-1"), 1);
  const auto of_other = journals.place(model::ContainerId("ta-2"), 1);
  REQUIRE(of_one);
  REQUIRE(of_other);
  write(*of_one, "one");
  write(*of_other, "other");
  journals.keep_only([](const model::ContainerId& id) { return id.str() == "ta-1"; });
  CHECK(std::filesystem::exists(*of_one));
  CHECK_FALSE(std::filesystem::exists(folder / "all/ta-2"));
  CHECK_FALSE(OutputJournals().are_kept());
}
