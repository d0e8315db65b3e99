// SPDX-License-Identifier: Apache-2.0
//
// What reads and changes files inside a sandbox for clients of the Modal dialect: run there with
// one JSON command as its argument ({"Stat": {"path": "/etc/passwd"}}), it works on its own root as
// its own user. What it reads goes to its output, what it writes comes by its input, and what
// failed is one JSON object on its error output. Static, so that it runs in any image.
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace {

using Json = nlohmann::ordered_json;

// Names of files are bytes; what is no UTF-8 is told with a substitute.
std::string text_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

struct Failure {
  std::string kind;
  std::string message;
};

[[noreturn]] void fail(const std::string& kind, const std::string& message) {
  throw Failure{kind, message};
}

[[noreturn]] void fail_by_errno(const std::string& what) {
  const int number = errno;
  const char* kind = "Other";
  switch (number) {
    case ENOENT: kind = "NotFound"; break;
    case ENOTDIR: kind = "NotDirectory"; break;
    case EISDIR: kind = "IsDirectory"; break;
    case EACCES:
    case EPERM:
    case EROFS: kind = "PermissionDenied"; break;
    case EEXIST: kind = "PathAlreadyExists"; break;
    case ENOTEMPTY: kind = "DirectoryNotEmpty"; break;
    case EBUSY:
    case EOPNOTSUPP: kind = "NotSupported"; break;
    default: break;
  }
  fail(kind, what + ": " + std::strerror(number));
}

std::string name_in(const char* list, unsigned id) {
  std::ifstream lines(list);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) {
      continue;
    }
    const std::size_t third = std::min(line.find(':', second + 1), line.size());
    if (line.substr(second + 1, third - second - 1) == std::to_string(id)) {
      return line.substr(0, first);
    }
  }
  return std::to_string(id);
}

std::string permissions_of(mode_t mode) {
  std::string text;
  for (int shift = 6; shift >= 0; shift -= 3) {
    text += (mode >> shift & 4) != 0 ? 'r' : '-';
    text += (mode >> shift & 2) != 0 ? 'w' : '-';
    text += (mode >> shift & 1) != 0 ? 'x' : '-';
  }
  return text;
}

Json describe(const std::string& path, const std::string& name) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) {
    fail_by_errno("cannot look at the path");
  }
  Json entry = {{"name", name},
                {"path", path},
                {"type", S_ISDIR(status.st_mode)   ? "directory"
                         : S_ISLNK(status.st_mode) ? "symlink"
                                                   : "file"},
                {"size", status.st_size},
                {"mode", status.st_mode & 07777},
                {"permissions", permissions_of(status.st_mode)},
                {"owner", name_in("/etc/passwd", status.st_uid)},
                {"group", name_in("/etc/group", status.st_gid)},
                {"modified_time", static_cast<double>(status.st_mtim.tv_sec) +
                                      static_cast<double>(status.st_mtim.tv_nsec) / 1e9},
                {"symlink_target", nullptr}};
  if (S_ISLNK(status.st_mode)) {
    std::string target(4096, '\0');
    const ssize_t size = ::readlink(path.c_str(), target.data(), target.size());
    target.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
    entry["symlink_target"] = target;
  }
  return entry;
}

std::string trimmed(std::string path) {
  while (path.size() > 1 && path.back() == '/') {
    path.pop_back();
  }
  return path;
}

std::string name_of(const std::string& path) {
  const std::string clean = trimmed(path);
  return clean == "/" ? clean : clean.substr(clean.rfind('/') + 1);
}

std::string below(const std::string& folder, const std::string& name) {
  return folder == "/" ? "/" + name : folder + "/" + name;
}

std::vector<std::string> names_in(const std::string& folder) {
  DIR* const opened = ::opendir(folder.c_str());
  if (opened == nullptr) {
    fail_by_errno("cannot read the folder");
  }
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(opened)) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") {
      names.push_back(name);
    }
  }
  ::closedir(opened);
  std::sort(names.begin(), names.end());
  return names;
}

void put_out(const char* bytes, std::size_t size) {
  while (size > 0) {
    const ssize_t done = ::write(1, bytes, size);
    if (done < 0 && errno != EINTR) {
      _exit(1);  // nobody reads it
    }
    if (done > 0) {
      bytes += done;
      size -= static_cast<std::size_t>(done);
    }
  }
}

void list_files(const std::string& path) {
  const std::string folder = trimmed(path);
  Json entries = Json::array();
  for (const std::string& name : names_in(folder)) {
    entries.push_back(describe(below(folder, name), name));
  }
  const std::string text = text_of(entries);
  put_out(text.data(), text.size());
}

void read_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat status {};
  if (fd < 0 || ::fstat(fd, &status) != 0) {
    fail_by_errno("cannot open the file");
  }
  if (S_ISDIR(status.st_mode)) {
    fail("IsDirectory", "the path is a folder");
  }
  std::vector<char> piece(256 * 1024);
  while (true) {
    const ssize_t size = ::read(fd, piece.data(), piece.size());
    if (size < 0) {
      fail_by_errno("cannot read the file");
    }
    if (size == 0) {
      return;
    }
    put_out(piece.data(), static_cast<std::size_t>(size));
  }
}

