// SPDX-License-Identifier: Apache-2.0
//
// ImageUploads: blobs that are being pushed to this server's registry, in one request or in many.
// The bytes of a request go to the disk in large pieces, hashed on the way, while the next ones are
// read; what came of one that broke off stays, so that the next one goes on behind it. An upload is
// a workspace's and a repository's, and one request at a time writes to it. It ends with its last
// request, when it is cancelled, when nothing has come for a while, and with the server: a server
// that begins finds none, and no file of one. Loop thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>

#include "thaw/async/loop.h"
#include "thaw/async/task.h"
#include "thaw/model/ids.h"
#include "thaw/net/http.h"
#include "thaw/store/blob_store.h"

namespace thaw::gateway {

struct ImageUploadLimits {
  std::size_t of_workspace = 100;
  std::size_t of_all = 1'000;
  Duration idle = std::chrono::hours(1);  // after its last byte
  // Requests at once that are read ahead of the disk, by 2 MiB each; others have 64 KiB here.
  std::size_t sending_of_workspace = 32;
  std::size_t sending_of_all = 128;
};

class ImageUploads {
 public:
  // The loop and the store outlive it.
  ImageUploads(async::Loop& loop, store::BlobStore& blobs, ImageUploadLimits limits)
      : loop_(loop), blobs_(blobs), limits_(limits) {}

  struct Upload {
    std::string id;
    model::WorkspaceId workspace;
    std::string repository;
    std::unique_ptr<store::BlobStore::Writer> writer;
    std::uint64_t size = 0;  // that is on the disk
    Instant last_byte{};
    bool is_busy = false;  // a request writes to it
    bool is_over = false;  // cancelled while one did
  };
  using UploadPtr = std::shared_ptr<Upload>;

  // At a limit of its own the workspace's idlest goes, if that was for a minute; at that of all the
  // idlest of who has the most, if those are more; else resource_exhausted.
  Result<UploadPtr> begin(model::WorkspaceId workspace, std::string repository);
  // nullptr: there is none of that name, there.
  UploadPtr find(const model::WorkspaceId& workspace, const std::string& repository,
                 const std::string& id) const;
  // Takes the body of a request. aborted: another request writes to it; not_found: it was
  // cancelled meanwhile; deadline_exceeded: nothing came for a while; resource_exhausted: the
  // workspace, or the disk, has no room. What came before that is kept.
  async::Task<void> receive(UploadPtr upload, net::HttpExchange& exchange);
  // The blob, whose owner is the workspace from now on; the upload has ended, whatever comes of it.
  // invalid_argument: it is not what was expected.
  async::Task<store::StoredBlob> finish(UploadPtr upload, std::string expected_sha256_hex);
  void cancel(const UploadPtr& upload);
  void expire(Instant now);

  std::size_t size() const { return uploads_.size(); }  // tidy(unused): a test counts them

 private:
  Result<void> may_send(const model::WorkspaceId& workspace) const;
  bool make_room(const model::WorkspaceId& workspace, Instant now);

  async::Loop& loop_;
  store::BlobStore& blobs_;
  ImageUploadLimits limits_;
  std::unordered_map<std::string, UploadPtr> uploads_;
};

}  // namespace thaw::gateway
