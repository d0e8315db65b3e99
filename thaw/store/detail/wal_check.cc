// SPDX-License-Identifier: Apache-2.0
#include "thaw/store/detail/wal_check.h"

#include <fcntl.h>

#include <cstdint>
#include <string_view>

#include "thaw/store/detail/files.h"

namespace thaw::store::detail {

namespace {

// The format is public: https://sqlite.org/fileformat2.html#the_write_ahead_log
constexpr std::size_t header_size = 32;
constexpr std::size_t frame_header_size = 24;
constexpr std::uint32_t magic = 0x377f0682;  // its lowest bit: checksums of big-endian words

struct Sum {
  std::uint32_t one = 0;
  std::uint32_t two = 0;
  friend bool operator==(const Sum&, const Sum&) = default;
};

std::uint32_t big_endian(std::string_view bytes, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  }
  return value;
}

class Words {
 public:
  explicit Words(bool big) : big_(big) {}
  Sum sum(Sum sum, std::string_view bytes) const {
    for (std::size_t at = 0; at + 8 <= bytes.size(); at += 8) {
      sum.one += word(bytes, at) + sum.two;
      sum.two += word(bytes, at + 4) + sum.one;
    }
    return sum;
  }

 private:
  std::uint32_t word(std::string_view bytes, std::size_t at) const {
    const std::uint32_t value = big_endian(bytes, at);
    return big_ ? value : __builtin_bswap32(value);
  }
  bool big_;
};

Sum stored_sum(std::string_view bytes, std::size_t at) {
  return {big_endian(bytes, at), big_endian(bytes, at + 4)};
}

}  // namespace

Result<void> check_wal(const std::string& path) {
  if (!exists(path)) {
    return ok();
  }
  THAW_TRY(const os::Fd file, open_file(path, O_RDONLY, 0));
  THAW_TRY(const std::string header, read_some(file.get(), header_size, path));
  if (header.size() < header_size || (big_endian(header, 0) & ~1u) != magic) {
    return ok();  // nothing was ever synced into it
  }
  const Words words((big_endian(header, 0) & 1) != 0);
  const std::size_t page_size = big_endian(header, 8);
  if (words.sum({}, std::string_view(header).substr(0, 24)) != stored_sum(header, 24) ||
      page_size < 512 || page_size > 65'536) {
    return ok();
  }
  const std::string_view salt = std::string_view(header).substr(16, 8);
  Sum before = stored_sum(header, 24);
  bool broken = false;
  bool commit_behind = false;
  while (true) {
    THAW_TRY(const std::string frame, read_some(file.get(), frame_header_size + page_size, path));
    if (frame.size() < frame_header_size + page_size) {
      return ok();
    }
    const std::string_view view(frame);
    const bool of_this_log = view.substr(8, 8) == salt;
    const Sum sum = words.sum(words.sum(before, view.substr(0, 8)), view.substr(frame_header_size));
    // A frame's sum continues the one before it, as that is stored: each is judged by itself.
    before = stored_sum(view, 16);
    if (!of_this_log) {
      // What an earlier use of the file has left: the end, unless damage made it look so.
      broken = true;
      continue;
    }
    const bool good = sum == before;
    if (good && commit_behind) {
      return Error::data_loss(path +
                              " is damaged: commits follow a broken part; restore it and "
                              "its database from a backup");
    }
    broken = broken || !good;
    commit_behind = broken && (commit_behind || (good && big_endian(view, 4) != 0));
  }
}

}  // namespace thaw::store::detail
