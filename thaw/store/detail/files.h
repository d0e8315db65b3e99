// SPDX-License-Identifier: Apache-2.0
//
// The few file operations on which durability rests, each with an Error that names the file: a
// name is on disk only once its folder is synced, a file only once it is synced itself. Any thread;
// all of them block.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "thaw/base/result.h"
#include "thaw/os/fd.h"

namespace thaw::store::detail {

Result<os::Fd> open_file(const std::string& path, int flags, mode_t mode);
Result<void> write_all(int fd, std::string_view bytes, const std::string& path);
// Up to `max_bytes`; fewer only at the end of the file.
Result<std::string> read_some(int fd, std::size_t max_bytes, const std::string& path);
Result<std::uint64_t> size_of(int fd, const std::string& path);
Result<void> sync_file(int fd, const std::string& path);
Result<void> sync_folder(const std::string& path);
Result<void> rename_file(const std::string& from, const std::string& to);
// Like mkdir -p with mode 0700; true if the last folder is new (and then its parent is synced).
Result<bool> make_folder(const std::string& path);
bool exists(const std::string& path);
std::string parent_of(const std::string& path);

}  // namespace thaw::store::detail
