// SPDX-License-Identifier: Apache-2.0
#include "thaw/os/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <mutex>

namespace thaw::os {

namespace {

// One descriptor that is given up when there is no other, so that what is read or written in one
// go (a knob of the kernel, a record) works while peers hold all that a process may have.
class Spare {
 public:
  Spare() : fd_(::open("/dev/null", O_RDONLY | O_CLOEXEC)) {}

  template <class Work>
  auto lend(Work work) {
    const std::lock_guard lock(mutex_);
    if (::getpid() != owner_) {
      return work();  // a forked child: the number may be of something else by now
    }
    fd_.reset();
    auto outcome = work();
    fd_ = Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    return outcome;
  }

 private:
  const pid_t owner_ = ::getpid();
  std::mutex mutex_;
  Fd fd_;
};

Spare& spare() {
  static Spare one;
  return one;
}

// Made before it is needed.
[[maybe_unused]] const Spare& made_at_start = spare();

// Far beyond what is read at once; a device in its place would never end.
constexpr std::size_t most_text_bytes = 64u << 20;

bool is_out_of_descriptors(const Error& error) { return error.code() == Code::unavailable; }

Result<std::string> read_all(const std::string& path);
Result<void> write_once(const std::string& path, std::string_view text);

}  // namespace

Result<Fd> open_file(const std::string& path, int flags, unsigned mode) {
  Fd fd(::open(path.c_str(), flags | O_CLOEXEC, mode));
  if (!fd.valid()) {
    return Error::from_errno(errno, "open " + path);
  }
  return fd;
}

int open_resolved(int folder, const char* path, int flags, std::uint64_t resolve) {
  constexpr int most_tries = 1000;  // each fails only if something was renamed in its microseconds
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags | O_CLOEXEC);
  how.resolve = resolve;
  int fd = -1;
  int tries = 0;
  do {
    if (tries > 10) {
      ::sched_yield();
    }
    fd = static_cast<int>(::syscall(SYS_openat2, folder, path, &how, sizeof how));
  } while (fd < 0 && errno == EAGAIN && ++tries < most_tries);
  return fd;
}

Result<Fd> open_lock(const std::string& path) {
  Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600));
  const int failure = errno;
  struct stat status {};
  if (::lstat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
    return Error::failed_precondition(path +
                                      " is to be a file and is something else; move it away");
  }
  if (!fd.valid() && failure == EPERM) {
    return Error::failed_precondition(path + " cannot be opened even by root; is it immutable? " +
                                      "`chattr -i` lets it be written");
  }
  if (!fd.valid()) {
    return Error::from_errno(failure, "open " + path);
  }
  return fd;
}

Result<std::string> read_text(const std::string& path) {
  auto text = read_all(path);
  if (!text && is_out_of_descriptors(text.error())) {
    text = spare().lend([&] { return read_all(path); });
  }
  return text;
}

Result<void> write_text(const std::string& path, std::string_view text) {
  auto written = write_once(path, text);
  if (!written && is_out_of_descriptors(written.error())) {
    written = spare().lend([&] { return write_once(path, text); });
  }
  return written;
}

namespace {

Result<std::string> read_all(const std::string& path) {
  THAW_TRY(const Fd fd, open_file(path, O_RDONLY | O_NONBLOCK));
  std::string text;
  char piece[4096];
  while (true) {
    const ssize_t n = ::read(fd.get(), piece, sizeof piece);
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n < 0) {
      return Error::from_errno(errno, "read " + path);
    }
    if (n == 0) {
      return text;
    }
    text.append(piece, static_cast<std::size_t>(n));
    if (text.size() > most_text_bytes) {
      return Error::failed_precondition(path + " is larger than anything that is read whole");
    }
  }
}

Result<void> write_once(const std::string& path, std::string_view text) {
  THAW_TRY(const Fd fd, open_file(path, O_WRONLY));
  if (::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return Error::from_errno(errno, "write '" + std::string(text) + "' to " + path);
  }
  return ok();
}

}  // namespace

Result<void> create_text(const std::string& path, std::string_view text, unsigned mode) {
  THAW_TRY(const Fd fd,
           open_file(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK, mode));
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t n = ::write(fd.get(), text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n < 0) {
      return Error::from_errno(errno, "write " + path);
    }
    done += static_cast<std::size_t>(n);
  }
  return ok();
}

namespace {

Result<void> make_folder(const std::string& path, unsigned mode) {
  if (::mkdir(path.c_str(), mode) == 0) {
    return ok();
  }
  const int failure = errno;
  struct stat status {};
  if (::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode)) {
    return ok();
  }
  if (failure == EEXIST) {
    return Error::failed_precondition(path +
                                      " is to be a folder and is something else; move it away");
  }
  return Error::from_errno(failure, "make folder " + path);
}

}  // namespace

Result<void> make_folders(const std::string& path, unsigned mode) {
  for (std::size_t slash = path.find('/', 1); slash != std::string::npos;
       slash = path.find('/', slash + 1)) {
    THAW_TRY_VOID(make_folder(path.substr(0, slash), mode));
  }
  return make_folder(path, mode);
}

Result<void> make_own_folder(const std::string& path, unsigned mode) {
  THAW_TRY_VOID(make_folders(path, mode));
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0 || !S_ISDIR(status.st_mode)) {
    return Error::failed_precondition(path + " is a link, and what is in it is removed at times; " +
                                      "remove the link");
  }
  return ok();
}

bool exists(const std::string& path) {
  struct stat status;
  return ::lstat(path.c_str(), &status) == 0;
}

namespace {

struct Folder {
  explicit Folder(int fd) : stream(::fdopendir(fd)) {
    if (stream == nullptr) {
      ::close(fd);
    }
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() {
    if (stream != nullptr) {
      ::closedir(stream);
    }
  }
  // The next name that is not "." or ".."; nullptr at the end.
  const char* next() {
    while (stream != nullptr) {
      const dirent* entry = ::readdir(stream);
      if (entry == nullptr) {
        return nullptr;
      }
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") {
        return entry->d_name;
      }
    }
    return nullptr;
  }
  DIR* stream;
};

}  // namespace

std::vector<std::string> list_folder(const std::string& path) {
  std::vector<std::string> names;
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) {
    return names;
  }
  Folder folder(fd);
  while (const char* name = folder.next()) {
    names.emplace_back(name);
  }
  return names;
}

}  // namespace thaw::os
