// SPDX-License-Identifier: Apache-2.0
//
// BlobFile: the file that a layer is fetched into. It is hashed while it comes, takes not a byte
// more than the layer has, and goes on where an answer broke off. Its requests come one after the
// other: during one it belongs to the web client's thread, between them to the loop's.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "thaw/codec/sha256.h"
#include "thaw/image/image_manifest.h"
#include "thaw/net/web_client.h"
#include "thaw/os/fd.h"

namespace thaw::image {

class BlobFile final : public net::BodySink {
 public:
  // Made anew at `path`. resource_exhausted: the disk has no room for all of it.
  static Result<std::shared_ptr<BlobFile>> create(const std::string& path, Descriptor expected);
  BlobFile(os::Fd file, Descriptor expected) : file_(std::move(file)), expected_(expected) {}

  bool begin(int status, const net::Headers& headers) override;
  bool take(std::string_view piece) override;

  // How much is there: where the next request is to go on.
  std::uint64_t size() const { return size_; }
  bool is_whole() const { return size_ == expected_.size && !failure_; }
  // What no further request can mend: it is too long, or the disk is full.
  const std::optional<Error>& failure() const { return failure_; }
  // Once it is whole: data_loss if it is not what its digest says.
  Result<void> check();

 private:
  bool fail(Error error);
  bool start_over();

  os::Fd file_;
  const Descriptor expected_;
  std::uint64_t size_ = 0;
  std::unique_ptr<codec::Sha256> digest_ = std::make_unique<codec::Sha256>();
  std::optional<Error> failure_;
};

}  // namespace thaw::image
