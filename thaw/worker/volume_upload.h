// SPDX-License-Identifier: Apache-2.0
//
// Uploads into a volume. A file arrives as blocks, each checked against its SHA-256 and staged
// under a name that nobody can guess, so that having the digest of somebody's block is not having
// the block. When all are there they become a file in staging, and then the file takes its place
// by a rename: readers see the old file or the new one, and who has mapped the old one keeps it.
// A block leaves out the zeros at its end. Pool threads only.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "thaw/base/result.h"
#include "thaw/worker/byte_copy.h"
#include "thaw/worker/volume_paths.h"

namespace thaw::worker {

inline constexpr std::uint64_t volume_block_size = 8u << 20;

// The SHA-256 of no bytes, which a block of zeros has.
inline constexpr std::string_view empty_block_sha256_hex =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

// "<sha256>.<letters>"; false for anything that is not the staged name of a block of that digest.
std::string new_block_name(const std::string& sha256_hex);
bool is_block_name(std::string_view name, std::string_view sha256_hex);

// A block on its way in. Dropped before finish(): nothing stays.
class BlockWriter {
 public:
  static Result<std::unique_ptr<BlockWriter>> create(VolumeFolder volume, std::string name,
                                                     std::uint64_t most_bytes);
  virtual ~BlockWriter() = default;
  // out_of_range past `most_bytes`; resource_exhausted when the disk is full.
  virtual Result<void> append(std::string_view piece) = 0;
  // invalid_argument if the bytes do not match the digest in the name.
  virtual Result<void> finish() = 0;
};

struct UploadedFile {
  std::string path;  // from volume_path()
  std::uint64_t size = 0;
  unsigned mode = 0644;
  std::vector<std::string> blocks;  // staged names; empty for a block of zeros
  std::string host_file;            // in place of blocks: a file of ours to copy
};

enum class Existing { replace, refuse };

// already_exists or failed_precondition when the paths cannot be taken.
Result<void> check_targets(const VolumeFolder& volume, std::span<const UploadedFile> files,
                           Existing existing);

// Files put together in staging and moved into place, in steps of some tens of milliseconds, for
// any number of blocks. What was not placed is removed.
class StagedFiles {
 public:
  static std::shared_ptr<StagedFiles> begin(const VolumeFolder& volume,
                                            std::vector<UploadedFile> files);
  virtual ~StagedFiles() = default;

  using Progress = ByteCopy::Progress;
  // First until done: the files' bytes. Writes at most `copy_step_bytes` at once.
  virtual Result<Progress> assemble() = 0;
  // Then until done: in order, making parents. The first failure ends it, with the rest in staging
  // still.
  virtual Result<Progress> place(Existing existing) = 0;
};

}  // namespace thaw::worker
