// SPDX-License-Identifier: Apache-2.0
//
// The entries of a layer's tar stream, by libarchive, which gets one filter at most (gzip or zstd,
// by the first bytes, so that nothing is unpacked twice) and one format (tar), and nothing else of
// what it knows. The stream is hashed as it comes out of its compression. Time, what it has in all,
// and what the head of one entry may have are bounded at each block that libarchive asks for.
// Blocking; one thread.
#pragma once

#include <archive.h>
#include <archive_entry.h>

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "thaw/base/result.h"
#include "thaw/base/time.h"
#include "thaw/codec/sha256.h"
#include "thaw/os/fd.h"

namespace thaw::image {

class LayerStream {
 public:
  // `file` is read from its position on and outlives the stream, as `stop` does. `most_bytes`: of
  // the stream once it is unpacked.
  LayerStream(const os::Fd& file, std::uint64_t most_bytes, Instant until,
              const std::atomic<bool>& stop);
  LayerStream(const LayerStream&) = delete;
  LayerStream& operator=(const LayerStream&) = delete;

  // The next entry, good until the next call; nullptr at the end.
  Result<archive_entry*> next();
  // The next piece of the entry's content and where in the file it stands; false at its end.
  struct Piece {
    std::string_view bytes;
    std::uint64_t offset = 0;
  };
  Result<bool> read(Piece& piece);
  // Reads what stands behind the last entry; "sha256:…" of the whole stream.
  Result<std::string> finish();

 private:
  using Archive =
      std::unique_ptr<archive, decltype([](archive* one) { ::archive_read_free(one); })>;

  static la_ssize_t give_packed(archive*, void* self, const void** buffer);
  static la_ssize_t give(archive*, void* self, const void** buffer);
  Result<std::size_t> fill();
  Error error_of(archive* from, const char* what) const;
  Result<void> check() const;
  void fail(Error error);

  const os::Fd& file_;
  const std::uint64_t most_bytes_;
  const Instant until_;
  const std::atomic<bool>& stop_;
  std::string packed_buffer_;
  std::string buffer_;
  std::uint64_t bytes_ = 0;
  bool has_entry_ = false;
  bool is_in_head_ = false;
  std::uint64_t head_bytes_ = 0;
  codec::Sha256 digest_;
  std::optional<Error> failure_;  // of the stream below, which libarchive knows no word for
  Archive packed_;
  Archive tar_;
};

}  // namespace thaw::image
