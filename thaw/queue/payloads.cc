// SPDX-License-Identifier: Apache-2.0
#include "thaw/queue/payloads.h"

#include <utility>

namespace thaw::queue {

using async::Task;
using model::Payload;

namespace {

Error lost(const std::string& blob) {
  return Error::data_loss("the blob " + blob +
                          ", which has the bytes of this payload, is gone from the server's disk; "
                          "call the function again");
}

constexpr Duration kept_unwritten = std::chrono::minutes(10);

std::shared_ptr<const model::BlobRef> ref_to(const store::StoredBlob& blob) {
  return std::make_shared<const model::BlobRef>(model::BlobRef{blob.sha256_hex, blob.size});
}

Error told(const Error& error, const std::string& blob) {
  return error.code() == Code::not_found ? lost(blob) : error;
}

}  // namespace

Task<Payload> Payloads::keep(model::WorkspaceId workspace, Payload payload) {
  if (!is_large(payload)) {
    co_return payload;
  }
  if (payload.rest) {
    co_return Error::invalid_argument("what stands before a payload's blob has at most " +
                                      std::to_string(largest_inline_) + " bytes, not " +
                                      std::to_string(payload.bytes.size()));
  }
  THAW_CO_TRY(const store::StoredBlob stored,
              co_await blobs_->put(workspace.str(), std::exchange(payload.bytes, {})));
  payload.rest = ref_to(stored);
  is_about_to_be_kept(workspace, payload);
  co_return payload;
}

Task<std::shared_ptr<const model::BlobRef>> Payloads::seal(
    model::WorkspaceId workspace, std::unique_ptr<store::BlobStore::Writer> writer) {
  THAW_CO_TRY(const store::StoredBlob stored, co_await writer->finish(""));
  Payload payload;
  payload.rest = ref_to(stored);
  is_about_to_be_kept(workspace, payload);
  co_return std::move(payload.rest);
}

void Payloads::is_about_to_be_kept(const model::WorkspaceId& workspace, const Payload& payload) {
  if (payload.rest && blobs_ != nullptr) {
    blobs_->keep(workspace.str(), payload.rest->sha256_hex, kept_unwritten);
  }
}

Result<std::unique_ptr<store::BlobStore::Writer>> Payloads::create(
    const model::WorkspaceId& workspace) {
  if (blobs_ == nullptr) {
    return Error::failed_precondition("this server has no place for payloads of more than " +
                                      std::to_string(largest_inline_) + " bytes");
  }
  return blobs_->create(workspace.str());
}

Task<Payload> Payloads::whole(model::WorkspaceId workspace, Payload payload,
                              std::uint64_t most_bytes) {
  if (!payload.rest) {
    co_return payload;
  }
  const std::string name = payload.rest->sha256_hex;
  if (payload.length() > most_bytes) {
    co_return Error::resource_exhausted("a payload of " + std::to_string(payload.length()) +
                                        " bytes is not read as a whole (at "
                                        "most " +
                                        std::to_string(most_bytes) + ")");
  }
  if (blobs_ == nullptr) {
    co_return lost(name);
  }
  auto bytes = co_await blobs_->get(workspace.str(), name);
  if (!bytes) {
    co_return told(bytes.error(), name);
  }
  if (payload.bytes.empty()) {
    payload.bytes = std::move(*bytes);
  } else {
    payload.bytes += *bytes;
  }
  payload.rest = nullptr;
  co_return payload;
}

Result<std::unique_ptr<store::BlobStore::Reader>> Payloads::open_rest(
    const model::WorkspaceId& workspace, const Payload& payload) {
  if (!payload.rest) {
    return std::unique_ptr<store::BlobStore::Reader>();
  }
  if (blobs_ == nullptr) {
    return lost(payload.rest->sha256_hex);
  }
  auto reader = blobs_->open_reader(workspace.str(), payload.rest->sha256_hex);
  if (!reader) {
    return told(reader.error(), payload.rest->sha256_hex);
  }
  if ((*reader)->size() != payload.rest->size) {
    return Error::data_loss("the blob " + payload.rest->sha256_hex +
                            " is not what was stored; the disk is damaged");
  }
  return std::move(*reader);
}

}  // namespace thaw::queue
