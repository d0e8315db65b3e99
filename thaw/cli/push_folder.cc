// SPDX-License-Identifier: Apache-2.0
#include "thaw/cli/push_folder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <functional>
#include <utility>

#include "thaw/cli/push_guess.h"
#include "thaw/codec/sha256.h"

namespace thaw::cli {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t most_notes = 20;
// Of a folder that is only looked at.
constexpr std::size_t most_names = 10'000;
// Of folders in folders: names are at most 4096 bytes long for the kernel.
constexpr int most_depth = 200;
constexpr std::size_t piece_bytes = 256u << 10;

class OpenFile {
 public:
  // A pipe that takes the place of a file is not waited for.
  explicit OpenFile(const std::string& path)
      : number_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {}
  ~OpenFile() {
    if (number_ >= 0) {
      ::close(number_);
    }
  }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  int number() const { return number_; }

 private:
  int number_;
};

Error cannot_read(const std::string& path) {
  return Error::unavailable("cannot read " + path + ": " + std::strerror(errno) +
                            "; make it readable, or name it in .dockerignore");
}

// Gives the file's bytes in pieces, at most `limit` of them.
Result<std::uint64_t> read_bytes(const std::string& path, std::uint64_t limit,
                                 const std::function<void(std::string_view)>& take) {
  const OpenFile file(path);
  struct stat status {};
  if (file.number() < 0 || ::fstat(file.number(), &status) != 0) {
    return cannot_read(path);
  }
  if (!S_ISREG(status.st_mode)) {
    return Error::failed_precondition(path + " is no file");
  }
  std::array<char, piece_bytes> buffer;
  std::uint64_t count = 0;
  while (true) {
    const ssize_t got = ::read(file.number(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      return cannot_read(path);
    }
    if (got == 0) {
      return count;
    }
    count += static_cast<std::uint64_t>(got);
    if (count > limit) {
      return Error::resource_exhausted(path + " has more than " + std::to_string(limit) + " bytes");
    }
    take({buffer.data(), static_cast<std::size_t>(got)});
  }
}

class Walk {
 public:
  Walk(std::string folder, const IgnoreRules& rules, const FolderLimits& limits)
      : folder_(std::move(folder)), rules_(rules), limits_(limits) {}

  Result<FolderContents> run() {
    THAW_TRY_VOID(enter("", 0));
    std::sort(contents_.files.begin(), contents_.files.end(),
              [](const auto& a, const auto& b) { return a.path < b.path; });
    return std::move(contents_);
  }

 private:
  // `inside`: "" or "src/lib".
  Result<void> enter(const std::string& inside, int depth) {
    const std::string path = inside.empty() ? folder_ : folder_ + "/" + inside;
    if (depth > most_depth) {
      return Error::resource_exhausted(path + " lies deeper than " + std::to_string(most_depth) +
                                       " folders; name it in .dockerignore");
    }
    std::error_code error;
    for (fs::directory_iterator entry(path, error); !error && entry != fs::directory_iterator();
         entry.increment(error)) {
      if (++seen_ > 10 * limits_.files) {
        return too_many();
      }
      const std::string name = entry->path().filename().string();
      THAW_TRY_VOID(look_at(inside.empty() ? name : inside + "/" + name, depth));
    }
    if (error) {
      return Error::unavailable("cannot read the folder " + path + ": " + error.message() +
                                "; make it readable, or name it in .dockerignore");
    }
    return ok();
  }

  Result<void> look_at(const std::string& inside, int depth) {
    const std::string path = folder_ + "/" + inside;
    const bool ignored = rules_.ignores(inside);
    std::error_code error;
    const fs::file_type type = fs::symlink_status(path, error).type();
    if (type == fs::file_type::directory) {
      return ignored && !rules_.takes_some_back() ? ok() : enter(inside, depth + 1);
    }
    if (ignored || type == fs::file_type::not_found) {
      return ok();
    }
    if (type == fs::file_type::symlink) {
      return look_at_link(inside);
    }
    if (type != fs::file_type::regular) {
      note(inside + " is no file (a pipe, a socket or a device) and is left out");
      return ok();
    }
    return add(inside, path);
  }

  Result<void> look_at_link(const std::string& inside) {
    std::error_code error;
    const fs::path aim = fs::canonical(folder_ + "/" + inside, error);
    if (error) {
      note(inside + " is a link to nothing and is left out");
    } else if (!aim.string().starts_with(folder_ == "/" ? folder_ : folder_ + "/")) {
      note(inside + " is a link out of the folder and is left out");
    } else if (!fs::is_regular_file(aim, error)) {
      note(inside + " is a link to a folder and is left out; make it in the Dockerfile");
    } else {
      return add(inside, aim.string());
    }
    return ok();
  }

  Result<void> add(const std::string& inside, const std::string& source) {
    if (contents_.files.size() >= limits_.files) {
      return too_many();
    }
    FolderFile file;
    file.path = "/" + inside;
    file.source = source;
    struct stat status {};
    if (::stat(source.c_str(), &status) != 0) {
      return cannot_read(source);
    }
    file.mode = status.st_mode & 0777;
    codec::Sha256 digest;
    const auto take = [&digest](std::string_view bytes) { digest.update(bytes); };
    const Result<std::uint64_t> size = read_bytes(source, limits_.bytes - bytes_, take);
    if (!size && size.error().code() == Code::resource_exhausted) {
      return Error::resource_exhausted(
          folder_ + " has more than " + std::to_string(limits_.bytes) +
          " bytes; name what the image does not need in .dockerignore");
    }
    THAW_TRY(file.size, size);
    file.sha256 = digest.hex();
    bytes_ += file.size;
    contents_.files.push_back(std::move(file));
    return ok();
  }

  Error too_many() const {
    return Error::resource_exhausted(folder_ + " has more than " + std::to_string(limits_.files) +
                                     " files; name what the image does not need in .dockerignore");
  }

  void note(std::string sentence) {
    if (contents_.notes.size() < most_notes) {
      contents_.notes.push_back(std::move(sentence));
    } else if (contents_.notes.size() == most_notes) {
      contents_.notes.push_back("more is left out for such reasons");
    }
  }

  std::string folder_;
  const IgnoreRules& rules_;
  const FolderLimits& limits_;
  FolderContents contents_;
  std::size_t seen_ = 0;
  std::uint64_t bytes_ = 0;
};

}  // namespace

Result<FolderContents> read_folder(const std::string& folder, const IgnoreRules& rules,
                                   const FolderLimits& limits) {
  std::error_code error;
  const fs::path whole = fs::canonical(folder, error);
  if (error || !fs::is_directory(whole, error)) {
    return Error::not_found("there is no folder " + folder);
  }
  return Walk(whole.string(), rules, limits).run();
}

Result<std::string> read_small_file(const std::string& path, std::size_t limit_bytes) {
  std::error_code error;
  if (!fs::exists(path, error)) {
    return Error::not_found("there is no file " + path);
  }
  std::string text;
  const auto take = [&text](std::string_view bytes) { text += bytes; };
  THAW_TRY([[maybe_unused]] const std::uint64_t count, read_bytes(path, limit_bytes, take));
  return text;
}

SentFile::SentFile(const FolderFile& file)
    : file_(file), rest_(file.size), in_(file.source, std::ios::in | std::ios::binary) {}

Result<std::string> SentFile::next() {
  std::string piece(std::min<std::uint64_t>(rest_, piece_bytes), '\0');
  in_.read(piece.data(), static_cast<std::streamsize>(piece.size()));
  piece.resize(static_cast<std::size_t>(in_.gcount()));
  if (piece.empty()) {
    return Error::failed_precondition(file_.source + " changes while it is pushed; push again");
  }
  rest_ -= piece.size();
  return piece;
}

Result<std::string> find_dockerfile(const std::string& folder, const std::string& given) {
  const auto is_file = [](const std::string& path) {
    std::error_code error;
    return fs::is_regular_file(path, error);
  };
  std::error_code error;
  if (!fs::is_directory(folder, error)) {
    return Error::not_found("there is no folder " + folder);
  }
  std::string path = given.empty() ? folder + "/Dockerfile" : given;
  if (is_file(path)) {
    return path;
  }
  if (!given.empty()) {
    return Error::not_found("there is no Dockerfile " + given);
  }
  std::vector<std::string> names;
  for (fs::directory_iterator entry(folder, error);
       !error && entry != fs::directory_iterator() && names.size() < most_names;
       entry.increment(error)) {
    names.push_back(entry->path().filename().string());
  }
  return Error::not_found(folder + " " + why_no_dockerfile(names));
}

}  // namespace thaw::cli
