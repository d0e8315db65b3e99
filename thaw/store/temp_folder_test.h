// SPDX-License-Identifier: Apache-2.0
//
// For tests: a folder that goes away with its object, and two ways to damage a file in it.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>

#include "thaw/base/check.h"

namespace thaw::store {

class TempFolder {
 public:
  // in_memory: for tests that write thousands of times and lose no power.
  enum class Place { on_disk, in_memory };
  explicit TempFolder(Place place = Place::on_disk) {
    const char* memory = "/dev/shm";
    const bool is_there = place == Place::in_memory && ::access(memory, W_OK) == 0;
    const std::filesystem::path above =
        is_there ? std::filesystem::path(memory) : std::filesystem::temp_directory_path();
    std::string pattern = (above / "thaw-test-XXXXXX").string();
    THAW_CHECK(::mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string operator/(std::string_view name) const { return path_ + "/" + std::string(name); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline void overwrite(const std::string& path, off_t at, std::string_view bytes) {
  ::chmod(path.c_str(), 0600);
  const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  THAW_CHECK(fd >= 0);
  THAW_CHECK(::pwrite(fd, bytes.data(), bytes.size(), at) == static_cast<ssize_t>(bytes.size()));
  ::close(fd);
}

inline void shorten(const std::string& path, off_t size) {
  ::chmod(path.c_str(), 0600);
  THAW_CHECK(::truncate(path.c_str(), size) == 0);
}

}  // namespace thaw::store
