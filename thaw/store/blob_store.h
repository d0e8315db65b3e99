// SPDX-License-Identifier: Apache-2.0
//
// BlobStore: content-addressed files, DIR/ab/cdef…, named by the SHA-256 of their bytes and checked
// against it on read. A blob is written to a temporary file, synced and renamed, so it exists
// whole or not at all. Blobs are files, never rows.
//
// A blob belongs to those who have sent its bytes (owners, such as workspaces): to anybody else it
// is not there, from wherever its name is known. Equal bytes of two owners are one file. Who owns
// what is a row for each, on disk before the blob is acknowledged.
//
// A blob that nothing refers to any more goes: after begin_marks() whoever knows of references
// marks them, and sweep() takes from its owner what was not marked and was not kept for somebody's
// use; without an owner the file goes. What is sent while that happens stays. Loop thread; hashing
// and I/O run on the pool, in the share of the owner.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "thaw/async/blocking.h"
#include "thaw/async/task.h"
#include "thaw/store/database.h"
#include "thaw/store/disk_shares.h"

namespace thaw::store {

// Lower-case hex SHA-256.
std::string sha256_hex(std::string_view bytes);

struct StoredBlob {
  std::string sha256_hex;
  std::string md5_hex;  // what HTTP clients expect as ETag; not an integrity check
  std::uint64_t size = 0;
};

struct BlobOptions {
  std::string folder;
  // How long a blob stays after it was sent, or asked for, until something refers to it, and after
  // that was seen for the last time.
  Duration keep_unused = std::chrono::minutes(10);
  // Whose blobs without any record are, in a folder that knows no owners yet.
  std::string first_owner;
};

std::vector<Migration> blob_migrations();

class BlobStore {
 public:
  // Makes the folder if needed and removes temporary files of an earlier run. The parts outlive
  // the store, and the store its writers and readers.
  static Result<std::unique_ptr<BlobStore>> open(async::Pool& pool, Database& database,
                                                 DiskShares& shares, BlobOptions options);
  virtual ~BlobStore() = default;

  // Receives a blob in pieces, counted as its owner's from the first one. Destroyed before
  // finish(): nothing stays.
  class Writer {
   public:
    virtual ~Writer() = default;
    // resource_exhausted when the owner, or the disk, has no room for it: the same piece may be
    // written again.
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

  // What is counted of the bytes as they come. sha256 alone is for what is large and has no use for
  // an MD5: StoredBlob::md5_hex is empty then.
  enum class Sums { sha256_and_md5, sha256 };
  virtual Result<std::unique_ptr<Writer>> create(const std::string& owner,
                                                 Sums sums = Sums::sha256_and_md5) = 0;
  virtual async::Task<StoredBlob> put(std::string owner, std::string bytes) = 0;
  virtual async::Task<std::string> get(std::string owner, std::string sha256_hex) = 0;  // checked
  // In lower-case hex, of a blob of any size.
  virtual async::Task<std::string> md5_of(std::string owner, std::string sha256_hex) = 0;
  virtual Result<std::unique_ptr<Reader>> open_reader(const std::string& owner,
                                                      const std::string& sha256_hex) = 0;
  // `count` bytes from `first` on, as far as there are so many: a part cannot be checked by itself.
  virtual Result<std::unique_ptr<Reader>> open_part(const std::string& owner,
                                                    const std::string& sha256_hex,
                                                    std::uint64_t first, std::uint64_t count) = 0;
  virtual bool contains(const std::string& owner, const std::string& sha256_hex) const = 0;
  // Where the file is, for copies and hard links (mode 0644, never written again).
  virtual Result<std::string> path(const std::string& owner,
                                   const std::string& sha256_hex) const = 0;
  // Those of `names` that the owner has not; the others are kept for `use`.
  virtual async::Task<std::vector<std::string>> missing(std::string owner,
                                                        std::vector<std::string> names,
                                                        Duration use) = 0;
  // It is about to be referred to: not swept before so long from now.
  virtual void keep(const std::string& owner, const std::string& sha256_hex, Duration use) = 0;

  virtual async::Task<void> remove(std::string owner, std::string sha256_hex) = 0;
  virtual void begin_marks() = 0;
  virtual void mark(const std::string& owner, std::string_view sha256_hex) = 0;
  struct Swept {
    std::uint64_t blobs = 0;
    std::uint64_t bytes = 0;
  };
  // In pieces, between which others have their turn.
  virtual async::Task<Swept> sweep() = 0;
  // Files that no row names: of a server that was killed between the two.
  virtual async::Task<void> remove_strays() = 0;
};

}  // namespace thaw::store
