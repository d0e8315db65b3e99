// SPDX-License-Identifier: Apache-2.0
// Mounts (sets of files laid over an image) and blobs (payloads too large for a message).
#include <algorithm>

#include "thaw/codec/encoding.h"
#include "thaw/codec/ids.h"
#include "thaw/dialect/modal/client_packages.h"
#include "thaw/dialect/modal/proto/images.pb.h"
#include "thaw/dialect/modal/rpc.h"
#include "thaw/dialect/modal/services.h"
#include "thaw/worker/mount_layers.h"

namespace thaw::dialect::modal {

namespace pb = ::modal::client;
using async::Task;

namespace {

constexpr std::string_view client_mount_prefix = "modal-client-mount-";
constexpr std::string_view python_mount_prefix = "python-build-standalone.";
constexpr std::string_view blob_prefix = "bl-";

Result<std::string> sha_of_blob(const std::string& blob_id) {
  if (!codec::has_id_shape(blob_id, "bl")) {
    return Error::invalid_argument("'" + blob_id.substr(0, 80) + "' is not a blob id");
  }
  return blob_id.substr(blob_prefix.size());
}

Task<pb::MountBatchedCheckExistenceResponse> check_existence(
    Context& cx, net::GrpcCall& call, pb::MountBatchedCheckExistenceRequest request) {
  THAW_CO_TRY([[maybe_unused]] const gateway::Identity who, identify(cx, call));
  pb::MountBatchedCheckExistenceResponse reply;
  for (const std::string& sha : request.sha256_hex_hashes()) {
    if (!cx.parts.blobs.contains(sha)) {
      reply.add_missing_sha256_hex_hashes(sha);
    }
  }
  co_return reply;
}

Task<pb::MountPutFileResponse> put_file(Context& cx, net::GrpcCall& call,
                                        pb::MountPutFileRequest request) {
  THAW_CO_TRY([[maybe_unused]] const gateway::Identity who, identify(cx, call));
  pb::MountPutFileResponse reply;
  if (request.data_oneof_case() == pb::MountPutFileRequest::kData) {
    if (store::sha256_hex(request.data()) != request.sha256_hex()) {
      co_return Error::invalid_argument("the file's bytes do not match its SHA-256 " +
                                        request.sha256_hex());
    }
    std::string bytes = std::move(*request.mutable_data());
    THAW_CO_TRY([[maybe_unused]] const store::StoredBlob stored,
                co_await cx.parts.blobs.put(std::move(bytes)));
    reply.set_exists(true);
    co_return reply;
  }
  if (request.data_oneof_case() == pb::MountPutFileRequest::kDataBlobId) {
    THAW_CO_TRY(const std::string sha, sha_of_blob(request.data_blob_id()));
    if (sha != request.sha256_hex() || !cx.parts.blobs.contains(sha)) {
      co_return Error::invalid_argument("blob " + request.data_blob_id() +
                                        " was not uploaded or is not the file " +
                                        request.sha256_hex());
    }
  }
  reply.set_exists(cx.parts.blobs.contains(request.sha256_hex()));
  co_return reply;
}

Task<pb::MountGetOrCreateResponse> get_or_create(Context& cx, net::GrpcCall& call,
                                                 pb::MountGetOrCreateRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  pb::MountGetOrCreateResponse reply;
  if (request.deployment_name().starts_with(client_mount_prefix)) {
    // The client's own package is laid into containers by the runtime, for the version named here.
    const std::string version = request.deployment_name().substr(client_mount_prefix.size());
    THAW_CO_TRY_VOID(co_await cx.parts.client_packages.ensure(who.workspace, version));
    // all workspaces: what the server gives to everybody
    const auto known = cx.parts.catalog.named_mount(request.deployment_name());
    model::Mount mount;
    mount.id = known ? known->id : model::MountId(codec::random_id("mo"));
    mount.workspace = cx.parts.catalog.default_workspace();
    mount.name = request.deployment_name();
    mount.checksum = worker::mount_checksum({});
    reply.set_mount_id(mount.id.str());
    reply.mutable_handle_metadata()->set_content_checksum_sha256_hex(mount.checksum);
    if (!known) {
      THAW_CO_TRY_VOID(co_await cx.parts.catalog.mounts.put(std::move(mount)));
    }
    co_return reply;
  }
  if (request.object_creation_type() == pb::OBJECT_CREATION_TYPE_UNSPECIFIED) {
    // all workspaces: what the server gives to everybody
    const auto known = cx.parts.catalog.named_mount(request.deployment_name());
    if (!known && request.deployment_name().starts_with(python_mount_prefix)) {
      co_return Error::unimplemented(
          "add_python is not served by this version of Thaw; start from Image.debian_slim or "
          "python:3.N-slim, or install Python by setup_dockerfile_commands: RUN apt-get update && "
          "apt-get install -y python3 python3-pip python-is-python3");
    }
    if (!known) {
      co_return Error::not_found("mount '" + request.deployment_name() + "' does not exist");
    }
    reply.set_mount_id(known->id.str());
    reply.mutable_handle_metadata()->set_content_checksum_sha256_hex(known->checksum);
    co_return reply;
  }
  model::Mount mount;
  for (const auto& file : request.files()) {
    if (!cx.parts.blobs.contains(file.sha256_hex())) {
      co_return Error::failed_precondition("file '" + file.filename() +
                                           "' of the mount was not uploaded");
    }
    mount.files.push_back(
        {file.filename(), file.sha256_hex(), file.has_mode() ? file.mode() : 0644});
  }
  mount.workspace = who.workspace;
  mount.name = request.deployment_name();
  mount.checksum = worker::mount_checksum(mount.files);
  // Equal contents are one mount of the workspace.
  mount.id = model::MountId(
      "mo-" + store::sha256_hex(who.workspace.str() + mount.name + mount.checksum).substr(0, 22));
  reply.set_mount_id(mount.id.str());
  reply.mutable_handle_metadata()->set_content_checksum_sha256_hex(mount.checksum);
  cx.unused_since.erase(mount.id.str());
  if (!scope_of(cx, who).mount(mount.id.str())) {
    THAW_CO_TRY_VOID(co_await cx.parts.catalog.mounts.put(std::move(mount)));
  }
  co_return reply;
}

Task<pb::BlobCreateResponse> blob_create(Context& cx, net::GrpcCall& call,
                                         pb::BlobCreateRequest request) {
  THAW_CO_TRY([[maybe_unused]] const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const std::string sha, codec::base64_decode(request.content_sha256_base64()));
  if (sha.size() != 32 || request.content_length() < 0) {
    co_return Error::invalid_argument("BlobCreate needs a SHA-256 and a length");
  }
  const std::string sha_hex = codec::hex_encode(sha);
  const gateway::UploadUrls urls = cx.parts.blob_gate.upload_urls(
      authority_for(cx, call), sha_hex, static_cast<std::uint64_t>(request.content_length()));
  pb::BlobCreateResponse reply;
  // Some clients read the single URL, others the list; multipart URLs may have any host.
  reply.set_blob_id(std::string(blob_prefix) + sha_hex);
  reply.set_upload_url(urls.part);
  reply.add_blob_ids(reply.blob_id());
  auto* upload = reply.mutable_multiparts()->add_items();
  upload->set_part_length(std::max<std::int64_t>(1, request.content_length()));
  upload->add_upload_urls(urls.part);
  upload->set_completion_url(urls.completion);
  co_return reply;
}

Task<pb::BlobGetResponse> blob_get(Context& cx, net::GrpcCall& call, pb::BlobGetRequest request) {
  THAW_CO_TRY([[maybe_unused]] const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const std::string sha, sha_of_blob(request.blob_id()));
  if (!cx.parts.blobs.contains(sha)) {
    co_return Error::not_found("blob '" + request.blob_id() + "' does not exist");
  }
  pb::BlobGetResponse reply;
  reply.set_download_url(cx.parts.blob_gate.download_url(authority_for(cx, call), sha));
  co_return reply;
}

}  // namespace

void add_mount_rpcs(net::GrpcTable& table, Context& cx) {
  add(table, cx, "MountBatchedCheckExistence", check_existence);
  add(table, cx, "MountPutFile", put_file);
  add(table, cx, "MountGetOrCreate", get_or_create);
  add(table, cx, "BlobCreate", blob_create);
  add(table, cx, "BlobGet", blob_get);
}

}  // namespace thaw::dialect::modal
