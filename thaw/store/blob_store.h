// SPDX-License-Identifier: Apache-2.0
//
// BlobStore: content-addressed files, DIR/ab/cdef…, named by the SHA-256 of their bytes and checked
// against it on read. A blob is written to a temporary file, synced and renamed, so it exists
// whole or not at all. Blobs are files, never rows. Loop thread; hashing and I/O run on the pool.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "thaw/async/blocking.h"
#include "thaw/async/task.h"

namespace thaw::store {

// Lower-case hex SHA-256.
std::string sha256_hex(std::string_view bytes);

struct StoredBlob {
  std::string sha256_hex;
  std::string md5_hex;  // what HTTP clients expect as ETag; not an integrity check
  std::uint64_t size = 0;
};

class BlobStore {
 public:
  // Makes the folder if needed and removes temporary files of an earlier run.
  static Result<std::unique_ptr<BlobStore>> open(async::Pool& pool, std::string folder);
  virtual ~BlobStore() = default;

  // Receives a blob in pieces. Destroyed before finish(): nothing stays.
  class Writer {
   public:
    virtual ~Writer() = default;
    virtual async::Task<void> write(std::string piece) = 0;
    // Error::invalid_argument if `expected_sha256_hex` is given and differs.
    virtual async::Task<StoredBlob> finish(std::string expected_sha256_hex) = 0;
  };
  class Reader {
   public:
    virtual ~Reader() = default;
    virtual std::uint64_t size() const = 0;
    // Empty at the end. data_loss as soon as the content is known not to match its name.
    virtual async::Task<std::string> read(std::size_t max_bytes) = 0;
  };

  virtual Result<std::unique_ptr<Writer>> create() = 0;
  virtual async::Task<StoredBlob> put(std::string bytes) = 0;
  virtual async::Task<std::string> get(std::string sha256_hex) = 0;  // checked
  virtual Result<std::unique_ptr<Reader>> open_reader(const std::string& sha256_hex) = 0;
  virtual bool contains(const std::string& sha256_hex) const = 0;
  // Where the file is, for bind mounts and hard links; it is read-only (0444).
  virtual Result<std::string> path(const std::string& sha256_hex) const = 0;
};

}  // namespace thaw::store
