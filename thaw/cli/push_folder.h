// SPDX-License-Identifier: Apache-2.0
//
// The folder that `thaw push` sends: its files with their digests, its Dockerfile, and what of it
// is left out and why. No link is followed out of the folder; pipes, sockets and devices are left
// out. Blocks while it reads.
#pragma once

#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

#include "thaw/base/result.h"
#include "thaw/cli/ignore_rules.h"

namespace thaw::cli {

struct FolderLimits {
  std::size_t files = 50'000;
  std::uint64_t bytes = 64ull << 30;
};

struct FolderFile {
  std::string path;    // in the folder: "/src/app.py"
  std::string source;  // on this machine
  std::string sha256;  // hex
  std::uint64_t size = 0;
  unsigned mode = 0644;
};

struct FolderContents {
  std::vector<FolderFile> files;   // by path
  std::vector<std::string> notes;  // sentences about what was left out; bounded
};

// resource_exhausted past a limit, unavailable for what cannot be read; both name the file.
Result<FolderContents> read_folder(const std::string& folder, const IgnoreRules& rules,
                                   const FolderLimits& limits);

// The text of a small file. not_found if there is none.
Result<std::string> read_small_file(const std::string& path, std::size_t limit_bytes);

// The bytes of one of the files again, in pieces.
class SentFile {
 public:
  // `file` outlives it.
  explicit SentFile(const FolderFile& file);
  // As much as its size says. failed_precondition if it is shorter now.
  Result<std::string> next();

 private:
  const FolderFile& file_;
  std::uint64_t rest_;
  std::ifstream in_;
};

// The Dockerfile of `folder`, or `given` if that is not empty. Without one the error says what is
// missing, and what to do.
Result<std::string> find_dockerfile(const std::string& folder, const std::string& given);

}  // namespace thaw::cli
