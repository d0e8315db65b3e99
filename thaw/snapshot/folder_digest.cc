// SPDX-License-Identifier: Apache-2.0
#include "thaw/snapshot/folder_digest.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <vector>

#include "thaw/base/check.h"
#include "thaw/os/fd.h"
#include "thaw/os/files.h"

namespace thaw::snapshot {

namespace {

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
    THAW_CHECK(EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1);
  }
  void add(const void* bytes, std::size_t size) {
    THAW_CHECK(EVP_DigestUpdate(context_.get(), bytes, size) == 1);
  }
  void add(const std::string& text) { add(text.data(), text.size()); }
  std::string hex() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned size = 0;
    THAW_CHECK(EVP_DigestFinal_ex(context_.get(), digest.data(), &size) == 1);
    std::string text;
    for (unsigned i = 0; i < size; ++i) {
      constexpr const char* digits = "0123456789abcdef";
      text += digits[digest[i] >> 4];
      text += digits[digest[i] & 15];
    }
    return text;
  }

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

Result<void> add_file(const std::string& path, Sha256& digest, std::uint64_t& bytes) {
  THAW_TRY(const os::Fd fd, os::open_file(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  ::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
  std::vector<char> piece(1 << 20);
  while (true) {
    const ssize_t n = ::read(fd.get(), piece.data(), piece.size());
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n < 0) {
      return Error::from_errno(errno, "read " + path);
    }
    if (n == 0) {
      return ok();
    }
    digest.add(piece.data(), static_cast<std::size_t>(n));
    bytes += static_cast<std::uint64_t>(n);
  }
}

enum class Depth { names, contents };

// Calls itself for folders; a tree is as deep as a path may be long.
Result<void> walk(const std::string& folder, Depth depth, Sha256& digest, std::uint64_t& bytes) {
  std::vector<std::string> names = os::list_folder(folder);
  std::sort(names.begin(), names.end());
  digest.add("folder " + std::to_string(names.size()) + "\n");
  for (const std::string& name : names) {
    const std::string path = folder + "/" + name;
    struct stat status {};
    if (::lstat(path.c_str(), &status) != 0) {
      return Error::from_errno(errno, "look at " + path);
    }
    std::string entry = name;
    entry += '\0';
    entry += std::to_string(status.st_mode) + " " + std::to_string(status.st_uid) + " " +
             std::to_string(status.st_gid) + " " + std::to_string(status.st_rdev);
    const bool is_file = S_ISREG(status.st_mode);
    entry += is_file ? " " + std::to_string(status.st_size) : "";
    if (depth == Depth::names) {
      entry += " " + std::to_string(status.st_ino) + " " + std::to_string(status.st_mtim.tv_sec) +
               "." + std::to_string(status.st_mtim.tv_nsec) + " " +
               std::to_string(status.st_ctim.tv_sec) + "." + std::to_string(status.st_ctim.tv_nsec);
    }
    digest.add(entry + "\n");
    if (S_ISDIR(status.st_mode)) {
      THAW_TRY_VOID(walk(path, depth, digest, bytes));
    } else if (S_ISLNK(status.st_mode)) {
      std::string target(static_cast<std::size_t>(status.st_size) + 1, '\0');
      const ssize_t n = ::readlink(path.c_str(), target.data(), target.size());
      target.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
      digest.add(target);
    } else if (is_file && depth == Depth::contents) {
      THAW_TRY_VOID(add_file(path, digest, bytes));
    }
  }
  return ok();
}

}  // namespace

Result<FolderDigest> digest_of(const std::string& folder) {
  Sha256 digest;
  FolderDigest found;
  THAW_TRY_VOID(walk(folder, Depth::contents, digest, found.bytes));
  found.sha256_hex = digest.hex();
  return found;
}

Result<std::string> signature_of(const std::string& folder) {
  Sha256 digest;
  std::uint64_t bytes = 0;
  THAW_TRY_VOID(walk(folder, Depth::names, digest, bytes));
  return digest.hex();
}

}  // namespace thaw::snapshot