void make_folders(const std::string& path) {
  for (std::size_t at = 1; at <= path.size(); ++at) {
    if (at < path.size() && path[at] != '/') {
      continue;
    }
    const std::string folder = path.substr(0, at);
    if (::mkdir(folder.c_str(), 0777) == 0) {
      continue;
    }
    const int failure = errno;
    struct stat status {};
    if (::stat(folder.c_str(), &status) == 0 && S_ISDIR(status.st_mode)) {
      continue;
    }
    errno = failure == EEXIST ? ENOTDIR : failure;
    fail_by_errno("cannot make the folder");
  }
}

void write_file(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash > 0 && slash != std::string::npos) {
    make_folders(path.substr(0, slash));
  }
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd < 0) {
    fail_by_errno("cannot write the file");
  }
  std::vector<char> piece(256 * 1024);
  while (true) {
    const ssize_t size = ::read(0, piece.data(), piece.size());
    if (size < 0) {
      fail_by_errno("cannot read what is to be written");
    }
    if (size == 0) {
      break;
    }
    for (ssize_t done = 0; done < size;) {
      const ssize_t written =
          ::write(fd, piece.data() + done, static_cast<std::size_t>(size - done));
      if (written < 0) {
        fail_by_errno("cannot write the file");
      }
      done += written;
    }
  }
  if (::close(fd) != 0) {
    fail_by_errno("cannot write the file");
  }
}

void remove_tree(const std::string& path) {
  for (const std::string& name : names_in(path)) {
    const std::string inner = below(path, name);
    struct stat status {};
    if (::lstat(inner.c_str(), &status) != 0) {
      continue;
    }
    if (S_ISDIR(status.st_mode)) {
      remove_tree(inner);
    } else if (::unlink(inner.c_str()) != 0 && errno != ENOENT) {
      fail_by_errno("cannot remove a file");
    }
  }
  if (::rmdir(path.c_str()) != 0) {
    fail_by_errno("cannot remove the folder");
  }
}

void remove_path(const std::string& path, bool recursive) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) {
    fail_by_errno("cannot remove the path");
  }
  if (S_ISDIR(status.st_mode) && recursive) {
    return remove_tree(trimmed(path));
  }
  const int failed = S_ISDIR(status.st_mode) ? ::rmdir(path.c_str()) : ::unlink(path.c_str());
  if (failed != 0) {
    fail_by_errno("cannot remove the path");
  }
}

void make_directory(const std::string& path, bool parents) {
  const std::string folder = trimmed(path);
  if (!parents) {
    if (::mkdir(folder.c_str(), 0777) != 0) {
      fail_by_errno("cannot make the folder");
    }
    return;
  }
  struct stat status {};
  if (::stat(folder.c_str(), &status) == 0 && !S_ISDIR(status.st_mode)) {
    fail("PathAlreadyExists", "the path is there, and is no folder");
  }
  make_folders(folder);
}

