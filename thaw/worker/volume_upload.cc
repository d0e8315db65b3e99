// SPDX-License-Identifier: Apache-2.0
#include "thaw/worker/volume_upload.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <unordered_map>

#include "thaw/codec/encoding.h"
#include "thaw/codec/ids.h"
#include "thaw/os/files.h"
#include "thaw/worker/volume_files.h"

namespace thaw::worker {

using os::Fd;

namespace {

constexpr std::size_t sha256_letters = 64;
constexpr int name_letters = 26;
constexpr int pieces_in_a_step = 500;

struct FreeDigest {
  void operator()(EVP_MD_CTX* context) const { ::EVP_MD_CTX_free(context); }
};

class StagedBlock final : public BlockWriter {
 public:
  StagedBlock(VolumeFolder volume, std::string name, std::uint64_t most_bytes)
      : volume_(std::move(volume)),
        name_(std::move(name)),
        draft_(staged_name("part")),
        most_bytes_(most_bytes),
        digest_(::EVP_MD_CTX_new()) {}
  ~StagedBlock() override {
    if (file_.valid()) {
      ::unlinkat(volume_.staging.get(), draft_.c_str(), 0);
    }
  }

  Result<void> begin() {
    file_ = Fd(::openat(volume_.staging.get(), draft_.c_str(),
                        O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!file_.valid()) {
      return Error::from_errno(errno, "cannot stage a block of the volume");
    }
    ::EVP_DigestInit_ex(digest_.get(), ::EVP_sha256(), nullptr);
    return ok();
  }

  Result<void> append(std::string_view piece) override {
    written_ += piece.size();
    if (written_ > most_bytes_) {
      return Error::out_of_range("the block is longer than the " + std::to_string(most_bytes_) +
                                 " bytes that were announced");
    }
    ::EVP_DigestUpdate(digest_.get(), piece.data(), piece.size());
    while (!piece.empty()) {
      const ssize_t n = ::write(file_.get(), piece.data(), piece.size());
      if (n < 0 && errno != EINTR) {
        return Error::from_errno(errno, "cannot write a block of the volume");
      }
      piece.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
    }
    return ok();
  }

  Result<void> finish() override {
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned int size = 0;
    ::EVP_DigestFinal_ex(digest_.get(), bytes, &size);
    const std::string found = codec::hex_encode({reinterpret_cast<const char*>(bytes), size});
    if (!name_.starts_with(found)) {
      return Error::invalid_argument("the block's bytes have the SHA-256 " + found + ", not " +
                                     name_.substr(0, sha256_letters));
    }
    if (::renameat(volume_.staging.get(), draft_.c_str(), volume_.staging.get(), name_.c_str()) !=
        0) {
      return Error::from_errno(errno, "cannot stage a block of the volume");
    }
    file_.reset();
    return ok();
  }

 private:
  VolumeFolder volume_;
  std::string name_;
  std::string draft_;
  std::uint64_t most_bytes_;
  std::uint64_t written_ = 0;
  Fd file_;
  std::unique_ptr<EVP_MD_CTX, FreeDigest> digest_;
};

}  // namespace

std::string new_block_name(const std::string& sha256_hex) {
  return sha256_hex + "." + codec::random_lower(name_letters);
}

bool is_block_name(std::string_view name, std::string_view sha256_hex) {
  const auto harmless = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z'); };
  return sha256_hex.size() == sha256_letters && name.starts_with(sha256_hex) &&
         name.size() == sha256_letters + 1 + name_letters && name[sha256_letters] == '.' &&
         std::all_of(name.begin() + sha256_letters + 1, name.end(), harmless);
}

Result<std::unique_ptr<BlockWriter>> BlockWriter::create(VolumeFolder volume, std::string name,
                                                         std::uint64_t most_bytes) {
  auto writer = std::make_unique<StagedBlock>(std::move(volume), std::move(name), most_bytes);
  THAW_TRY_VOID(writer->begin());
  return std::unique_ptr<BlockWriter>(std::move(writer));
}

Result<void> check_targets(const VolumeFolder& volume, std::span<const UploadedFile> files,
                           Existing existing) {
  for (const UploadedFile& file : files) {
    const auto place = place_in_volume(volume.files, file.path, MissingParents::fail);
    struct stat status;
    if (!place && place.error().code() != Code::not_found) {
      return place.error();
    }
    if (!place ||
        ::fstatat(place->parent.get(), place->name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      continue;
    }
    if (S_ISDIR(status.st_mode)) {
      return Error::failed_precondition("'" + file.path +
                                        "' is a folder of the volume; a file cannot replace it");
    }
    if (existing == Existing::refuse) {
      return Error::already_exists("'" + file.path +
                                   "' exists in the volume already; use force to overwrite it");
    }
  }
  return ok();
}

namespace {

class Assembly final : public StagedFiles {
 public:
  Assembly(VolumeFolder volume, std::vector<UploadedFile> files)
      : volume_(std::move(volume)), files_(std::move(files)) {
    for (const UploadedFile& file : files_) {
      for (const std::string& block : file.blocks) {
        ++uses_[block];
      }
    }
  }
  ~Assembly() override {
    for (const std::string& draft : drafts_) {
      if (!draft.empty()) {
        ::unlinkat(volume_.staging.get(), draft.c_str(), 0);
      }
    }
  }

  Result<Progress> assemble() override {
    std::uint64_t moved = 0;
    for (int pieces = 0; moved < copy_step_bytes && pieces < pieces_in_a_step; ++pieces) {
      if (copying_) {
        THAW_TRY(const Progress progress, copying_->step(draft_));
        moved += std::min(copying_->size(), copy_step_bytes);
        if (progress == Progress::done) {
          end_block();
        }
      } else if (draft_.valid() && block_ < files_[file_].blocks.size()) {
        THAW_TRY_VOID(begin_block(files_[file_]));
      } else if (draft_.valid()) {
        // The zeros that blocks leave out at their ends; what a wrong block had too much is cut.
        THAW_TRY_VOID(seal(draft_, files_[file_]));
        draft_.reset();
        ++file_;
      } else if (file_ < files_.size()) {
        THAW_TRY_VOID(begin_file(files_[file_]));
      } else {
        return Progress::done;
      }
    }
    return Progress::more;
  }

  Result<Progress> place(Existing existing) override {
    for (int pieces = 0; pieces < pieces_in_a_step; ++pieces, ++placed_) {
      if (placed_ == files_.size()) {
        return Progress::done;
      }
      THAW_TRY_VOID(place_one(files_[placed_], drafts_[placed_], existing));
    }
    return Progress::more;
  }

 private:
  Result<Fd> new_draft() {
    drafts_.push_back(staged_name("draft"));
    Fd fd(::openat(volume_.staging.get(), drafts_.back().c_str(),
                   O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    return fd.valid() ? Result<Fd>(std::move(fd))
                      : Error::from_errno(errno, "cannot make a file of the volume");
  }

  // The first block becomes the file where nothing else needs it, so that one block, which most
  // files are, is written once.
  Result<Fd> draft_from_first_block(const UploadedFile& file) {
    const std::string& first = file.blocks.empty() ? std::string() : file.blocks[0];
    if (first.empty() || uses_[first] > 1) {
      return new_draft();
    }
    const std::string name = staged_name("draft");
    if (::renameat(volume_.staging.get(), first.c_str(), volume_.staging.get(), name.c_str()) !=
        0) {
      return lost(first);
    }
    drafts_.push_back(name);
    uses_[first] = 0;
    Fd fd(::openat(volume_.staging.get(), name.c_str(), O_WRONLY | O_NOFOLLOW | O_CLOEXEC));
    return fd.valid() ? Result<Fd>(std::move(fd)) : lost(first);
  }

  static Error lost(const std::string& block) {
    return Error::failed_precondition("the uploaded block " + block.substr(0, sha256_letters) +
                                      " is no longer there; upload again");
  }

  Result<void> place_one(const UploadedFile& file, std::string& draft, Existing existing) {
    THAW_TRY(const Place target, place_in_volume(volume_.files, file.path, MissingParents::make));
    const unsigned flags = existing == Existing::refuse ? RENAME_NOREPLACE : 0;
    if (::renameat2(volume_.staging.get(), draft.c_str(), target.parent.get(), target.name.c_str(),
                    flags) != 0) {
      const int failure = errno;
      return failure == EISDIR
                 ? Error::failed_precondition("'" + file.path +
                                              "' is a folder of the volume; a file cannot "
                                              "replace it")
                 : Error::from_errno(failure, "cannot place '" + file.path + "' in the volume");
    }
    draft.clear();
    return ok();
  }

  Result<void> begin_file(const UploadedFile& file) {
    block_ = 0;
    if (file.host_file.empty()) {
      THAW_TRY(draft_, draft_from_first_block(file));
      return ok();
    }
    THAW_TRY(draft_, new_draft());
    THAW_TRY(Fd source, os::open_file(file.host_file, O_RDONLY));
    THAW_TRY(copying_, ByteCopy::begin(std::move(source), 0));
    return ok();
  }

  Result<void> begin_block(const UploadedFile& file) {
    const std::string& block = file.blocks[block_];
    if (block.empty() || uses_[block] == 0) {
      ++block_;
      return ok();
    }
    Fd source(::openat(volume_.staging.get(), block.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (!source.valid()) {
      return lost(block);
    }
    THAW_TRY(copying_, ByteCopy::begin(std::move(source), block_ * volume_block_size));
    return ok();
  }

  void end_block() {
    copying_.reset();
    const UploadedFile& file = files_[file_];
    if (!file.host_file.empty()) {
      return;
    }
    const std::string& block = file.blocks[block_++];
    if (--uses_[block] == 0) {
      ::unlinkat(volume_.staging.get(), block.c_str(), 0);
    }
  }

  static Result<void> seal(const Fd& draft, const UploadedFile& file) {
    const bool sized =
        !file.host_file.empty() || ::ftruncate(draft.get(), static_cast<off_t>(file.size)) == 0;
    if (!sized || ::fchmod(draft.get(), file.mode & 0777) != 0) {
      return Error::from_errno(errno, "cannot finish '" + file.path + "' of the volume");
    }
    return ok();
  }

  VolumeFolder volume_;
  std::vector<UploadedFile> files_;
  std::vector<std::string> drafts_;  // one for each file; empty once placed
  std::unordered_map<std::string, std::size_t> uses_;
  std::size_t file_ = 0;  // the one that is put together
  std::size_t block_ = 0;
  Fd draft_;
  std::optional<ByteCopy> copying_;
  std::size_t placed_ = 0;
};

}  // namespace

std::shared_ptr<StagedFiles> StagedFiles::begin(const VolumeFolder& volume,
                                                std::vector<UploadedFile> files) {
  VolumeFolder own;
  own.files = Fd(::fcntl(volume.files.get(), F_DUPFD_CLOEXEC, 3));
  own.staging = Fd(::fcntl(volume.staging.get(), F_DUPFD_CLOEXEC, 3));
  return std::make_shared<Assembly>(std::move(own), std::move(files));
}

}  // namespace thaw::worker
