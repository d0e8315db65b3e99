// SPDX-License-Identifier: Apache-2.0
// Mounts (sets of files laid over an image) and blobs (payloads too large for a message).
#include "thaw/dialect/modal/mounts.h"

#include <algorithm>

#include "thaw/codec/encoding.h"
#include "thaw/codec/ids.h"
#include "thaw/dialect/modal/added_python.h"
#include "thaw/dialect/modal/client_packages.h"
#include "thaw/dialect/modal/proto/images.pb.h"
#include "thaw/dialect/modal/rpc.h"
#include "thaw/dialect/modal/services.h"
#include "thaw/dialect/modal/volume_reads.h"
#include "thaw/worker/mount_layers.h"

namespace thaw::dialect::modal {

namespace pb = ::modal::client;
using async::Task;

namespace {

constexpr std::string_view client_mount_prefix = "modal-client-mount-";
constexpr std::string_view blob_prefix = "bl-";

constexpr int most_files = 50'000;
// A signed address is used soon: nothing beside the time that unused blobs have anyway.
constexpr Duration download_time{};
// How often the record of a mount that is asked for again and again is written.
constexpr Duration mount_touch_period = 10min;

Result<std::string> sha_of_blob(const std::string& blob_id) {
  if (!codec::has_id_shape(blob_id, "bl")) {
    return Error::invalid_argument("'" + blob_id.substr(0, 80) + "' is not a blob id");
  }
  return blob_id.substr(blob_prefix.size());
}

Result<void> check_count(int files) {
  if (files > most_files) {
    return Error::invalid_argument("one mount has at most " + std::to_string(most_files) +
                                   " files, not " + std::to_string(files) +
                                   "; leave some out (ignore=), or put them into a volume or into "
                                   "the image");
  }
  return ok();
}

Task<pb::MountBatchedCheckExistenceResponse> check_existence(
    Context& cx, net::GrpcCall& call, pb::MountBatchedCheckExistenceRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY_VOID(check_count(request.sha256_hex_hashes_size()));
  std::vector<std::string> names(request.sha256_hex_hashes().begin(),
                                 request.sha256_hex_hashes().end());
  THAW_CO_TRY(const std::vector<std::string> missing,
              co_await cx.parts.blobs.missing(who.workspace.str(), std::move(names),
                                              cx.options.keep_uploads));
  pb::MountBatchedCheckExistenceResponse reply;
  reply.mutable_missing_sha256_hex_hashes()->Add(missing.begin(), missing.end());
  co_return reply;
}

Task<pb::MountPutFileResponse> put_file(Context& cx, net::GrpcCall& call,
                                        pb::MountPutFileRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  const std::string owner = who.workspace.str();
  pb::MountPutFileResponse reply;
  if (request.data_oneof_case() == pb::MountPutFileRequest::kData) {
    auto check = [bytes = std::move(*request.mutable_data()),
                  name = request.sha256_hex()]() mutable -> Result<std::string> {
      if (store::sha256_hex(bytes) != name) {
        return Error::invalid_argument("the file's bytes do not match its SHA-256 " + name);
      }
      return std::move(bytes);
    };
    async::PoolShare share{cx.parts.pool, owner};
    auto checked = co_await async::blocking(std::move(share), std::move(check));
    if (!checked) {
      co_return checked.error();
    }
    THAW_CO_TRY([[maybe_unused]] const store::StoredBlob stored,
                co_await cx.parts.blobs.put(owner, std::move(*checked)));
  }
  if (request.data_oneof_case() == pb::MountPutFileRequest::kDataBlobId) {
    THAW_CO_TRY(const std::string sha, sha_of_blob(request.data_blob_id()));
    if (sha != request.sha256_hex() || !cx.parts.blobs.contains(owner, sha)) {
      co_return Error::invalid_argument("blob " + request.data_blob_id() +
                                        " was not uploaded or is not the file " +
                                        request.sha256_hex());
    }
  }
  cx.parts.blobs.keep(owner, request.sha256_hex(), cx.options.keep_uploads);
  reply.set_exists(cx.parts.blobs.contains(owner, request.sha256_hex()));
  co_return reply;
}

// What the server gives to everybody by this name; it has no files of its own.
Task<pb::MountGetOrCreateResponse> given_mount(Context& cx, std::string name) {
  // all workspaces: what the server gives to everybody
  const auto known = cx.parts.catalog.named_mount(cx.parts.catalog.default_workspace(), name);
  model::Mount mount;
  mount.id = known ? known->id : model::MountId(codec::random_id("mo"));
  mount.workspace = cx.parts.catalog.default_workspace();
  mount.name = std::move(name);
  mount.checksum = worker::mount_checksum({});
  pb::MountGetOrCreateResponse reply;
  reply.set_mount_id(mount.id.str());
  reply.mutable_handle_metadata()->set_content_checksum_sha256_hex(mount.checksum);
  if (!known) {
    THAW_CO_TRY_VOID(co_await cx.parts.catalog.mounts.put(std::move(mount)));
  }
  co_return reply;
}

Task<pb::MountGetOrCreateResponse> get_or_create(Context& cx, net::GrpcCall& call,
                                                 pb::MountGetOrCreateRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  pb::MountGetOrCreateResponse reply;
  if (request.deployment_name().starts_with(client_mount_prefix)) {
    // The client's own package is laid into containers by the runtime, for the version named here.
    const std::string version = request.deployment_name().substr(client_mount_prefix.size());
    THAW_CO_TRY_VOID(co_await cx.client_packages->ensure(who.workspace, version));
    co_return co_await given_mount(cx, request.deployment_name());
  }
  if (request.object_creation_type() == pb::OBJECT_CREATION_TYPE_UNSPECIFIED) {
    // all workspaces: share the index of names, and this one looks at its own
    const auto known = cx.parts.catalog.named_mount(who.workspace, request.deployment_name());
    if (!known && !added_python_of(request.deployment_name()).empty()) {
      THAW_CO_TRY(std::string name, added_python_mount(request.deployment_name()));
      co_return co_await given_mount(cx, std::move(name));
    }
    if (!known) {
      co_return Error::not_found("mount '" + request.deployment_name() + "' does not exist");
    }
    reply.set_mount_id(known->id.str());
    reply.mutable_handle_metadata()->set_content_checksum_sha256_hex(known->checksum);
    co_return reply;
  }
  THAW_CO_TRY_VOID(check_count(request.files_size()));
  model::Mount mount;
  std::vector<std::string> names;
  for (const auto& file : request.files()) {
    names.push_back(file.sha256_hex());
    mount.files.push_back(
        {file.filename(), file.sha256_hex(), file.has_mode() ? file.mode() : 0644});
  }
  THAW_CO_TRY(const std::vector<std::string> missing,
              co_await cx.parts.blobs.missing(who.workspace.str(), std::move(names),
                                              cx.options.keep_uploads));
  if (!missing.empty()) {
    const auto file =
        std::find_if(mount.files.begin(), mount.files.end(),
                     [&](const model::MountFile& one) { return one.sha256_hex == missing[0]; });
    co_return Error::failed_precondition("file '" + file->path + "' of the mount was not uploaded");
  }
  mount.workspace = who.workspace;
  mount.name = request.deployment_name();
  mount.checksum = worker::mount_checksum(mount.files);
  // Equal contents are one mount of the workspace.
  mount.id = model::MountId(
      "mo-" + store::sha256_hex(who.workspace.str() + mount.name + mount.checksum).substr(0, 22));
  reply.set_mount_id(mount.id.str());
  reply.mutable_handle_metadata()->set_content_checksum_sha256_hex(mount.checksum);
  mount.used_at = wall_now();
  const auto known = scope_of(cx, who).mount(mount.id.str());
  if (!known || known->used_at + mount_touch_period < mount.used_at) {
    THAW_CO_TRY_VOID(co_await cx.parts.catalog.mounts.put(std::move(mount)));
  }
  co_return reply;
}

Task<pb::BlobCreateResponse> blob_create(Context& cx, net::GrpcCall& call,
                                         pb::BlobCreateRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const std::string sha, codec::base64_decode(request.content_sha256_base64()));
  if (sha.size() != 32 || request.content_length() < 0) {
    co_return Error::invalid_argument("BlobCreate needs a SHA-256 and a length");
  }
  const std::string sha_hex = codec::hex_encode(sha);
  const auto size = static_cast<std::uint64_t>(request.content_length());
  // What cannot work is said before the bytes travel.
  if (!cx.parts.blobs.contains(who.workspace.str(), sha_hex)) {
    THAW_CO_TRY_VOID(cx.parts.disk.check(who.workspace.str(), size));
  }
  const gateway::UploadUrls urls =
      cx.parts.blob_gate.upload_urls(base_for(cx, call), who.workspace.str(), sha_hex, size);
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
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  if (is_volume_blob(request.blob_id())) {
    pb::BlobGetResponse of_volume;
    THAW_CO_TRY(*of_volume.mutable_download_url(),
                volume_blob_url(cx, who, base_for(cx, call), request.blob_id()));
    co_return of_volume;
  }
  THAW_CO_TRY(const std::string sha, sha_of_blob(request.blob_id()));
  if (!cx.parts.blobs.contains(who.workspace.str(), sha)) {
    co_return Error::not_found("blob '" + request.blob_id() + "' does not exist");
  }
  pb::BlobGetResponse reply;
  cx.parts.blobs.keep(who.workspace.str(), sha, download_time);
  reply.set_download_url(
      cx.parts.blob_gate.download_url(base_for(cx, call), who.workspace.str(), sha));
  co_return reply;
}

}  // namespace

void find_blobs(std::string_view payload, std::vector<std::string>& sha256_hex) {
  constexpr std::size_t digits = 64;
  for (std::size_t at = payload.find(blob_prefix); at != std::string_view::npos;
       at = payload.find(blob_prefix, at + 1)) {
    const std::string_view name = payload.substr(at + blob_prefix.size(), digits);
    if (name.size() == digits &&
        name.find_first_not_of("0123456789abcdef") == std::string_view::npos) {
      sha256_hex.emplace_back(name);
    }
  }
}

void add_mount_rpcs(net::GrpcTable& table, Context& cx) {
  add(table, cx, "MountBatchedCheckExistence", check_existence);
  add(table, cx, "MountPutFile", put_file);
  add(table, cx, "MountGetOrCreate", get_or_create);
  add(table, cx, "BlobCreate", blob_create);
  add(table, cx, "BlobGet", blob_get);
}

}  // namespace thaw::dialect::modal
