// SPDX-License-Identifier: Apache-2.0
#include "thaw/store/detail/blob_names.h"

#include <unistd.h>

#include <cerrno>
#include <utility>

#include "thaw/store/detail/files.h"

namespace thaw::store::detail {

std::string BlobNames::path_of(const std::string& name) const {
  return folder_ + "/" + name.substr(0, 2) + "/" + name.substr(2);
}

BlobNames::Arrival::Arrival(BlobNames& names, std::string name)
    : names_(&names), name_(std::move(name)) {
  const std::lock_guard held(names.mutex_);
  names.condemned_.erase(name_);
  ++names.arriving_[name_];
}

BlobNames::Arrival::Arrival(Arrival&& other) noexcept
    : names_(std::exchange(other.names_, nullptr)), name_(std::move(other.name_)) {}

BlobNames::Arrival& BlobNames::Arrival::operator=(Arrival&& other) noexcept {
  std::swap(names_, other.names_);
  std::swap(name_, other.name_);
  return *this;
}

BlobNames::Arrival::~Arrival() {
  if (names_ != nullptr) {
    const std::lock_guard held(names_->mutex_);
    if (--names_->arriving_[name_] == 0) {
      names_->arriving_.erase(name_);
    }
  }
}

bool BlobNames::condemn(const std::string& name) {
  const std::lock_guard held(mutex_);
  return !arriving_.contains(name) && condemned_.insert(name).second;
}

Result<void> BlobNames::remove_condemned(const std::string& name) {
  std::string gone;
  {
    const std::lock_guard held(mutex_);
    if (condemned_.erase(name) == 0) {
      return ok();
    }
    // Only its name goes under the lock: giving back the bytes of a large file takes a while.
    gone = folder_ + "/tmp/gone-" + std::to_string(++removals_);
    if (::rename(path_of(name).c_str(), gone.c_str()) != 0) {
      return errno == ENOENT ? ok()
                             : Result<void>(Error::from_errno(errno, "cannot remove a blob"));
    }
  }
  if (::unlink(gone.c_str()) != 0) {
    return Error::from_errno(errno, "cannot remove a blob");
  }
  return ok();
}

Result<void> BlobNames::place(const std::string& draft, const std::string& name) {
  const std::string shelf = folder_ + "/" + name.substr(0, 2);
  THAW_TRY([[maybe_unused]] const bool made, make_folder(shelf));
  // Over a blob of that name if there is one: the new file is known to be right.
  THAW_TRY_VOID(rename_file(draft, path_of(name)));
  return sync_folder(shelf);
}

}  // namespace thaw::store::detail
