// SPDX-License-Identifier: Apache-2.0
#include "thaw/store/detail/blob_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "thaw/store/detail/files.h"

namespace thaw::store::detail {

namespace {

// The message may reach a client; where the file is, is for the log.
Error not_its_name(const OpenBlob& blob) {
  return Error::data_loss("the blob " + blob.name +
                          " does not hold what its name says; upload it again")
      .with("file", blob.path);
}

}  // namespace

bool is_blob_name(std::string_view text) {
  return text.size() == 64 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

void BlobDraft::discard() {
  if (there.exchange(false)) {
    ::unlink(path.c_str());
  }
}

Result<void> append(BlobDraft& draft, std::string_view piece) {
  THAW_TRY_VOID(draft.state);
  if (Result<void> written = write_all(draft.file.get(), piece, draft.path); !written) {
    // On a disk that is full for a moment: as before it, so that it may come again.
    const auto end = static_cast<off_t>(draft.size);
    const bool may_come_again = written.error().code() == Code::resource_exhausted &&
                                ::ftruncate(draft.file.get(), end) == 0 &&
                                ::lseek(draft.file.get(), end, SEEK_SET) == end;
    draft.state = may_come_again ? ok() : written;
    return written;
  }
  draft.sha256.update(piece);
  if (draft.has_md5) {
    draft.md5.update(piece);
  }
  draft.size += piece.size();
  return ok();
}

Result<NewBlob> seal(BlobDraft& draft, BlobNames& names, const std::string& expected) {
  THAW_TRY_VOID(draft.state);
  draft.state = Error::failed_precondition("this blob is finished");
  StoredBlob blob{draft.sha256.finish(), draft.has_md5 ? draft.md5.finish() : "", draft.size};
  if (!expected.empty() && expected != blob.sha256_hex) {
    return Error::invalid_argument("the uploaded bytes have the SHA-256 " + blob.sha256_hex +
                                   ", not " + expected);
  }
  if (::fchmod(draft.file.get(), 0644) != 0) {
    return Error::from_errno(errno, "cannot chmod " + draft.path);
  }
  THAW_TRY_VOID(sync_file(draft.file.get(), draft.path));
  BlobNames::Arrival arrival(names, blob.sha256_hex);
  THAW_TRY_VOID(names.place(draft.path, blob.sha256_hex));
  draft.there = false;
  return NewBlob{std::move(blob), std::move(arrival)};
}

Result<NewBlob> put_whole(BlobDraft& draft, BlobNames& names, const std::string& bytes) {
  const std::string name = sha256_hex(bytes);
  BlobNames::Arrival arrival(names, name);
  if (exists(names.path_of(name)) && get_whole(name, names.path_of(name))) {
    draft.discard();
    Digest md5(Digest::Kind::md5);
    md5.update(bytes);
    return NewBlob{{name, md5.finish(), bytes.size()}, std::move(arrival)};
  }
  THAW_TRY_VOID(append(draft, bytes));
  return seal(draft, names, name);
}

Result<std::string> read_piece(OpenBlob& blob, std::size_t max_bytes) {
  THAW_TRY_VOID(blob.state);
  if (blob.position == blob.size && blob.size > 0) {
    return std::string();
  }
  const auto count =
      static_cast<std::size_t>(std::min<std::uint64_t>(max_bytes, blob.size - blob.position));
  THAW_TRY(std::string piece, read_some(blob.file.get(), count, blob.path));
  blob.sha256.update(piece);
  blob.position += piece.size();
  // The last piece is given out only once all of them are known to be right.
  if (piece.size() < count || (blob.position == blob.size && blob.sha256.finish() != blob.name)) {
    blob.state = not_its_name(blob);
    return blob.state.error();
  }
  if (blob.size == 0) {
    blob.size = blob.position = 1;  // an empty blob is checked once
  }
  return piece;
}

Result<std::shared_ptr<OpenBlob>> open_blob(const std::string& name, const std::string& path) {
  auto blob = std::make_shared<OpenBlob>();
  blob->name = name;
  blob->path = path;
  THAW_TRY(blob->file, open_file(path, O_RDONLY, 0));
  THAW_TRY(blob->size, size_of(blob->file.get(), path));
  return blob;
}

Result<void> begin_at(OpenBlob& blob, std::uint64_t position) {
  if (::lseek(blob.file.get(), static_cast<off_t>(position), SEEK_SET) < 0) {
    return Error::from_errno(errno, "cannot read " + blob.path);
  }
  blob.position = position;
  return ok();
}

Result<std::string> read_unchecked(OpenBlob& blob, std::size_t count) {
  THAW_TRY(std::string piece, read_some(blob.file.get(), count, blob.path));
  if (piece.size() < count) {
    return not_its_name(blob);
  }
  blob.position += piece.size();
  return piece;
}

Result<std::string> get_whole(const std::string& name, const std::string& path) {
  THAW_TRY(const auto blob, open_blob(name, path));
  return read_piece(*blob, blob->size);
}

}  // namespace thaw::store::detail
