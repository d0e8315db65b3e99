// SPDX-License-Identifier: Apache-2.0
//
// For tests: tar streams written by hand, so that they can be what no tool would write.
#pragma once

#include <archive.h>
#include <archive_entry.h>
#include <doctest/doctest.h>

#include <cstdio>
#include <cstring>
#include <string>

#include "thaw/codec/sha256.h"

namespace thaw::image {

inline std::string sha256_of(const std::string& bytes) {
  codec::Sha256 digest;
  digest.update(bytes);
  return "sha256:" + digest.hex();
}

struct TarEntry {
  std::string name;
  std::string content = {};
  char type = '0';
  std::string link = {};
  unsigned mode = 0644;
  unsigned uid = 0;
  std::string pax = {};    // records of a header in front: "20 path=x\n"
  std::uint64_t size = 0;  // 0: of the content
};

class TarText {
 public:
  TarText& add(const TarEntry& entry) {
    if (!entry.pax.empty()) {
      header({.name = "pax", .type = 'x', .size = entry.pax.size()});
      content(entry.pax);
    }
    header(entry);
    content(entry.content);
    return *this;
  }
  TarText& file(const std::string& name, const std::string& content) {
    return add({.name = name, .content = content});
  }
  TarText& folder(const std::string& name, unsigned mode = 0755) {
    return add({.name = name, .type = '5', .mode = mode});
  }
  TarText& symlink(const std::string& name, const std::string& target) {
    return add({.name = name, .type = '2', .link = target});
  }
  TarText& hardlink(const std::string& name, const std::string& target) {
    return add({.name = name, .type = '1', .link = target});
  }
  std::string str() const { return text_ + std::string(1024, '\0'); }
  const std::string& unended() const { return text_; }

  // One record of a pax header, with its own length in front.
  static std::string record(const std::string& name, const std::string& value) {
    const std::string rest = " " + name + "=" + value + "\n";
    std::size_t size = rest.size() + 1;
    while (std::to_string(size).size() + rest.size() != size) {
      size = std::to_string(size).size() + rest.size();
    }
    return std::to_string(size) + rest;
  }

 private:
  void header(const TarEntry& entry) {
    char block[512] = {};
    REQUIRE(entry.name.size() <= 100);
    std::memcpy(block, entry.name.data(), entry.name.size());
    std::snprintf(block + 100, 8, "%07o", entry.mode);
    std::snprintf(block + 108, 8, "%07o", entry.uid);
    std::snprintf(block + 116, 8, "%07o", 0u);
    const unsigned long long size = entry.size == 0 ? entry.content.size() : entry.size;
    std::snprintf(block + 124, 12, "%011llo", size);
    std::snprintf(block + 136, 12, "%011llo", 1'000'000'000ull);
    std::memset(block + 148, ' ', 8);
    block[156] = entry.type;
    std::memcpy(block + 157, entry.link.data(), std::min<std::size_t>(entry.link.size(), 100));
    std::memcpy(block + 257, "ustar\00000", 8);
    unsigned sum = 0;
    for (const char c : block) {
      sum += static_cast<unsigned char>(c);
    }
    std::snprintf(block + 148, 8, "%06o", sum);
    text_.append(block, sizeof block);
  }
  void content(const std::string& bytes) {
    text_ += bytes;
    text_.append((512 - bytes.size() % 512) % 512, '\0');
  }

  std::string text_;
};

// By "gzip" or "zstd".
inline std::string compressed(const std::string& bytes, const std::string& filter) {
  std::string out(bytes.size() + (1u << 20), '\0');
  std::size_t used = 0;
  archive* writer = ::archive_write_new();
  REQUIRE(::archive_write_add_filter_by_name(writer, filter.c_str()) == ARCHIVE_OK);
  ::archive_write_set_format_raw(writer);
  ::archive_write_set_bytes_in_last_block(writer, 1);
  REQUIRE(::archive_write_open_memory(writer, out.data(), out.size(), &used) == ARCHIVE_OK);
  archive_entry* entry = ::archive_entry_new();
  ::archive_entry_set_filetype(entry, AE_IFREG);
  REQUIRE(::archive_write_header(writer, entry) == ARCHIVE_OK);
  REQUIRE(::archive_write_data(writer, bytes.data(), bytes.size()) ==
          static_cast<la_ssize_t>(bytes.size()));
  ::archive_entry_free(entry);
  ::archive_write_close(writer);
  ::archive_write_free(writer);
  out.resize(used);
  return out;
}

}  // namespace thaw::image
