// SPDX-License-Identifier: Apache-2.0
#include "thaw/store/detail/commit_mark.h"

#include <fcntl.h>
#include <unistd.h>

#include <charconv>
#include <utility>

#include "thaw/store/blob_store.h"
#include "thaw/store/detail/files.h"

namespace thaw::store::detail {

namespace {

constexpr std::size_t digits = 20;
constexpr std::size_t sum_size = 16;
// Far below a block: it is written whole or not at all.
constexpr std::size_t size = digits + 1 + sum_size + 1;

std::string text_of(std::int64_t commits) {
  std::string number = std::to_string(commits);
  number.insert(0, digits - number.size(), '0');
  return number + " " + sha256_hex(number).substr(0, sum_size) + "\n";
}

}  // namespace

Result<CommitMark> CommitMark::open(const std::string& path) {
  CommitMark mark;
  THAW_TRY(mark.file_, open_file(path, O_RDWR | O_CREAT, 0600));
  return mark;
}

std::optional<std::int64_t> CommitMark::read(const std::string& path) {
  const auto file = open_file(path, O_RDONLY, 0);
  const auto text = file ? read_some(file->get(), size, path) : Result<std::string>(file.error());
  std::int64_t commits = 0;
  if (!text || text->size() != size) {
    return std::nullopt;
  }
  const auto [end, error] = std::from_chars(text->data(), text->data() + digits, commits);
  if (error != std::errc() || end != text->data() + digits || *text != text_of(commits)) {
    return std::nullopt;
  }
  return commits;
}

void CommitMark::note(std::int64_t commits) {
  if (file_.valid()) {
    const std::string text = text_of(commits);
    [[maybe_unused]] const auto written = ::pwrite(file_.get(), text.data(), text.size(), 0);
  }
}

}  // namespace thaw::store::detail
