// SPDX-License-Identifier: Apache-2.0
// Network file systems: volumes whose writes everybody sees at once, as all volumes here are, and
// that are never committed. They have RPCs of their own, which move whole files.
#include "thaw/dialect/modal/named_state.h"
#include "thaw/dialect/modal/path_pattern.h"
#include "thaw/dialect/modal/proto/storage.pb.h"
#include "thaw/dialect/modal/rpc.h"
#include "thaw/dialect/modal/services.h"
#include "thaw/dialect/modal/volume_files.h"
#include "thaw/dialect/modal/volume_reads.h"
#include "thaw/dialect/modal/volumes.h"
#include "thaw/store/blob_store.h"

namespace thaw::dialect::modal {

namespace pb = ::modal::client;
using async::Task;

namespace {

constexpr std::size_t longest_pattern = 1024;
constexpr Duration keep_upload = 1h;  // until the file is in its place

Task<pb::SharedVolumeGetOrCreateResponse> get_or_create(
    Context& cx, net::GrpcCall& call, pb::SharedVolumeGetOrCreateRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto found,
              co_await volume_for(cx, who, network_file_system_kind, request.environment_name(),
                                  request.deployment_name(), request.object_creation_type(), 1));
  pb::SharedVolumeGetOrCreateResponse reply;
  reply.set_shared_volume_id(found->id.str());
  co_return reply;
}

Task<Empty> heartbeat(Context& cx, net::GrpcCall& call, pb::SharedVolumeHeartbeatRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto found, find_network_file_system(cx, who, request.shared_volume_id()));
  beat(cx, *found);
  co_return Empty();
}

Task<Empty> erase(Context& cx, net::GrpcCall& call, pb::SharedVolumeDeleteRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto found, find_network_file_system(cx, who, request.shared_volume_id()));
  THAW_CO_TRY_VOID(co_await end_volume(cx, found->id));
  co_return Empty();
}

Task<pb::SharedVolumeListResponse> list(Context& cx, net::GrpcCall& call,
                                        pb::SharedVolumeListRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto environment, find_environment(cx, who, request.environment_name()));
  pb::SharedVolumeListResponse reply;
  reply.set_environment_name(environment->name);
  for (const auto& one : page_of(volumes_of(cx, who, *environment, network_file_system_kind), {})) {
    auto* item = reply.add_items();
    item->set_label(given_name(*one));
    item->set_shared_volume_id(one->id.str());
    item->set_created_at(unix_seconds(one->created_at));
  }
  co_return reply;
}

Task<void> list_files(Context& cx, net::GrpcCall& call, pb::SharedVolumeListFilesRequest request,
                      net::Sink<pb::SharedVolumeListFilesResponse> sink) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto found, find_network_file_system(cx, who, request.shared_volume_id()));
  if (request.path().size() > longest_pattern) {
    co_return Error::invalid_argument("a path has at most " + std::to_string(longest_pattern) +
                                      " bytes");
  }
  const bool by_pattern = PathPattern::is_one(request.path());
  const PathPattern pattern(request.path());
  THAW_CO_TRY(const std::string path,
              worker::volume_path(by_pattern ? pattern.folder() : request.path()));
  const auto depth = by_pattern ? worker::VolumeListing::Depth::recursive
                                : worker::VolumeListing::Depth::one_folder;
  THAW_CO_TRY(const auto listing, co_await begin_listing(cx, found->id, path, depth));
  while (true) {
    auto step = [listing, by_pattern,
                 pattern]() -> Result<std::optional<pb::SharedVolumeListFilesResponse>> {
      THAW_TRY(const std::vector<worker::VolumeEntry> entries, listing->next());
      if (entries.empty()) {
        return std::optional<pb::SharedVolumeListFilesResponse>();
      }
      pb::SharedVolumeListFilesResponse piece;
      for (const worker::VolumeEntry& entry : entries) {
        if (!by_pattern || pattern.matches(entry.path)) {
          *piece.add_entries() = wire_entry(entry);
        }
      }
      return std::optional(std::move(piece));
    };
    THAW_CO_TRY(const auto piece, co_await cx.parts.volumes.run_apart(found->id, std::move(step)));
    if (!piece) {
      co_return ok();
    }
    if (piece->entries_size() > 0) {
      THAW_CO_TRY_VOID(co_await sink.write(*piece));
    }
  }
}

