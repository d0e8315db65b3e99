// SPDX-License-Identifier: Apache-2.0
//
// The files of blobs: a draft that is written in pieces and becomes a blob, and a blob that is read
// in pieces and checked. Pool threads only.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "thaw/os/fd.h"
#include "thaw/store/blob_store.h"
#include "thaw/store/detail/blob_names.h"
#include "thaw/store/detail/digest.h"

namespace thaw::store::detail {

bool is_blob_name(std::string_view text);

// What a writer leaves behind, wherever it is dropped: nothing.
struct BlobDraft {
  const std::string path;
  std::atomic<bool> there = true;
  os::Fd file;
  Digest sha256{Digest::Kind::sha256};
  Digest md5{Digest::Kind::md5};
  bool has_md5 = true;
  std::uint64_t size = 0;
  Result<void> state;  // the first failure; a draft with a hole is never finished

  explicit BlobDraft(std::string name) : path(std::move(name)) {}
  ~BlobDraft() { discard(); }
  // A pool thread may hold the draft a moment longer than its writer lives; the file goes at once.
  void discard();
};

// A blob that was made, and has to find its owner.
struct NewBlob {
  StoredBlob blob;
  BlobNames::Arrival arrival;
};

Result<void> append(BlobDraft& draft, std::string_view piece);
Result<NewBlob> seal(BlobDraft& draft, BlobNames& names, const std::string& expected);
// Without writing them if the blob is there, and right.
Result<NewBlob> put_whole(BlobDraft& draft, BlobNames& names, const std::string& bytes);

struct OpenBlob {
  std::string name;
  std::string path;
  os::Fd file;
  std::uint64_t size = 0;
  std::uint64_t position = 0;
  Digest sha256{Digest::Kind::sha256};
  Result<void> state;
};

Result<std::shared_ptr<OpenBlob>> open_blob(const std::string& name, const std::string& path);
Result<std::string> read_piece(OpenBlob& blob, std::size_t max_bytes);
// From there on read_unchecked() goes on; read_piece() is not for such a one.
Result<void> begin_at(OpenBlob& blob, std::uint64_t position);
// `count` bytes, which are there; data_loss if the file has become shorter.
Result<std::string> read_unchecked(OpenBlob& blob, std::size_t count);
Result<std::string> get_whole(const std::string& name, const std::string& path);

}  // namespace thaw::store::detail
