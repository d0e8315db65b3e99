// SPDX-License-Identifier: Apache-2.0
//
// The folder of one run of a program that this server brings along. Whoever runs it holds the
// folder's lock file, so that folders of servers that were killed are told from those in use.
// Blocks; for threads of a pool.
#pragma once

#include <string>
#include <utility>

#include "thaw/base/result.h"

namespace thaw::dialect::modal {

class ProgramFolder {
 public:
  // Made anew below `folder`, which is made if missing; those of the dead go.
  static Result<ProgramFolder> make(const std::string& folder, const std::string& name);
  // Removes those of the dead; none is fine.
  static void sweep(const std::string& folder);

  ProgramFolder(ProgramFolder&& other) noexcept
      : path_(std::exchange(other.path_, "")), lock_(std::exchange(other.lock_, -1)) {}
  ProgramFolder& operator=(ProgramFolder&&) = delete;
  ~ProgramFolder();

  const std::string& path() const { return path_; }

 private:
  ProgramFolder() = default;

  std::string path_;
  int lock_ = -1;
};

}  // namespace thaw::dialect::modal