class Watcher {
 public:
  Watcher(bool recursive, std::vector<std::string> wanted)
      : fd_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)),
        recursive_(recursive),
        wanted_(std::move(wanted)) {
    if (fd_ < 0) {
      fail_by_errno("cannot watch");
    }
  }

  void add(const std::string& path) {
    const std::uint32_t mask = IN_CREATE | IN_MODIFY | IN_ATTRIB | IN_DELETE | IN_DELETE_SELF |
                               IN_MOVED_FROM | IN_MOVED_TO | IN_OPEN | IN_CLOSE_WRITE;
    const int watch = ::inotify_add_watch(fd_, path.c_str(), mask);
    if (watch < 0) {
      fail_by_errno("cannot watch the path");
    }
    paths_[watch] = path;
    struct stat status {};
    if (recursive_ && ::lstat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode)) {
      for (const std::string& name : names_in(path)) {
        const std::string inner = below(path, name);
        if (::lstat(inner.c_str(), &status) == 0 && S_ISDIR(status.st_mode)) {
          try_add(inner);
        }
      }
    }
  }

  // Until the input ends, or the time.
  void run(long seconds) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
    while (true) {
      int wait_ms = -1;
      if (seconds >= 0) {
        const auto left =
            std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
        if (left.count() <= 0) {
          return;
        }
        wait_ms = static_cast<int>(std::min<long>(left.count(), 3'600'000));
      }
      pollfd watched[2] = {{fd_, POLLIN, 0}, {0, POLLIN, 0}};
      if (::poll(watched, 2, wait_ms) <= 0) {
        continue;
      }
      char byte[256];
      if (watched[1].revents != 0 && ::read(0, byte, sizeof byte) <= 0) {
        return;
      }
      if (watched[0].revents != 0) {
        take_events();
      }
    }
  }

 private:
  // Of a folder that may be gone again.
  void try_add(const std::string& path) {
    try {
      add(path);
    } catch (const Failure&) {
    }
  }

  void take_events() {
    alignas(inotify_event) char bytes[64 * 1024];
    ssize_t size = 0;
    while ((size = ::read(fd_, bytes, sizeof bytes)) > 0) {
      for (char* at = bytes; at < bytes + size;) {
        const auto* event = reinterpret_cast<const inotify_event*>(at);
        at += sizeof(inotify_event) + event->len;
        take(*event);
      }
    }
    tell_moves();
  }

  void take(const inotify_event& event) {
    const auto folder = paths_.find(event.wd);
    if (folder == paths_.end()) {
      return;
    }
    const std::string path = event.len > 0 ? below(folder->second, event.name) : folder->second;
    if ((event.mask & IN_MOVED_FROM) != 0) {
      moved_from_[event.cookie] = path;
      return;
    }
    if ((event.mask & IN_MOVED_TO) != 0) {
      const auto from = moved_from_.find(event.cookie);
      if (from != moved_from_.end()) {
        tell("Rename", {from->second, path});
        moved_from_.erase(from);
      } else {
        tell("RenameTo", {path});
      }
    } else if ((event.mask & IN_CREATE) != 0) {
      tell("Create", {path});
    } else if ((event.mask & (IN_MODIFY | IN_ATTRIB)) != 0) {
      tell("Modify", {path});
    } else if ((event.mask & (IN_DELETE | IN_DELETE_SELF)) != 0) {
      tell("Remove", {path});
    } else if ((event.mask & (IN_OPEN | IN_CLOSE_WRITE)) != 0) {
      tell("Access", {path});
    }
    const bool is_new_folder =
        (event.mask & IN_ISDIR) != 0 && (event.mask & (IN_CREATE | IN_MOVED_TO)) != 0;
    if (recursive_ && is_new_folder) {
      try_add(path);
    }
  }

  void tell_moves() {
    for (const auto& [cookie, path] : moved_from_) {
      tell("RenameFrom", {path});
    }
    moved_from_.clear();
  }

  void tell(const std::string& type, const std::vector<std::string>& paths) {
    if (!wanted_.empty() && std::find(wanted_.begin(), wanted_.end(), type) == wanted_.end()) {
      return;
    }
    const std::string line = text_of(Json{{"event_type", type}, {"paths", paths}}) + "\n";
    put_out(line.data(), line.size());
  }

  int fd_;
  bool recursive_;
  std::vector<std::string> wanted_;
  std::map<int, std::string> paths_;
  std::map<std::uint32_t, std::string> moved_from_;
};

void watch(const Json& command, const std::string& path) {
  std::vector<std::string> wanted;
  if (command.contains("filter") && command["filter"].is_array()) {
    for (const Json& type : command["filter"]) {
      wanted.push_back(type.get<std::string>());
    }
    if (wanted.empty()) {
      wanted.emplace_back("(none)");
    }
  }
  const bool limited = command.contains("timeout_secs") && command["timeout_secs"].is_number();
  std::string resolved(4096, '\0');
  if (::realpath(path.c_str(), resolved.data()) == nullptr) {
    fail_by_errno("cannot watch the path");
  }
  resolved.resize(std::strlen(resolved.c_str()));
  Watcher watcher(command.value("recursive", false), std::move(wanted));
  watcher.add(resolved);
  watcher.run(limited ? command["timeout_secs"].get<long>() : -1);
}

void obey(const std::string& text) {
  const Json json = Json::parse(text);
  if (!json.is_object() || json.size() != 1) {
    fail("InvalidCommand", "a command is an object with one name");
  }
  const std::string name = json.begin().key();
  const Json& command = json.begin().value();
  const auto path = command.at("path").get<std::string>();
  if (path.empty() || path[0] != '/' || path.find('\0') != std::string::npos) {
    fail("InvalidCommand", "a path is absolute");
  }
  if (name == "ListFiles") {
    list_files(path);
  } else if (name == "ReadFile") {
    read_file(path);
  } else if (name == "WriteFile") {
    write_file(path);
  } else if (name == "Remove") {
    remove_path(path, command.value("recursive", false));
  } else if (name == "MakeDirectory") {
    make_directory(path, command.value("parents", false));
  } else if (name == "Stat") {
    const std::string entry = text_of(describe(path, name_of(path)));
    put_out(entry.data(), entry.size());
  } else if (name == "Watch") {
    watch(command, path);
  } else {
    fail("InvalidCommand", "there is no command " + name);
  }
}

}  // namespace

int main(int argc, char** argv) {
  Failure failure;
  try {
    if (argc != 2) {
      fail("InvalidCommand", "one command, as JSON");
    }
    obey(argv[1]);
    return 0;
  } catch (const Failure& error) {
    failure = error;
  } catch (const std::exception& error) {
    failure = {"InvalidCommand", error.what()};
  }
  std::fprintf(stderr, "%s\n",
               text_of(Json{{"error_kind", failure.kind}, {"message", failure.message}}).c_str());
  return 1;
}
