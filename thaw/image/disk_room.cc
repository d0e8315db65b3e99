// SPDX-License-Identifier: Apache-2.0
#include "thaw/image/disk_room.h"

#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <string>

namespace thaw::image {

namespace {

constexpr std::uint64_t reserve_bytes = std::uint64_t{1} << 30;

}  // namespace

Result<void> check_room(const DiskSpace& disk, std::uint64_t more) {
  const std::uint64_t reserve = std::min(reserve_bytes, disk.bytes / 20);
  const bool has_bytes = disk.free_bytes >= reserve && disk.free_bytes - reserve >= more;
  const bool has_files = disk.files == 0 || disk.free_files >= disk.files / 50;
  if (has_bytes && has_files) {
    return ok();
  }
  const std::string wanted =
      more == 0 ? "" : "for " + std::to_string((more >> 20) + 1) + " MiB more ";
  return Error::resource_exhausted(
      "the disk of the image cache has no room " + wanted +
      "but what is kept for others on it: " + std::to_string(disk.free_bytes >> 20) + " MiB and " +
      std::to_string(disk.free_files) + " files are free");
}

Result<void> check_room(const os::Fd& file, std::uint64_t more) {
  struct statvfs disk {};
  if (::fstatvfs(file.get(), &disk) != 0) {
    return Error::from_errno(errno, "look at the disk of the image cache");
  }
  DiskSpace space;
  space.bytes = std::uint64_t{disk.f_blocks} * disk.f_frsize;
  space.free_bytes = std::uint64_t{disk.f_bavail} * disk.f_frsize;
  space.files = disk.f_files;
  space.free_files = disk.f_favail;
  return check_room(space, more);
}

}  // namespace thaw::image
