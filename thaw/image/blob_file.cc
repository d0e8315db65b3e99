// SPDX-License-Identifier: Apache-2.0
#include "thaw/image/blob_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "thaw/image/disk_room.h"
#include "thaw/os/files.h"

namespace thaw::image {

Result<std::shared_ptr<BlobFile>> BlobFile::create(const std::string& path, Descriptor expected) {
  THAW_TRY(os::Fd file, os::open_file(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
  THAW_TRY_VOID(check_room(file, expected.size));
  return std::make_shared<BlobFile>(std::move(file), std::move(expected));
}

bool BlobFile::fail(Error error) {
  failure_ = std::move(error);
  return false;
}

bool BlobFile::start_over() {
  if (::ftruncate(file_.get(), 0) != 0 || ::lseek(file_.get(), 0, SEEK_SET) != 0) {
    return fail(Error::from_errno(errno, "fetch a layer anew"));
  }
  size_ = 0;
  digest_ = std::make_unique<codec::Sha256>();
  return true;
}

bool BlobFile::begin(int status, const net::Headers& headers) {
  if (status == 206) {
    const std::string wanted = "bytes " + std::to_string(size_) + "-";
    const auto range = headers.find("content-range");
    // Another part than the one that was asked for: it is asked for as a whole then.
    return (range && range->starts_with(wanted)) || (start_over() && false);
  }
  return size_ == 0 || start_over();
}

bool BlobFile::take(std::string_view piece) {
  if (failure_) {
    return false;
  }
  if (piece.size() > expected_.size - size_) {
    return fail(Error(Code::data_loss, "more than its " + std::to_string(expected_.size) +
                                           " bytes came for " + expected_.digest));
  }
  // Others write to the disk meanwhile.
  if (size_ / look_bytes != (size_ + piece.size()) / look_bytes) {
    if (const auto room = check_room(file_); !room) {
      return fail(room.error());
    }
  }
  digest_->update(piece);
  size_ += piece.size();
  while (!piece.empty()) {
    const ssize_t count = ::write(file_.get(), piece.data(), piece.size());
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count <= 0) {
      return fail(Error::from_errno(count == 0 ? ENOSPC : errno, "write what was fetched"));
    }
    piece.remove_prefix(static_cast<std::size_t>(count));
  }
  return true;
}

Result<void> BlobFile::check() {
  const std::string found =
      "sha256:" + std::exchange(digest_, std::make_unique<codec::Sha256>())->hex();
  if (found == expected_.digest) {
    return ok();
  }
  return Error(Code::data_loss, "what came for " + expected_.digest + " is " + found +
                                    ": the registry, or what is between, is broken or lies");
}

}  // namespace thaw::image
