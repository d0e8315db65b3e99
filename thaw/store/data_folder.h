// SPDX-License-Identifier: Apache-2.0
//
// DataFolder: the folder that one server owns while it runs, by a lock on DATA/lock (flock: gone
// with the process, also after kill -9).
#pragma once

#include <string>

#include "thaw/base/result.h"

namespace thaw::store {

class DataFolder {
 public:
  // failed_precondition naming the folder and the pid that holds it.
  static Result<DataFolder> claim(const std::string& path);
  DataFolder(DataFolder&&) noexcept;
  DataFolder& operator=(DataFolder&&) noexcept;
  ~DataFolder();
  const std::string& path() const { return path_; }

 private:
  DataFolder() = default;
  std::string path_;
  int lock_fd_ = -1;
};

}  // namespace thaw::store
