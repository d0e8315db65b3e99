// SPDX-License-Identifier: Apache-2.0
//
// Payloads: the bytes of payloads that are too large to be carried about. Of a durable call a
// payload past `largest_inline_bytes` is a blob of the call's workspace, once, whoever refers to
// it; the journal, the memory and who passes the call on have its name (model::Payload::rest). What
// refers to a blob keeps it (CallQueue::visit_references); with the last of these, or if its call
// was never made, it goes when the blobs are swept. Whoever can read or write pieces does so; the
// others get the whole. Loop thread only; the work is the blob store's, on the pool.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "thaw/async/task.h"
#include "thaw/model/ids.h"
#include "thaw/model/payload.h"
#include "thaw/store/blob_store.h"
#include "thaw/store/disk_shares.h"

namespace thaw::queue {

class Payloads {
 public:
  // Both outlive it. Without `blobs` there is no place for large ones, and all stay as they are;
  // without `disk` nobody has a quota.
  Payloads(store::BlobStore* blobs, const store::DiskShares* disk, std::size_t largest_inline_bytes)
      : blobs_(blobs), disk_(disk), largest_inline_(largest_inline_bytes) {}

  // Of what goes to the disk with a call.
  bool is_large(const model::Payload& payload) const {
    return blobs_ != nullptr && payload.bytes.size() > largest_inline_;
  }
  std::size_t largest_inline() const { return largest_inline_; }
  bool has_place() const { return blobs_ != nullptr; }

  // The same payload with its bytes in a blob, if they are large; as it is otherwise.
  // resource_exhausted: the workspace, or the disk, has no room. invalid_argument: it has a rest
  // already, and is large besides.
  async::Task<model::Payload> keep(model::WorkspaceId workspace, model::Payload payload);
  // For a payload that comes in pieces: seal() makes them its rest.
  Result<std::unique_ptr<store::BlobStore::Writer>> create(const model::WorkspaceId& workspace);
  async::Task<std::shared_ptr<const model::BlobRef>> seal(
      model::WorkspaceId workspace, std::unique_ptr<store::BlobStore::Writer> writer);
  // Nothing on disk refers to it yet: it stays for ten minutes all the same. Whoever tries to write
  // what refers to it says so at each try.
  void is_about_to_be_kept(const model::WorkspaceId& workspace, const model::Payload& payload);
  // Whether the workspace may have so much more; the disk may be full.
  bool has_quota(const model::WorkspaceId& workspace, std::uint64_t more) const {
    return disk_ == nullptr || disk_->check_quota(workspace.str(), more);
  }

  // The same payload with all of its bytes, at most `most_bytes` (resource_exhausted). data_loss:
  // its blob is gone, or is not what was stored.
  async::Task<model::Payload> whole(model::WorkspaceId workspace, model::Payload payload,
                                    std::uint64_t most_bytes = most_whole_bytes);
  static constexpr std::uint64_t most_whole_bytes = 64u << 20;
  // What follows its bytes, in pieces; null: nothing does. data_loss: the blob is gone.
  Result<std::unique_ptr<store::BlobStore::Reader>> open_rest(const model::WorkspaceId& workspace,
                                                              const model::Payload& payload);

 private:
  store::BlobStore* blobs_;
  const store::DiskShares* disk_;
  std::size_t largest_inline_;
};

}  // namespace thaw::queue
