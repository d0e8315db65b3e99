// SPDX-License-Identifier: Apache-2.0
//
// Small whole files and folders: /proc, /sys and cgroup knobs, state files, private folders. All
// calls block shortly; removal of large trees belongs on a pool thread or in a child process.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "thaw/base/result.h"
#include "thaw/os/fd.h"

namespace thaw::os {

// open(2) with O_CLOEXEC and a Result.
Result<Fd> open_file(const std::string& path, int flags, unsigned mode = 0);

// openat2(2) with O_CLOEXEC and RESOLVE_ flags; -1 and errno. With RESOLVE_IN_ROOT or _BENEATH the
// kernel gives EAGAIN for a path with ".." while anything on the machine is renamed or mounted:
// that is tried again, up to a bound, since who fills the machine with renames must not hold up
// others.
int open_resolved(int folder, const char* path, int flags, std::uint64_t resolve);

// A file for flock(2), made if it is missing. What is something else (a folder, a pipe, a link) is
// neither waited for nor followed: failed_precondition says to move it away.
Result<Fd> open_lock(const std::string& path);

// The whole of a file that is small. A pipe that nobody writes into is empty.
Result<std::string> read_text(const std::string& path);
// One write(2) into an existing file, as kernel knobs want it.
Result<void> write_text(const std::string& path, std::string_view text);
// Creates or truncates.
Result<void> create_text(const std::string& path, std::string_view text, unsigned mode = 0644);

// mkdir -p. failed_precondition names what is in the way and is no folder.
Result<void> make_folders(const std::string& path, unsigned mode = 0755);
// The same for a folder whose contents its owner removes: it is there itself, and no link to it.
Result<void> make_own_folder(const std::string& path, unsigned mode = 0755);
bool exists(const std::string& path);
// Names in the folder without "." and ".."; empty if it cannot be read.
std::vector<std::string> list_folder(const std::string& path);
// rm -rf of a tree of any depth, that never follows a symbolic link and never enters a mount. What
// cannot be removed (it is immutable, a mount point, on a broken disk) stays, with the folders that
// lead to it; all else goes, and the error names the first that stayed. A missing path is fine.
Result<void> remove_tree(const std::string& path);

}  // namespace thaw::os
