// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/box_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "thaw/codec/sha256.h"

// Of the file that the build embeds.
extern "C" {
extern const char thaw_box_files_begin[];
extern const char thaw_box_files_end[];
}

namespace thaw::dialect::modal {

namespace fs = std::filesystem;

namespace {

constexpr const char* where_clients_look = "/__modal/.bin/modal-sandbox-fs-tools";

Result<void> write_program(const std::string& path, std::string_view bytes) {
  const std::string temporary = path + "." + std::to_string(::getpid());
  const int fd =
      ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0755);
  if (fd < 0) {
    return Error::from_errno(errno, "cannot write " + temporary);
  }
  std::size_t done = 0;
  int failure = ::fchmod(fd, 0755) != 0 ? errno : 0;
  while (failure == 0 && done < bytes.size()) {
    const ssize_t size = ::write(fd, bytes.data() + done, bytes.size() - done);
    failure = size < 0 ? errno : 0;
    done += size > 0 ? static_cast<std::size_t>(size) : 0;
  }
  failure = ::close(fd) != 0 && failure == 0 ? errno : failure;
  if (failure == 0 && ::rename(temporary.c_str(), path.c_str()) != 0) {
    failure = errno;
  }
  if (failure != 0) {
    ::unlink(temporary.c_str());
    return Error::from_errno(failure, "cannot write " + path);
  }
  return ok();
}

bool is_whole(const std::string& path, std::string_view bytes) {
  struct stat status {};
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  const bool fits = fd >= 0 && ::fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
                    static_cast<std::size_t>(status.st_size) == bytes.size();
  std::string found(fits ? bytes.size() : 0, '\0');
  const bool is_read =
      fits && ::pread(fd, found.data(), found.size(), 0) == static_cast<ssize_t>(found.size());
  if (fd >= 0) {
    ::close(fd);
  }
  return is_read && found == bytes;
}

}  // namespace

Result<worker::Bind> lay_out_box_files(const std::string& cache_folder) {
  const std::string_view program(
      thaw_box_files_begin, static_cast<std::size_t>(thaw_box_files_end - thaw_box_files_begin));
  codec::Sha256 digest;
  digest.update(program);
  const std::string name = "programs/box-files-" + digest.hex().substr(0, 16);
  const std::string path = cache_folder + "/" + name;
  std::error_code failure;
  fs::create_directories(fs::path(path).parent_path(), failure);
  if (!is_whole(path, program)) {
    THAW_TRY_VOID(write_program(path, program));
  }
  return worker::Bind{"package:" + name, where_clients_look};
}

}  // namespace thaw::dialect::modal
