// SPDX-License-Identifier: Apache-2.0
//
// Small whole files and folders: /proc, /sys and cgroup knobs, state files, private folders. All
// calls block shortly; removal of large trees belongs on a pool thread or in a child process.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "thaw/base/result.h"
#include "thaw/os/fd.h"

namespace thaw::os {

// open(2) with O_CLOEXEC and a Result.
Result<Fd> open_file(const std::string& path, int flags, unsigned mode = 0);

Result<std::string> read_text(const std::string& path);
// One write(2) into an existing file, as kernel knobs want it.
Result<void> write_text(const std::string& path, std::string_view text);
// Creates or truncates.
Result<void> create_text(const std::string& path, std::string_view text, unsigned mode = 0644);

// mkdir -p.
Result<void> make_folders(const std::string& path, unsigned mode = 0755);
bool exists(const std::string& path);
// Names in the folder without "." and ".."; empty if it cannot be read.
std::vector<std::string> list_folder(const std::string& path);
// rm -rf of a tree of any depth, that never follows a symbolic link and never enters a mount. What
// cannot be removed (it is immutable, a mount point, on a broken disk) stays, with the folders that
// lead to it; all else goes, and the error names the first that stayed. A missing path is fine.
Result<void> remove_tree(const std::string& path);

}  // namespace thaw::os