// Bytes in the message become a blob first, so that one way leads into the volume.
Task<std::string> stored_upload(Context& cx, gateway::Identity who,
                                pb::SharedVolumePutFileRequest request) {
  const std::string owner = who.workspace.str();
  if (request.data_oneof_case() == pb::SharedVolumePutFileRequest::kDataBlobId) {
    const std::string& blob = request.data_blob_id();
    const std::string sha = blob.starts_with("bl-") ? blob.substr(3) : "";
    if (sha != request.sha256_hex() || !cx.parts.blobs.contains(owner, sha)) {
      co_return Error::invalid_argument("blob " + blob.substr(0, 80) +
                                        " was not uploaded or is not the file '" +
                                        request.path().substr(0, 200) + "'");
    }
    cx.parts.blobs.keep(owner, sha, keep_upload);
    co_return sha;
  }
  THAW_CO_TRY(const store::StoredBlob stored,
              co_await cx.parts.blobs.put(owner, std::move(*request.mutable_data())));
  cx.parts.blobs.keep(owner, stored.sha256_hex, keep_upload);
  co_return stored.sha256_hex;
}

Task<pb::SharedVolumePutFileResponse> put_file(Context& cx, net::GrpcCall& call,
                                               pb::SharedVolumePutFileRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto found, find_network_file_system(cx, who, request.shared_volume_id()));
  worker::UploadedFile file;
  THAW_CO_TRY(file.path, worker::volume_path(request.path()));
  if (file.path.empty() || request.path().ends_with('/')) {
    co_return Error::invalid_argument("'" + request.path().substr(0, 200) +
                                      "' is a folder: give the path of the file in it");
  }
  THAW_CO_TRY_VOID(cx.parts.volumes.check_space(found->id, request.data().size()));
  THAW_CO_TRY(const std::string sha, co_await stored_upload(cx, who, std::move(request)));
  THAW_CO_TRY(file.host_file, cx.parts.blobs.path(who.workspace.str(), sha));
  std::vector<worker::UploadedFile> files{std::move(file)};
  THAW_CO_TRY_VOID(
      co_await place_uploads(cx, found->id, std::move(files), worker::Existing::replace));
  pb::SharedVolumePutFileResponse reply;
  reply.set_exists(true);
  co_return reply;
}

Task<pb::SharedVolumeGetFileResponse> get_file(Context& cx, net::GrpcCall& call,
                                               pb::SharedVolumeGetFileRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto found, find_network_file_system(cx, who, request.shared_volume_id()));
  THAW_CO_TRY(const std::string path, worker::volume_path(request.path()));
  THAW_CO_TRY(VolumeRead read, co_await read_from_volume(cx, found->id, path, 0, 0));
  pb::SharedVolumeGetFileResponse reply;
  if (read.blob_id.empty()) {
    reply.set_data(std::move(read.data));
  } else {
    reply.set_data_blob_id(std::move(read.blob_id));
  }
  co_return reply;
}

Task<Empty> remove_file(Context& cx, net::GrpcCall& call,
                        pb::SharedVolumeRemoveFileRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto found, find_network_file_system(cx, who, request.shared_volume_id()));
  THAW_CO_TRY(const std::string path, worker::volume_path(request.path()));
  const auto subtree = request.recursive() ? worker::Subtree::include : worker::Subtree::refuse;
  THAW_CO_TRY_VOID(co_await remove_from_volume(cx, found->id, path, subtree));
  co_return Empty();
}

}  // namespace

void add_network_file_system_rpcs(net::GrpcTable& table, Context& cx) {
  add_once(table, cx, "SharedVolumeGetOrCreate", get_or_create);
  add(table, cx, "SharedVolumeHeartbeat", heartbeat);
  add(table, cx, "SharedVolumeDelete", erase);
  add(table, cx, "SharedVolumeList", list);
  add_stream(table, cx, "SharedVolumeListFilesStream", list_files);
  add_once(table, cx, "SharedVolumePutFile", put_file);
  add(table, cx, "SharedVolumeGetFile", get_file);
  add_once(table, cx, "SharedVolumeRemoveFile", remove_file);
}

}  // namespace thaw::dialect::modal
